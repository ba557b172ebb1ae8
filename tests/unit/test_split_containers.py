"""Files as recorders write them: appended, with placeholders for sizes, with gaps, headerless."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import Flag, SplitRecording
from callpipeline.domain.calls.source_audio import (
    RawFormat,
    SourceAudio,
    parse_raw_format,
    parse_roles,
    raw_format_of,
)
from callpipeline.engines.split.channels import split_recording
from callpipeline.engines.split.containers import SCAN_BYTES, _next_start
from callpipeline.errors import UnsupportedAudio

DATA = Path(__file__).parents[1] / "data" / "recordings"
RATE_HZ = 8000
Noise = NDArray[Any]


@pytest.fixture
def noise() -> Noise:
    """Return three seconds of independent noise on two channels."""
    return np.random.default_rng(1).integers(-3000, 3000, (3 * RATE_HZ, 2)).astype(np.int16)


@pytest.fixture
def split_of(tmp_path: Path) -> Callable[..., SplitRecording]:
    def split(content: bytes, name: str = "call", raw: str | None = None) -> SplitRecording:
        (tmp_path / "recording").write_bytes(content)
        source = SourceAudio(parse_raw_format(raw) if raw else None)
        return split_recording(tmp_path / "recording", tmp_path / "out", "left", source, name)

    return split


Split = Callable[..., SplitRecording]


def encoded(folder: Path, sound: Noise, **options: Any) -> bytes:
    path = folder / "encoded"
    soundfile.write(path, sound, RATE_HZ, **options)
    return path.read_bytes()


def wav(folder: Path, sound: Noise, **options: Any) -> bytes:
    return encoded(folder, sound, format="WAV", **options)


def m4a(folder: Path, sound: Noise) -> bytes:
    path = folder / "encoded.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE_HZ)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), "s16", "stereo")
        frame.sample_rate = RATE_HZ
        container.mux((*stream.encode(frame), *stream.encode(None)))
    return path.read_bytes()


def written(folder: Path, channel: str = "left") -> Noise:
    return soundfile.read(folder / f"out/{channel}.flac", dtype="int16")[0]


def kinds(split: SplitRecording) -> set[Flag]:
    return {flag.flag for flag in split.flags}


@pytest.mark.parametrize("format", ["WAV", "FLAC", "RF64"])
def test_appended_files_are_read_to_the_end(
    tmp_path: Path, split_of: Split, noise: Noise, format: str
):
    one = encoded(tmp_path, noise, format=format)
    other = encoded(tmp_path, noise[:RATE_HZ], format=format)
    split = split_of(one + other + one)
    assert (split.format.duration_s, split.flags) == (7.0, ())
    expected = np.concatenate((noise, noise[:RATE_HZ], noise))
    assert np.array_equal(written(tmp_path), expected[:, 0])


def test_appended_m4a_files_are_read_to_the_end(tmp_path: Path, split_of: Split, noise: Noise):
    content = m4a(tmp_path, noise)
    assert split_of(content + content).format.duration_s == pytest.approx(6.0, abs=0.5)


def test_appended_files_may_differ_in_rate_and_channels(
    tmp_path: Path, split_of: Split, noise: Noise
):
    mono = wav(tmp_path, noise[:, 0], subtype="ULAW")
    path = tmp_path / "fast.wav"
    soundfile.write(path, np.repeat(noise, 2, axis=0), 2 * RATE_HZ)
    split = split_of(mono + path.read_bytes())
    assert split.format.duration_s == pytest.approx(6.0, abs=0.05)
    assert [channel.channel for channel in split.channels] == ["left", "right"]


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
@pytest.mark.parametrize("parts", ["ms", "sm", "sms", "m" * 10 + "s", "s" + "m" * 10])
def test_no_speech_is_lost_where_mono_and_stereo_files_are_appended(
    tmp_path: Path, split_of: Split, format: str, parts: str
):
    stereo = soundfile.read(DATA / "c00-control.flac", dtype="int16")[0]
    mono = np.clip(stereo.sum(axis=1, dtype=int), -32_768, 32_767).astype(np.int16)
    sounds = [mono if part == "m" else stereo for part in parts]
    split = split_of(b"".join(encoded(tmp_path, sound, format=format) for sound in sounds))
    said = np.concatenate([_energy(sound.reshape(len(sound), -1)) for sound in sounds])
    assert split.format.duration_s == pytest.approx(len(parts) * len(stereo) / RATE_HZ, abs=0.01)
    heard = [written(tmp_path, each.channel) for each in split.channels]
    assert len(heard) == 2, "the sides of the stereo part are different"
    kept = np.concatenate(
        [
            _energy(np.stack([side[at : at + len(stereo)] for side in heard], axis=1))
            for at in range(0, len(heard[0]), len(stereo))
        ]
    )
    speech = said > 0.05 * said.mean()
    assert ((kept < said / 4) & speech).sum() <= 0.005 * speech.sum()


def _energy(sound: Noise) -> Noise:
    """Return the energy of the louder channel in each frame of 32 ms."""
    length = RATE_HZ * 32 // 1000
    frames = sound[: len(sound) // length * length].reshape(-1, length, sound.shape[1])
    return np.square(frames.astype(float)).mean(axis=1).max(axis=1)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF, 0x7FFFFFDB])
def test_appended_files_without_sizes_are_read_to_the_end(
    tmp_path: Path, split_of: Split, noise: Noise, size: int
):
    whole = wav(tmp_path, noise)
    unsized = whole[:4] + struct.pack("<I", size) + whole[8:40] + struct.pack("<I", size)
    unsized += whole[44:]
    alone = split_of(unsized)
    assert (alone.format.duration_s, alone.flags) == (3.0, ())
    twice = split_of(unsized + unsized)
    assert (twice.format.duration_s, twice.flags) == (6.0, ())


def _media(folder: Path, sound: Noise, container: str, codec: str) -> bytes:
    path = folder / "encoded"
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=RATE_HZ)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), "s16", "stereo")
        frame.sample_rate = RATE_HZ
        file.mux((*stream.encode(frame), *stream.encode(None)))
    return path.read_bytes()


KINDS: dict[str, Callable[[Path, Noise], bytes]] = {
    "wav": wav,
    **{
        kind: lambda folder, sound, kind=kind: encoded(folder, sound, format=kind)
        for kind in ("FLAC", "AIFF", "CAF", "W64", "NIST", "RF64")
    },
    "m4a": m4a,
    "mp3": lambda folder, sound: _media(folder, sound, "mp3", "libmp3lame"),
    "ogg": lambda folder, sound: _media(folder, sound, "ogg", "libopus"),
    "webm": lambda folder, sound: _media(folder, sound, "webm", "libopus"),
}
MIXED = [("wav", kind) for kind in KINDS] + [(kind, "wav") for kind in KINDS if kind != "wav"]
MIXED += [(kind, kind) for kind in ("AIFF", "CAF", "W64", "NIST", "webm")]
MIXED += [("m4a", "mp3"), ("mp3", "ogg"), ("ogg", "webm"), ("FLAC", "m4a"), ("W64", "FLAC")]


@pytest.mark.parametrize(("first", "second"), MIXED)
def test_appended_files_may_be_of_different_kinds(
    tmp_path: Path, split_of: Split, noise: Noise, first: str, second: str
):
    split = split_of(KINDS[first](tmp_path, noise) + KINDS[second](tmp_path, noise[: 2 * RATE_HZ]))
    if second == "NIST" and Flag.UNREAD in kinds(split):  # FFmpeg does not read it
        return
    assert split.format.duration_s == pytest.approx(5.0, abs=0.35)
    assert kinds(split) <= {Flag.CROSSTALK}, "codecs for stereo leak"


@pytest.mark.parametrize("unsized", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_another_kind_behind_samples_without_a_size_is_heard(
    tmp_path: Path, split_of: Split, noise: Noise, unsized: int
):
    whole = wav(tmp_path, noise)
    size = struct.pack("<I", unsized)
    split = split_of(whole[:4] + size + whole[8:40] + size + whole[44:] + whole)
    assert split.format.duration_s == pytest.approx(6.0, abs=0.01)
    flac = encoded(tmp_path, noise, format="FLAC")
    split = split_of(whole[:4] + size + whole[8:40] + size + whole[44:] + flac)
    assert split.format.duration_s == pytest.approx(6.0, abs=0.01)
    assert np.array_equal(written(tmp_path), np.concatenate((noise, noise))[:, 0])


def _unsized(content: bytes, kind: str, size: int) -> bytes:
    """Return a file whose header states this size, in 32 or 64 bits."""
    wide, narrow = size.to_bytes(8, "little"), (size & 0xFFFFFFFF).to_bytes(4, "big")
    changed = bytearray(content)
    match kind:
        case "RF64" | "BW64":  # a WAV file of which only the header is another one
            chunk = b"ds64" + struct.pack("<I", 28) + 3 * wide + bytes(4)
            head = kind.encode() + b"\xff" * 4 + b"WAVE" + chunk + content[12:36]
            return head + b"data" + b"\xff" * 4 + content[44:]
        case "W64":
            at = content.index(b"data\xf3\xac")
            changed[16:24] = changed[at + 16 : at + 24] = wide
        case "AIFF":
            at, common = content.index(b"SSND"), content.index(b"COMM")
            changed[4:8] = changed[at + 4 : at + 8] = changed[common + 10 : common + 14] = narrow
        case "AU":
            changed[8:12] = narrow
        case _:
            at = content.index(b"data")
            changed[at + 4 : at + 12] = size.to_bytes(8, "big")
    return bytes(changed)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1])
@pytest.mark.parametrize("kind", ["RF64", "BW64", "W64", "AIFF", "AU", "CAF"])
def test_sizes_that_mean_unknown_are_unknown_in_every_container(
    tmp_path: Path, split_of: Split, noise: Noise, kind: str, size: int
):
    content = encoded(tmp_path, noise, format="WAV" if kind in ("RF64", "BW64") else kind)
    split = split_of(_unsized(content, kind, size))
    assert (split.format.duration_s, split.flags) == (3.0, ())
    assert np.array_equal(written(tmp_path), noise[:, 0])


@pytest.mark.parametrize("kind", ["AIFF", "AU"])
def test_a_true_size_beyond_the_end_is_still_a_truncated_file(
    tmp_path: Path, split_of: Split, noise: Noise, kind: str
):
    content = encoded(tmp_path, noise, format=kind)
    split = split_of(content[: len(content) * 2 // 3])
    assert split.format.duration_s == pytest.approx(2.0, abs=0.05)
    assert kinds(split) == {Flag.TRUNCATED}


def test_bytes_behind_the_end_are_flagged(tmp_path: Path, split_of: Split, noise: Noise):
    junk = b"\x00\x01" * 1000
    split = split_of(wav(tmp_path, noise) + junk)
    assert kinds(split) == {Flag.UNREAD}
    assert "2,000 bytes behind the end" in split.flags[0].detail
    assert kinds(split_of(m4a(tmp_path, noise) + b"\xff" * 5000)) == {Flag.UNREAD}


@pytest.mark.parametrize(
    "rest", [b"LIST" + struct.pack("<I", 2000) + b"x" * 2000, b"ID3" + b"x" * 3000, bytes(5000)]
)
def test_chunks_tags_and_padding_behind_the_end_are_no_audio(
    tmp_path: Path, split_of: Split, noise: Noise, rest: bytes
):
    assert split_of(wav(tmp_path, noise) + rest).flags == ()


def test_samples_go_on_behind_a_size_that_was_written_too_early(
    tmp_path: Path, split_of: Split, noise: Noise
):
    whole = wav(tmp_path, noise)
    early = struct.pack("<I", RATE_HZ * 4)
    split = split_of(whole[:4] + early + whole[8:40] + early + whole[44:])
    assert split.format.duration_s == pytest.approx(3.0, abs=0.01)
    assert np.array_equal(written(tmp_path)[: 3 * RATE_HZ], noise[:, 0])


@pytest.mark.parametrize("byte_rate", [0, 8000, 176_400, 0xFFFFFFFF])
def test_a_wrong_byte_rate_does_not_matter(
    tmp_path: Path, split_of: Split, noise: Noise, byte_rate: int
):
    whole = wav(tmp_path, noise)
    split = split_of(whole[:28] + struct.pack("<I", byte_rate) + whole[32:])
    assert (split.format.declared_duration_s, split.flags) == (3.0, ())


def test_big_endian_wav_is_read_as_such(tmp_path: Path, split_of: Split, noise: Noise):
    split = split_of(encoded(tmp_path, noise, format="WAV", endian="BIG"))
    assert split.flags == ()
    assert np.array_equal(written(tmp_path), noise[:, 0])


@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW"])
def test_nist_sphere_is_read(tmp_path: Path, split_of: Split, noise: Noise, subtype: str):
    split = split_of(encoded(tmp_path, noise, format="NIST", subtype=subtype))
    assert (split.format.container, split.format.duration_s) == ("nist", 3.0)
    assert split.flags == ()


def test_gaps_in_timestamps_become_silence(tmp_path: Path):
    split = split_recording(DATA / "a11-gap.webm", tmp_path / "out", "left")
    assert split.format.duration_s == pytest.approx(31.0, abs=0.1)
    assert {Flag.GAPS} == kinds(split) - {Flag.CROSSTALK}
    assert "20.0 s are missing" in split.flags[0].detail
    right = written(tmp_path, "right")
    loud = np.flatnonzero(np.abs(right.astype(np.int32)) > 1000) / RATE_HZ
    assert (loud.min(), loud.max()) == (pytest.approx(26.5, abs=0.1), pytest.approx(30.7, abs=0.1))


def test_amr_with_discontinuous_transmission_keeps_its_time(tmp_path: Path):
    split = split_recording(DATA / "a10-amr.amr-nb", tmp_path / "out", "left")
    assert (split.format.duration_s, split.format.bad_packets) == (11.0, 0)


RAW = [
    ("ulaw", {"subtype": "ULAW"}, "call.ulaw"),
    ("PCMA/8000", {"subtype": "ALAW"}, "call.al"),
    ("slin", {"subtype": "PCM_16", "endian": "LITTLE"}, "call.sln"),
    ("l16", {"subtype": "PCM_16", "endian": "BIG"}, None),
    ("vox", {"subtype": "VOX_ADPCM"}, "call.VOX"),
]


@pytest.mark.parametrize(("raw", "options", "name"), RAW)
def test_samples_without_a_header_are_read_by_setting_or_suffix(
    tmp_path: Path, split_of: Split, noise: Noise, raw: str, options: dict[str, str],
    name: str | None,
):  # fmt: skip
    content = encoded(tmp_path, noise[:, 0], format="RAW", **options)
    for split in (split_of(content, raw=raw), *([split_of(content, name)] if name else [])):
        assert (split.format.container, split.format.duration_s) == ("raw", 3.0)
        assert split.channels[0].rms_dbfs == pytest.approx(-25.5, abs=1.5)


def test_samples_without_a_header_may_be_stereo(tmp_path: Path, split_of: Split, noise: Noise):
    content = encoded(tmp_path, noise, format="RAW", subtype="PCM_16", endian="LITTLE")
    split = split_of(content, raw="slin/8000/2")
    assert [channel.channel for channel in split.channels] == ["left", "right"]
    assert np.array_equal(written(tmp_path, "right"), noise[:, 1])


@pytest.mark.parametrize("name", ["a10-asterisk.g722", "a10-dialogic.vox"])
def test_telephony_samples_are_read_by_their_suffix(tmp_path: Path, name: str):
    split = split_recording(DATA / name, tmp_path / "out", "left", file_name=name)
    assert split.format.duration_s == pytest.approx(11.0, abs=0.01)
    assert split.channels[0].rms_dbfs == pytest.approx(-28, abs=1)


def test_a_file_with_a_header_ignores_the_raw_format(tmp_path: Path, split_of: Split, noise: Noise):
    assert split_of(wav(tmp_path, noise), raw="vox").format.container == "wav"
    assert split_of(wav(tmp_path, noise), "call.ulaw").format.container == "wav"
    for rate_hz in (8000, 16_000, 44_100):
        soundfile.write(tmp_path / "a.mp3", noise, rate_hz, format="MP3")
        content = (tmp_path / "a.mp3").read_bytes()
        assert split_of(content, "call.gsm").format.container == "mp3"


def test_text_is_never_taken_for_samples(split_of: Split):
    with pytest.raises(UnsupportedAudio, match="an HTML page"):
        split_of(b"<html>Not found</html>", raw="ulaw")


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("ulaw", RawFormat("ulaw")),
        ("PCMU/16000", RawFormat("ulaw", 16_000)),
        ("slin/44100/2", RawFormat("slin", 44_100, 2)),
        ("G722", RawFormat("g722", 16_000)),
        ("g722/8000", RawFormat("g722", 16_000)),  # RFC 3551 states half the rate
    ],
)
def test_raw_formats_are_written_as_in_sdp(text: str, format: RawFormat):
    assert parse_raw_format(text) == format


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mp3", "mp3 is not a format: use one of ulaw, alaw"),
        ("ulaw/8 kHz", "is not a format"),
        ("ulaw/400000", "out of range"),
        ("g722/44100", "always has 16000 Hz"),
        ("vox/8000/2", "vox can't have 2 channels"),
        ("slin/8000/0", "slin can't have 0 channels"),
    ],
)
def test_wrong_raw_formats_are_explained(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_raw_format(text)


def test_suffixes_of_asterisk_state_the_rate():
    assert raw_format_of("a/call.sln16") == RawFormat("slin", 16_000)
    assert raw_format_of("call.wav") is None


def test_roles_are_a_list():
    assert parse_roles("agent, Customer,unknown") == ("agent", "customer", "unknown")
    with pytest.raises(ValueError, match="name one of agent, customer, unknown"):
        parse_roles("agent, client")
    with pytest.raises(ValueError, match="more than 32"):
        parse_roles(",".join(["agent"] * 33))


FORM = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (FORM + bytes(100), "a multipart form"),
        (bytes.fromhex("85010c03c8ada8d2") + bytes(range(256)), r"an encrypted \(PGP\) file"),
        (bytes.fromhex("8c0d0409030a") + bytes(range(256)), r"an encrypted \(PGP\) file"),
        (bytes.fromhex("c1c04c03") + bytes(range(256)), r"an encrypted \(PGP\) file"),
        (b"-----BEGIN PGP MESSAGE-----\n", r"an encrypted \(PGP\) file"),
        (b"Salted__" + bytes(range(256)), "OpenSSL"),
        (b"HTTP/1.1 200 OK\r\n\r\nRIFF", "a reply of a web server"),
        (b"\x00\x01junk" + b"RIFF\x00\x00\x00\x00WAVEfmt ", "6 other bytes before the header"),
        (b"NIST_1A\n   1024\nsample_coding -s3 pcm,embedded-shorten\n", "a NIST SPHERE file"),
    ],
)
def test_other_content_is_named(split_of: Split, content: bytes, message: str):
    with pytest.raises(UnsupportedAudio, match=message):
        split_of(content)


class CountedBytes(bytes):
    """Bytes that count how many are copied out of them."""

    copied = 0

    def __getitem__(self, part: Any) -> Any:
        found = super().__getitem__(part)
        self.copied += len(found) if isinstance(found, bytes) else 1
        return found


@pytest.mark.parametrize("at", [1000, (1 << 16) - 2, 1 << 16, (1 << 20) + 3, 2 * SCAN_BYTES])
def test_the_next_file_is_searched_no_further_than_needed(at: int):
    header = b"RIFF\x24\0\0\0WAVEfmt "
    content: Any = CountedBytes(bytes(at) + header + bytes(4 * SCAN_BYTES))
    assert _next_start(content, 0, 4) == at
    assert content.copied < 4 * at + (1 << 18)
