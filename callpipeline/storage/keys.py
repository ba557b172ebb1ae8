"""The names of objects in the store: the only place that composes them."""

import re

from callpipeline.domain.audio import Channel

_OF_INBOX = re.compile(r"[0-9a-f]{12}|[0-9a-f]{20}")
"""Of what was uploaded, and of what was announced by an address."""


def inbox(sha256: str, name: str) -> str:
    """A recording that was handed over: in a folder of its own, with what lies beside it."""
    return f"{sha256[:12]}/{name}"


def folder(key: str) -> str:
    """The folder of a recording as people know it; none where it was handed over or announced."""
    folder = key.rpartition("/")[0]
    return "" if _OF_INBOX.fullmatch(folder) else folder


def announced(key: str) -> str:
    """Where an announced recording is kept in the inbox; looking for recordings passes it over."""
    return f".announced/{key}"


def channel_audio(call_id: str, channel: Channel) -> str:
    """One channel's sound, mono FLAC."""
    return f"calls/{call_id}/{channel}.flac"


def peaks(call_id: str, channel: Channel) -> str:
    """How loud one channel is over time, JSON."""
    return f"calls/{call_id}/peaks.{channel}.json"


def of_call(call_id: str) -> str:
    """The folder of everything that is kept of a call."""
    return f"calls/{call_id}"


def transcript(call_id: str, channel: Channel) -> str:
    """One channel's transcript with its words, JSON."""
    return f"calls/{call_id}/transcript.{channel}.json"


SHARED = "shared/"


def shared(path: str) -> str:
    """What others keep here: apart from everything of calls."""
    return SHARED + path
