"""`callpipeline engines check`: what each engine gives for a call of which all is known."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from callpipeline import wiring
from callpipeline.cli.calls import AsJson
from callpipeline.cli.opening import console
from callpipeline.config import settings
from callpipeline.engines.known_call import COMPETITOR, DURATION_S
from callpipeline.pipeline.trial import Trial, try_engines


def check(as_json: AsJson = False) -> None:
    """Try each configured engine with a short built-in call; tell what came back, how fast.

    Nothing is stored. Ends with 1 where an engine gives nothing.
    """
    trials = asyncio.run(_tried(quiet=as_json))
    if as_json:
        print(json.dumps([_as_json(trial) for trial in trials], indent=2))
    raise typer.Exit(1 if any(trial.error for trial in trials) else 0)


async def _tried(*, quiet: bool) -> list[Trial]:
    trials: list[Trial] = []
    with (
        wiring.open_engines(settings(), hints=[COMPETITOR]) as engines,
        tempfile.TemporaryDirectory() as folder,
    ):
        if not quiet:
            told = f"a built-in call of {DURATION_S} s, in which a customer speaks of {COMPETITOR}"
            console.print(f"trying the engines with {told}", highlight=False)
        async for trial in try_engines(engines, Path(folder)):
            trials.append(trial)
            if not quiet:
                _tell(trial)
    return trials


def _tell(trial: Trial) -> None:
    mark = "[red]bad[/red]" if trial.error else "[green]ok[/green]"
    what = f"{trial.role} [bold]{escape(trial.engine)}[/bold]"
    where = f" at {escape(trial.where)}" if trial.where else ""
    console.print(f"{mark} {what}{where}, {trial.took_s:.1f} s", highlight=False)
    for line in (str(trial.error),) if trial.error else trial.came:
        console.print(f"   {escape(line)}", highlight=False)


def _as_json(trial: Trial) -> dict[str, Any]:
    error = trial.error
    return {
        "role": trial.role,
        "engine": trial.engine,
        "where": trial.where,
        "took_s": round(trial.took_s, 3),
        "came": list(trial.came),
        "error": {"class": type(error).__name__, "message": str(error)} if error else None,
    }
