"""Words from vosk's results, and streaming to a fake of its library."""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Interval
from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe import vosk
from callpipeline.engines.transcribe.vosk import words_of
from callpipeline.errors import EngineUnavailable

SPEECH = Interval(10.0, 12.0)


def result(*words: dict[str, object]) -> str:
    return json.dumps({"result": words, "text": " ".join(str(word["word"]) for word in words)})


def test_words_have_times_of_the_call_and_their_confidence():
    heard = result(
        {"word": "with", "start": 0.1, "end": 0.4, "conf": 1.0},
        {"word": "vodafone", "start": 0.5, "end": 1.0, "conf": 0.61234},
    )
    assert list(words_of(heard, 10.25, SPEECH)) == [
        Word("with", 10.35, 10.65, 1.0),
        Word("vodafone", 10.75, 11.25, 0.6123),
    ]


@pytest.mark.parametrize("silence", ['{"text": ""}', "{}"])
def test_silence_has_no_words(silence: str):
    assert list(words_of(silence, 10.0, SPEECH)) == []


def test_unknown_words_are_dropped_and_a_model_may_have_no_confidences():
    heard = result(
        {"word": "[unk]", "start": 0.1, "end": 0.4},
        {"word": "yes", "start": 0.5, "end": 0.9},
    )
    assert list(words_of(heard, 10.0, SPEECH)) == [Word("yes", 10.5, 10.9, None)]


def test_words_are_clamped_to_their_interval():
    heard = result({"word": "yes", "start": 1.9, "end": 2.4, "conf": 1.2})
    assert list(words_of(heard, 10.0, SPEECH)) == [Word("yes", 11.9, 12.0, 1.0)]


class _Recogniser:
    """Fake that returns a word per second, as vosk does at pauses, and the rest at the end."""

    def __init__(self, model: object, rate_hz: float) -> None:
        assert rate_hz == 16_000.0
        self._heard = self._told = 0
        self._has_words = False

    def SetWords(self, wanted: bool) -> None:
        self._has_words = wanted

    def AcceptWaveform(self, samples: bytes) -> int:
        assert isinstance(samples, bytes)
        assert len(samples) <= 8000
        self._heard += len(samples)
        return int(self._heard - self._told >= 32_000)

    def Result(self) -> str:
        start_s, self._told = self._told / 32_000, self._heard
        word = {"word": f"word{start_s:.0f}", "start": start_s, "end": start_s + 0.5, "conf": 0.9}
        return result(word) if self._has_words else '{"text": "?"}'

    def FinalResult(self) -> str:
        return self.Result() if self._heard > self._told else '{"text": ""}'


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    played = ModuleType("vosk")
    vars(played).update(
        Model=lambda folder: folder, KaldiRecognizer=_Recogniser, SetLogLevel=lambda level: None
    )
    monkeypatch.setitem(sys.modules, "vosk", played)
    vosk._model.cache_clear()
    return played


def test_an_interval_is_streamed_and_its_results_are_joined(tmp_path: Path, library: ModuleType):
    soundfile.write(tmp_path / "a.flac", np.zeros(8000 * 20, np.float32), 8000)
    words = vosk.recognise(tmp_path, tmp_path / "a.flac", Interval(10.0, 12.5))
    assert [(w.text, w.start_s) for w in words] == [("word0", 10), ("word1", 11), ("word2", 12)]


def test_a_model_that_cannot_be_loaded_is_our_error(tmp_path: Path, library: ModuleType):
    def broken(folder: str) -> None:
        raise Exception("Failed to create a model")

    vars(library)["Model"] = broken
    soundfile.write(tmp_path / "a.flac", np.zeros(8000, np.float32), 8000)
    with pytest.raises(EngineUnavailable, match="can't be loaded: Failed to create a model"):
        vosk.recognise(tmp_path, tmp_path / "a.flac", Interval(0.0, 1.0))
