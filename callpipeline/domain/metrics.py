"""Talk time, silence and overlap of a call, from where speech is on each channel."""

from dataclasses import dataclass
from itertools import pairwise

from callpipeline.domain.audio import ChannelAudio, Interval, Speaker, merge, overlap_s


@dataclass(frozen=True, slots=True)
class CallMetrics:
    """Seconds of a call by who speaks; `speech_detector` is named because figures depend on it.

    `unknown_talk_s` is the speech of a mono recording, whose speakers cannot be told apart;
    `silence_s` is the time in which nobody speaks, `overlap_s` in which both do.
    """

    duration_s: float
    agent_talk_s: float
    customer_talk_s: float
    unknown_talk_s: float
    silence_s: float
    longest_silence_s: float
    overlap_s: float
    speech_detector: str


def measure(
    duration_s: float, channels: tuple[ChannelAudio, ...], speech_detector: str
) -> CallMetrics:
    """The metrics of a call of `duration_s` seconds."""
    speech = {channel.speaker: merge(channel.speech) for channel in channels}
    anyone = merge(interval for channel in channels for interval in channel.speech)
    agent, customer = speech.get(Speaker.AGENT, ()), speech.get(Speaker.CUSTOMER, ())
    return CallMetrics(
        duration_s=duration_s,
        agent_talk_s=_total(agent),
        customer_talk_s=_total(customer),
        unknown_talk_s=_total(speech.get(Speaker.UNKNOWN, ())),
        silence_s=max(0.0, duration_s - _total(anyone)),
        longest_silence_s=_longest_gap(anyone, duration_s),
        overlap_s=overlap_s(agent, customer),
        speech_detector=speech_detector,
    )


def _total(intervals: tuple[Interval, ...]) -> float:
    return sum(interval.duration_s for interval in intervals)


def _longest_gap(speech: tuple[Interval, ...], duration_s: float) -> float:
    edges = (Interval(0.0, 0.0), *speech, Interval(duration_s, duration_s))
    return max(0.0, *(later.start_s - earlier.end_s for earlier, later in pairwise(edges)))
