"""Announcements of recordings, and the calls they become."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from callpipeline.config import Settings
from callpipeline.domain.calls.call import DuplicatePolicy, Lane, RegisteredCall, Registration
from callpipeline.domain.calls.sources import Source
from callpipeline.domain.egress import MAX_URL_CHARS, EgressPolicy, parse_http_address
from callpipeline.errors import AddressInvalid, AnnouncementInvalid
from callpipeline.pipeline.ingest.registration import (
    Announcement,
    announce,
)
from callpipeline.storage.sources.patterns import compile_pattern

URL = "https://media.example/calls/AGENT_ChrisL_2026-11-24T10-00.wav?X-Amz-Signature=0ff1ce"
SOURCE = Source(
    "recordings",
    "/recordings",
    filename=compile_pattern(r"AGENT_(?P<agent>[^_]+)_(?P<started_at>[0-9T-]+)", "filename"),
)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass
class Registry:
    """Accepts every registration as new."""

    registered: list[tuple[Registration, str, str, bool]] = field(default_factory=list)

    def register(
        self, registration: Registration, url: str, identity: str, *, is_keyed: bool
    ) -> RegisteredCall:
        self.registered.append((registration, url, identity, is_keyed))
        return RegisteredCall(registration.recording.call_id, is_new=True)


def announced(source: Source = SOURCE, now: datetime = NOW, **fields: Any) -> Registration:
    registry = Registry()
    fields = {"url": URL} | fields
    announce(Announcement(**fields), registry, source, EgressPolicy(), now=now)
    [(registration, url, _, _)] = registry.registered
    assert url == fields["url"]
    return registration


def test_the_name_in_the_url_is_parsed_like_those_of_other_recordings():
    registration = announced()
    assert registration.metadata == {"agent": "ChrisL"}
    assert registration.started_at == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert registration.recording.key.endswith("/AGENT_ChrisL_2026-11-24T10-00.wav")
    assert (registration.lane, registration.agent_channel) == (Lane.LIVE, "left")


def test_announced_attributes_take_precedence_over_the_name():
    registration = announced(
        filename="AGENT_Ann_2026-11-24T10-00.wav",
        metadata={"agent": "Bob\u202e", "customer": "ACME", "started_at": "2026-11-23T09:30:00Z"},
        agent_channel="right",
    )
    assert registration.metadata == {"agent": "Bob", "customer": "ACME"}
    assert registration.started_at == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    assert registration.agent_channel == "right"


def test_the_source_supplies_defaults():
    source = replace(
        SOURCE, agent_channel="right", duplicates=DuplicatePolicy.REFUSE, lane=Lane.BULK
    )
    registration = announced(source)
    assert (registration.agent_channel, registration.duplicates, registration.lane) == (
        "right",
        DuplicatePolicy.REFUSE,
        Lane.BULK,
    )


def test_with_a_key_repeated_announcements_are_one_recording():
    first = announced(idempotency_key="a").recording
    later = announced(idempotency_key="a", now=NOW + timedelta(days=3)).recording
    assert (first.key, first.etag) == (later.key, later.etag)
    assert first.call_id.startswith("2026-11-25-")
    assert announced(idempotency_key="b").recording.etag != first.etag


def test_without_a_key_each_announcement_is_a_new_recording():
    first, later = announced(), announced(now=NOW + timedelta(seconds=1))
    assert first.recording.call_id != later.recording.call_id
    assert announced().recording.call_id == first.recording.call_id


def test_of_the_url_only_the_file_name_is_registered_or_shown():
    assert "0ff1ce" not in f"{announced()}{Announcement(URL)}{parse_http_address(URL)!r}"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "ftp://media.example/a.wav"}, "must start with https"),
        ({"url": "https://ann:secret@media.example/a.wav"}, "name and password"),
        ({"url": f"https://media.example/{'a' * MAX_URL_CHARS}"}, "longer than 2048"),
        ({"url": "http://127.0.0.1/a.wav"}, "CALLPIPELINE_FETCH_ALLOW"),
        ({"url": "http://localhost:9000/a.wav"}, "CALLPIPELINE_FETCH_ALLOW"),
        ({"url": "http://db.localhost./a.wav"}, "CALLPIPELINE_FETCH_ALLOW"),
        ({"url": "http://[::ffff:169.254.169.254]/"}, "CALLPIPELINE_FETCH_ALLOW"),
        ({"url": "http://2130706433/"}, "write it as an IPv4 address"),
        ({"agent_channel": "middle"}, "left or right"),
        ({"idempotency_key": "k" * 256}, "longer than 255"),
        ({"metadata": {f"name{n}": "x" for n in range(51)}}, "More than 50"),
        ({"metadata": {"a b": "x"}}, "letters, digits"),
    ],
)
def test_invalid_announcements_are_refused_before_the_download(
    fields: dict[str, Any], message: str
):
    with pytest.raises(AnnouncementInvalid, match=message) as caught:
        announced(**fields)
    assert isinstance(caught.value, AddressInvalid) == ("url" in fields)
    assert "media" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_private_host_that_the_operator_allows_is_accepted():
    for allowed, url in [
        ("localhost", "http://localhost:9000/a.wav"),
        ("127.0.0.0/8", "http://localhost:9000/a.wav"),
        ("10.1.0.0/16", "http://10.1.2.3/a.wav"),
    ]:
        registry = Registry()
        announce(Announcement(url), registry, SOURCE, EgressPolicy.allowing([allowed]))
        assert len(registry.registered) == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/b%20c.mp3?x=y.wav", "b c.mp3"), ("d/5f2ab81c", "recording"), ("", "recording")],
)
def test_the_file_name_comes_from_the_url_only_with_an_audio_suffix(path: str, name: str):
    """Another last part may be a secret."""
    registration = announced(url=f"https://media.example/{path}", filename=None)
    assert registration.recording.key.partition("/")[2] == name


@pytest.mark.parametrize("allowed", ["10.0.0.0/8", "media.local, 10.1.2.3,fd00::/8", ""])
def test_allowed_hosts_are_read_from_one_line(allowed: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALLPIPELINE_FETCH_ALLOW", allowed)
    found = Settings(_env_file=None).fetch_allow  # pyright: ignore[reportCallIssue]
    assert found == (tuple(each.strip() for each in allowed.split(",")) if allowed else None)


@pytest.mark.parametrize("allowed", ["http://media.local", "10.0.0.1/8", "media.local:80", "a b"])
def test_an_invalid_allowed_host_is_reported(allowed: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALLPIPELINE_FETCH_ALLOW", allowed)
    with pytest.raises(ValidationError, match="neither a host nor a network"):
        Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


def test_downloaded_recordings_are_stored_where_discovery_ignores_them():
    from callpipeline.pipeline.ingest.discovery import is_recording_name
    from callpipeline.storage.objects import keys

    assert not is_recording_name(keys.announced("token/call.wav"))
