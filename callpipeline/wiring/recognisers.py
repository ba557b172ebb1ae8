"""Which recogniser hears the calls, and why; one factory for each that the settings can name."""

from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from callpipeline.config import Settings
from callpipeline.domain.call import Lane
from callpipeline.engines.ports import Transcriber
from callpipeline.engines.transcribe.whisper_models import INSTALL, Shelf
from callpipeline.errors import SettingsInvalid
from callpipeline.wiring.registry import Build, Parts

NICENESS = {Lane.LIVE: 0, Lane.BULK: 10}
"""Of recogniser processes: on one machine a live call gets nine tenths of the processor."""
PULL = "`callpipeline models pull small`"


@dataclass(frozen=True, slots=True)
class Choice:
    """The name of a recogniser, and why it is this one, in words for who operates it."""

    name: str
    why: str


def choose(settings: Settings) -> Choice:
    """The recogniser that is named, or the best that is ready where `auto` leaves the choice."""
    if settings.transcriber != "auto":
        return Choice(settings.transcriber, "CALLPIPELINE_TRANSCRIBER names it")
    if settings.transcription_url:
        return Choice("remote", "CALLPIPELINE_TRANSCRIPTION_URL is set")
    if settings.whisper_model:  # somebody wants it: to go without it silently would be a surprise
        return Choice("faster-whisper", "CALLPIPELINE_WHISPER_MODEL names its model")
    is_installed, is_pulled = find_spec("faster_whisper") is not None, shelf(settings).models()
    if is_installed and is_pulled:
        return Choice("faster-whisper", "it is installed, and its model was pulled last")
    why = "its transcripts are of demo quality; for better ones "
    steps = ([] if is_installed else [INSTALL]) + ([] if is_pulled else [PULL])
    return Choice("pocketsphinx", f"{why}run {' and '.join(steps)}")


def shelf(settings: Settings) -> Shelf:
    """The Whisper models on this machine."""
    return Shelf(settings.home / "models" / "whisper")


def whisper_folder(settings: Settings) -> Path:
    """The folder of the Whisper model that is named, or pulled last. Raises SettingsInvalid."""
    name = settings.whisper_model
    if name is None:
        if newest := shelf(settings).models():
            return newest[0].folder
        raise SettingsInvalid(f"faster-whisper has no model: run {PULL}.")
    found = shelf(settings).find(name)
    if found is None and Path(name).is_dir():
        found = Path(name).resolve()
    if found is None:
        raise SettingsInvalid(
            f"CALLPIPELINE_WHISPER_MODEL is {name}, and there is neither such a model nor such a "
            f"folder: run `callpipeline models pull {name}`."
        )
    return found


def _pocketsphinx(parts: Parts) -> Transcriber:
    """It takes no hints: its words are those of a dictionary, and a name that is not in it would
    have to be spelled in sounds."""
    from callpipeline.engines.transcribe.pocketsphinx import PocketsphinxTranscriber

    if parts.language != "en":
        raise SettingsInvalid(
            f"pocketsphinx knows English only, and CALLPIPELINE_LANGUAGE is {parts.language}: "
            "docs/engines.md tells of recognisers for other languages."
        )
    workers, niceness = parts.settings.recogniser_workers, NICENESS[parts.lane]
    return parts.opened.enter_context(closing(PocketsphinxTranscriber(workers, niceness=niceness)))


def _whisper(parts: Parts) -> Transcriber:
    _require("faster_whisper", "faster-whisper", INSTALL)
    from callpipeline.engines.transcribe.whisper import Loading, WhisperTranscriber

    options = parts.settings
    transcriber = WhisperTranscriber(
        Loading(whisper_folder(options), options.whisper_device, options.whisper_compute_type),
        options.recogniser_workers,
        language=parts.language,
        hints=parts.hints,
        niceness=NICENESS[parts.lane],
    )
    return parts.opened.enter_context(closing(transcriber))


def _vosk(parts: Parts) -> Transcriber:
    _require("vosk", "vosk", "`make vosk` (or `pip install 'callpipeline[vosk]'`)")
    from callpipeline.engines.transcribe.vosk import VoskTranscriber

    options = parts.settings
    if options.vosk_model is None:
        raise SettingsInvalid("vosk needs CALLPIPELINE_VOSK_MODEL: the folder of a model.")
    transcriber = VoskTranscriber(
        options.vosk_model,
        options.recogniser_workers,
        language=parts.language,
        niceness=NICENESS[parts.lane],
    )
    return parts.opened.enter_context(closing(transcriber))


def _require(module: str, name: str, install: str) -> None:
    if find_spec(module) is None:
        raise SettingsInvalid(f"The recogniser {name} is not installed: run {install}.")


RECOGNISERS: dict[str, Build] = {
    "pocketsphinx": _pocketsphinx,
    "faster-whisper": _whisper,
    "vosk": _vosk,
}
