"""Recordings of public bug reports, stored outside the repository: each is read to its end."""

from pathlib import Path

import pytest

from callpipeline.engines.split.channels import split_recording
from callpipeline.errors import PermanentError

CASES = Path(__file__).parents[3] / "shared/cases/recordings"

pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason="the collection of recordings ../shared/cases is not here"
)

STEREO, MONO = ["left", "right"], ["mixed"]
CROSSTALK = {"crosstalk"}
SPLIT: dict[str, tuple[float, list[str], set[str]]] = {
    "a01-three-channels.flac": (11.0, ["1", "2", "3"], {"extra_channels"}),
    "a03-two-tracks.mp4": (11.0, STEREO, set()),
    "a05-surround-centre-speech.m4a": (11.0, MONO, {"extra_channels"}),
    **{
        name: (8.75, STEREO, set())
        for name in (
            *("a06a-size-7fffffff.wav", "a06b-size-0.wav", "a06c-size-ffffffff.wav"),
            "a07-byte-rate-wrong.wav",
        )
    },
    **{
        name: (11.0, STEREO, set())
        for name in (
            *("a06d-sox-pipe.wav", "a06f-ffmpeg-pipe.wav", "a08-concatenated.wav"),
            *("a08-concatenated.flac", "a10-adpcmima.wav", "a10-adpcmms.wav", "a10-mp3.wav"),
            *("a12-fragmented.mp4", "a15-quiet-50dBFS.flac", "a15b-dc-offset.flac"),
            *("a15c-quiet-62dBFS.flac", "a15d-6khz-8bit.wav", "a18-album-art.mp3", "a20-wma.wma"),
            "c00-control.flac",
        )
    },
    "a08-concatenated.amr": (11.0, MONO, {"mono"}),
    "a08-concatenated.mp3": (11.0, STEREO, {"damaged"}),
    "a08-concatenated.ogg": (11.0, STEREO, CROSSTALK),
    "a08-concatenated.webm": (11.0, STEREO, CROSSTALK),
    "a09-mono-then-stereo.mp3": (11.0, MONO, {"mono", "damaged"}),
    **{
        f"a10-{name}": (11.0, MONO, {"mono"})
        for name in (
            *("amr.amr-nb", "asterisk.g722", "asterisk.sln", "dialogic.vox", "g722.wav"),
            *("g7231.wav", "g726.wav", "raw.alaw", "raw.gsm", "raw.ulaw", "sun.au"),
        )
    },
    "a10-g729.wav": (3.0, MONO, {"mono"}),
    "a10-wav49-gsm.wav": (11.0, MONO, {"mono", "damaged"}),
    "a11-gap.webm": (31.0, STEREO, {"gaps", "crosstalk"}),
    "a12-live.webm": (11.0, STEREO, CROSSTALK),
    "a12-piped.webm": (11.0, STEREO, CROSSTALK),
    **{
        f"a13{name}.flac": (11.0, MONO, {"fake_stereo"})
        for name in (
            "a-same-minus-2dB",
            "b-same-minus-6dB",
            "d-same-1-sample-late",
            "f-same-dc-offset",
        )
    },
    **{
        f"a14{name}dB.flac": (11.0, STEREO, CROSSTALK)
        for name in ("-crosstalk-12", "c-crosstalk-24", "d-crosstalk-34", "d-crosstalk-42")
    },
    "a16b-bext.wav": (6.25, STEREO, {"silent"}),
    "a16c-trailing-list.wav": (6.25, STEREO, {"silent"}),
    **{
        name: (8.0, STEREO, set())
        for name in ("a16d-rf64.wav", "a16e-bw64.wav", "a16f-w64.w64", "a16g-rifx.wav")
    },
    "a22-opus-24k-joint-stereo.webm": (11.0, STEREO, CROSSTALK),
}
REFUSED = {
    "a17b-gpg-encrypted.wav.pgp": "this is an encrypted (PGP) file",
    "a19-no-audio.mp4": "the file has no audio track",
}


@pytest.mark.parametrize("name", SPLIT)
def test_each_recording_is_heard_to_its_end(tmp_path: Path, name: str):
    duration_s, channels, flags = SPLIT[name]
    split = split_recording(CASES / name, tmp_path, "left", file_name=name)
    assert split.format.duration_s == pytest.approx(duration_s, abs=0.35)
    assert [channel.channel.value for channel in split.channels] == channels
    assert {flag.flag.value for flag in split.flags} == flags


@pytest.mark.parametrize("name", REFUSED)
def test_each_refused_file_is_named(tmp_path: Path, name: str):
    with pytest.raises(PermanentError) as refused:
        split_recording(CASES / name, tmp_path, "left", file_name=name)
    assert REFUSED[name] in str(refused.value)


def test_every_recording_is_listed_here():
    listed = {*SPLIT, *REFUSED, "README.md"}
    assert {path.name for path in CASES.iterdir()} == listed
