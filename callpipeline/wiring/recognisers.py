"""Choice of the recogniser, and factories of those that run on this machine."""

from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from callpipeline.config import Settings
from callpipeline.domain.calls.call import Lane
from callpipeline.engines.models.known_models import KNOWN_MODELS
from callpipeline.engines.models.manifest import read_manifest
from callpipeline.engines.models.registry import ModelRegistry
from callpipeline.engines.ports import Transcriber
from callpipeline.errors import SettingsInvalid
from callpipeline.wiring.registry import EngineContext, EngineFactory

NICENESS = {Lane.LIVE: 0, Lane.BULK: 10}
"""Niceness of recogniser processes: live calls get nine tenths of a shared CPU."""
WHISPER = "faster-whisper"
POCKETSPHINX = "pocketsphinx"
DEFAULT_MODEL = "base"
PULL = "`callpipeline models pull`"
WORD_ERRORS = {
    f"{WHISPER} base": "about 3 % on read speech at 8 kHz, 24 % on phone calls",
    f"{WHISPER} tiny.en": "about 2 % on read speech at 8 kHz, 31 % on phone calls",
    POCKETSPHINX: "over 90 % on phone calls",
}
"""Measured share of wrong words, by recogniser and verified model; see docs/engines.md."""


@dataclass(frozen=True, slots=True)
class RecogniserChoice:
    """The name of a recogniser, and the reason for the choice, for operators.

    `model` and `is_verified` are those of a local Whisper model, if it is on this machine.
    """

    name: str
    reason: str
    model: str | None = None
    is_verified: bool = False

    @property
    def word_errors(self) -> str | None:
        """Return the measured share of wrong words; None for services, whose model may change."""
        if self.name == WHISPER and self.model:
            measured = WORD_ERRORS.get(f"{WHISPER} {self.model}") if self.is_verified else None
            return measured or "not measured"
        return WORD_ERRORS.get(self.name)

    def __str__(self) -> str:
        text = self.name
        if self.model:
            text += f" {self.model} ({'verified' if self.is_verified else 'not verified'})"
        return f"{text}, word errors {self.word_errors}" if self.word_errors else text


def choose_recogniser(settings: Settings) -> RecogniserChoice:
    """Return the configured recogniser; for `auto`, the best that is ready to use."""
    if settings.transcriber == WHISPER:
        return _whisper_choice(settings, "set by CALLPIPELINE_TRANSCRIBER")
    if settings.transcriber != "auto":
        return RecogniserChoice(settings.transcriber, "set by CALLPIPELINE_TRANSCRIBER")
    if settings.transcription_url:
        return RecogniserChoice("remote", "CALLPIPELINE_TRANSCRIPTION_URL is set")
    if settings.whisper_model:  # even if it isn't here: falling back would be a surprise
        return _whisper_choice(settings, "CALLPIPELINE_WHISPER_MODEL is set")
    if model_shelf(settings).models():
        return _whisper_choice(settings, "the model pulled last")
    if can_fall_back(settings):
        return RecogniserChoice(POCKETSPHINX, f"there is no Whisper model: run {PULL}")
    return RecogniserChoice(WHISPER, f"it has no model yet: run {PULL}")


def can_fall_back(settings: Settings) -> bool:
    """Report whether pocketsphinx may replace faster-whisper: nothing is named, and it's here."""
    is_open = settings.transcriber == "auto" and settings.whisper_model is None
    return is_open and settings.language == "en" and find_spec(POCKETSPHINX) is not None


def missing_model(settings: Settings) -> str | None:
    """Return the model that faster-whisper needs and set-up can fetch, or None.

    Only models with known hashes are fetched without being asked for.
    """
    name = settings.whisper_model or DEFAULT_MODEL
    is_needed = settings.transcriber == WHISPER or (
        settings.transcriber == "auto" and settings.transcription_url is None
    )
    try:
        whisper_folder(settings)
    except SettingsInvalid:
        return name if is_needed and name in KNOWN_MODELS else None
    return None


def model_shelf(settings: Settings) -> ModelRegistry:
    """Return the Whisper models on this machine."""
    return ModelRegistry(settings.home / "models" / "whisper")


def whisper_folder(settings: Settings) -> Path:
    """Return the folder of the configured Whisper model, or of the one pulled last.

    Raises SettingsInvalid.
    """
    name = settings.whisper_model
    if name is None:
        if newest := model_shelf(settings).models():
            return newest[0].folder
        raise SettingsInvalid(f"faster-whisper has no model: run {PULL}.")
    found = model_shelf(settings).find(name)
    if found is None and Path(name).is_dir():
        found = Path(name).resolve()
    if found is None:
        raise SettingsInvalid(
            f"CALLPIPELINE_WHISPER_MODEL is {name}, which is neither a model nor a folder on this "
            f"machine: run `callpipeline models pull {name}`."
        )
    return found


def _whisper_choice(settings: Settings, reason: str) -> RecogniserChoice:
    """Return the choice of faster-whisper with its model; opening it reports what is wrong."""
    try:
        folder = whisper_folder(settings)
        manifest = read_manifest(folder)
    except SettingsInvalid:
        return RecogniserChoice(WHISPER, reason)
    if manifest is None:
        return RecogniserChoice(WHISPER, reason, folder.name.replace("--", "/"))
    return RecogniserChoice(WHISPER, reason, manifest.name, manifest.matches())


def _pocketsphinx(context: EngineContext) -> Transcriber:
    """Build pocketsphinx, without hints: names missing from its dictionary need phonemes."""
    _require(POCKETSPHINX, "`make pocketsphinx` (or `pip install 'callpipeline[pocketsphinx]'`)")
    from callpipeline.engines.transcribe.pocketsphinx import PocketsphinxTranscriber

    if context.language != "en":
        raise SettingsInvalid(
            f"pocketsphinx supports only English, and CALLPIPELINE_LANGUAGE is {context.language}: "
            "see docs/engines.md for recognisers of other languages."
        )
    workers, niceness = context.settings.recogniser_workers, NICENESS[context.lane]
    return context.exit_stack.enter_context(
        closing(PocketsphinxTranscriber(workers, niceness=niceness))
    )


def _whisper(context: EngineContext) -> Transcriber:
    from callpipeline.engines.transcribe.whisper import WhisperModelConfig, WhisperTranscriber

    options = context.settings
    transcriber = WhisperTranscriber(
        WhisperModelConfig(
            whisper_folder(options), options.whisper_device, options.whisper_compute_type
        ),
        options.recogniser_workers,
        language=context.language,
        hints=context.hints,
        niceness=NICENESS[context.lane],
    )
    return context.exit_stack.enter_context(closing(transcriber))


def _vosk(context: EngineContext) -> Transcriber:
    _require("vosk", "`make vosk` (or `pip install 'callpipeline[vosk]'`)")
    from callpipeline.engines.transcribe.vosk import VoskTranscriber

    options = context.settings
    if options.vosk_model is None:
        raise SettingsInvalid("vosk needs CALLPIPELINE_VOSK_MODEL: the folder of a model.")
    transcriber = VoskTranscriber(
        options.vosk_model,
        options.recogniser_workers,
        language=context.language,
        niceness=NICENESS[context.lane],
    )
    return context.exit_stack.enter_context(closing(transcriber))


def _require(name: str, install: str) -> None:
    """Raise SettingsInvalid unless the package of the same name is installed."""
    if find_spec(name) is None:
        raise SettingsInvalid(f"The recogniser {name} is not installed: run {install}.")


RECOGNISERS: dict[str, EngineFactory] = {
    WHISPER: _whisper,
    POCKETSPHINX: _pocketsphinx,
    "vosk": _vosk,
}
