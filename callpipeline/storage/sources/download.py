"""Download of announced recordings from untrusted URLs into local files.

Uses httpcore instead of httpx: no proxies, credentials or certificates from the environment, no
cookies, no decompression, no log lines with full URLs. Redirects are followed here.
"""

import logging
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path

import httpcore

from callpipeline.domain.egress import (
    EgressPolicy,
    HttpAddress,
    parse_http_address,
    parse_retry_after,
)
from callpipeline.errors import AddressInvalid, DownloadFailed, DownloadRefused
from callpipeline.storage.sources.egress import (
    Deadline,
    DeadlineExceeded,
    PinnedBackend,
    Resolver,
    resolve_allowed,
    resolve_host,
)

logging.getLogger("httpcore").setLevel(logging.WARNING)  # it logs whole requests

HOST = "The host of the announced recording"
HEADERS = {"User-Agent": "callpipeline", "Accept": "*/*", "Accept-Encoding": "identity"}
MAX_REDIRECTS = 5
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
HTML_TYPES = ("text/html", "application/xhtml+xml")
HTML_PREFIXES = (b"<!doctype html", b"<html")
HTML_ANSWER = (
    f"{HOST} returned a web page, such as a login page: announce a URL of the file itself that "
    "needs no login."
)
RETRY_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
LONGEST_RETRY_AFTER_S = 3600.0
"""Limit for the Retry-After of a host: every call must end."""
ADVICE = {
    400: "announce the call again with a complete and valid URL",
    401: "it requires a login; announce a signed URL, which needs none",
    403: "a signed URL may have expired; announce the call again with a new one",
    404: "the recording does not exist; upload it and try again, or announce the correct URL",
    410: "the recording no longer exists",
}


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Maximum file size, and timeouts to connect, between two bytes and in total."""

    max_bytes: int = 1_024_000_000
    connect_s: float = 10.0
    idle_s: float = 30.0
    total_s: float = 900.0


@cache
def _ssl_context() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


@dataclass(frozen=True, slots=True)
class Downloader:
    """Downloads from hosts that the egress policy allows."""

    egress_policy: EgressPolicy
    limits: DownloadLimits
    resolve: Resolver = resolve_host
    ssl_context: Callable[[], ssl.SSLContext] = _ssl_context
    clock: Callable[[], float] = time.monotonic

    def __call__(self, url: str, into: Path) -> None:
        """Stream a URL into a file. Errors never quote the URL or the content.

        Raises AddressInvalid, DownloadRefused, or DownloadFailed if a retry may help.
        """
        deadline = Deadline(self.clock() + self.limits.total_s, self.clock)
        address = parse_http_address(url)
        try:
            for _ in range(MAX_REDIRECTS + 1):
                with self._get(address, deadline) as response:
                    headers = _headers(response)
                    if response.status not in REDIRECT_STATUSES:
                        return self._save(response, headers, into)
                    address = _redirect(address, headers.get("location", ""))
        except DeadlineExceeded:
            raise DownloadFailed(
                "The download of the announced recording timed out after "
                f"{self.limits.total_s:g} seconds (CALLPIPELINE_FETCH_TIMEOUT_S)."
            ) from None
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise connection_error(error) from None
        raise DownloadRefused(f"The announced URL redirects more than {MAX_REDIRECTS} times.")

    @contextmanager
    def _get(self, address: HttpAddress, deadline: Deadline) -> Iterator[httpcore.Response]:
        """Open a response from one of the host's allowed IP addresses."""
        ip_addresses = resolve_allowed(address, self.egress_policy, self.resolve)
        backend = PinnedBackend(ip_addresses, deadline)
        context = self.ssl_context() if address.scheme == "https" else None
        url = httpcore.URL(
            scheme=address.scheme.encode(),
            host=address.host.encode(),
            port=address.port,
            target=address.target.encode(),
        )
        headers = [("Host", address.netloc), *HEADERS.items()]
        idle_s, connect_s = self.limits.idle_s, self.limits.connect_s
        timeouts = {"connect": connect_s, "read": idle_s, "write": idle_s}
        with (
            httpcore.ConnectionPool(context, network_backend=backend, http2=False) as pool,
            pool.stream("GET", url, headers=headers, extensions={"timeout": timeouts}) as response,
        ):
            yield response

    def _save(self, response: httpcore.Response, headers: Mapping[str, str], into: Path) -> None:
        if response.status not in (200, 203):
            raise status_error(response.status, headers.get("retry-after"))
        if headers.get("content-type", "").partition(";")[0].strip().lower() in HTML_TYPES:
            raise DownloadRefused(HTML_ANSWER)
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise DownloadRefused(
                f"{HOST} sent it compressed, which was not requested: configure the host to send "
                "it without Content-Encoding."
            )
        length = headers.get("content-length", "").strip()
        if length.isascii() and length.isdigit() and int(length) > self.limits.max_bytes:
            raise self._too_large()
        written = 0
        with into.open("wb") as file:
            for block in response.iter_stream():
                written += len(block)
                if written > self.limits.max_bytes:
                    raise self._too_large()
                file.write(block)
        if not written:
            raise DownloadRefused(
                f"{HOST} sent an empty file: try again when the recording is complete."
            )
        _check_not_html(into)

    def _too_large(self) -> DownloadRefused:
        return DownloadRefused(
            f"The announced recording is larger than {self.limits.max_bytes / 1e6:,.0f} MB: to "
            "accept it, increase CALLPIPELINE_FETCH_MAX_MB and try again."
        )


def _headers(response: httpcore.Response) -> dict[str, str]:
    return {name.decode().lower(): value.decode("latin-1") for name, value in response.headers}


def _redirect(address: HttpAddress, location: str) -> HttpAddress:
    """Return the target of a redirect. Raises DownloadRefused, also from https:// to http://."""
    try:
        # Non-ASCII bytes in a header are UTF-8, if anything.
        following = address.resolve_redirect(location.encode("latin-1").decode("utf-8", "replace"))
    except AddressInvalid as error:
        raise DownloadRefused(f"The announced URL redirects to another one. {error}") from None
    if address.scheme == "https" and following.scheme == "http":
        raise DownloadRefused(
            "The announced URL redirects from https:// to http://, where others could read and "
            "change the recording: announce its final URL."
        )
    return following


def _check_not_html(path: Path) -> None:
    """Raise DownloadRefused for a web page, whatever its content type."""
    with path.open("rb") as file:
        beginning = file.read(512)
    if beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(HTML_PREFIXES):
        raise DownloadRefused(HTML_ANSWER)


def status_error(
    status: int, retry_after: str | None = None, now: datetime | None = None
) -> DownloadRefused | DownloadFailed:
    """Return the error for a status code: DownloadFailed if a retry may help."""
    answer = f"{HOST} returned {status} {_phrase(status)}".strip()
    if status in RETRY_STATUSES:
        wait_s = parse_retry_after(retry_after, now or datetime.now(UTC))
        at_most = None if wait_s is None else min(wait_s, LONGEST_RETRY_AFTER_S)
        return DownloadFailed(f"{answer}.", retry_after_s=at_most)
    advice = ADVICE.get(status, "announce the URL of a recording")
    return DownloadRefused(f"{answer}: {advice}.")


def connection_error(error: Exception) -> DownloadFailed:
    """Return the error for a failed connection, without the URL."""
    match error:
        case httpcore.ConnectTimeout():
            reason = "did not accept the connection in time"
        case httpcore.TimeoutException():
            reason = "stopped sending data"
        case httpcore.ConnectError():
            reason = f"did not accept the connection ({_system_reason(error)})"
        case httpcore.RemoteProtocolError() | httpcore.NetworkError():
            reason = "closed the connection before the recording was complete"
        case _:
            reason = "sent an invalid HTTP response"
    return DownloadFailed(f"{HOST} {reason}.")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _system_reason(error: Exception) -> str:
    """Return the TLS or operating system error behind an error of httpcore."""
    reason = error.args[0] if error.args else None
    match reason:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {reason.verify_message.rstrip('.')}"
        case ssl.SSLError():  # its errno is not one of the system
            return "invalid TLS response"
        case OSError(errno=int(number)):
            return os.strerror(number)
    return type(error).__name__
