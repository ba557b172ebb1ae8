"""Why a connection gave no answer, in words that say what to mend."""

import ssl

import httpx
import pytest

from callpipeline.engines.http.answers import broken


def untrusted() -> ssl.SSLError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] …")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (ConnectionRefusedError(111, "('10.0.0.7', 80)"), "no connection (Connection refused)"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] …"), "is it http:// there, or another port?"),
        (untrusted(), "its certificate is not trusted: self-signed certificate"),
    ],
    ids=["refused", "no TLS", "untrusted"],
)
def test_what_is_wrong_below_http_is_told(cause: OSError, told: str) -> None:
    error = httpx.ConnectError("to 10.0.0.7")
    error.__cause__ = cause
    why = broken(error)
    assert told in str(why) and "10.0.0.7" not in str(why)
    assert why.is_away
