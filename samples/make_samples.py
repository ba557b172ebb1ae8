"""Make the sample calls anew from their scripts: `python samples/make_samples.py`.

Each `scripts/NN-name.yaml` is a dialogue with its competitor mentions marked in the text, as
`[Vodafone|negative]` or, where the words differ from the name, `[go daddy=GoDaddy|neutral]`.
Out of it come the recording and `NN-name.truth.json`: who said what when, and every mention.
"""

import json
import re
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from phone_audio import ENCODINGS, Audio, MissingSpeakerError, levelled, line_noise, speak, write

FOLDER = Path(__file__).parent
CHANNELS = {"agent": "left", "customer": "right"}
MENTION = re.compile(r"\[(?P<said>[^]=|]+)(=(?P<name>[^]|]+))?\|(?P<sentiment>\w+)\]")
GAP_S = 0.45
LEAD_S = 0.8
ERROR_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>503 Service Unavailable</title></head>\n"
    "<body><h1>Service Unavailable</h1><p>The recording could not be fetched.</p></body></html>\n"
)


@dataclass(frozen=True)
class Script:
    """A call as it was written."""

    name: str
    about: str
    format: str
    rate: int
    turns: list[dict[str, Any]]
    voices: dict[str, str]
    mono: bool
    silent: str | None

    @property
    def recording(self) -> str:
        """The recording's file name."""
        return f"{self.name}.{ENCODINGS[self.format][0]}"

    def channel(self, speaker: str) -> str:
        """Where the speaker is heard."""
        return "mixed" if self.mono else CHANNELS[speaker]


@dataclass(frozen=True)
class Turn:
    """A turn as it is spoken: its sound, and where in the call that begins."""

    speaker: str
    markup: str
    start: int
    speech: Audio

    @property
    def end(self) -> int:
        """The first sample after the turn."""
        return self.start + len(self.speech)


def read_script(path: Path) -> Script:
    """The script in the file."""
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Script(
        name=path.stem,
        about=written["about"],
        format=written["format"],
        rate=written["sample_rate_hz"],
        turns=written["turns"],
        voices=written["voices"],
        mono=written.get("layout") == "mono",
        silent=written.get("silent"),
    )


def plain(markup: str) -> str:
    """The words alone."""
    return MENTION.sub(lambda mention: mention["said"], markup)


def spoken_turns(script: Script) -> list[Turn]:
    """The turns one after the other, each after its gap (negative: the speakers overlap)."""
    turns: list[Turn] = []
    end = int(LEAD_S * script.rate)
    for written in script.turns:
        speaker, markup = written["speaker"], written["text"]
        speech = levelled(speak(plain(markup), script.voices[speaker], script.rate))
        start = end + int(written.get("gap_s", GAP_S) * script.rate)
        turns.append(Turn(speaker, markup, start, speech))
        end = turns[-1].end
    return turns


def recorded(script: Script, turns: list[Turn]) -> Audio:
    """The call as the line carries it, samples by channels."""
    length = max(turn.end for turn in turns) + int(LEAD_S * script.rate)
    sides = [_side(script, turns, speaker, length) for speaker in CHANNELS]
    return np.sum(sides, axis=0, keepdims=True).T if script.mono else np.stack(sides, axis=1)


def _side(script: Script, turns: list[Turn], speaker: str, length: int) -> Audio:
    if speaker == script.silent:
        return np.zeros(length, np.float32)
    side = line_noise(length, seed=zlib.crc32(f"{script.name} {speaker}".encode()))
    for turn in turns:
        if turn.speaker == speaker:
            side[turn.start : turn.end] += turn.speech
    return np.clip(side, -1.0, 1.0)


def truth(script: Script, turns: list[Turn], duration_s: float) -> dict[str, Any]:
    """What a perfect listener would report."""
    return {
        "version": 1,
        "recording": script.recording,
        "about": script.about,
        "expected": "COMPLETED",
        "duration_s": round(duration_s, 2),
        "turns": [_turn_truth(script, turn) for turn in turns],
        "mentions": [found for turn in turns for found in _mention_truths(script, turn)],
    }


def _turn_truth(script: Script, turn: Turn) -> dict[str, Any]:
    return {
        "speaker": turn.speaker,
        "channel": script.channel(turn.speaker),
        "start_s": round(turn.start / script.rate, 2),
        "end_s": round(turn.end / script.rate, 2),
        "text": plain(turn.markup),
    }


def _mention_truths(script: Script, turn: Turn) -> list[dict[str, Any]]:
    return [_mention_truth(script, turn, found) for found in MENTION.finditer(turn.markup)]


def _mention_truth(script: Script, turn: Turn, mention: re.Match[str]) -> dict[str, Any]:
    return {
        "competitor": mention["name"] or mention["said"],
        "speaker": turn.speaker,
        "channel": script.channel(turn.speaker),
        "start_s": _time_after(script, turn, turn.markup[: mention.start()]),
        "end_s": _time_after(script, turn, turn.markup[: mention.end()]),
        "said": mention["said"],
        "sentiment": mention["sentiment"],
    }


def _time_after(script: Script, turn: Turn, beginning: str) -> float:
    """When the turn has got so far: that beginning takes about as long when spoken alone."""
    words = plain(beginning).strip()
    spoken = len(speak(words, script.voices[turn.speaker], script.rate)) if words else 0
    return round((turn.start + min(spoken, len(turn.speech))) / script.rate, 2)


def make_call(script: Script) -> None:
    """Write the recording and its truth."""
    turns = spoken_turns(script)
    audio = recorded(script, turns)
    write(FOLDER / script.recording, audio, script.rate, script.format)
    write_truth(script.name, truth(script, turns, len(audio) / script.rate))


def make_error_page(name: str, about: str) -> None:
    """Write a page that is no audio under an audio name: a recording that has to fail."""
    recording = f"{name}.mp3"
    (FOLDER / recording).write_text(ERROR_PAGE, encoding="utf-8")
    nothing = {"duration_s": None, "turns": [], "mentions": []}
    head = {"version": 1, "recording": recording, "about": about, "expected": "FAILED"}
    write_truth(name, head | nothing)


def write_truth(name: str, content: dict[str, Any]) -> None:
    """Write the truth beside the recording."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (FOLDER / f"{name}.truth.json").write_text(text, encoding="utf-8")


def make(path: Path) -> None:
    """Make what the script describes."""
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    if written["format"] == "error-page":
        make_error_page(path.stem, written["about"])
    else:
        make_call(read_script(path))


def main() -> None:
    """Make all samples, or those whose script's name begins with an argument."""
    wanted = tuple(sys.argv[1:]) or ("",)
    try:
        for path in sorted((FOLDER / "scripts").glob("*.yaml")):
            if path.name.startswith(wanted):
                make(path)
    except MissingSpeakerError as missing:
        sys.exit(str(missing))


if __name__ == "__main__":
    main()
