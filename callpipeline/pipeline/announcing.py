"""Recordings that somebody announces by an address: entered at once, fetched by the call's run."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Protocol
from urllib.parse import unquote

from callpipeline.domain.call import Lane, Registered, Registration
from callpipeline.domain.reach import Reach
from callpipeline.domain.recording_name import UNNAMED, clean
from callpipeline.domain.source import Source
from callpipeline.domain.web_address import Address, address_of
from callpipeline.errors import AnnouncementInvalid
from callpipeline.pipeline.discovery import RECORDINGS
from callpipeline.storage.announced import announced_recording

LONGEST_KEY = 255
MOST_METADATA = 50


class AnnouncementRegistry(Protocol):
    """The part of storage that announcing needs; see `storage/announced.py`."""

    def enter(
        self, registration: Registration, url: str, identity: str, *, is_keyed: bool
    ) -> Registered: ...


@dataclass(frozen=True, slots=True)
class Announcement:
    """What somebody says of a recording. Only the address is needed.

    `idempotency_key` makes it one call however often it is sent; `metadata` goes before what the
    name tells by the source's pattern, and means the same (`agent`, `customer`, `direction`,
    `started_at`, …); `agent_channel` is left or right.
    """

    url: str = field(repr=False)
    filename: str | None = None
    idempotency_key: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    agent_channel: str | None = None


@dataclass(frozen=True, slots=True)
class Announced:
    """The call that an announcement has become; `name` is that of its recording."""

    call_id: str
    name: str
    is_new: bool


def announce(
    announcement: Announcement,
    registry: AnnouncementRegistry,
    source: Source,
    reach: Reach,
    *,
    now: datetime | None = None,
) -> Announced:
    """Enter a call whose recording is to be fetched; `source` says what its name tells.

    The same address with the same key is one call. Without a key it is one as long as it was not
    fetched: after that it may lead to another recording, and the bytes decide. Nothing is asked
    of the address, nor of DNS. Raises AnnouncementInvalid, AddressInvalid among it.
    """
    at = now or datetime.now(UTC)
    address = address_of(announcement.url)
    reach.refuse_literally_private(address)
    _refuse(announcement)
    name = clean(announcement.filename or _name_in(address))
    key = announcement.idempotency_key or ""
    identity = _hash("announced", announcement.url, key)
    # Without a key a later announcement of the same address is a call of its own.
    token = (identity if key else _hash(identity, at.isoformat()))[:20]
    recording = announced_recording(token, name, at)
    facts = source.facts_of(recording.key, now=at, told=announcement.metadata)
    registration = Registration(
        recording,
        agent_channel=announcement.agent_channel or facts.agent_channel,
        started_at=facts.started_at,
        metadata=facts.metadata,
        lane=source.lane or Lane.LIVE,
        duplicates=source.duplicates,
    )
    entered = registry.enter(registration, announcement.url, identity, is_keyed=bool(key))
    return Announced(entered.call_id, name, entered.is_new)


def _name_in(address: Address) -> str:
    """The name of a recording in its address; what ends otherwise may be a key, and is none."""
    last = unquote(address.target.partition("?")[0]).rpartition("/")[2]
    return last if PurePosixPath(last).suffix.lower() in RECORDINGS else UNNAMED


def _refuse(announcement: Announcement) -> None:
    """Raises AnnouncementInvalid for what is said beside the address and cannot be meant."""
    if announcement.agent_channel not in (None, "left", "right"):
        raise AnnouncementInvalid("The agent's channel must be left or right.")
    if len(announcement.idempotency_key or "") > LONGEST_KEY:
        raise AnnouncementInvalid(f"The idempotency key is longer than {LONGEST_KEY} characters.")
    if len(announcement.metadata) > MOST_METADATA:
        raise AnnouncementInvalid(f"There are more than {MOST_METADATA} metadata: send fewer.")
    if not all(re.fullmatch(r"[A-Za-z]\w{0,59}", name, re.ASCII) for name in announcement.metadata):
        raise AnnouncementInvalid(
            "Names of metadata have letters, digits and underscores, 60 at most, like agent."
        )


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
