"""Rematches: the asset `competitor_catalog`, the sensor that watches the list, and the job.

The job computes mentions and sentiment of completed calls again from stored transcripts, and its
calls stay COMPLETED. It is not an asset job, which would plan every stage of its calls and show
them as failed if the run is killed; it reports a materialization for each call and asset.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster import SensorEvaluationContext as SensorContext

from callpipeline.config import Settings
from callpipeline.defs.assets.calls import as_asset_event, skip_reason
from callpipeline.defs.assets.metadata import code_reference
from callpipeline.defs.dagster_internals.tables import PRIORITY_TAG
from callpipeline.defs.errors import expose_errors
from callpipeline.defs.interruption import HeldClaims
from callpipeline.defs.jobs.missing_judgements import has_active_run
from callpipeline.defs.partitions import LANE_TAG, PARTITIONS_NAME, REMATCH_JOB, REMATCH_OP
from callpipeline.domain.calls.call import Lane, Stage
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.domain.notifications import EventKind, NotificationEvent, Severity
from callpipeline.errors import CatalogInvalid
from callpipeline.pipeline.processing.processor import (
    CallAbandoned,
    CallFailed,
    Processor,
    process_calls,
)
from callpipeline.pipeline.processing.stages import Stages
from callpipeline.pipeline.rematch.planning import continue_rematch
from callpipeline.pipeline.rematch.rematcher import (
    CallRematched,
    RematchDeferred,
    Rematcher,
    RematchEvent,
    RematchFailed,
)
from callpipeline.storage.ports.rematch import RematchProgress, ResultVersions, WaitingCall
from callpipeline.wiring import Storage, load_catalog

TAGS = {LANE_TAG: Lane.BULK.value, PRIORITY_TAG: "4"}
"""Runs before a backlog, in the slots of the bulk lane: live calls take precedence."""
BATCH = 200
"""Calls between two looks at whether the rematch was paused or the list has changed."""
MAX_CALLS = 20_000
"""Calls of one run: about five minutes of work."""
FROM_TRANSCRIPTS = (Stage.TRANSCRIPTS, Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
NOT_TRANSCRIBED = "Its audio was deleted, or another run is processing it."
REFUSED = "catalog_refused"
DATA_VERSION_TAG = "dagster/data_version"


def rematch_job(*, concurrency: int) -> dg.JobDefinition:
    """Return the job; it rematches up to `concurrency` calls at once."""

    @dg.op(
        name=REMATCH_OP,
        out=dg.Out(dg.Nothing),
        description=(
            "Finds the completed calls that the competitor list in force can change, and computes "
            "their mentions and the sentiment of changed mentions again. The calls stay complete."
        ),
    )
    async def rematch(
        context: dg.OpExecutionContext,
        storage: dg.ResourceParam[Storage],
        stages: dg.ResourceParam[Stages],
    ) -> None:
        with expose_errors():
            storage.unjudged.register_run(context.run_id)
            async with HeldClaims(context, storage.claims) as interruption:
                await interruption.run(_rematch(context, storage, stages, concurrency))

    @dg.job(
        name=REMATCH_JOB,
        executor_def=dg.in_process_executor,
        tags=TAGS,
        description="Applies a changed competitor list to completed calls, without transcription.",
    )
    def job() -> None:
        rematch()

    return job


async def _rematch(
    context: dg.OpExecutionContext, storage: Storage, stages: Stages, concurrency: int
) -> None:
    current = continue_rematch(storage.rematches, stages.catalog)
    if current is None or current.paused_at:
        context.log.info("Every call is on the competitor list in force.")
        return
    context.log.info(
        "%s: %d calls left, %d unaffected", current.reason, current.waiting, current.unaffected
    )
    work = _OpenRematch(context, storage, stages, current.rematch_id, concurrency)
    failed = await work.rematch() + await work.transcribe()
    storage.rematches.skip_incomplete(current.rematch_id)
    storage.rematches.finish()
    if failed:
        context.log.warning("%d calls could not be rematched and keep their results.", failed)


@dataclass(frozen=True, slots=True)
class _OpenRematch:
    """The rematch that a run works on, until it is paused or another list is in force."""

    context: dg.OpExecutionContext
    storage: Storage
    stages: Stages
    rematch_id: int
    concurrency: int

    async def rematch(self) -> int:
        """Rematch calls from their stored transcripts; return how many failed."""
        worker = Rematcher(
            self.stages, self.storage.rematches, self.rematch_id, self.context.run_id
        )
        after, failed = "", 0
        for _ in range(MAX_CALLS // BATCH):
            calls = self._next(BATCH, after, transcribed=False)
            if not calls:
                break
            is_away = False
            async for event in worker.rematch_all(calls, concurrency=self.concurrency):
                failed += isinstance(event, RematchFailed)
                is_away |= isinstance(event, RematchDeferred) and event.service is not None
                _log_event(self.context, event)
            if is_away:
                self.storage.rematches.defer_rest(self.rematch_id)
            after = calls[-1].call_id
        return failed

    async def transcribe(self) -> int:
        """Process calls again from the recogniser on; return how many failed.

        They are claimed, as those that a person materializes: if the run dies, another one
        processes them. A few are claimed at a time, since only complete calls are counted.
        """
        processor = Processor(self.stages, self.context.run_id)
        failed, after = 0, ""
        while calls := self._next(2 * self.concurrency, after, transcribed=True):
            call_ids = [each.call_id for each in calls]
            claimed = self.storage.claims.claim(
                call_ids,
                self.context.run_id,
                recompute=FROM_TRANSCRIPTS,
                required=(Stage.CHANNEL_AUDIO, Stage.CALL_METRICS),
            )
            claimed_ids = [call.call_id for call in claimed]
            self.storage.rematches.hand_over(claimed_ids)
            for call_id in sorted({*call_ids} - {*claimed_ids}):
                self.storage.rematches.save_failure(call_id, self.rematch_id, NOT_TRANSCRIBED)
                self.context.log.warning("%s: not transcribed: %s", call_id, NOT_TRANSCRIBED)
            events = process_calls(
                processor, claimed, FROM_TRANSCRIPTS, concurrency=self.concurrency
            )
            async for event in events:
                failed += isinstance(event, CallFailed)
                if reason := skip_reason(event):
                    self.context.log.warning("%s: %s", event.call_id, reason)
                if not isinstance(event, CallAbandoned):
                    self.context.log_event(as_asset_event(event, self.stages.links))
            after = call_ids[-1]
        return failed

    def _next(self, limit: int, after: str, *, transcribed: bool) -> list[WaitingCall]:
        """Return the next calls, with their partition keys: those of old calls are retired."""
        rematches = self.storage.rematches
        calls = rematches.todo(self.rematch_id, limit, after, transcribed=transcribed)
        if not calls or not _is_in_force(self.storage, self.stages.catalog):
            return []
        keys = [each.call_id for each in calls]
        self.context.instance.add_dynamic_partitions(PARTITIONS_NAME, keys)
        return calls


def _is_in_force(storage: Storage, catalog: Catalog) -> bool:
    current = storage.catalogs.current()
    return current is not None and current.version == catalog.version


def _log_event(context: dg.OpExecutionContext, event: RematchEvent) -> None:
    """Report a call to its partitions of both assets."""
    call_id = event.call_id
    if isinstance(event, CallRematched):
        for asset, summary in (
            (Stage.COMPETITOR_MENTIONS, event.mentions),
            (Stage.COMPETITOR_SENTIMENT, {**event.sentiment, "judged_now": event.judged}),
        ):
            metadata = {**summary, "rematched": True}
            context.log_event(
                dg.AssetMaterialization(asset.value, partition=call_id, metadata=metadata)
            )
    elif isinstance(event, RematchFailed):
        context.log.warning("%s: not rematched: %s", call_id, event.reason)
    elif isinstance(event, RematchDeferred):
        context.log.warning(
            "%s: keeps its results; tried again in %.0f s: %s", call_id, event.wait_s, event.reason
        )
    else:
        context.log.info("%s: skipped: it is being processed, or was rematched already", call_id)


def competitor_list_sensor(settings: Callable[[], Settings]) -> dg.SensorDefinition:
    """Return the sensor that imports a changed list, and requests rematches."""

    @dg.sensor(
        name="competitor_list",
        job_name=REMATCH_JOB,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        description=(
            "Imports the competitor list when its file has changed; an invalid one is refused and "
            "notified, and the last valid list stays in force. Requests a run when completed calls "
            "have results of an older list or of older rules."
        ),
    )
    def sensor(context: SensorContext, storage: dg.ResourceParam[Storage]) -> dg.SensorResult:
        with expose_errors():
            return _tick(context, storage, settings())

    return sensor


def _tick(context: SensorContext, storage: Storage, options: Settings) -> dg.SensorResult:
    try:
        catalog = load_catalog(options, storage.catalogs)
    except CatalogInvalid as error:
        return dg.SensorResult(skip_reason=str(error))
    _report_refused(storage, datetime.now(UTC))
    observations = [] if context.cursor == catalog.version else [_observation(catalog)]
    reason = _reason_to_wait(context.instance, storage, catalog)
    requests = [] if reason else [dg.RunRequest(uuid.uuid4().hex, job_name=REMATCH_JOB)]
    return dg.SensorResult(
        requests, skip_reason=reason, cursor=catalog.version, asset_events=observations
    )


def _reason_to_wait(instance: dg.DagsterInstance, storage: Storage, catalog: Catalog) -> str | None:
    """Return why no run is requested; None to request one."""
    current = storage.rematches.current()
    target = ResultVersions(catalog.version, RULE_VERSION)
    if current and _is_for(current, target) and current.paused_at:
        return "The rematch is paused: `callpipeline catalog resume` continues it."
    if current and _is_for(current, target) and current.is_deferred:
        return f"{current.describe()}."
    staleness = storage.rematches.staleness(target)
    if not staleness.waiting and not current and not storage.rematches.has_left_over():
        return f"All {staleness.completed:,} calls are on version {catalog.version}."
    if has_active_run(instance, storage.claims, REMATCH_JOB):
        return f"A run is rematching: {staleness.describe()}."
    return None


def _is_for(rematch: RematchProgress, target: ResultVersions) -> bool:
    return (rematch.catalog_version, rematch.rule_version) == (
        target.catalog_version,
        target.rule_version,
    )


def _observation(catalog: Catalog) -> dg.AssetObservation:
    return dg.AssetObservation(
        "competitor_catalog",
        metadata={"competitors": len(catalog.competitors), "rule_version": RULE_VERSION},
        tags={DATA_VERSION_TAG: catalog.version},
    )


def _report_refused(storage: Storage, now: datetime) -> None:
    """Notify of files that were refused, once each, and of their correction."""
    refused = {f"{REFUSED}:{file.path}": file for file in storage.catalogs.files() if file.problem}
    for group_key, file in refused.items():
        storage.outbox.report(
            NotificationEvent(
                EventKind.CATALOG_REFUSED,
                Severity.WARNING,
                "The changed competitor list was refused",
                f"{file.path}: {file.problem} The last valid list stays in force.",
                group_key=group_key,
                recovers=True,
                metadata={
                    "over": "The competitor list is valid again",
                    "advice": "Correct the file; it is read again by itself. "
                    "`callpipeline catalog check` shows its problems.",
                },
            ),
            now,
        )
    open_groups = storage.outbox.open_groups(EventKind.CATALOG_REFUSED)
    storage.outbox.clear(open_groups - refused.keys(), now)


competitor_catalog = dg.AssetSpec(
    "competitor_catalog",
    group_name="competitors",
    kinds={"postgres"},
    metadata=code_reference(competitor_list_sensor),
    description=(
        "The competitor list in force; each new version is observed, with its hash as data "
        "version. A change, by its file, page or command, is applied to completed calls by the "
        "sensor `competitor_list`: their stored transcripts are searched again, and nothing is "
        "transcribed again."
    ),
)
