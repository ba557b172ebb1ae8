"""The channel files that the split service offers: small FLACs, or those of a folder."""

import hashlib
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.fakes.services.records import Arrival, Upload

Sides = tuple[bytes, bytes]
"""The left and the right channel's file."""
MakeChannels = Callable[[Upload], Sides]

RATE_HZ = 8000
DURATION_S = 4
APPLICATION_BLOCK = 2


def small_channels(recording: Upload) -> Sides:
    """Four seconds of unlike sounds, neither silent nor speech; the bytes differ by recording."""
    stamp = recording.sha256.encode()
    return _stamped(_sound(220.0), stamp), _stamped(_sound(330.0), stamp)


def channels_from(folder: Path) -> MakeChannels:
    """The files `<folder>/<recording's name without its ending>/left.*` and `right.*`."""

    def channels(recording: Upload) -> Sides:
        return tuple(  # pyright: ignore[reportReturnType] - one for each of two names
            next((folder / Path(recording.name).stem).glob(f"{side}.*")).read_bytes()
            for side in ("left", "right")
        )

    return channels


class Shelf:
    """Channel files by path, and which of them a client sends on."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._sides: dict[str, str] = {}

    def put(self, sides: Sides) -> list[str]:
        """The paths of the two files."""
        number = len(self._files) // 2 + 1
        paths = [f"/channels/{number}/{side}.flac" for side in ("left", "right")]
        for path, content in zip(paths, sides, strict=True):
            self._files[path] = content
            self._sides[hashlib.sha256(content).hexdigest()] = Path(path).stem
        return paths

    def get(self, path: str) -> bytes | None:
        return self._files.get(path)

    def side_of(self, arrival: Arrival) -> str:
        """`left` or `right`, by the content of the upload, else by its name."""
        file = arrival.files[0]
        return self._sides.get(file.sha256) or ("left" if "left" in file.name else "right")


@cache
def _sound(pitch_hz: float) -> bytes:
    import numpy as np
    import soundfile

    at_s = np.arange(RATE_HZ * DURATION_S) / RATE_HZ
    loudness = 0.2 + 0.1 * np.sin(2 * np.pi * 3 * at_s)
    file = io.BytesIO()
    sound = loudness * np.sin(2 * np.pi * pitch_hz * at_s)
    soundfile.write(file, sound, RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _stamped(flac: bytes, stamp: bytes) -> bytes:
    """The same sound with a metadata block of ours after the first, which describes the stream."""
    after_stream_info = 4 + 4 + 34
    content = b"test" + stamp
    block = bytes([APPLICATION_BLOCK]) + len(content).to_bytes(3, "big") + content
    # The first block is never the last here: libsndfile writes a comment after it.
    assert not flac[4] & 0x80
    return flac[:after_stream_info] + block + flac[after_stream_info:]
