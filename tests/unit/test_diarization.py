"""Voices of mono recordings: mel features, the encoder, clusters and turns."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Channel
from callpipeline.engines.diarize import encoder
from callpipeline.engines.diarize.clustering import (
    EVIDENCE_PER_STEP,
    SWITCH_COST,
    find_two_voices,
    most_likely_voices,
)
from callpipeline.engines.diarize.encoder import EMBEDDING_SIZE, EncodedSpeech, encode_speech
from callpipeline.engines.diarize.mel import BANDS, RATE_HZ, mel_spectrogram
from callpipeline.engines.diarize.voices import find_turns
from callpipeline.errors import EngineUnavailable
from tests.builders import a_channel

FROM_THE_WEIGHTS = [
    *(0.000, 0.167, 0.000, 0.125, 0.033, 0.000, 0.000, 0.000),
    *(0.055, 0.120, 0.000, 0.003, 0.000, 0.023, 0.000, 0.118),
]
"""Every 16th value of an embedding, computed by numpy in docs/make_voice_encoder.py."""


def a_tone(frequency_hz: float, length_s: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(length_s * RATE_HZ) / RATE_HZ, dtype="f4")


def voices(*utterances: tuple[int, int], apart: float, seed: int = 0) -> EncodedSpeech:
    """Encode utterances of (voice, windows) as noise around two directions `apart` (0 to 1)."""
    noise = np.random.default_rng(seed).normal(0, 0.03, (sum(n for _, n in utterances), 256))
    spoken_by = np.array([voice for voice, count in utterances for _ in range(count)])
    embeddings = noise.astype(np.float32)
    embeddings[:, 0] += 1
    embeddings[np.arange(len(spoken_by)), 1 + spoken_by] += apart
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    utterance = np.repeat(np.arange(len(utterances)), [count for _, count in utterances])
    starts_s = np.arange(len(spoken_by)) * 0.5 + utterance * 2.0
    return EncodedSpeech(starts_s, starts_s + 1.6, utterance, embeddings)


def test_a_tone_is_loudest_in_the_band_of_its_pitch() -> None:
    loudest = [int(mel_spectrogram(a_tone(hz))[50].argmax()) for hz in (300, 1000, 3000, 7000)]
    assert loudest == sorted(set(loudest))
    assert mel_spectrogram(a_tone(1000)).shape == (101, BANDS)


def test_mel_bands_have_the_power_of_the_published_filters() -> None:
    spectrogram = mel_spectrogram(a_tone(1000))
    assert spectrogram[50].sum() == pytest.approx(196.07, rel=0.01)  # as librosa 0.11 computes it


def test_the_encoder_computes_what_its_weights_say() -> None:
    mels = np.random.default_rng(0).random((2, 160, BANDS), np.float32) / np.float32(10)
    embedding = encoder._embed(mels)[0]
    assert embedding[::16].tolist() == pytest.approx(FROM_THE_WEIGHTS, abs=0.002)
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=0.001)


def test_windows_cover_long_utterances_and_short_ones_are_windows(tmp_path: Path) -> None:
    audio = tmp_path / "mixed.flac"
    soundfile.write(audio, a_tone(200, 8.0) * 0.3, RATE_HZ)
    about = a_channel(Channel.MIXED, (0.5, 1.3), (2.0, 2.2), (3.0, 6.0), duration_s=8.0)
    speech = encode_speech(audio, about)
    assert speech.starts_s[0] == pytest.approx(0.5)
    assert speech.ends_s[0] == pytest.approx(1.3, abs=0.02)
    assert speech.starts_s[1] == pytest.approx(3.0)
    assert speech.ends_s[-1] == pytest.approx(6.0, abs=0.02)
    assert set(speech.utterances.tolist()) == {0, 1}
    assert speech.embeddings.shape == (len(speech), EMBEDDING_SIZE)


def test_long_speech_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = tmp_path / "mixed.flac"
    soundfile.write(audio, a_tone(200, 9.0) * 0.3, RATE_HZ)
    monkeypatch.setattr(encoder, "MAX_READ_S", 3.0)
    speech = encode_speech(audio, a_channel(Channel.MIXED, (0.0, 9.0), duration_s=9.0))
    assert set(speech.utterances.tolist()) == {0, 1, 2}


def test_speech_beyond_the_end_of_a_file_has_no_windows(tmp_path: Path) -> None:
    audio = tmp_path / "mixed.flac"
    soundfile.write(audio, a_tone(200, 2.0) * 0.3, RATE_HZ)
    about = a_channel(Channel.MIXED, (0.0, 1.0), (5.0, 9.0), duration_s=9.0)
    assert encode_speech(audio, about).ends_s.max() <= 2.0


def test_a_file_that_is_not_audio_makes_the_engine_unavailable(tmp_path: Path) -> None:
    audio = tmp_path / "mixed.flac"
    audio.write_text("not audio")
    with pytest.raises(EngineUnavailable):
        find_turns(audio, a_channel(Channel.MIXED, (0.0, 9.0)))


def test_distinct_voices_are_two_clusters() -> None:
    speech = voices((0, 5), (1, 4), (0, 6), (1, 5), apart=1.0)
    clusters = find_two_voices(speech)
    assert clusters is not None
    labels = clusters.labels.tolist()
    assert labels in ([0] * 5 + [1] * 4 + [0] * 6 + [1] * 5, [1] * 5 + [0] * 4 + [1] * 6 + [0] * 5)


def test_one_voice_is_no_cluster() -> None:
    for seed in range(5):
        assert find_two_voices(voices(*[(0, 6)] * 12, apart=1.0, seed=seed)) is None


def test_similar_voices_are_two_if_they_take_turns() -> None:
    assert find_two_voices(voices(*[(0, 6), (1, 6)] * 6, apart=0.35)) is not None


def test_a_voice_that_drifts_is_one() -> None:
    assert find_two_voices(voices(*[(0, 6)] * 6, *[(1, 6)] * 6, apart=0.35)) is None


def test_few_windows_are_no_clusters() -> None:
    assert find_two_voices(voices((0, 3), (1, 3), apart=1.0)) is None


def test_a_moment_of_doubt_does_not_change_the_voice() -> None:
    evidence = np.array([-0.3] * 20 + [0.1] + [-0.3] * 20 + [0.3] * 20)
    found = most_likely_voices(evidence, np.ones(len(evidence), np.bool_))
    assert found.tolist() == [0] * 41 + [1] * 20


def test_the_path_is_the_most_likely_of_all() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        evidence = rng.normal(0, 0.3, 8)
        paths = [[(number >> at) & 1 for at in range(8)] for number in range(256)]

        def likelihood(path: list[int], evidence: np.ndarray = evidence) -> float:
            switches = sum(one != other for one, other in pairwise(path))
            signs = 2 * np.array(path) - 1
            return float(EVIDENCE_PER_STEP * evidence @ signs - SWITCH_COST * switches)

        found = most_likely_voices(evidence, np.ones(8, np.bool_))
        assert likelihood(found.tolist()) == pytest.approx(max(map(likelihood, paths)))


def test_less_than_six_seconds_of_speech_have_no_turns(tmp_path: Path) -> None:
    assert find_turns(tmp_path / "not-read", a_channel(Channel.MIXED, (0.0, 5.0))) == ()
