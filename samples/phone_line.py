"""Sounds of telephone lines: their band and noise, lost packets, signal tones and hold music.

Everything is synthetic and depends only on its arguments and seeds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from phone_audio import Audio

BAND_HZ = (300.0, 3400.0)
EDGE_HZ = 100.0
MAINS_HZ = 50.0
FRAME_HZ = 217.0
"""Rate of a GSM phone's transmissions, which buzz in loudspeakers nearby."""
PACKET_S = 0.02
LONGEST_LOSS = 4
RINGING_HZ = (400.0, 450.0)
RINGS_S = ((0.0, 0.4), (0.6, 1.0))
RING_PERIOD_S = 3.0
"""The British ringing tone: two short rings every three seconds."""
WARNING_HZ = 1400.0
WARNING_S = 0.3
KEY_S = 0.12
KEY_PERIOD_S = 0.24
KEY_ROWS = ("123", "456", "789", "*0#")
ROW_HZ = (697.0, 770.0, 852.0, 941.0)
COLUMN_HZ = (1209.0, 1336.0, 1477.0)
TONE_RMS = 10 ** (-24 / 20)
BEAT_S = 0.3
CHORDS = ((60, 64, 67, 71), (57, 60, 64, 67), (62, 65, 69, 72), (55, 59, 62, 65))
"""A cadence in C major, as MIDI notes."""


@dataclass(frozen=True)
class Line:
    """The faults of a line: levels in dB below full scale, `leak_db` relative to the other side."""

    hum_dbfs: float | None = None
    hiss_dbfs: float | None = None
    buzz_dbfs: float | None = None
    leak_db: float | None = None
    lost_packets: float = 0.0


def gain(level_db: float) -> float:
    """Return the factor of a level in dB."""
    return float(10 ** (level_db / 20))


def telephone_band(audio: Audio, rate: int) -> Audio:
    """Return only what a telephone passes on, 200 to 3400 Hz."""
    spectrum = np.fft.rfft(audio)
    hz = np.fft.rfftfreq(len(audio), 1 / rate)
    low = np.clip((hz - BAND_HZ[0]) / EDGE_HZ + 1, 0, 1)
    high = np.clip((BAND_HZ[1] - hz) / EDGE_HZ + 1, 0, 1)
    return np.fft.irfft(spectrum * low * high, len(audio)).astype(np.float32)


def line_faults(line: Line, length: int, rate: int, seed: int) -> Audio:
    """Return the hum, hiss and buzz of the line."""
    random = np.random.default_rng(seed)
    sound = np.zeros(length, np.float32)
    if line.hum_dbfs is not None:
        sound += _at_level(_hum(length, rate, random), gain(line.hum_dbfs))
    if line.hiss_dbfs is not None:
        noise = random.normal(0.0, 1.0, length).astype(np.float32)
        sound += _at_level(telephone_band(noise, rate), gain(line.hiss_dbfs))
    if line.buzz_dbfs is not None:
        sound += _buzz(length, rate, random) * np.float32(gain(line.buzz_dbfs))
    return sound


def _hum(length: int, rate: int, random: np.random.Generator) -> Audio:
    """Return the mains with harmonics as loud as what a handset's earpiece lets through."""
    harmonics = ((1, 0.3), (2, 0.8), (3, 1.0), (5, 0.6), (6, 0.4), (9, 0.2))
    time = np.arange(length) / rate
    turns = [random.uniform(0, 2 * np.pi) for _ in harmonics]
    waves = (
        level * np.sin(2 * np.pi * MAINS_HZ * number * time + turn)
        for (number, level), turn in zip(harmonics, turns, strict=True)
    )
    return np.sum(list(waves), axis=0).astype(np.float32)


def _buzz(length: int, rate: int, random: np.random.Generator) -> Audio:
    """Return bursts of half a second or so of a phone's pulses, one every few seconds."""
    time = np.arange(length) / rate
    pulses = np.where((time * FRAME_HZ) % 1.0 < 0.125, 1.0, 0.0)
    on = np.zeros(length)
    at = 0.0
    while (at := at + random.uniform(4.0, 9.0)) < length / rate:
        on[int(at * rate) : int((at + random.uniform(0.3, 0.9)) * rate)] = 1.0
    return telephone_band((pulses * on * 2.0).astype(np.float32), rate)


def without_lost_packets(audio: Audio, rate: int, share: float, seed: int) -> Audio:
    """Return the audio as received: about `share` of its packets are lost, in short runs."""
    random = np.random.default_rng(seed)
    size = int(PACKET_S * rate)
    received = audio.copy()
    packet = 0
    while packet * size < len(audio):
        if random.random() < share * 2 / (1 + LONGEST_LOSS):
            lost = int(random.integers(1, LONGEST_LOSS + 1))
            received[packet * size : (packet + lost) * size] = 0.0
            packet += lost
        packet += 1
    return received


def ringing(seconds: float, rate: int) -> Audio:
    """Return the ringing tone that a caller hears."""
    time = np.arange(int(seconds * rate)) / rate
    beat = time % RING_PERIOD_S
    on = sum((begin <= beat) & (beat < end) for begin, end in RINGS_S)
    return (_tone(RINGING_HZ, time) * on).astype(np.float32)


def warning(rate: int) -> Audio:
    """Return the tone which warns that a call is recorded."""
    return _tone((WARNING_HZ,), np.arange(int(WARNING_S * rate)) / rate)


def keys(pressed: str, rate: int) -> Audio:
    """Return the tones of pressed keys (DTMF)."""
    time = np.arange(int(KEY_S * rate)) / rate
    pause = np.zeros(int((KEY_PERIOD_S - KEY_S) * rate), np.float32)
    return np.concatenate([part for key in pressed for part in (_key(key, time), pause)])


def _key(key: str, time: np.ndarray) -> Audio:
    row = next(number for number, row in enumerate(KEY_ROWS) if key in row)
    return _tone((ROW_HZ[row], COLUMN_HZ[KEY_ROWS[row].index(key)]), time)


def _tone(frequencies_hz: tuple[float, ...], time: np.ndarray) -> Audio:
    wave = np.sum([np.sin(2 * np.pi * hz * time) for hz in frequencies_hz], axis=0)
    return (wave * TONE_RMS * np.sqrt(2 / len(frequencies_hz))).astype(np.float32)


def hold_music(seconds: float, rate: int) -> Audio:
    """Return arpeggios over a bass, as a telephone system plays to those who wait."""
    length = int(seconds * rate)
    music = np.zeros(length + int(4 * BEAT_S * rate), np.float32)
    for start_s, note, loudness in _score(seconds):
        at = int(start_s * rate)
        sound = _note(note, rate)[: len(music) - at]
        music[at : at + len(sound)] += sound * np.float32(loudness)
    fade = np.minimum(1.0, np.minimum(np.arange(length), np.arange(length)[::-1]) / (0.2 * rate))
    return _at_level(music[:length], TONE_RMS) * fade.astype(np.float32)


def _score(seconds: float) -> Iterator[tuple[float, int, float]]:
    """Yield the start, MIDI note and loudness of each note."""
    for beat in range(int(seconds / BEAT_S)):
        chord = CHORDS[beat // 8 % len(CHORDS)]
        yield beat * BEAT_S, chord[(0, 1, 2, 3, 2, 1, 3, 2)[beat % 8]], 0.6
        if beat % 4 == 0:
            yield beat * BEAT_S, chord[0] - 12, 0.8
        if beat % 8 in (0, 3, 6):
            yield beat * BEAT_S, chord[3 - beat % 3] + 12, 0.5


def _note(note: int, rate: int) -> Audio:
    time = np.arange(int(4 * BEAT_S * rate)) / rate
    hz = 440.0 * 2 ** ((note - 69) / 12)
    partials = [np.sin(2 * np.pi * hz * n * time) * np.exp(-2.5 * n * time) / n for n in (1, 2, 3)]
    return np.sum(partials, axis=0).astype(np.float32)


def _at_level(audio: Audio, rms: float) -> Audio:
    return (audio * (rms / float(np.sqrt(np.mean(audio**2))))).astype(np.float32)
