"""Choice of the recogniser, its reason, and errors of incomplete ones."""

import importlib.util
from pathlib import Path

import pytest

from callpipeline.config import Settings
from callpipeline.errors import SettingsInvalid
from callpipeline.wiring import recognisers
from callpipeline.wiring.engines import open_engines
from callpipeline.wiring.recognisers import (
    RecogniserChoice,
    choose_recogniser,
    missing_model,
    model_shelf,
)
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


def test_auto_without_a_model_is_pocketsphinx_and_recommends_better(tmp_path: Path):
    chosen = choose_recogniser(settings_with(tmp_path))
    assert (chosen.name, chosen.word_errors) == ("pocketsphinx", "over 90 % on phone calls")
    assert chosen.reason == "there is no Whisper model: run `callpipeline models pull`"
    assert name_of(settings_with(tmp_path)).startswith("pocketsphinx ")


@pytest.mark.parametrize("changed", [{"language": "de"}, {"transcriber": "faster-whisper"}, {}])
def test_without_a_model_and_pocketsphinx_calls_wait_for_whisper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]
):
    if not changed:
        without(monkeypatch, "pocketsphinx")
    options = settings_with(tmp_path, **changed)
    assert choose_recogniser(options).name == "faster-whisper"
    with pytest.raises(SettingsInvalid, match="no model: run `callpipeline models pull`"):
        name_of(options)


def test_pocketsphinx_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    without(monkeypatch, "pocketsphinx")
    with pytest.raises(SettingsInvalid, match="not installed: run `make pocketsphinx`"):
        name_of(settings_with(tmp_path, transcriber="pocketsphinx"))


def test_auto_prefers_whisper_once_a_model_was_pulled(tmp_path: Path, model: Path):
    settings = settings_with(tmp_path)
    model_shelf(settings).copy("fake", model, allow_unverified=True)
    chosen = choose_recogniser(settings)
    assert str(chosen) == "faster-whisper fake (not verified), word errors not measured"
    assert name_of(settings).startswith("faster-whisper 1.")


def test_the_figures_of_a_model_are_those_of_its_verified_bytes():
    assert RecogniserChoice("faster-whisper", "", "base").word_errors == "not measured"
    verified = RecogniserChoice("faster-whisper", "", "base", is_verified=True)
    assert str(verified) == (
        "faster-whisper base (verified), word errors about 3 % on read speech at 8 kHz, "
        "24 % on phone calls"
    )


def test_a_model_without_a_manifest_is_not_verified(tmp_path: Path, model: Path):
    chosen = choose_recogniser(settings_with(tmp_path, whisper_model=str(model)))
    assert (chosen.model, chosen.is_verified) == ("tiny", False)


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({}, "base"),
        ({"whisper_model": "tiny.en"}, "tiny.en"),
        ({"transcriber": "faster-whisper"}, "base"),
        ({"whisper_model": "small"}, None),  # its hashes aren't known
        ({"whisper_model": "/no/folder"}, None),
        ({"transcriber": "pocketsphinx"}, None),
        ({"transcription_url": "http://127.0.0.1:9"}, None),
    ],
)
def test_set_up_fetches_only_verified_models_that_will_be_used(
    tmp_path: Path, changed: dict[str, str], missing: str | None
):
    assert missing_model(settings_with(tmp_path, **changed)) == missing


def test_set_up_fetches_nothing_if_a_model_is_here(tmp_path: Path, model: Path):
    settings = settings_with(tmp_path)
    model_shelf(settings).copy("fake", model, allow_unverified=True)
    assert missing_model(settings) is None
    assert missing_model(settings_with(tmp_path, whisper_model=str(model))) is None
    assert missing_model(settings_with(tmp_path, whisper_model="tiny.en")) == "tiny.en"


@pytest.mark.parametrize("transcriber", ["auto", "faster-whisper"])
def test_a_configured_model_is_used_or_refused_but_never_ignored(
    tmp_path: Path, model: Path, transcriber: str
):
    named = settings_with(tmp_path, transcriber=transcriber, whisper_model=str(model))
    assert " tiny@" in name_of(named)
    missing = settings_with(tmp_path, transcriber=transcriber, whisper_model="small")
    with pytest.raises(SettingsInvalid, match="run `callpipeline models pull small`"):
        name_of(missing)


def test_whisper_without_any_model_says_how_to_get_one(tmp_path: Path):
    with pytest.raises(SettingsInvalid, match="no model: run `callpipeline models pull`"):
        name_of(settings_with(tmp_path, transcriber="faster-whisper"))


def test_a_damaged_model_is_refused_instead_of_falling_back(tmp_path: Path, model: Path):
    folder = model_shelf(settings_with(tmp_path)).copy("fake", model, allow_unverified=True)
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:-1])
    with pytest.raises(SettingsInvalid, match="is damaged"):
        name_of(settings_with(tmp_path))


def test_the_model_pulled_last_is_used_unless_another_is_configured(tmp_path: Path, model: Path):
    settings = settings_with(tmp_path)
    for name in ("first", "owner/second"):
        model_shelf(settings).copy(name, model, allow_unverified=True)
    assert " owner/second@" in name_of(settings)
    for name in ("first", "owner/second"):
        named = settings_with(tmp_path, whisper_model=name)
        assert f" {name}@" in name_of(named)


def test_vosk_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SettingsInvalid, match="vosk needs CALLPIPELINE_VOSK_MODEL"):
        name_of(settings_with(tmp_path, transcriber="vosk"))
    with pytest.raises(SettingsInvalid, match="There is no vosk model in"):
        name_of(settings_with(tmp_path, transcriber="vosk", vosk_model=tmp_path))
    without(monkeypatch, "vosk")
    with pytest.raises(SettingsInvalid, match="vosk is not installed: run `make vosk`"):
        name_of(settings_with(tmp_path, transcriber="vosk"))


def test_the_language_applies_to_all_and_is_refused_if_unsupported(tmp_path: Path):
    message = "pocketsphinx supports only English, and CALLPIPELINE_LANGUAGE is de"
    with pytest.raises(SettingsInvalid, match=message):
        name_of(settings_with(tmp_path, transcriber="pocketsphinx", language="de"))
    with pytest.raises(SettingsInvalid, match="set the language, as in CALLPIPELINE_LANGUAGE=en"):
        name_of(settings_with(tmp_path, transcriber="pocketsphinx", language="auto"))
