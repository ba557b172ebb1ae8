"""What it means when a host does not hand out an announced recording, and what to do about it."""

import os
import ssl
from datetime import UTC, datetime
from http import HTTPStatus

import httpcore

from callpipeline.domain.retry_after import wait_asked_for
from callpipeline.errors import DownloadFailed, DownloadRefused

AGAIN = frozenset({408, 425, 429, *range(500, 600)})
LONGEST_RETRY_AFTER_S = 3600.0
"""A host that asks for a longer wait is asked again then all the same: each call must end."""
HOST = "The host of the announced recording"

TO_DO = {
    400: "announce it anew with an address that is whole and still good",
    401: "it wants a login; announce a signed address, which needs none",
    403: "a signed address may have expired; announce the call anew with a fresh one",
    404: "the recording is not there; put it there and try again, or announce the right address",
    410: "the recording is not there any more",
}


def why_refused(
    status: int, retry_after: str | None = None, now: datetime | None = None
) -> DownloadRefused | DownloadFailed:
    """Why a status is no recording, and whether another try may get one."""
    said = f"{HOST} answered {status} {_phrase(status)}".strip()
    if status in AGAIN:
        wait_s = wait_asked_for(retry_after, now or datetime.now(UTC))
        at_most = None if wait_s is None else min(wait_s, LONGEST_RETRY_AFTER_S)
        return DownloadFailed(f"{said}.", retry_after_s=at_most)
    to_do = TO_DO.get(status, "announce an address at which a recording is")
    return DownloadRefused(f"{said}: {to_do}.")


def why_broken(error: Exception) -> DownloadFailed:
    """Why a connection brought no recording: in words, without the address."""
    match error:
        case httpcore.ConnectTimeout():
            why = "gave no connection in time"
        case httpcore.TimeoutException():
            why = "sent nothing for too long"
        case httpcore.ConnectError():
            why = f"gave no connection ({_system_reason(error)})"
        case httpcore.RemoteProtocolError() | httpcore.NetworkError():
            why = "broke off before the recording was whole"
        case _:
            why = "does not speak HTTP as it should"
    return DownloadFailed(f"{HOST} {why}.")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _system_reason(error: Exception) -> str:
    """The reason of TLS or of the operating system, which httpcore's error is made of."""
    reason = error.args[0] if error.args else None
    match reason:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {reason.verify_message.rstrip('.')}"
        case ssl.SSLError():  # its numbers are not those of the system
            return "it does not speak TLS as it should"
        case OSError(errno=int(number)):
            return os.strerror(number)
    return type(error).__name__
