"""Sensors that keep calls moving: they discover recordings, request runs, and reclaim calls."""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext

from callpipeline.config import Settings
from callpipeline.defs.assets.metadata import code_reference
from callpipeline.defs.errors import expose_errors
from callpipeline.defs.jobs.process_calls import (
    max_open_batches,
    plan_batches,
    request_runs,
    spread_over_slots,
)
from callpipeline.defs.partitions import PROCESS_CALLS_JOB
from callpipeline.defs.sensors.maintenance import forget_lost_batches, reclaim_lost, stale_runs_from
from callpipeline.domain.calls.sources import Source
from callpipeline.errors import CatalogInvalid, StoreUnavailable
from callpipeline.pipeline.ingest.cursor import DiscoveryCursor
from callpipeline.pipeline.ingest.discovery import Discovery, ScanBudget, discover
from callpipeline.pipeline.ingest.late_metadata import read_late_metadata
from callpipeline.storage.sources.recordings import DiscoveryPositions, ScanCounts, SourceScans
from callpipeline.wiring import (
    HOME_SOURCE,
    Storage,
    clear_workspace,
    load_catalog,
    open_side_metadata,
    open_source,
)

RUNNING = dg.DefaultSensorStatus.RUNNING


def waiting_calls(settings: Callable[[], Settings]) -> dg.SensorDefinition:
    """Return the sensor that requests runs."""

    @dg.sensor(
        name="waiting_calls",
        job_name=PROCESS_CALLS_JOB,
        default_status=RUNNING,
        # Also evaluated as soon as Postgres notifies the daemon of a waiting call.
        minimum_interval_seconds=5,
        description=(
            "Requests a run for each batch of waiting calls: new calls, retries, and calls of runs "
            "that died or were cancelled. Slots are reserved for live calls, so they do not wait "
            "for a backlog. To pause processing, stop this sensor: new recordings are still "
            "registered, and wait."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with expose_errors():
            return _run_requests(context.instance, storage, settings())

    return sensor


def _run_requests(
    instance: dg.DagsterInstance, storage: Storage, options: Settings
) -> dg.SensorResult:
    queue = storage.queue
    waiting = queue.backlog()
    if not waiting:
        return dg.SensorResult(skip_reason="No calls are waiting.")
    counts = "; ".join(f"{lane.calls} waiting in lane {lane.lane}" for lane in waiting)
    try:
        load_catalog(options, storage.catalogs)
    except CatalogInvalid as error:
        return dg.SensorResult(skip_reason=f"{counts}: {error}")
    due = sum(lane.calls - lane.delayed for lane in waiting)
    size, max_open = spread_over_slots(options, due), max_open_batches(options, due)
    batches = plan_batches(queue, uuid.uuid4().hex[:12], size, max_open)
    requests = request_runs(instance, batches)
    return dg.SensorResult(requests, skip_reason=None if requests else f"{counts}, not due yet.")


def lost_runs(settings: Callable[[], Settings]) -> dg.SensorDefinition:
    """Return the reconciler.

    Dagster's run monitoring does not know the ledger, and may consider a run whose process is gone
    as started indefinitely.
    """

    @dg.sensor(
        name="lost_runs",
        default_status=RUNNING,
        minimum_interval_seconds=15,
        description=(
            "Returns the calls of dead runs to the queue, even if Dagster still shows the run as "
            "started. A call whose run died three times ends FAILED. If the clock was set back, "
            "what is due later is set back too."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with expose_errors():
            back_s = storage.queue.settle_clock()
            result = reclaim_lost(context.instance, storage.claims, stale_runs_from(context.cursor))
            rescheduled = forget_lost_batches(context.instance, storage.queue)
        for run_id in result.dead:
            clear_workspace(settings(), run_id)
        reason = f"{result.released} calls reclaimed, {rescheduled} rescheduled."
        if back_s:
            reason = f"The clock was set back by {back_s:.0f} s, and so was what is due. {reason}"
        return dg.SensorResult(skip_reason=reason, cursor=json.dumps(result.cursor))

    return sensor


def late_metadata_sensors(
    sources: Sequence[Source], settings: Settings
) -> list[dg.SensorDefinition]:
    """Return the sensor of metadata files that arrive late, if a source has such files."""
    if not any(source.metadata for source in sources):
        return []

    @dg.sensor(
        name="late_metadata",
        default_status=RUNNING,
        minimum_interval_seconds=15,
        description=(
            "Reads metadata files that arrive after their call was processed: 30 seconds after its "
            "end, then after half of the time since, for a week. Nothing is processed again."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with expose_errors():
            result = read_late_metadata(open_side_metadata(settings, storage), storage.descriptions)
        reason = f"{result.described} of {result.examined} calls that were due got metadata."
        return dg.SensorResult(skip_reason=reason)

    return [sensor]


def discovery_sensors(sources: Sequence[Source], settings: Settings) -> list[dg.SensorDefinition]:
    """Return one sensor for each source, so that each fails and can be stopped on its own."""
    return [_sensor(source, settings) for source in sources]


def _sensor(source: Source, settings: Settings) -> dg.SensorDefinition:
    is_home = source.name == HOME_SOURCE

    @dg.sensor(
        name="new_recordings" if is_home else f"new_recordings_{source.name}",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
        description=(
            f"Scans the source `{source.name}` for recordings and registers new ones in the "
            "ledger, where they wait for a run. Clear its cursor to scan the whole source again; "
            "nothing is registered twice."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with expose_errors():
            discovery, token = _scan(source, settings, storage, context.cursor)
        for problem in _problems(discovery):
            context.log.warning(problem)
        return dg.SensorResult(skip_reason=summarize(discovery), cursor=token)

    return sensor


def _scan(
    source: Source, settings: Settings, storage: Storage, cursor: str | None
) -> tuple[Discovery, str]:
    """Scan a source from where its cursor stands; return the result and the token of the cursor.

    The scan is recorded, also if it fails.
    """
    positions, scans = DiscoveryPositions(storage.database), SourceScans(storage.database)
    token, position = positions.find(source.name, cursor)
    try:
        discovery = discover(
            source,
            open_source(settings, source),
            storage.ledger,
            DiscoveryCursor.from_json(position, source),
            ScanBudget(datetime.now(UTC), settings.settle_s),
        )
    except StoreUnavailable as error:
        scans.save(source.name, failure=str(error))
        raise
    positions.save(source.name, token, discovery.cursor.to_json(source))
    found = discovery.result
    counts = ScanCounts(
        found.listed,
        found.skipped,
        found.unsettled,
        sum(each.is_new for each in found.registered),
        found.unreadable,
    )
    scans.save(source.name, counts, has_swept=discovery.finished_sweep, failure=discovery.failure)
    return discovery, token


def summarize(discovery: Discovery) -> str:
    """Return a one-sentence summary of a scan for the sensor's page."""
    return ", ".join([*_counts(discovery), *_problems(discovery)]) + "."


def _counts(discovery: Discovery) -> Iterator[str]:
    found, sweep = discovery.result, discovery.cursor.full_sweep
    yield f"{sum(each.is_new for each in found.registered):,} new"
    if found.unsettled:
        yield f"{found.unsettled:,} still being written"
    if discovery.finished_sweep:
        yield f"all {sweep.listed:,} objects scanned"
    elif sweep.in_progress:
        yield f"sweep at {sweep.listed:,} objects"
    if found.skipped:
        yield f"{found.skipped:,} skipped by name"


def _problems(discovery: Discovery) -> Iterator[str]:
    for reason, times in discovery.result.unreadable.items():
        yield f"{times:,} × cannot be imported: {reason.rstrip('.')}"
    if discovery.failure:
        yield f"the listing was interrupted: {discovery.failure.rstrip('.')}"


recordings = dg.AssetSpec(
    "recordings",
    group_name="audio",
    kinds={"file"},
    metadata=code_reference(discovery_sensors),
    description=(
        "Recorded calls as they arrive in the recordings folder or bucket. The sensor "
        "`new_recordings` registers them in the ledger, where they wait for a run."
    ),
).with_io_manager_key("postgres")
