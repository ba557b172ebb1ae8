"""Audio settings of a source: the format of headerless files, and the roles of channels."""

import re
from dataclasses import dataclass
from pathlib import PurePath

from callpipeline.domain.audio import MAX_CHANNELS, Speaker

_FORMAT = re.compile(r"([a-z0-9]+)(?:/(\d{4,6}))?(?:/(\d{1,2}))?", re.ASCII | re.IGNORECASE)
_NAMES = {
    **dict.fromkeys(("ulaw", "mulaw", "pcmu", "g711u"), "ulaw"),
    **dict.fromkeys(("alaw", "pcma", "g711a"), "alaw"),
    **dict.fromkeys(("slin", "sln", "pcm", "s16le"), "slin"),
    **dict.fromkeys(("l16", "s16be"), "l16"),
    **{name: name for name in ("vox", "g722", "g729", "gsm")},
}
RAW_NAMES = ("ulaw", "alaw", "slin", "l16", "vox", "g722", "g729", "gsm")
_INTERLEAVED = frozenset(("ulaw", "alaw", "slin", "l16"))
"""Formats that can have several channels; the others have one."""
_FIXED_RATES = {"g722": 16_000, "g729": 8000, "gsm": 8000}

_SLIN_RATES = {12: 12_000, 16: 16_000, 24: 24_000, 32: 32_000, 44: 44_100, 48: 48_000, 96: 96_000}
_SUFFIXES = {
    **dict.fromkeys((".ulaw", ".ul", ".mulaw", ".pcmu"), "ulaw"),
    **dict.fromkeys((".alaw", ".al", ".pcma"), "alaw"),
    **dict.fromkeys((".sln", ".slin", ".slin8", ".sln8"), "slin"),
    **{
        f".{name}{number}": f"slin/{rate_hz}"
        for number, rate_hz in _SLIN_RATES.items()
        for name in ("sln", "slin")
    },
    ".vox": "vox",
    ".g722": "g722",
    ".g729": "g729",
    ".gsm": "gsm",
}
RAW_SUFFIXES = frozenset(_SUFFIXES)
"""Suffixes of files that are samples without a header."""


@dataclass(frozen=True, slots=True)
class RawFormat:
    """The format of files without a header: `name` is one of `RAW_NAMES`."""

    name: str
    sample_rate_hz: int = 8000
    channel_count: int = 1


@dataclass(frozen=True, slots=True)
class SourceAudio:
    """Settings of a source that its recordings need to be read.

    `raw` is the format of those without a header; `roles` are those of the channels in order,
    counted over all tracks; by default, the agent's channel is left or right.
    """

    raw: RawFormat | None = None
    roles: tuple[Speaker, ...] = ()


UNSPECIFIED = SourceAudio()


def parse_raw_format(text: str) -> RawFormat:
    """Parse `name`, `name/rate` or `name/rate/channels`, as in SDP: `PCMU/8000/2`.

    Raises ValueError with a sentence.
    """
    parts = _FORMAT.fullmatch(text.strip())
    name = _NAMES.get(parts[1].lower()) if parts else None
    if parts is None or name is None:
        raise ValueError(
            f"{text} is not a format: use one of {', '.join(RAW_NAMES)}, with the rate and the "
            "number of channels if they are not 8000 and 1, as in ulaw/8000/2."
        )
    rate_hz = int(parts[2] or _FIXED_RATES.get(name, 8000))
    count = int(parts[3] or 1)
    if name in _FIXED_RATES and rate_hz not in (8000, _FIXED_RATES[name]):
        raise ValueError(f"{name} always has {_FIXED_RATES[name]} Hz: leave out the rate.")
    if not 4000 <= rate_hz <= 192_000:
        raise ValueError(f"a rate of {rate_hz} Hz is out of range: use 4000 to 192000.")
    if not 1 <= count <= MAX_CHANNELS or (count > 1 and name not in _INTERLEAVED):
        raise ValueError(f"{name} can't have {count} channels.")
    return RawFormat(name, _FIXED_RATES.get(name, rate_hz), count)


def raw_format_of(file_name: str) -> RawFormat | None:
    """Return the format that the suffix of a headerless file means, if any."""
    text = _SUFFIXES.get(PurePath(file_name).suffix.lower())
    return parse_raw_format(text) if text else None


def parse_roles(text: str) -> tuple[Speaker, ...]:
    """Parse the roles of channels in order: "agent, agent, customer". Raises ValueError."""
    try:
        roles = tuple(Speaker(role.strip().lower()) for role in text.split(","))
    except ValueError:
        raise ValueError(
            f"{text} are not roles: name one of {', '.join(Speaker)} for each channel in order, "
            "as in agent, customer."
        ) from None
    if len(roles) > MAX_CHANNELS:
        raise ValueError(f"more than {MAX_CHANNELS} roles: no recording has so many channels.")
    return roles


AUDIO_SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".mp3", ".m4a", ".mp4", ".aac", ".ogg", ".oga", ".opus", ".webm"}
    | {".amr", ".awb", ".3gp", ".gsm", ".wma", ".spx", ".aif", ".aiff", ".au", ".caf", ".mka"}
    | {".mkv", ".mov", ".m4b", ".m4v", ".mp2", ".mpga", ".mpg", ".mpeg", ".avi", ".3g2", ".aifc"}
    | {".w64", ".rf64", ".ac3", ".snd", ".sph", ".nist", ".amr-nb", ".amr-wb", ".wv", ".tta"}
    | {".raw", ".pcm"}
    | RAW_SUFFIXES
)
"""Files that are recordings by their names, unless the source says otherwise."""
