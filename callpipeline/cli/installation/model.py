"""Fetching of the recogniser's model before the first call: part of up and demo."""

from callpipeline import wiring
from callpipeline.cli.models import download_progress
from callpipeline.cli.session import console, print_note
from callpipeline.config import Settings
from callpipeline.engines.models.known_models import KNOWN_MODELS
from callpipeline.errors import MachineExhausted, ModelUnavailable, SettingsInvalid


def fetch_model(options: Settings) -> None:
    """Fetch the Whisper model if the recogniser needs one that isn't here; shows progress.

    If that fails, pocketsphinx transcribes if it is installed and no recogniser or model is named;
    a sentence says so. Otherwise raises ModelUnavailable, MachineExhausted or SettingsInvalid.
    """
    name = wiring.missing_model(options)
    if name is None:
        return
    try:
        _pull(options, name)
    except (ModelUnavailable, MachineExhausted, SettingsInvalid) as error:
        if not wiring.can_fall_back(options):
            raise
        print_note(
            f"{error} Until then, pocketsphinx transcribes, and mishears most words of phone calls."
        )


def _pull(options: Settings, name: str) -> None:
    if options.model_download == "off":
        raise SettingsInvalid(
            f"The Whisper model {name} isn't here, and CALLPIPELINE_MODEL_DOWNLOAD is off: run "
            f"`callpipeline models pull {name} --from FOLDER` with a copy of it."
        )
    size_mb = KNOWN_MODELS[name].size_bytes / 1e6
    console.print(f"fetching the Whisper model {name} (once, {size_mb:,.0f} MB) …", highlight=False)
    with download_progress() as progress:
        wiring.model_shelf(options).pull(name, progress=progress)
