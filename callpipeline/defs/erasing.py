"""Erasing calls, as far as Dagster has to do with it: its records, and a sensor that finishes."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext

from callpipeline.config import Settings
from callpipeline.defs.health import SILENT
from callpipeline.defs.records import erase_records
from callpipeline.defs.told import told
from callpipeline.pipeline.erasing import AT_ONCE, QUIET_S, Eraser, Looked, Traces
from callpipeline.storage.log_files import mask
from callpipeline.wiring import Storage, open_eraser

LOOKS = 2
"""The first deletes, the second finds nothing."""


def eraser(instance: dg.DagsterInstance, settings: Settings, storage: Storage) -> Eraser:
    """What deletes everything that is kept of erased calls, in Dagster too."""

    def elsewhere(call_ids: Sequence[str], thorough: bool) -> Traces:
        traces = erase_records(instance, call_ids, thorough=thorough)
        masked = mask(settings.home / "logs", call_ids)
        return Traces(traces.removed + masked, traces.busy)

    quiet_s = QUIET_S if _is_at_work(instance) else 0.0
    return open_eraser(settings, storage, elsewhere, quiet_s=quiet_s)


def _is_at_work(instance: dg.DagsterInstance) -> bool:
    """Whether a daemon lives: its sensors may have begun before a call was erased."""
    since = (datetime.now(UTC) - SILENT).timestamp()
    return any(beat.timestamp > since for beat in instance.get_daemon_heartbeats().values())


def erasures_sensor(settings: Callable[[], Settings]) -> dg.SensorDefinition:
    """What finishes erasures, and begins those of recordings that came in again."""

    @dg.sensor(
        name="erasures",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description=(
            "Finishes what `callpipeline erase` began: deletes what is left of erased calls in the "
            "stores and in Dagster, again until nothing is found. What has the same bytes as an "
            "erased recording is erased too when it comes in."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with told():
            at_hand = eraser(context.instance, settings(), storage)
            returned = at_hand.take_returned()
            looked = at_hand.finish()
        return dg.SensorResult(skip_reason=in_words(returned, looked))

    return sensor


def in_words(returned: Sequence[str], looked: Sequence[Looked]) -> str:
    """What a look did, for the sensor's page."""
    finished = sum(one.finished for one in looked)
    said = [f"{len(returned)} recordings had come in again"] if returned else []
    if looked:
        said.append(f"{finished} of {len(looked)} erasures are finished")
    said += sorted({one.trouble.rstrip(".") for one in looked if one.trouble})
    return "; ".join(said) + "." if said else "Nothing is to be erased."


def erase_now(
    settings: Settings, storage: Storage, call_ids: Sequence[str]
) -> tuple[list[Looked], bool]:
    """Delete what is left of calls whose tombstones stand, and look for it again.

    Returns what came of each, and whether a daemon lives that goes on with what is not finished.
    """
    with dg.DagsterInstance.get() as instance:
        at_hand = eraser(instance, settings, storage)
        wanted = [*call_ids, *at_hand.take_returned()]  # read while it was asked whether to
        for _ in range(LOOKS):
            for start in range(0, len(wanted), AT_ONCE):
                at_hand.finish(wanted[start : start + AT_ONCE])
        left = {erasure.call_id: erasure.trouble for erasure in storage.erasures.open(wanted)}
        goes_on = _is_at_work(instance)
    return [Looked(id_, id_ not in left, left.get(id_)) for id_ in call_ids], goes_on
