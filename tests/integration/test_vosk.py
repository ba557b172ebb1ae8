"""The real vosk, as far as possible without a model, which can't be generated."""

import asyncio
import inspect
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Channel
from callpipeline.domain.transcripts import Transcript
from callpipeline.engines.transcribe.vosk import VoskTranscriber
from callpipeline.errors import EngineUnavailable, SettingsInvalid
from tests.builders import a_channel


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return a folder that looks like a model but is invalid."""
    (tmp_path / "vosk-model-x" / "am").mkdir(parents=True)
    (tmp_path / "vosk-model-x" / "am" / "final.mdl").write_bytes(b"nonsense")
    return tmp_path / "vosk-model-x"


def transcribe_with(model: Path, folder: Path, *speech: tuple[float, float]) -> Transcript:
    soundfile.write(folder / "a.flac", np.zeros(8000, np.float32), 8000)

    async def transcribe() -> Transcript:
        async with VoskTranscriber(model, 1) as transcriber:
            return await transcriber.transcribe(folder / "a.flac", a_channel(Channel.LEFT, *speech))

    return asyncio.run(transcribe())


def test_a_folder_without_a_model_is_reported(tmp_path: Path):
    with pytest.raises(SettingsInvalid, match="There is no vosk model in"):
        VoskTranscriber(tmp_path)


def test_a_model_that_the_library_rejects_is_an_engine_error(damaged: Path, tmp_path: Path):
    with pytest.raises(EngineUnavailable, match="can't be loaded|process died"):
        transcribe_with(damaged, tmp_path, (0.0, 1.0))


def test_a_silent_channel_needs_no_model(damaged: Path, tmp_path: Path):
    silent = transcribe_with(damaged, tmp_path)
    assert (silent.segments, silent.engine.endswith(" vosk-model-x")) == ((), True)


def test_the_library_has_the_functions_that_are_used():
    vosk = pytest.importorskip("vosk")
    assert next(iter(inspect.signature(vosk.Model).parameters)) == "model_path"
    called = ("SetWords", "AcceptWaveform", "Result", "FinalResult")
    assert all(callable(getattr(vosk.KaldiRecognizer, name)) for name in called)
    assert callable(vosk.SetLogLevel)
