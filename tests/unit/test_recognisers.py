"""Which recogniser hears the calls, why, and what is told where something of it is missing."""

import importlib.util
from pathlib import Path

import pytest

from callpipeline.config import Settings
from callpipeline.errors import SettingsInvalid
from callpipeline.wiring import recognisers
from callpipeline.wiring.engines import open_engines
from callpipeline.wiring.recognisers import choose, shelf
from tests.fakes.tiny_whisper import a_tiny_whisper


def settings_with(home: Path, **changed: object) -> Settings:
    return Settings(home=home, _env_file=None, **changed)  # pyright: ignore


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return a_tiny_whisper(tmp_path / "a model" / "tiny")


def without(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(recognisers, "find_spec", lambda m: None if m == module else found(m))


def name_of(settings: Settings) -> str:
    with open_engines(settings) as engines:
        return engines.transcriber.name


def test_auto_without_a_model_is_pocketsphinx_and_says_what_would_be_better(tmp_path: Path):
    chosen = choose(settings_with(tmp_path))
    assert chosen.name == "pocketsphinx"
    assert chosen.why.endswith("for better ones run `callpipeline models pull small`")
    assert name_of(settings_with(tmp_path)).startswith("pocketsphinx ")


def test_auto_without_the_extra_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without(monkeypatch, "faster_whisper")
    assert "run `make whisper` (or" in choose(settings_with(tmp_path)).why
    assert "and `callpipeline models pull small`" in choose(settings_with(tmp_path)).why


def test_auto_prefers_whisper_once_a_model_was_pulled(tmp_path: Path, model: Path):
    settings = settings_with(tmp_path)
    shelf(settings).copy("tiny", model)
    assert choose(settings).name == "faster-whisper"
    assert name_of(settings).startswith("faster-whisper 1.")
    assert name_of(settings).endswith(" tiny int8")


def test_a_pulled_model_without_the_extra_does_not_stop_auto(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
):
    shelf(settings_with(tmp_path)).copy("tiny", model)
    without(monkeypatch, "faster_whisper")
    assert choose(settings_with(tmp_path)).name == "pocketsphinx"


@pytest.mark.parametrize("transcriber", ["auto", "faster-whisper"])
def test_a_model_that_is_named_is_used_or_missed_and_never_gone_without(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, transcriber: str
):
    named = settings_with(tmp_path, transcriber=transcriber, whisper_model=str(model))
    assert name_of(named).endswith(" tiny int8")
    missing = settings_with(tmp_path, transcriber=transcriber, whisper_model="small")
    with pytest.raises(SettingsInvalid, match="run `callpipeline models pull small`"):
        name_of(missing)
    without(monkeypatch, "faster_whisper")
    with pytest.raises(
        SettingsInvalid, match="faster-whisper is not installed: run `make whisper`"
    ):
        name_of(named)


def test_whisper_without_any_model_says_how_to_get_one(tmp_path: Path):
    with pytest.raises(SettingsInvalid, match="no model: run `callpipeline models pull small`"):
        name_of(settings_with(tmp_path, transcriber="faster-whisper"))


def test_a_model_of_which_a_byte_is_missing_is_no_reason_to_use_another_recogniser(
    tmp_path: Path, model: Path
):
    folder = shelf(settings_with(tmp_path)).copy("tiny", model)
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:-1])
    with pytest.raises(SettingsInvalid, match="is damaged"):
        name_of(settings_with(tmp_path))


def test_of_several_models_the_one_pulled_last_is_taken_unless_another_is_named(
    tmp_path: Path, model: Path
):
    settings = settings_with(tmp_path)
    for name in ("first", "owner/second"):
        shelf(settings).copy(name, model)
    assert name_of(settings).endswith(" owner--second int8")
    for name in ("first", "owner/second"):
        named = settings_with(tmp_path, whisper_model=name)
        assert f" {name.replace('/', '--')} " in name_of(named)


def test_vosk_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SettingsInvalid, match="vosk needs CALLPIPELINE_VOSK_MODEL"):
        name_of(settings_with(tmp_path, transcriber="vosk"))
    with pytest.raises(SettingsInvalid, match="There is no vosk model in"):
        name_of(settings_with(tmp_path, transcriber="vosk", vosk_model=tmp_path))
    without(monkeypatch, "vosk")
    with pytest.raises(SettingsInvalid, match="vosk is not installed: run `make vosk`"):
        name_of(settings_with(tmp_path, transcriber="vosk"))


def test_the_language_is_one_setting_for_all_and_refused_where_it_is_not_known(tmp_path: Path):
    said = "pocketsphinx knows English only, and CALLPIPELINE_LANGUAGE is de"
    with pytest.raises(SettingsInvalid, match=said):
        name_of(settings_with(tmp_path, language="de"))
    with pytest.raises(SettingsInvalid, match="name the language, as in CALLPIPELINE_LANGUAGE=en"):
        name_of(settings_with(tmp_path, language="auto"))
