"""Fetching a file from an address that somebody else chose, into a local file.

Through httpcore and not httpx: no proxies, logins or certificates from the environment, no cookies,
no redirects, no decompression, no log lines with whole addresses. What leads on is followed here.
"""

import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpcore

from callpipeline.domain.reach import Reach
from callpipeline.domain.web_address import Address, address_of
from callpipeline.errors import AddressInvalid, DownloadFailed, DownloadRefused
from callpipeline.storage.connecting import (
    CheckedBackend,
    Deadline,
    OutOfTime,
    Resolver,
    checked,
    resolved,
)
from callpipeline.storage.download_answers import why_broken, why_refused

logging.getLogger("httpcore").setLevel(logging.WARNING)  # it logs whole requests

REDIRECTS = 5
LEADING_ON = frozenset({301, 302, 303, 307, 308})
PAGES = ("text/html", "application/xhtml+xml")
PAGE_BEGINNINGS = (b"<!doctype html", b"<html")
PAGE = (
    "The host of the announced recording answered with a web page, such as a login: announce an "
    "address that leads to the file itself and needs no login."
)


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """The largest file, and seconds: to connect, between two bytes, and for all of it."""

    max_bytes: int = 1_024_000_000
    connect_s: float = 10.0
    idle_s: float = 30.0
    total_s: float = 900.0


@cache
def _trusted() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


@dataclass(frozen=True, slots=True)
class Download:
    """Fetches from where `reach` allows; `resolve`, `trusted` and `clock` a test may replace."""

    reach: Reach
    limits: DownloadLimits
    resolve: Resolver = resolved
    trusted: Callable[[], ssl.SSLContext] = _trusted
    clock: Callable[[], float] = time.monotonic

    def __call__(self, url: str, into: Path) -> None:
        """Stream what a URL leads to into a file. No error quotes the URL, or what is there.

        Raises AddressInvalid, DownloadRefused, and DownloadFailed where another try may help.
        """
        deadline = Deadline(self.clock() + self.limits.total_s, self.clock)
        address = address_of(url)
        try:
            for _ in range(REDIRECTS + 1):
                with self._opened(address, deadline) as response:
                    headers = _headers(response)
                    if response.status not in LEADING_ON:
                        return self._save(response, headers, into)
                    address = _next(address, headers.get("location", ""))
        except OutOfTime:
            raise DownloadFailed(
                "The announced recording had not arrived whole after "
                f"{self.limits.total_s:g} seconds (CALLPIPELINE_FETCH_TIMEOUT_S)."
            ) from None
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise why_broken(error) from None
        raise DownloadRefused(f"The announced address leads on more than {REDIRECTS} times.")

    @contextmanager
    def _opened(self, address: Address, deadline: Deadline) -> Iterator[httpcore.Response]:
        """The beginning of an answer, from an address of the host that was checked."""
        backend = CheckedBackend(checked(address, self.reach, self.resolve), deadline)
        context = self.trusted() if address.scheme == "https" else None
        where = httpcore.URL(
            scheme=address.scheme.encode(),
            host=address.host.encode(),
            port=address.port,
            target=address.target.encode(),
        )
        headers = [("Host", address.netloc), *HEADERS.items()]
        idle_s, connect_s = self.limits.idle_s, self.limits.connect_s
        waits = {"connect": connect_s, "read": idle_s, "write": idle_s}
        with (
            httpcore.ConnectionPool(context, network_backend=backend, http2=False) as pool,
            pool.stream("GET", where, headers=headers, extensions={"timeout": waits}) as response,
        ):
            yield response

    def _save(self, response: httpcore.Response, headers: Mapping[str, str], into: Path) -> None:
        if response.status not in (200, 203):
            raise why_refused(response.status, headers.get("retry-after"))
        if headers.get("content-type", "").partition(";")[0].strip().lower() in PAGES:
            raise DownloadRefused(PAGE)
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise DownloadRefused(
                "The host of the announced recording sends it compressed, which was not asked "
                "for: have it sent as it is, without Content-Encoding."
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
                "The host of the announced recording sent an empty file: try again when the "
                "recording is there."
            )
        _refuse_page(into)

    def _too_large(self) -> DownloadRefused:
        return DownloadRefused(
            f"The announced recording is larger than {self.limits.max_bytes / 1e6:,.0f} MB: if it "
            "is to be taken, set CALLPIPELINE_FETCH_MAX_MB higher and try again."
        )


HEADERS = {"User-Agent": "callpipeline", "Accept": "*/*", "Accept-Encoding": "identity"}


def _headers(response: httpcore.Response) -> dict[str, str]:
    return {name.decode().lower(): value.decode("latin-1") for name, value in response.headers}


def _next(address: Address, location: str) -> Address:
    """Where an answer leads; never from an encrypted connection to an open one."""
    try:
        # A header's bytes beyond ASCII are UTF-8 where they are anything.
        following = address.leading_to(location.encode("latin-1").decode("utf-8", "replace"))
    except AddressInvalid as error:
        raise DownloadRefused(f"The announced address leads on to another one. {error}") from None
    if address.scheme == "https" and following.scheme == "http":
        raise DownloadRefused(
            "The announced address leads on from https:// to http://, where others could read and "
            "change what is sent: announce the address at which the recording is."
        )
    return following


def _refuse_page(path: Path) -> None:
    """Also where it is not said to be one. Raises DownloadRefused."""
    with path.open("rb") as file:
        beginning = file.read(512)
    if beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(PAGE_BEGINNINGS):
        raise DownloadRefused(PAGE)
