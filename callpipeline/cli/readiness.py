"""Whether the engines that the settings name are ready, before calls are given to them."""

from typing import Any

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.errors import CallpipelineError


def described(options: Settings) -> str:
    """Each engine's name, and where it is. Raises SettingsInvalid for what an engine lacks."""
    with wiring.open_engines(options) as chosen:
        engines = (chosen.splitter, chosen.speech_detector, chosen.transcriber, chosen.judge)
        return ", ".join(named(engine) for engine in engines)


def trouble(options: Settings) -> str | None:
    """What the engines lack, in a sentence; None where they can be opened."""
    try:
        described(options)
    except CallpipelineError as error:
        return str(error)
    return None


def named(engine: Any) -> str:
    """Its name, and where it is if that is not here."""
    where = getattr(engine, "where", None)
    return f"{engine.name} at {where}" if where else engine.name
