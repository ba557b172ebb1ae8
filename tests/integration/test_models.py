"""Whisper models come to this machine from a hub or a folder, whole or not at all."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callpipeline.cli import app, models
from callpipeline.config import Settings
from callpipeline.engines.transcribe import whisper_models
from callpipeline.engines.transcribe.whisper_folder import check
from callpipeline.engines.transcribe.whisper_models import UNFINISHED, Shelf
from callpipeline.errors import ModelUnavailable, SettingsInvalid
from tests.fakes.hub import Hub
from tests.fakes.tiny_whisper import a_tiny_whisper

TINY = "Systran/faster-whisper-tiny"
CLOSED = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_tiny_whisper(tmp_path_factory.mktemp("models") / "original")


@pytest.fixture
def hub(model: Path) -> Iterator[Hub]:
    with Hub(TINY, model).up() as hub:
        yield hub


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "models")


def left_over(shelf: Shelf) -> list[str]:
    return [f.name for f in shelf.folder.iterdir() if f.name.startswith(UNFINISHED)]


def test_a_model_is_pulled_by_its_usual_name(hub: Hub, shelf: Shelf, model: Path):
    folder = shelf.pull("tiny", endpoint=hub.url)
    check(folder)
    assert {f.name for f in folder.iterdir()} == {f.name for f in model.iterdir()}
    assert (folder / "model.bin").read_bytes() == (model / "model.bin").read_bytes()
    assert shelf.find("tiny") == folder
    assert not any("README" in asked for asked in hub.asked)
    assert left_over(shelf) == []


def test_a_model_is_pulled_by_any_id_of_the_hub(model: Path, shelf: Shelf):
    with Hub("owner/My-Whisper.v2", model).up() as hub:
        folder = shelf.pull("owner/My-Whisper.v2", endpoint=hub.url)
    assert folder.name == "owner--My-Whisper.v2"
    assert [kept.name for kept in shelf.models()] == ["owner/My-Whisper.v2"]


def test_a_download_that_breaks_off_leaves_no_model(
    hub: Hub, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's own tries
    hub.cut = "model.bin"
    with pytest.raises(ModelUnavailable, match="did not give the model"):
        shelf.pull("tiny", endpoint=hub.url)
    assert (shelf.find("tiny"), shelf.models(), left_over(shelf)) == (None, [], [])


def test_a_download_that_breaks_off_leaves_the_model_that_was_there(
    hub: Hub, shelf: Shelf, model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    folder = shelf.copy("tiny", model)
    hub.cut = "tokenizer.json"
    with pytest.raises(ModelUnavailable):
        shelf.pull("tiny", endpoint=hub.url)
    check(folder)
    hub.cut = ""
    assert shelf.pull("tiny", endpoint=hub.url) == folder
    check(folder)
    assert left_over(shelf) == []


def test_a_hub_that_cannot_be_reached_is_told_with_the_ways_around_it(shelf: Shelf):
    with pytest.raises(ModelUnavailable) as error:
        shelf.pull("tiny", endpoint=CLOSED)
    assert str(error.value).startswith(f"{CLOSED} did not give the model {TINY} (no connection).")
    assert "HF_ENDPOINT" in str(error.value)
    assert "`callpipeline models pull NAME --from FOLDER`" in str(error.value)
    assert left_over(shelf) == []


def test_a_hub_without_the_model_is_told(hub: Hub, shelf: Shelf):
    with pytest.raises(SettingsInvalid, match=f"{hub.url} has no model owner/other, or shows it"):
        shelf.pull("owner/other", endpoint=hub.url)


def test_a_folder_of_the_hub_that_is_no_whisper_model_is_refused(tmp_path: Path, shelf: Shelf):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text("{}")
    with (
        Hub("owner/bert", tmp_path / "bert").up() as hub,
        pytest.raises(SettingsInvalid, match=r"holds no model\.bin"),
    ):
        shelf.pull("owner/bert", endpoint=hub.url)
    assert shelf.models() == []


@pytest.mark.parametrize(
    ("name", "told"),
    [("smal", "did you mean small?"), ("zzz", "turbo. Any id of the hub"), ("../x", "is no name")],
)
def test_a_name_that_is_none_is_told(shelf: Shelf, name: str, told: str):
    with pytest.raises(SettingsInvalid) as error:
        shelf.pull(name, endpoint=CLOSED)
    assert told in str(error.value)


def test_no_file_of_a_hub_lands_beside_the_models_folder(shelf: Shelf, model: Path):
    class Hostile(Hub):
        def files(self) -> dict[str, bytes]:
            return super().files() | {"vocabulary.x/../../../planted": b"planted"}

    with Hostile(TINY, model).up() as hub:
        shelf.pull("tiny", endpoint=hub.url)
    assert not any("planted" in asked for asked in hub.asked)
    assert list(shelf.folder.parent.rglob("planted")) == []


@pytest.mark.parametrize("name", ["../x", "/x", "..", ".unfinished-x", "a/b/c", ""])
def test_a_name_never_leaves_the_shelf(shelf: Shelf, model: Path, name: str):
    with pytest.raises(SettingsInvalid):
        shelf.copy(name, model)
    assert shelf.find(name) is None


def test_a_damaged_folder_is_not_copied(tmp_path: Path, shelf: Shelf, model: Path):
    shutil.copytree(model, tmp_path / "damaged")
    (tmp_path / "damaged" / "model.bin").write_bytes(b"")
    with pytest.raises(SettingsInvalid, match="is damaged"):
        shelf.copy("tiny", tmp_path / "damaged")
    assert shelf.models() == []


def test_only_a_models_own_files_are_copied(tmp_path: Path, shelf: Shelf, model: Path):
    shutil.copytree(model, tmp_path / "with more")
    (tmp_path / "with more" / "recording.wav").write_bytes(b"private")
    folder = shelf.copy("tiny", tmp_path / "with more")
    assert not (folder / "recording.wav").exists()


def test_what_a_killed_pull_left_goes_after_a_day(shelf: Shelf, model: Path):
    old, new = shelf.folder / f"{UNFINISHED}old", shelf.folder / f"{UNFINISHED}new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    day_ago = time.time() - whisper_models.ABANDONED_AFTER_S - 1
    os.utime(old, (day_ago, day_ago))
    shelf.copy("tiny", model)
    assert (old.exists(), new.exists()) == (False, True)
    assert [kept.name for kept in shelf.models()] == ["tiny"]


# The commands


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setattr(models, "settings", lambda: settings)
    return CliRunner()


def test_pulling_says_where_the_model_is_and_that_it_is_used(run: CliRunner, model: Path):
    assert "no model yet" in run.invoke(app, ["models", "list"]).output
    pulled = run.invoke(app, ["models", "pull", "tiny", "--from", str(model)])
    assert pulled.exit_code == 0
    assert "The model tiny is in" in pulled.output
    assert "Calls are heard by faster-whisper" in pulled.output
    assert "tiny " in run.invoke(app, ["models", "list"]).output
    (listed,) = json.loads(run.invoke(app, ["models", "list", "--json"]).output)
    assert (listed["name"], listed["size_bytes"] > 10**6) == ("tiny", True)


def test_a_pull_from_the_hub_that_the_environment_names(hub: Hub, tmp_path: Path):
    environment = os.environ | {"HF_ENDPOINT": hub.url, "CALLPIPELINE_HOME": str(tmp_path)}
    start = "from callpipeline.cli import app; app()"
    command = (sys.executable, "-c", start, "models", "pull", "tiny")
    subprocess.run(command, env=environment, check=True, cwd=tmp_path, capture_output=True)
    check(tmp_path / "models" / "whisper" / "tiny")


def test_a_pull_that_fails_ends_as_a_sentence_and_an_exit_code(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", CLOSED)
    failed = run.invoke(app, ["models", "pull", "tiny"])
    assert failed.exit_code == 1
    assert "error:" in failed.stderr
    assert "did not give the model" in failed.stderr
