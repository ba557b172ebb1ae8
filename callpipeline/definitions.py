"""Everything that Dagster runs, wired in one place."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from callpipeline import wiring
from callpipeline.config import Settings, settings
from callpipeline.defs.assets import call_assets, recordings
from callpipeline.defs.checks import call_checks, check_calls_job, check_calls_schedule
from callpipeline.defs.compute_logs import print_masked_errors_without_words
from callpipeline.defs.discovery import discovery_sensors
from callpipeline.defs.erasing import erasures_sensor
from callpipeline.defs.io_managers import io_managers
from callpipeline.defs.jobs import process_calls_job
from callpipeline.defs.marts import daily_marts, refresh_marts_job
from callpipeline.defs.notifications import (
    failed_runs_sensor,
    notifications,
    outbox_sensor,
    trouble_sensor,
)
from callpipeline.defs.resources import Opening, OpenStages, resources
from callpipeline.defs.retention import retention_jobs, retention_schedules
from callpipeline.defs.sensors import lost_runs, waiting_calls
from callpipeline.defs.slack import slack_resources
from callpipeline.defs.stale_days import stale_days
from callpipeline.defs.unjudged import judge_missing_job, unjudged_mentions
from callpipeline.domain.call import Lane
from callpipeline.pipeline.stages import Stages
from callpipeline.pipeline.watch import Watch


def build(
    options: Settings | None = None, *, open_stages: OpenStages | None = None
) -> dg.Definitions:
    """The definitions; tests pass settings and engines of their own.

    Nothing is opened here: definitions load with an empty environment and no database.
    """
    chosen = options or settings()

    @contextmanager
    def open_storage(run_id: str | None) -> Iterator[wiring.Storage]:
        with (
            wiring.open_database_url(chosen) as url,
            wiring.open_storage(chosen, url, run_id=run_id) as storage,
        ):
            yield storage

    @contextmanager
    def open_real_stages(storage: wiring.Storage, lane: Lane) -> Iterator[Stages]:
        with wiring.open_stages(chosen, storage, lane) as stages:
            yield stages

    assets = call_assets(batch_size=chosen.batch_size, concurrency=chosen.concurrency)
    opening = Opening(
        open_storage,
        open_stages or open_real_stages,
        lambda storage, slack: wiring.open_dispatcher(chosen, storage.outbox, slack),
        lambda storage: Watch(storage.database, storage.outbox, chosen.ingestion_quiet_h or None),
    )
    return dg.Definitions(
        assets=[recordings, assets, daily_marts(chosen.marts_from), notifications],
        asset_checks=call_checks(chosen.ingestion_quiet_h or None),
        jobs=[
            process_calls_job,
            judge_missing_job(concurrency=chosen.concurrency),
            refresh_marts_job,
            check_calls_job,
            *retention_jobs(lambda: chosen),
        ],
        schedules=[check_calls_schedule, *retention_schedules()],
        sensors=_sensors(chosen),
        resources={**resources(opening, slack_resources(chosen)), **io_managers()},
        executor=dg.in_process_executor,
    )


def _sensors(chosen: Settings) -> list[dg.SensorDefinition]:
    return [
        *discovery_sensors(wiring.load_sources(chosen), chosen),
        waiting_calls(lambda: chosen),
        lost_runs(lambda: chosen),
        unjudged_mentions(lambda: chosen),
        erasures_sensor(lambda: chosen),
        stale_days(chosen.marts_from),
        outbox_sensor(),
        failed_runs_sensor(),
        trouble_sensor(wiring.notification_policy(chosen)),
    ]


# Before anything can fail: sensors and resources do so in the code server's own process.
print_masked_errors_without_words()
defs = build()
