"""The names of objects in the store: the only place that composes them."""

from callpipeline.domain.audio import Channel


def channel_audio(call_id: str, channel: Channel) -> str:
    """One channel's sound, mono FLAC."""
    return f"calls/{call_id}/{channel}.flac"


def transcript(call_id: str, channel: Channel) -> str:
    """One channel's transcript with its words, JSON."""
    return f"calls/{call_id}/transcript.{channel}.json"
