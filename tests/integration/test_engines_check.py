"""`callpipeline engines check`: each engine is tried with a call of which all is known."""

import asyncio
import json
from pathlib import Path

import pytest
import typer

from callpipeline import config
from callpipeline.cli.engines import check
from callpipeline.domain.audio import ChannelAudio, SplitRecording
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.transcripts import Transcript
from callpipeline.engines.reference_call import RECORDING
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.engines.split import LocalSplitter
from callpipeline.errors import ServiceUnavailable
from callpipeline.pipeline.processing.stages import Engines
from callpipeline.pipeline.quality.engine_check import EngineCheck, check_engines
from callpipeline.wiring.engines import local_splitting
from tests.builders import a_transcript
from tests.fakes.engines import ScriptedJudge


def tried(engines: Engines, folder: Path) -> list[EngineCheck]:
    async def all_of_them() -> list[EngineCheck]:
        return [trial async for trial in check_engines(engines, folder, local_splitting)]

    return asyncio.run(all_of_them())


def engines(**chosen: object) -> Engines:
    usual = {
        "splitter": LocalSplitter(),
        "speech_detector": SileroSpeechDetector(),
        "transcriber": Deaf(),
        "judge": ScriptedJudge(thinks={"Vodafone": Sentiment.POSITIVE}),
    }
    return Engines(**(usual | chosen))  # pyright: ignore[reportArgumentType]


class Deaf:
    """Hears nothing."""

    name = "deaf"

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        return a_transcript(channel=about.channel, engine=self.name)


class Away:
    """A splitter whose service is away."""

    name = "remote"
    origin = "https://split.example"

    async def split(
        self, recording: Path, into: Path, agent_channel: str, *, file_name: str | None = None
    ) -> SplitRecording:
        raise ServiceUnavailable("The split service gave no result: it answered 503.", 15.0)


class Broken(Deaf):
    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        raise ZeroDivisionError("what was said")


def test_the_results_are_reported(tmp_path: Path) -> None:
    split, transcripts, judged = tried(engines(), tmp_path)
    assert split.details[0].startswith("left (agent): 11.1 s, ")
    assert transcripts.details[1] == "right: (nothing) [0% match]"
    assert judged.details[0] == "Vodafone was not transcribed: judged the reference transcript"
    assert [line.split(" (")[0] for line in judged.details[1:]] == ["Vodafone: positive"] * 2


def test_one_that_fails_does_not_keep_the_others_from_being_tried(tmp_path: Path) -> None:
    split, transcripts, judged = tried(engines(splitter=Away()), tmp_path)
    assert (split.engine, str(split.error)) == (
        "remote",
        "The split service gave no result: it answered 503.",
    )
    assert transcripts.error is None
    assert judged.error is None
    assert (split.origin, transcripts.origin) == ("https://split.example", None)


def test_an_error_of_a_strange_kind_is_reported_by_its_kind(tmp_path: Path) -> None:
    _, transcripts, judged = tried(engines(transcriber=Broken()), tmp_path)
    assert "ZeroDivisionError" in str(transcripts.error)
    assert "what was said" not in str(transcripts.error)
    assert judged.error is None


@pytest.mark.slow
def test_the_engines_of_this_machine_hear_and_judge(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CALLPIPELINE_HOME", str(tmp_path))
    monkeypatch.setattr("callpipeline.cli.engines.settings", config.settings.__wrapped__)
    with pytest.raises(typer.Exit) as ended:
        check(as_json=True)
    assert ended.value.exit_code == 0
    trials = json.loads(capsys.readouterr().out)
    assert [trial["role"] for trial in trials] == ["splitter", "transcriber", "sentiment"]
    assert "from vodafone" in trials[1]["came"][1]
    assert trials[2]["came"][0].startswith("Vodafone: positive")
    assert not any(trial["error"] for trial in trials)


def test_the_recording_is_small_enough_to_be_part_of_the_package() -> None:
    assert RECORDING.stat().st_size < 150_000
