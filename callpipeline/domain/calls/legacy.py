"""Names of the system that callpipeline replaces: job ids, transcript paths, detection methods.

Its ids are UUIDs. A call's UUID contains the call's id, so that no table is needed to read it; a
call that was imported from the old system keeps the UUID that it had there.
"""

import re
import uuid
from dataclasses import dataclass
from datetime import date
from typing import Literal

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import is_call_id

IMPORTED_BUCKET = "imported/"
"""Bucket of calls from the old system. No real bucket or source has a slash in its name."""
IMPORTED_REASON = "imported from the old system"
"""Reason of mentions that the old system found."""

_HEX = r"[0-9a-f]"
_UUID_PATTERN = rf"{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}"
_UUID = re.compile(_UUID_PATTERN, re.IGNORECASE | re.ASCII)
_OURS = re.compile(
    rf"({_HEX}{{8}})-({_HEX}{{4}})-8000-8000-0000(\d{{4}})(\d\d)(\d\d)", re.IGNORECASE | re.ASCII
)
_TRANSCRIPT = re.compile(
    rf"transcripts/({_UUID_PATTERN})/(left|right)_transcript\.json", re.IGNORECASE | re.ASCII
)
_NAMESPACE = uuid.UUID("3a1f3f0e-6f0d-5c53-9d2c-0c8f6b5a7f10")

Side = Literal["left", "right"]
DetectionMethod = Literal["llm-based", "rule-based"]

RULE_ENGINES = frozenset({"lexicon", "pattern"})
"""Engines that judge by word lists; all others use a model."""
RULE_WORDS = re.compile(
    r"\b(rule|rules|pattern|patterns|lexicon|keyword|keywords)\b", re.IGNORECASE
)


def job_uuid(call_id: str, source: str | None = None, key: str = "") -> str:
    """Return the UUID of a call: `<8 hex>-<4 hex>-8000-8000-0000YYYYMMDD`, a valid UUIDv8.

    Its first eight characters, which the old client shows, differ between calls. An imported call
    (`source` and `key` are those of its recording) has its old UUID.
    """
    if source == IMPORTED_BUCKET:
        return key.partition("/")[0]
    day, digest = call_id[:10], call_id[11:]
    return f"{digest[:8]}-{digest[8:]}-8000-8000-0000{day.replace('-', '')}"


def call_of_uuid(text: str) -> str | None:
    """Return the call id that a UUID contains; None if it contains none."""
    found = _OURS.fullmatch(text)
    if found is None:
        return None
    first, second, *day = found.groups()
    call_id = f"{'-'.join(day)}-{first}{second}".lower()
    try:
        date.fromisoformat(call_id[:10])
    except ValueError:
        return None
    return call_id if is_call_id(call_id) else None


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def mention_uuid(call_id: str, mention_id: str) -> str:
    """Return the UUID of a mention, always the same one."""
    return str(uuid.uuid5(_NAMESPACE, f"{call_id}.{mention_id}"))


def detection_method(engine: str, rule: str = "") -> DetectionMethod:
    """Return whether rules or a model made a judgement, in the words of the old system.

    A remote service says in its `rule` how it judged.
    """
    if engine in RULE_ENGINES:
        return "rule-based"
    is_remote = engine.startswith(("remote", "imported"))
    by_rule = is_remote and RULE_WORDS.search(rule.partition(":")[0])
    return "rule-based" if by_rule else "llm-based"


@dataclass(frozen=True, slots=True)
class OldTranscriptPath:
    """Path of a transcript in the old system."""

    job_uuid: str
    side: Side

    @classmethod
    def parse(cls, path: str) -> "OldTranscriptPath | None":
        found = _TRANSCRIPT.fullmatch(path)
        if found is None:
            return None
        return cls(found[1].lower(), "left" if found[2].lower() == "left" else "right")

    def __str__(self) -> str:
        return f"transcripts/{self.job_uuid}/{self.side}_transcript.json"


def side_of(channel: Channel) -> Side:
    """Return the side that a channel has in the old system: mono recordings are on the left."""
    return "right" if channel.value in ("right", "2") else "left"
