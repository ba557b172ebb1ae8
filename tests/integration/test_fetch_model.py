"""Fetching of the recogniser's model at set-up, from a folder that stands for the sources."""

from pathlib import Path

import pytest

from callpipeline.cli.installation.model import fetch_model
from callpipeline.config import Settings
from callpipeline.engines.models.registry import ModelRegistry
from callpipeline.errors import ModelUnavailable, SettingsInvalid
from callpipeline.wiring import choose_recogniser, model_shelf, recognisers
from tests.fakes.tiny_whisper import a_tiny_whisper

UNREACHABLE = "The model base could not be downloaded (hub: no connection)."


def unreachable(*_: object, **__: object) -> Path:
    raise ModelUnavailable(UNREACHABLE)


@pytest.fixture
def pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the pulled models; each is a tiny one."""
    names: list[str] = []

    def pull(shelf: ModelRegistry, name: str, **_: object) -> Path:
        names.append(name)
        model = a_tiny_whisper(tmp_path / name)
        return shelf.copy("fake", model, allow_unverified=True)

    monkeypatch.setattr(ModelRegistry, "pull", pull)
    return names


def test_a_missing_model_is_fetched_once(
    settings: Settings, pulled: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fetch_model(settings)
    fetch_model(settings)
    assert pulled == ["base"]
    assert choose_recogniser(settings).name == "faster-whisper"
    assert capsys.readouterr().out == "fetching the Whisper model base (once, 148 MB) …\n"


def test_the_configured_model_is_fetched(settings: Settings, pulled: list[str]) -> None:
    fetch_model(settings.model_copy(update={"whisper_model": "tiny.en"}))
    assert pulled == ["tiny.en"]


@pytest.mark.parametrize(
    "changed", [{"transcriber": "pocketsphinx"}, {"transcription_url": "http://127.0.0.1:9"}]
)
def test_other_recognisers_need_no_model(
    settings: Settings, pulled: list[str], changed: dict[str, str]
) -> None:
    fetch_model(settings.model_copy(update=changed))
    assert pulled == []


def test_without_a_source_pocketsphinx_transcribes_and_a_note_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ModelRegistry, "pull", unreachable)
    fetch_model(settings)
    assert choose_recogniser(settings).name == "pocketsphinx"
    shown = capsys.readouterr().err
    assert f"note: {UNREACHABLE} Until then, pocketsphinx transcribes" in shown


@pytest.mark.parametrize(
    "changed", [{"whisper_model": "base"}, {"transcriber": "faster-whisper"}, {"language": "de"}]
)
def test_a_named_model_or_another_language_is_never_replaced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]
) -> None:
    monkeypatch.setattr(ModelRegistry, "pull", unreachable)
    with pytest.raises(ModelUnavailable, match="could not be downloaded"):
        fetch_model(settings.model_copy(update=changed))


def test_without_a_source_and_pocketsphinx_the_command_stops(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelRegistry, "pull", unreachable)
    monkeypatch.setattr(recognisers, "find_spec", lambda _: None)
    with pytest.raises(ModelUnavailable, match="could not be downloaded"):
        fetch_model(settings)


def test_downloads_can_be_forbidden(
    settings: Settings, pulled: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    offline = settings.model_copy(update={"model_download": "off"})
    fetch_model(offline)
    assert "CALLPIPELINE_MODEL_DOWNLOAD is off" in capsys.readouterr().err
    with pytest.raises(SettingsInvalid, match="models pull tiny.en --from FOLDER"):
        fetch_model(offline.model_copy(update={"whisper_model": "tiny.en"}))
    assert pulled == []
    assert model_shelf(offline).models() == []
