"""A short call of which it is known what is said in it: engines are tried with it.

It is the middle of one of our sample calls, spoken by a synthesiser: 11.1 s, stereo, 8 kHz FLAC.
"""

from pathlib import Path

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcript import Segment, Transcript, numbered

RECORDING = Path(__file__).parent / "call.flac"
DURATION_S = 11.1
COMPETITOR = "Vodafone"

_SAID = (
    (Channel.RIGHT, 0.23, 4.38, "Hello. I have an offer from Vodafone here, and it is very good."),
    (Channel.LEFT, 5.18, 6.68, "I see. What was the price?"),
    (Channel.RIGHT, 7.13, 10.88, "Twenty pounds a month. So Vodafone is cheaper than you."),
)


def transcripts() -> tuple[Transcript, ...]:
    """What is said in it, without times of words."""
    return tuple(_of(channel, role) for channel, role in _ROLES.items())


_ROLES = {Channel.LEFT: Speaker.AGENT, Channel.RIGHT: Speaker.CUSTOMER}


def _of(channel: Channel, speaker: Speaker) -> Transcript:
    segments = [
        Segment(0, start_s, end_s, channel, speaker, text)
        for at, start_s, end_s, text in _SAID
        if at is channel
    ]
    return Transcript(channel, speaker, "known", numbered(segments))
