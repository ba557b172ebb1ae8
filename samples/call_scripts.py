"""Scripts of the sample calls: who says what and when, and which sounds the line adds.

A mention is marked in the text as `[Vodafone|negative]` or, where the words differ from the name,
as `[go daddy=GoDaddy|neutral]`. Words in braces are spoken but not heard: `{Good} morning`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from phone_audio import ENCODINGS
from phone_line import Line

CHANNELS = {"agent": "left", "customer": "right"}
MENTION = re.compile(r"\[(?P<said>[^]=|]+)(=(?P<name>[^]|]+))?\|(?P<sentiment>\w+)\]")
CUT = re.compile(r"\{(?P<said>[^}]+)\} *")


@dataclass(frozen=True)
class Script:
    """The script of a call; `levels_db` raises or lowers a speaker."""

    name: str
    about: str
    group: str
    format: str
    rate: int
    turns: list[dict[str, Any]]
    voices: dict[str, str]
    levels_db: Mapping[str, float]
    line: Line | None
    mono: bool
    silent: str | None

    @property
    def recording(self) -> str:
        """Return the recording's file name."""
        return f"{self.name}.{ENCODINGS[self.format][0]}"

    @property
    def starts_late(self) -> bool:
        """Return whether the recording starts after the first words, which are cut."""
        return self.turns[0].get("text", "").startswith("{")

    def channel(self, speaker: str) -> str:
        """Return the speaker's channel."""
        return "mixed" if self.mono else CHANNELS[speaker]


def read_script(path: Path) -> Script:
    """Read the script of a file."""
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    line = written.get("line")
    return Script(
        name=path.stem,
        about=written["about"],
        group=written.get("group", "clear speech"),
        format=written["format"],
        rate=written["sample_rate_hz"],
        turns=written["turns"],
        voices=written["voices"],
        levels_db=written.get("levels_db", {}),
        line=None if line is None else Line(**line),
        mono=written.get("layout") == "mono",
        silent=written.get("silent"),
    )


def spoken(markup: str) -> str:
    """Return the words that are spoken, without markup."""
    words = MENTION.sub(lambda mention: mention["said"], markup)
    return words.replace("{", "").replace("}", "")


def heard(markup: str) -> str:
    """Return the words that can be heard: those in braces are cut."""
    return spoken(CUT.sub("", markup)).strip()
