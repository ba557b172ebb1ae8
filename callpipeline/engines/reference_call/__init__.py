"""Short call with a reference transcript, for testing engines.

It is the middle of one of the synthesised sample calls: 11.1 s, stereo, 8 kHz FLAC.
"""

from pathlib import Path

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcripts import Segment, Transcript, number_segments

RECORDING = Path(__file__).parent / "call.flac"
DURATION_S = 11.1
COMPETITOR = "Vodafone"

_ROLES = {Channel.LEFT: Speaker.AGENT, Channel.RIGHT: Speaker.CUSTOMER}
_LINES = (
    (Channel.RIGHT, 0.23, 4.38, "Hello. I have an offer from Vodafone here, and it is very good."),
    (Channel.LEFT, 5.18, 6.68, "I see. What was the price?"),
    (Channel.RIGHT, 7.13, 10.88, "Twenty pounds a month. So Vodafone is cheaper than you."),
)


def transcripts() -> tuple[Transcript, ...]:
    """Return the reference transcripts, without times of words."""
    return tuple(_transcript(channel, role) for channel, role in _ROLES.items())


def _transcript(channel: Channel, speaker: Speaker) -> Transcript:
    segments = [
        Segment(0, start_s, end_s, channel, speaker, text)
        for line_channel, start_s, end_s, text in _LINES
        if line_channel is channel
    ]
    return Transcript(channel, speaker, "reference", number_segments(segments))
