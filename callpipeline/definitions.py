"""Definitions of the Dagster code location."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from callpipeline import wiring
from callpipeline.config import Settings, settings
from callpipeline.defs.assets.calls import call_assets
from callpipeline.defs.assets.metadata import with_metadata
from callpipeline.defs.checks import (
    call_checks,
    check_calls_job,
    check_calls_schedule,
    evaluate_quality_job,
    evaluate_quality_schedule,
    quality_checks,
)
from callpipeline.defs.dagster_internals.compute_logs import (
    log_runs_as_json,
    strip_redacted_error_messages,
)
from callpipeline.defs.dagster_internals.services import is_code_server
from callpipeline.defs.jobs.missing_judgements import judge_missing_job, unjudged_mentions
from callpipeline.defs.jobs.process_calls import process_calls_job
from callpipeline.defs.jobs.rematch import (
    competitor_catalog,
    competitor_list_sensor,
    rematch_job,
)
from callpipeline.defs.jobs.retention import retention_jobs, retention_schedules
from callpipeline.defs.marts import daily_marts, refresh_marts_job, stale_days
from callpipeline.defs.resources import (
    KeptStorage,
    OpenStages,
    ResourceFactories,
    io_managers,
    resources,
    slack_resources,
)
from callpipeline.defs.sensors.ingest import (
    discovery_sensors,
    late_metadata_sensors,
    lost_runs,
    recordings,
    waiting_calls,
)
from callpipeline.defs.sensors.maintenance import erasures_sensor
from callpipeline.defs.sensors.notifications import (
    failed_runs_sensor,
    notifications,
    outbox_sensor,
    trouble_sensor,
)
from callpipeline.domain.calls.call import Lane
from callpipeline.pipeline.notifications.alerts import AlertMonitor
from callpipeline.pipeline.notifications.monitor import PipelineMonitor
from callpipeline.pipeline.notifications.reports import ReportMonitor
from callpipeline.pipeline.processing.stages import Stages
from callpipeline.storage.objects.files import keep_files_private


def build(
    options: Settings | None = None, *, open_stages: OpenStages | None = None
) -> dg.Definitions:
    """Return the definitions; tests pass their own settings and engines.

    Opens nothing: definitions load with an empty environment and without a database.
    """
    chosen = options or settings()
    assets = call_assets(batch_size=chosen.batch_size, concurrency=chosen.concurrency)
    factories = _resource_factories(chosen, open_stages)
    return dg.Definitions(
        assets=with_metadata(
            [
                recordings,
                competitor_catalog,
                assets,
                daily_marts(chosen.marts_from, chosen.day_zone),
                notifications,
            ],
            chosen,
        ),
        asset_checks=[
            *call_checks(chosen.ingestion_quiet_h or None),
            *quality_checks(lambda: chosen),
        ],
        jobs=[
            process_calls_job,
            judge_missing_job(concurrency=chosen.concurrency),
            rematch_job(concurrency=chosen.concurrency),
            refresh_marts_job,
            check_calls_job,
            evaluate_quality_job,
            *retention_jobs(lambda: chosen),
        ],
        schedules=[check_calls_schedule, evaluate_quality_schedule, *retention_schedules()],
        sensors=_sensors(chosen),
        resources={**resources(factories, slack_resources(chosen)), **io_managers()},
        executor=dg.in_process_executor,
    )


def _resource_factories(chosen: Settings, open_stages: OpenStages | None) -> ResourceFactories:
    kept = KeptStorage(lambda: _open_storage(chosen, None))

    @contextmanager
    def open_storage(run_id: str | None) -> Iterator[wiring.Storage]:
        if run_id is None and is_code_server():
            yield kept.get()
            return
        with _open_storage(chosen, run_id) as storage:
            yield storage

    @contextmanager
    def open_real_stages(storage: wiring.Storage, lane: Lane) -> Iterator[Stages]:
        with wiring.open_stages(chosen, storage, lane) as stages:
            yield stages

    return ResourceFactories(
        open_storage,
        open_stages or open_real_stages,
        lambda storage, slack: wiring.open_dispatcher(chosen, storage.outbox, slack),
        lambda storage: PipelineMonitor(
            storage.database,
            storage.outbox,
            chosen.ingestion_quiet_h or None,
            AlertMonitor(
                storage.alert_rules, storage.analytics, storage.insights, storage.day_zone.today
            ),
            ReportMonitor(
                storage.views,
                storage.analytics,
                storage.insights,
                storage.reviews,
                storage.day_zone,
            ),
        ),
    )


@contextmanager
def _open_storage(chosen: Settings, run_id: str | None) -> Iterator[wiring.Storage]:
    with (
        wiring.open_database_url(chosen) as url,
        wiring.open_storage(chosen, url, run_id=run_id) as storage,
    ):
        yield storage


def _sensors(chosen: Settings) -> list[dg.SensorDefinition]:
    sources = wiring.load_sources(chosen)
    return [
        *discovery_sensors(sources, chosen),
        *late_metadata_sensors(sources, chosen),
        waiting_calls(lambda: chosen),
        lost_runs(lambda: chosen),
        unjudged_mentions(lambda: chosen),
        competitor_list_sensor(lambda: chosen),
        erasures_sensor(lambda: chosen),
        stale_days(chosen.marts_from, chosen.day_zone),
        outbox_sensor(),
        failed_runs_sensor(),
        trouble_sensor(wiring.notification_policy(chosen)),
    ]


# First, before anything can fail: sensors and resources run in the process of the code server.
keep_files_private()
strip_redacted_error_messages()
if settings().log_format == "json":
    log_runs_as_json()
defs = build()
