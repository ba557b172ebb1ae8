"""Connection errors say what to fix."""

import ssl

import httpx
import pytest

from callpipeline.engines.http.messages import connection_error


def untrusted() -> ssl.SSLError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] …")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ConnectionRefusedError(111, "('10.0.0.7', 80)"), "no connection (Connection refused)"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] …"),
            "whether the URL needs http:// or another port",
        ),
        (untrusted(), "its certificate is not trusted: self-signed certificate"),
    ],
    ids=["refused", "no TLS", "untrusted"],
)
def test_an_error_below_http_has_a_reason(cause: OSError, reason: str) -> None:
    error = httpx.ConnectError("to 10.0.0.7")
    error.__cause__ = cause
    why = connection_error(error)
    assert reason in str(why) and "10.0.0.7" not in str(why)
    assert why.is_unavailable
