"""Generate the sample calls from their scripts: `python samples/make_samples.py`.

Each `scripts/NN-name.yaml` is a dialogue; `call_scripts.py` describes its markup. The results are
the recording and its ground truth, `NN-name.truth.json`: who said what and when, every mention, and
the sounds that are not speech.
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
from call_scripts import CHANNELS, CUT, MENTION, Script, heard, read_script, spoken
from phone_audio import (
    Audio,
    MissingSpeakerError,
    levelled,
    line_noise,
    seconds_until,
    speak,
    write,
)
from phone_line import (
    gain,
    hold_music,
    keys,
    line_faults,
    ringing,
    telephone_band,
    warning,
    without_lost_packets,
)

FOLDER = Path(__file__).parent
GAP_S = 0.45
LEAD_S = 0.8
ERROR_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>503 Service Unavailable</title></head>\n"
    "<body><h1>Service Unavailable</h1><p>The recording could not be fetched.</p></body></html>\n"
)


@dataclass(frozen=True)
class Sounding:
    """A turn or another sound: its audio, and the sample of the call at which it starts."""

    speaker: str
    start: int
    audio: Audio
    markup: str = ""
    kind: str = ""

    @property
    def end(self) -> int:
        """Return the first sample after it."""
        return self.start + len(self.audio)


def soundings(script: Script) -> list[Sounding]:
    """Return turns and sounds in order, each after its gap (negative if the speakers overlap)."""
    made: list[Sounding] = []
    end = int(LEAD_S * script.rate)
    for written in script.turns:
        start = end + int(written.get("gap_s", GAP_S) * script.rate)
        if script.starts_late and not made:
            start = -_cuts(script, written["speaker"], written["text"])[0][1]
        make_one = _sound if "sound" in written else _turn
        made.append(make_one(script, written, start))
        end = made[-1].end
    return made


def _turn(script: Script, written: dict[str, Any], start: int) -> Sounding:
    speaker, markup = written["speaker"], written["text"]
    speech = levelled(speak(spoken(markup), script.voices[speaker], script.rate).audio)
    for begin, end, _ in _cuts(script, speaker, markup):
        speech[begin:end] = 0.0
    louder = gain(script.levels_db.get(speaker, 0.0))
    return Sounding(speaker, start, speech * np.float32(louder), markup)


def _cuts(script: Script, speaker: str, markup: str) -> list[tuple[int, int, str]]:
    """Return first and last sample, within the turn, of the words that are cut, and the words."""
    return [
        (
            _samples_until(script, speaker, markup, cut.start()),
            _samples_until(script, speaker, markup, cut.end()),
            cut["said"],
        )
        for cut in CUT.finditer(markup)
    ]


def _samples_until(script: Script, speaker: str, markup: str, at: int) -> int:
    text, beginning = spoken(markup), spoken(markup[:at]).strip()
    return int(seconds_until(beginning, text, script.voices[speaker], script.rate) * script.rate)


def _sound(script: Script, written: dict[str, Any], start: int) -> Sounding:
    kind, rate = written["sound"], script.rate
    made = {
        "ringing": lambda: ringing(written["seconds"], rate),
        "hold_music": lambda: hold_music(written["seconds"], rate),
        "keys": lambda: keys(written["pressed"], rate),
        "warning": lambda: warning(rate),
    }
    return Sounding(written["heard_from"], start, made[kind](), kind=kind)


def recorded(script: Script, sounds: list[Sounding]) -> Audio:
    """Return the audio of the call as recorded from the line, samples x channels."""
    length = max(sound.end for sound in sounds) + int(LEAD_S * script.rate)
    sides = [_channel_audio(script, sounds, speaker, length) for speaker in CHANNELS]
    if script.line and script.line.leak_db is not None:
        leak = np.float32(gain(script.line.leak_db))
        sides = [sides[0] + sides[1] * leak, sides[1] + sides[0] * leak]
    sides = [np.clip(side, -1.0, 1.0) for side in sides]
    audio = np.sum(sides, axis=0, keepdims=True).T if script.mono else np.stack(sides, axis=1)
    return np.asarray(audio, np.float32)


def _channel_audio(script: Script, sounds: list[Sounding], speaker: str, length: int) -> Audio:
    if speaker == script.silent:
        return np.zeros(length, np.float32)
    seed = zlib.crc32(f"{script.name} {speaker}".encode())
    side = np.zeros(length, np.float32) if script.line else line_noise(length, seed)
    for sound in sounds:
        if sound.speaker == speaker:
            begin = max(sound.start, 0)
            side[begin : sound.end] += sound.audio[begin - sound.start :]
    return _over_the_line(script, side, seed) if script.line else side


def _over_the_line(script: Script, side: Audio, seed: int) -> Audio:
    """Return a side's sounds after the telephone line."""
    assert script.line
    arrived = telephone_band(side, script.rate)
    arrived += line_faults(script.line, len(side), script.rate, seed)
    if not script.line.lost_packets:
        return arrived
    return without_lost_packets(arrived, script.rate, script.line.lost_packets, seed + 1)


def truth(script: Script, sounds: list[Sounding], duration_s: float) -> dict[str, Any]:
    """Return the ground truth of the call."""
    turns = [sound for sound in sounds if sound.markup]
    return {
        "version": 1,
        "recording": script.recording,
        "about": script.about,
        "group": script.group,
        "expected": "COMPLETED",
        "duration_s": round(duration_s, 2),
        "turns": [_turn_truth(script, turn) for turn in turns],
        "mentions": [found for turn in turns for found in _mention_truths(script, turn)],
        "events": [event for sound in sounds for event in _events(script, sound)],
    }


def _turn_truth(script: Script, turn: Sounding) -> dict[str, Any]:
    return {
        "speaker": turn.speaker,
        "channel": script.channel(turn.speaker),
        "start_s": round(max(turn.start, 0) / script.rate, 2),
        "end_s": round(turn.end / script.rate, 2),
        "text": heard(turn.markup),
    }


def _mention_truths(script: Script, turn: Sounding) -> list[dict[str, Any]]:
    return [_mention_truth(script, turn, found) for found in MENTION.finditer(turn.markup)]


def _mention_truth(script: Script, turn: Sounding, mention: re.Match[str]) -> dict[str, Any]:
    return {
        "competitor": mention["name"] or mention["said"],
        "speaker": turn.speaker,
        "channel": script.channel(turn.speaker),
        "start_s": _time_at(script, turn, mention.start()),
        "end_s": _time_at(script, turn, mention.end()),
        "said": mention["said"],
        "sentiment": mention["sentiment"],
    }


def _time_at(script: Script, turn: Sounding, at: int) -> float:
    """Return the time in the call, in seconds, of a place in a turn's markup."""
    after = _samples_until(script, turn.speaker, turn.markup, at)
    return round(max(turn.start + after, 0) / script.rate, 2)


def _events(script: Script, sound: Sounding) -> list[dict[str, Any]]:
    """Return what is heard beside speech, and the words that are not heard."""
    found = (
        [(sound.start, sound.end, {"kind": sound.kind})]
        if sound.kind
        else [
            (sound.start + begin, sound.start + end, {"kind": "cut", "said": said})
            for begin, end, said in _cuts(script, sound.speaker, sound.markup)
        ]
    )
    return [
        detail
        | {
            "channel": script.channel(sound.speaker),
            "start_s": round(max(begin, 0) / script.rate, 2),
            "end_s": round(end / script.rate, 2),
        }
        for begin, end, detail in found
    ]


def make_call(script: Script) -> None:
    """Write the recording and its ground truth."""
    sounds = soundings(script)
    audio = recorded(script, sounds)
    write(FOLDER / script.recording, audio, script.rate, script.format)
    write_truth(script.name, truth(script, sounds, len(audio) / script.rate))


def make_error_page(name: str, about: str) -> None:
    """Write an HTML page with an audio extension: a recording that has to fail."""
    recording = f"{name}.mp3"
    (FOLDER / recording).write_text(ERROR_PAGE, encoding="utf-8")
    head = {"version": 1, "recording": recording, "about": about, "group": "clear speech"}
    nothing = {"expected": "FAILED", "duration_s": None, "turns": [], "mentions": [], "events": []}
    write_truth(name, head | nothing)


def write_truth(name: str, content: dict[str, Any]) -> None:
    """Write the ground truth beside the recording."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (FOLDER / f"{name}.truth.json").write_text(text, encoding="utf-8")


def make(path: Path) -> None:
    """Generate the recording of a script."""
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    if written["format"] == "error-page":
        make_error_page(path.stem, written["about"])
    else:
        make_call(read_script(path))


def main() -> None:
    """Generate all samples, or those whose script's name starts with an argument."""
    wanted = tuple(sys.argv[1:]) or ("",)
    try:
        for path in sorted((FOLDER / "scripts").glob("*.yaml")):
            if path.name.startswith(wanted):
                make(path)
    except MissingSpeakerError as missing:
        sys.exit(str(missing))


if __name__ == "__main__":
    main()
