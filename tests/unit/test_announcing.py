"""What somebody may announce, and which call it becomes."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from callpipeline.config import Settings
from callpipeline.domain.call import DuplicatePolicy, Lane, Registered, Registration
from callpipeline.domain.reach import Reach
from callpipeline.domain.source import Source
from callpipeline.domain.web_address import LONGEST, address_of
from callpipeline.errors import AddressInvalid, AnnouncementInvalid
from callpipeline.pipeline.announcing import (
    Announcement,
    announce,
)

URL = "https://media.example/calls/AGENT_ChrisL_2026-11-24T10-00.wav?X-Amz-Signature=0ff1ce"
SOURCE = Source(
    "recordings", "/recordings", filename=r"AGENT_(?P<agent>[^_]+)_(?P<started_at>[0-9T-]+)"
)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass
class Registry:
    """Takes everything for new, and keeps it."""

    entered: list[tuple[Registration, str, str, bool]] = field(default_factory=list)

    def enter(
        self, registration: Registration, url: str, identity: str, *, is_keyed: bool
    ) -> Registered:
        self.entered.append((registration, url, identity, is_keyed))
        return Registered(registration.recording.call_id, is_new=True)


def registered(source: Source = SOURCE, now: datetime = NOW, **said: Any) -> Registration:
    registry = Registry()
    said = {"url": URL} | said
    announce(Announcement(**said), registry, source, Reach(), now=now)
    [(registration, url, _, _)] = registry.entered
    assert url == said["url"]
    return registration


def test_the_name_in_the_address_tells_as_those_of_other_recordings_do():
    entered = registered()
    assert entered.metadata == {"agent": "ChrisL"}
    assert entered.started_at == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert entered.recording.key.endswith("/AGENT_ChrisL_2026-11-24T10-00.wav")
    assert (entered.lane, entered.agent_channel) == (Lane.LIVE, "left")


def test_what_is_said_goes_before_what_the_name_tells():
    entered = registered(
        filename="AGENT_Ann_2026-11-24T10-00.wav",
        metadata={"agent": "Bob\u202e", "customer": "ACME", "started_at": "2026-11-23T09:30:00Z"},
        agent_channel="right",
    )
    assert entered.metadata == {"agent": "Bob", "customer": "ACME"}
    assert entered.started_at == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    assert entered.agent_channel == "right"


def test_the_source_decides_what_nobody_said():
    source = replace(
        SOURCE, agent_channel="right", duplicates=DuplicatePolicy.REFUSE, lane=Lane.BULK
    )
    entered = registered(source)
    assert (entered.agent_channel, entered.duplicates, entered.lane) == (
        "right",
        DuplicatePolicy.REFUSE,
        Lane.BULK,
    )


def test_with_a_key_the_recording_is_the_same_whenever_it_is_announced():
    first = registered(idempotency_key="a").recording
    later = registered(idempotency_key="a", now=NOW + timedelta(days=3)).recording
    assert (first.key, first.etag) == (later.key, later.etag)
    assert first.call_id.startswith("2026-11-25-")
    assert registered(idempotency_key="b").recording.etag != first.etag


def test_without_a_key_it_is_another_one_each_time():
    first, later = registered(), registered(now=NOW + timedelta(seconds=1))
    assert first.recording.call_id != later.recording.call_id
    assert registered().recording.call_id == first.recording.call_id


def test_nothing_of_the_address_but_the_name_is_in_what_is_entered_or_shown():
    assert "0ff1ce" not in f"{registered()}{Announcement(URL)}{address_of(URL)!r}"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"url": "ftp://media.example/a.wav"}, "must begin with https"),
        ({"url": "https://ann:secret@media.example/a.wav"}, "name and password"),
        ({"url": f"https://media.example/{'a' * LONGEST}"}, "longer than 2048"),
        ({"url": "http://127.0.0.1/a.wav"}, "CALLPIPELINE_FETCH_ALLOW"),
        ({"url": "http://localhost:9000/a.wav"}, "CALLPIPELINE_FETCH_ALLOW"),
        ({"url": "http://db.localhost./a.wav"}, "CALLPIPELINE_FETCH_ALLOW"),
        ({"url": "http://[::ffff:169.254.169.254]/"}, "CALLPIPELINE_FETCH_ALLOW"),
        ({"url": "http://2130706433/"}, "write it as four"),
        ({"agent_channel": "middle"}, "left or right"),
        ({"idempotency_key": "k" * 256}, "longer than 255"),
        ({"metadata": {f"name{n}": "x" for n in range(51)}}, "more than 50"),
        ({"metadata": {"a b": "x"}}, "letters, digits"),
    ],
)
def test_what_can_be_refused_early_is(said: dict[str, Any], complaint: str):
    with pytest.raises(AnnouncementInvalid, match=complaint) as caught:
        registered(**said)
    assert isinstance(caught.value, AddressInvalid) == ("url" in said)
    assert "media" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_private_host_that_the_operator_named_is_taken():
    for allowed, url in [
        ("localhost", "http://localhost:9000/a.wav"),
        ("127.0.0.0/8", "http://localhost:9000/a.wav"),
        ("10.1.0.0/16", "http://10.1.2.3/a.wav"),
    ]:
        registry = Registry()
        announce(Announcement(url), registry, SOURCE, Reach.with_allowed([allowed]))
        assert len(registry.entered) == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/b%20c.mp3?x=y.wav", "b c.mp3"), ("d/5f2ab81c", "recording"), ("", "recording")],
)
def test_a_name_is_taken_from_the_address_where_it_is_one_of_a_recording(path: str, name: str):
    """What ends otherwise may be the key that opens it."""
    entered = registered(url=f"https://media.example/{path}", filename=None)
    assert entered.recording.key.partition("/")[2] == name


@pytest.mark.parametrize("allowed", ["10.0.0.0/8", "media.local, 10.1.2.3,fd00::/8", ""])
def test_what_an_operator_allows_is_read_from_one_line(
    allowed: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CALLPIPELINE_FETCH_ALLOW", allowed)
    found = Settings(_env_file=None).fetch_allow  # pyright: ignore[reportCallIssue]
    assert found == (tuple(each.strip() for each in allowed.split(",")) if allowed else None)


@pytest.mark.parametrize("allowed", ["http://media.local", "10.0.0.1/8", "media.local:80", "a b"])
def test_what_is_neither_a_host_nor_a_network_is_told(
    allowed: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CALLPIPELINE_FETCH_ALLOW", allowed)
    with pytest.raises(ValidationError, match="neither a host nor a network"):
        Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


def test_what_is_kept_of_announced_recordings_lies_where_nobody_looks_for_new_ones():
    from callpipeline.pipeline.discovery import is_recording_name
    from callpipeline.storage import keys

    assert not is_recording_name(keys.announced("token/call.wav"))
