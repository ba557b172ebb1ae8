"""What is said at a time, as a supplied transcript gives it."""

from dataclasses import dataclass

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcript import Word

ROLES = {
    "agent": Speaker.AGENT,
    "advisor": Speaker.AGENT,
    "operator": Speaker.AGENT,
    "representative": Speaker.AGENT,
    "customer": Speaker.CUSTOMER,
    "caller": Speaker.CUSTOMER,
    "client": Speaker.CUSTOMER,
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a transcript; `channel` and `speaker` are None where it does not say."""

    start_s: float
    end_s: float
    text: str
    channel: Channel | None = None
    speaker: Speaker | None = None
    words: tuple[Word, ...] = ()


def role_of(name: str | None) -> Speaker | None:
    """The role that a speaker's name begins with ("Agent 7"), None for all other names."""
    first, *_ = (name or "").lower().split() or [""]
    return ROLES.get(first)
