"""What breaks in the middle of a run: the competitor list, the store, a file of sources."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from callpipeline.domain.calls.call import CallState
from callpipeline.errors import StoreUnavailable
from callpipeline.pipeline.ingest.registration import register
from callpipeline.storage.objects.folder import FolderStore
from callpipeline.wiring import load_sources, open_source, open_storage, source_problems
from tests.orchestration.lab import Lab
from tests.orchestration.test_rematch import (
    FIRST,
    SECOND,
    mentioned,
    rematch,
    tick,
    versions,
    write,
)

SAID = "vodafone is cheaper but talktalk is slow"


@pytest.fixture(scope="module")
def dialler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a source, beside its file of settings."""
    return tmp_path_factory.mktemp("dialler")


@pytest.fixture(scope="module")
def lab_options(dialler: Path) -> dict[str, Any]:
    sources = dialler.with_suffix(".yaml")
    sources.write_text(f"sources: [{{name: dialler, url: {dialler}}}]")
    return {"sources": sources}


@pytest.fixture(autouse=True)
def _a_list(lab: Lab) -> None:
    write(lab, FIRST)


def in_the_middle(lab: Lab, change: Callable[[], object]) -> None:
    """Do something when the run comes to the second recording."""
    seen: list[str] = []

    def count() -> None:
        seen.append("a recording")
        if len(seen) == 2:
            change()

    lab.engines.before_split = count


def states(lab: Lab) -> set[CallState]:
    return {call.state for call in lab.storage.ledger.calls()}


CHANGES = {"broken": "competitors: [", "empty": "", "edited": SECOND, "deleted": None}


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_ends_with_the_list_that_it_began_with(lab: Lab, name: str) -> None:
    text, path = CHANGES[name], lab.settings.catalog_path
    ids = [lab.add_call(each, said=SAID) for each in ("one", "two", "three")]
    in_the_middle(lab, path.unlink if text is None else lambda: write(lab, text))
    assert lab.run(ids).success
    assert states(lab) == {CallState.COMPLETED}
    assert {each for call_id in ids for each in mentioned(lab, call_id)} == {"Vodafone"}
    assert len(versions(lab)) == 1
    late = lab.add_call("late", said=SAID)
    if name == "edited":
        assert tick(lab).run_requests
        assert rematch(lab).success
        assert lab.run([late]).success
        assert {frozenset(mentioned(lab, each)) for each in (*ids, late)} == {
            frozenset({"Vodafone", "TalkTalk"})
        }
    else:
        assert not tick(lab).run_requests
        problems = [each.problem for each in lab.storage.catalogs.files()]
        assert all(problems) if name != "deleted" else True
        assert lab.run([late]).success
        assert mentioned(lab, late) == {"Vodafone"}
    assert len(versions(lab)) == 1


def test_calls_wait_for_a_store_that_goes_away_in_the_middle_of_a_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [lab.add_call(each, said=SAID) for each in ("one", "two", "three")]

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise StoreUnavailable("The store does not answer.")

    with monkeypatch.context() as patch:
        in_the_middle(lab, lambda: patch.setattr(FolderStore, "put_all", refuse))
        assert lab.run(ids).success
    waiting = {call.call_id for call in lab.storage.ledger.calls(states=[CallState.PENDING])}
    assert waiting
    assert {call.error_message for call in lab.storage.ledger.calls(call_ids=list(waiting))} == {
        "The store does not answer."
    }
    lab.engines.before_split = lambda: None
    assert lab.run(ids, tags={"callpipeline/batch": "later"}).success
    assert states(lab) == {CallState.COMPLETED}
    assert {frozenset(mentioned(lab, each)) for each in ids} == {frozenset({"Vodafone"})}


def test_a_source_that_breaks_in_the_middle_of_a_run_keeps_its_calls(
    lab: Lab, dialler: Path, database_url: str
) -> None:
    """The run ends with the sources that it began with; later ones leave the bad one out."""
    source = next(each for each in load_sources(lab.settings) if each.name == "dialler")
    at_home = lab.add_call("home", said=SAID)
    for name in ("one", "three"):
        write_recording(dialler / f"{name}.wav")
    found = list(open_source(lab.settings, source).list())
    audio = [each for each in found if each.key.endswith(".wav")]
    there = [each.call_id for each in register(lab.storage.ledger, source, audio)]
    file = lab.settings.sources
    assert file
    good = file.read_text()
    bad = f"sources: [{{name: dialler, url: {dialler}, timezone: nowhere}}]"
    try:
        in_the_middle(lab, lambda: file.write_text(bad))
        assert lab.run(there).success
        assert {call.state for call in lab.storage.ledger.calls(call_ids=there)} == {
            CallState.COMPLETED
        }
        assert "nowhere is unknown" in " ".join(source_problems(lab.settings))
        with open_storage(lab.settings, database_url) as later:
            with pytest.raises(StoreUnavailable, match="is invalid"):
                later.recordings.store(audio[0].bucket)
            assert later.inbox.exists(lab.storage.ledger.find(at_home).key)
        assert lab.run([at_home]).success
        assert states(lab) == {CallState.COMPLETED}
    finally:
        file.write_text(good)


def write_recording(path: Path) -> None:
    noise = np.random.default_rng(len(path.stem)).normal(0, 0.1, (16000 + len(path.stem), 2))
    soundfile.write(path, noise, 8000)
