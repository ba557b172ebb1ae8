"""RELIABILITY row 14: downloads over local sockets, and which hosts are allowed.

127.0.0.1 stands for the public internet: it is the only allowed address that is not public. Host
names are resolved by the test.
"""

import gzip
import itertools
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.egress import NOT_PUBLIC, EgressPolicy
from callpipeline.errors import (
    AddressInvalid,
    CallpipelineError,
    DownloadFailed,
    DownloadRefused,
    TransientError,
)
from callpipeline.storage.sources.download import LONGEST_RETRY_AFTER_S, Downloader, DownloadLimits
from tests.fakes.file_host import FileHost, answer, ok, redirect_to

PUBLIC = "127.0.0.1"
SECRET = "X-Amz-Signature=0ff1ce"
SMALL = DownloadLimits(max_bytes=1000, connect_s=60, idle_s=60, total_s=120)


@dataclass
class FakeDns:
    """Resolves host names to the next of their planned answers."""

    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    lookups: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.lookups.append(host)
        if not self.answers.get(host):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return self.answers[host].pop(0)


@pytest.fixture
def host() -> Iterator[FileHost]:
    with FileHost() as host:
        yield host


@pytest.fixture
def names() -> FakeDns:
    return FakeDns({"media.example": [[PUBLIC]]})


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "recording"


def downloading(names: FakeDns | None = None, limits: DownloadLimits = SMALL) -> Downloader:
    return Downloader(EgressPolicy.allowing([PUBLIC]), limits, resolve=names or FakeDns())


def download_error(download: Downloader, url: str, into: Path) -> CallpipelineError:
    """Return the error of a download; its message must not contain parts of the URL."""
    with pytest.raises(CallpipelineError) as caught:
        download(url, into)
    message = str(caught.value)
    assert message.endswith(".")
    assert not [part for part in (SECRET, "call.wav", "127.", "media.example") if part in message]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


# Requests


def test_a_recording_is_requested_by_its_full_url(host: FileHost, names: FakeDns, into: Path):
    host.answers["/a/call.wav"] = ok(b"RIFF and sound")
    downloading(names)(host.url(f"/a/call.wav?{SECRET}#part", "Media.Example."), into)
    assert into.read_bytes() == b"RIFF and sound"
    [head] = host.asked
    assert head.startswith(f"GET /a/call.wav?{SECRET} HTTP/1.1\r\n")
    assert f"Host: media.example:{host.port}\r\n" in head
    assert "Accept-Encoding: identity" in head


def test_the_environment_does_not_affect_requests(
    host: FileHost, names: FakeDns, into: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """No proxy, which would resolve names itself, and no stored credentials."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "netrc").write_text("machine media.example login ann password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    host.answers["/call.wav"] = answer(
        302, "Set-Cookie: a=b", "Location: /there.wav", "Content-Length: 0"
    )
    host.answers["/there.wav"] = ok()
    names.answers["media.example"] = [[PUBLIC], [PUBLIC]]
    downloading(names)(host.url(host="media.example"), into)
    assert len(host.asked) == 2
    assert not [head for head in host.asked if "cookie" in head.lower() or "Authori" in head]


def test_a_chunked_body_is_read_to_its_end(host: FileHost, into: Path):
    host.answers["/call.wav"] = answer(
        200, "Transfer-Encoding: chunked", body=b"4\r\nRIFF\r\n3\r\nxyz\r\n0\r\n\r\n"
    )
    downloading()(host.url(), into)
    assert into.read_bytes() == b"RIFFxyz"


# Allowed hosts

PRIVATE = (
    "127.0.0.2 127.255.255.254 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 "
    "169.254.169.254 169.254.170.2 100.64.0.1 100.100.100.200 168.63.129.16 192.0.0.192 192.0.2.1 "
    "198.18.0.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 192.88.99.1 "
    "::1 :: ::ffff:127.0.0.2 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe ::127.0.0.1 fe80::1 fe80::1%lo "
    "fc00::1 fd00:ec2::254 fec0::1 ff02::1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::a00:1 "
    "2002:7f00:1::1 2002:a00:1::1 2001::1 2001:db8::1 3fff::1 100::1 4000::1"
)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_a_host_name_with_a_private_address_is_refused(address: str, host: FileHost, into: Path):
    names = FakeDns({"media.example": [[address]]})
    error = download_error(downloading(names), host.url(host="media.example"), into)
    assert isinstance(error, DownloadRefused) and "CALLPIPELINE_FETCH_ALLOW" in str(error)
    assert not host.asked


@pytest.mark.parametrize("address", PRIVATE.split())
def test_a_redirect_to_a_private_address_is_refused(address: str, host: FileHost, into: Path):
    literal = f"[{address}]" if ":" in address else address
    host.answers["/call.wav"] = redirect_to(f"http://{literal}:{host.port}/there.wav")
    assert isinstance(download_error(downloading(), host.url(), into), DownloadRefused)
    assert len(host.asked) == 1


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str):
    assert EgressPolicy().allows("media.example", ip_address(address))


def test_one_private_address_of_a_host_name_is_enough_to_refuse_it(host: FileHost, into: Path):
    names = FakeDns({"media.example": [[PUBLIC, "10.0.0.1"]]})
    assert isinstance(
        download_error(downloading(names), host.url(host="media.example"), into), DownloadRefused
    )
    assert not host.asked


def test_a_host_name_is_resolved_only_once(
    host: FileHost, into: Path, monkeypatch: pytest.MonkeyPatch
):
    """DNS rebinding: another answer between the check and the connection."""
    names = FakeDns({"media.example": [[PUBLIC], ["10.0.0.1"]]})
    really = socket.getaddrinfo

    def numbers_only(name: str, *more: object, **others: object) -> object:
        assert name == PUBLIC, "a host name was resolved after the check"
        return really(name, *more, **others)  # pyright: ignore[reportArgumentType, reportCallIssue]

    monkeypatch.setattr(socket, "getaddrinfo", numbers_only)
    host.answers["/call.wav"] = ok()
    downloading(names)(host.url(host="media.example"), into)
    assert names.lookups == ["media.example"] and len(host.asked) == 1
    assert isinstance(
        download_error(downloading(names), host.url(host="media.example"), into), DownloadRefused
    )


def test_every_redirect_is_resolved_and_checked_again(host: FileHost, into: Path):
    names = FakeDns({"media.example": [[PUBLIC], ["10.0.0.1"]]})
    host.answers["/call.wav"] = redirect_to("/there.wav")
    assert isinstance(
        download_error(downloading(names), host.url(host="media.example"), into), DownloadRefused
    )
    assert names.lookups == ["media.example"] * 2 and len(host.asked) == 1


def test_the_next_address_is_used_if_one_does_not_respond(host: FileHost, into: Path):
    policy = EgressPolicy.allowing([PUBLIC, "::1"])
    names = FakeDns({"media.example": [["::1", PUBLIC]]})
    host.answers["/call.wav"] = ok()
    Downloader(policy, SMALL, resolve=names)(host.url(host="media.example"), into)
    assert into.read_bytes() == b"RIFF"


@pytest.mark.parametrize(
    ("allowed", "address"),
    [("media.example", "10.0.0.1"), ("10.0.0.0/8", "10.0.0.1"), ("10.0.0.1", "::ffff:10.0.0.1")],
)
def test_an_operator_may_allow_a_host_or_a_network(allowed: str, address: str):
    assert EgressPolicy.allowing([allowed]).allows("media.example", ip_address(address))
    assert not EgressPolicy.allowing([allowed]).allows("other.example", ip_address("192.168.0.1"))


INVALID = (
    "http://2130706434/ http://0x7f000002/ http://0x7f.2/ http://127.2/ http://0177.0.0.2/ "
    "http://127.0.0.2./ http://00127.0.0.2/ http://0X7F.0.0.2/ http://1.2.3.4.5/ http://0x/ "
    "http://①②⑦.⓪.⓪.②/ http://127。0。0。2/ http://127%2E0.0.2/ http://[::ffff:7f00:2]/ "
    "http://[fe80::1%25lo]/ http://[::1]x/ http://[v1.x]/ http://[127.0.0.2]/ http://a..b/ "
    "http:///call.wav http://:80/ http://media.example:0/ http://media.example:99999/ "
    "http://user@media.example/ http://media.example\\@10.0.0.1/ http://media.example:80@10.0.0.1/ "
    "ftp://media.example/ file:///etc/passwd gopher://media.example/ //media.example/ call.wav "
    "http://straße.example/ http://-a.example/"
)


@pytest.mark.parametrize(
    "url", [*INVALID.split(), "http://media.example/a b", "http://media.example/\r\nX: y"]
)
def test_ambiguous_and_invalid_urls_are_refused(url: str, into: Path):
    names = FakeDns()
    with pytest.raises((AddressInvalid, DownloadRefused)):
        downloading(names)(url, into)
    assert not names.lookups


def _spelled(number: int, draw: st.DrawFn) -> str:
    """Return one of the spellings of an IPv4 address as a host."""
    octets = [number >> shift & 255 for shift in (24, 16, 8, 0)]
    count = draw(st.integers(1, 4))
    rest = number & (1 << 8 * (5 - count)) - 1
    parts = [*octets[: count - 1], rest]
    written = [draw(st.sampled_from(["{}", "0x{:x}", "0X{:X}", "0{:o}", "000{:o}"])) for _ in parts]
    text = draw(st.sampled_from([".", "。", "%2e"])).join(
        form.format(part) for form, part in zip(written, parts, strict=True)
    )
    dotted = ".".join(map(str, octets))
    halves = f"{number >> 16:x}:{number & 0xFFFF:x}"
    embedded = (
        f"[::ffff:{dotted}]",
        f"[::{dotted}]",
        f"[64:ff9b::{dotted}]",
        f"[2002:{halves}::1]",
        f"[0:0:0:0:0:FFFF:{halves}]",
    )
    wide = dotted.translate({ord(str(digit)): chr(0xFF10 + digit) for digit in range(10)})
    return draw(st.sampled_from([text, f"{text}.", dotted, f"{dotted}.", wide, *embedded]))


@st.composite
def private_hosts(draw: st.DrawFn) -> str:
    network = draw(st.sampled_from(NOT_PUBLIC))
    first, last = int(network.network_address), int(network.broadcast_address)
    return _spelled(draw(st.integers(first, last)), draw)


def resolve_with_inet_aton(host: str, port: int) -> list[str]:
    """Resolve like the C library, which accepts 0x7f.1 as a host name."""
    return [socket.inet_ntoa(socket.inet_aton(host))]


@given(host=private_hosts(), port=st.sampled_from(["", ":80", ":8080"]))
def test_no_spelling_of_a_private_address_is_allowed(host: str, port: str):
    download = Downloader(EgressPolicy(), SMALL, resolve=resolve_with_inet_aton)
    with pytest.raises((AddressInvalid, DownloadRefused)):
        download(f"http://{host}{port}/call.wav", Path("/nowhere"))


# Redirects


def test_five_redirects_are_followed(host: FileHost, into: Path):
    for step, status in enumerate((301, 302, 303, 307, 308)):
        host.answers[f"/{step}"] = redirect_to(f"/{step + 1}", status)
    host.answers["/5"] = ok()
    downloading()(host.url("/0"), into)
    assert into.read_bytes() == b"RIFF"
    host.answers["/5"] = redirect_to("/0")
    assert "more than 5 times" in str(download_error(downloading(), host.url("/0"), into))


@pytest.mark.parametrize("location", ["ftp://media.example/x", "http://a:b@media.example/", "//"])
def test_a_redirect_to_an_invalid_url_is_refused(location: str, host: FileHost, into: Path):
    host.answers["/call.wav"] = redirect_to(location)
    assert isinstance(download_error(downloading(), host.url(), into), DownloadRefused)


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def encrypted(authority: trustme.CA) -> Iterator[FileHost]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("media.example").configure_cert(context)
    with FileHost(context) as host:
        yield host


def trusting(authority: trustme.CA, names: FakeDns) -> Downloader:
    def ssl_context() -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    return Downloader(
        EgressPolicy.allowing([PUBLIC]), SMALL, resolve=names, ssl_context=ssl_context
    )


def test_the_certificate_is_checked_against_the_host_name(
    encrypted: FileHost, authority: trustme.CA, into: Path
):
    names = FakeDns({"media.example": [[PUBLIC]], "other.example": [[PUBLIC]]})
    encrypted.answers["/call.wav"] = ok()
    trusting(authority, names)(encrypted.url(host="media.example"), into)
    assert into.read_bytes() == b"RIFF"
    error = download_error(trusting(authority, names), encrypted.url(host="other.example"), into)
    assert isinstance(error, DownloadFailed) and "certificate is not trusted" in str(error)


def test_a_redirect_from_https_to_http_is_refused(
    encrypted: FileHost, host: FileHost, authority: trustme.CA, names: FakeDns, into: Path
):
    encrypted.answers["/call.wav"] = redirect_to(host.url())
    error = download_error(trusting(authority, names), encrypted.url(host="media.example"), into)
    assert isinstance(error, DownloadRefused) and "from https:// to http://" in str(error)
    assert not host.asked


# Limits


def test_a_body_with_a_too_large_content_length_is_not_read(host: FileHost, into: Path):
    host.answers["/call.wav"] = ok(length=1001)
    error = download_error(downloading(), host.url(), into)
    assert isinstance(error, DownloadRefused) and "CALLPIPELINE_FETCH_MAX_MB" in str(error)
    assert not into.exists()


@pytest.mark.parametrize("headers", ["Transfer-Encoding: chunked", "X-No: length"])
def test_an_endless_body_is_aborted_when_it_is_too_large(headers: str, host: FileHost, into: Path):
    def endless(connection: socket.socket) -> None:
        connection.sendall(answer(200, headers))
        while True:
            connection.sendall(b"64\r\n" + b"x" * 100 + b"\r\n")

    host.answers["/call.wav"] = endless
    assert isinstance(download_error(downloading(), host.url(), into), DownloadRefused)
    assert into.stat().st_size <= SMALL.max_bytes


@pytest.mark.parametrize("head", [b"", answer(200), answer(200, "Content-Length: 1000000")])
def test_a_slow_drip_ends_at_the_total_timeout(head: bytes, host: FileHost, into: Path):
    """No byte of the head or body exceeds the idle timeout. The clock ticks when it is read."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"H")
            time.sleep(0.001)  # to send them one by one

    host.answers["/call.wav"] = drip
    ticks = itertools.count()
    limits = DownloadLimits(max_bytes=10**12, idle_s=2, total_s=30)
    download = Downloader(EgressPolicy.allowing([PUBLIC]), limits, clock=lambda: float(next(ticks)))
    error = download_error(download, host.url(), into)
    assert isinstance(error, DownloadFailed) and "timed out after 30 seconds" in str(error)


def test_silence_ends_at_the_idle_timeout(host: FileHost, into: Path):
    host.answers["/call.wav"] = lambda connection: connection.recv(1)
    limits = DownloadLimits(idle_s=0.05)
    error = download_error(downloading(limits=limits), host.url(), into)
    assert isinstance(error, DownloadFailed) and "stopped sending data" in str(error)


def test_a_compressed_body_is_refused(host: FileHost, into: Path):
    bomb = gzip.compress(bytes(10_000_000))
    host.answers["/call.wav"] = ok(bomb[:900], "Content-Encoding: gzip")
    error = download_error(downloading(), host.url(), into)
    assert isinstance(error, DownloadRefused) and "compressed" in str(error)
    assert not into.exists()


@pytest.mark.parametrize(
    "response",
    [
        ok(b"RIFF", length=900),
        answer(200, "Transfer-Encoding: chunked", body=b"4\r\nRIFF\r\n"),
        b"HTTP/1.1 200 OK\r\nContent-",
        b"",
    ],
)
def test_an_incomplete_response_is_retried(response: bytes, host: FileHost, into: Path):
    host.answers["/call.wav"] = response
    error = download_error(downloading(), host.url(), into)
    assert isinstance(error, DownloadFailed) and "closed the connection before" in str(error)


def test_a_response_that_is_not_http_is_reported(host: FileHost, into: Path):
    host.answers["/call.wav"] = b"SSH-2.0-OpenSSH_9.6\r\n\r\n"
    assert isinstance(download_error(downloading(), host.url(), into), DownloadFailed)


def test_an_unreachable_or_unknown_host_is_retried(into: Path):
    with socket.create_server((PUBLIC, 0)) as closed:
        port = closed.getsockname()[1]
    error = download_error(downloading(), f"http://{PUBLIC}:{port}/call.wav", into)
    assert isinstance(error, DownloadFailed) and "Connection refused" in str(error)
    error = download_error(downloading(), "http://unknown.example/call.wav", into)
    assert isinstance(error, DownloadFailed) and "could not be resolved" in str(error)


# Responses


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 418, 451, 204, 206, 304, 299])
def test_a_permanent_status_is_refused(status: int, host: FileHost, into: Path):
    host.answers["/call.wav"] = answer(status, "Content-Length: 0")
    error = download_error(downloading(), host.url(f"/call.wav?{SECRET}"), into)
    assert isinstance(error, DownloadRefused) and str(status) in str(error)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_transient_status_is_retried(status: int, host: FileHost, into: Path):
    host.answers["/call.wav"] = answer(status, "Retry-After: 77", "Content-Length: 0")
    error = download_error(downloading(), host.url(), into)
    assert isinstance(error, TransientError) and isinstance(error, DownloadFailed)
    assert error.retry_after_s == 77


def test_retry_after_is_limited(host: FileHost, into: Path):
    host.answers["/call.wav"] = answer(503, f"Retry-After: {10**9}", "Content-Length: 0")
    error = download_error(downloading(), host.url(), into)
    assert isinstance(error, DownloadFailed) and error.retry_after_s == LONGEST_RETRY_AFTER_S


@pytest.mark.parametrize(
    "response",
    [
        ok(b"log in", "Content-Type: text/html; charset=utf-8"),
        ok(b"\xef\xbb\xbf\n<!DOCTYPE html><p>log in", "Content-Type: audio/wav"),
        ok(b"<html>log in"),
    ],
)
def test_a_web_page_is_refused(response: bytes, host: FileHost, into: Path):
    host.answers["/call.wav"] = response
    error = download_error(downloading(), host.url(), into)
    assert isinstance(error, DownloadRefused) and "web page" in str(error)


def test_an_empty_file_is_refused(host: FileHost, into: Path):
    host.answers["/call.wav"] = ok(b"")
    error = download_error(downloading(), host.url(), into)
    assert isinstance(error, DownloadRefused) and "empty file" in str(error)
