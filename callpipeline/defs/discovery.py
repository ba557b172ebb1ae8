"""The sensors that look for new recordings, one for each source.

They enter what they find into the ledger and ask for no runs: `waiting_calls` does that. Their
positions hold keys and are kept in our schema; the cursor is a token that says they are ours still.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext

from callpipeline.config import Settings
from callpipeline.defs.told import told
from callpipeline.domain.source import Source
from callpipeline.pipeline.discovery import Discovery, Tick, discover
from callpipeline.pipeline.progress import Progress
from callpipeline.storage.positions import Positions
from callpipeline.wiring import HOME_SOURCE, Storage, open_source


def discovery_sensors(sources: Sequence[Source], settings: Settings) -> list[dg.SensorDefinition]:
    """One sensor for each source, so that each can be switched off and fails alone."""
    return [_sensor(source, settings) for source in sources]


def _sensor(source: Source, settings: Settings) -> dg.SensorDefinition:
    is_home = source.name == HOME_SOURCE

    @dg.sensor(
        name="new_recordings" if is_home else f"new_recordings_{source.name}",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
        description=(
            f"Looks for recordings in the source `{source.name}` and enters what is new into the "
            "ledger, where it waits for a run. Its cursor stands for its position: when it is "
            "cleared it looks through everything again, and nothing is entered twice."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        positions = Positions(storage.database)
        with told():
            token, position = positions.find(source.name, context.cursor)
            discovery = discover(
                source,
                open_source(settings, source),
                storage.ledger,
                Progress.from_cursor(position, source),
                Tick(datetime.now(UTC), settings.settle_s),
            )
            positions.keep(source.name, token, discovery.progress.to_cursor(source))
        for problem in _problems(discovery):
            context.log.warning(problem)
        return dg.SensorResult(skip_reason=in_words(discovery), cursor=token)

    return sensor


def in_words(discovery: Discovery) -> str:
    """A look in one sentence, for a person who looks at the sensor."""
    return ", ".join([*_counts(discovery), *_problems(discovery)]) + "."


def _counts(discovery: Discovery) -> Iterator[str]:
    found, sweep = discovery.found, discovery.progress.everything
    yield f"{sum(each.is_new for each in found.registered):,} new"
    if found.unsettled:
        yield f"{found.unsettled:,} still being written"
    if discovery.finished_sweep:
        yield f"all {sweep.listed:,} objects looked at"
    elif sweep.is_under_way:
        yield f"sweep at {sweep.listed:,} objects"


def _problems(discovery: Discovery) -> Iterator[str]:
    for reason, times in discovery.found.unreadable.items():
        yield f"{times:,} × cannot be taken: {reason.rstrip('.')}"
    if discovery.failure:
        yield f"the listing broke off: {discovery.failure.rstrip('.')}"
