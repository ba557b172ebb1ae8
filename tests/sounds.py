"""Sounds without speech, as on telephone lines."""

from typing import Any

import numpy as np

RATE_HZ = 8_000
KINDS = ("silence", "noise", "hum", "ringing", "music")


def a_sound(kind: str) -> Any:
    """Return 20 s of a sound, as samples at `RATE_HZ`."""
    time_s = np.arange(20 * RATE_HZ) / RATE_HZ
    random = np.random.default_rng(5)
    match kind:
        case "silence":
            return np.zeros_like(time_s)
        case "noise":
            return random.normal(0, 0.05, len(time_s))
        case "hum":
            return 0.1 * np.sin(2 * np.pi * 50 * time_s) + random.normal(0, 0.005, len(time_s))
        case "ringing":
            tone = np.sin(2 * np.pi * 400 * time_s) + np.sin(2 * np.pi * 450 * time_s)
            return 0.1 * tone * ((time_s % 3.0) < 0.4)
        case _:  # hold music: a slow melody of chords
            notes = 220 * 2 ** (np.array([0, 4, 7, 12, 7, 4])[(time_s * 2).astype(int) % 6] / 12)
            return sum(0.05 * np.sin(2 * np.pi * notes * k * time_s) / k for k in (1, 2, 3))
