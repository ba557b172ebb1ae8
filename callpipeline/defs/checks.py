"""Asset checks of calls, and the job and schedule that run them every hour.

They are not part of the runs that process calls: a result for each call would be an event for each
call. `pipeline/quality` contains their rules.
"""

from datetime import UTC, datetime

import dagster as dg

from callpipeline.defs.dagster_internals.tables import PRIORITY_TAG
from callpipeline.defs.resources import expose_errors
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.notifications import Severity
from callpipeline.pipeline.quality.check_rules import CALL, CheckResult, CheckTable, CheckValue
from callpipeline.pipeline.quality.checks import CHECKS, CallCheck, CheckRunner
from callpipeline.wiring import Storage

JOB = "check_calls"
EVERY_HOUR = "7 * * * *"
"""Not on the hour, when digests and many other jobs start."""
PRIORITY = "20"
"""Higher than all batches of calls: a check detects batches that are stuck."""
SEVERITIES = {
    Severity.WARNING: dg.AssetCheckSeverity.WARN,
    Severity.ERROR: dg.AssetCheckSeverity.ERROR,
}

check_calls_job = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.checks(
        *(dg.AssetCheckKey(dg.AssetKey(check.asset), check.name) for check in CHECKS)
    ),
    executor_def=dg.in_process_executor,
    tags={PRIORITY_TAG: PRIORITY},
    description="Runs all checks on the calls of the last day.",
)

check_calls_schedule = dg.ScheduleDefinition(
    name=JOB,
    job=check_calls_job,
    cron_schedule=EVERY_HOUR,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Checks the results of the last day every hour.",
)


def call_checks(quiet_h: float | None) -> list[dg.AssetChecksDefinition]:
    """Return all checks; more than `quiet_h` hours without a recording fail one of them."""
    return [_as_asset_check(check, quiet_h) for check in CHECKS]


def _as_asset_check(check: CallCheck, quiet_h: float | None) -> dg.AssetChecksDefinition:
    @dg.asset_check(name=check.name, asset=check.asset, description=check.description)
    def evaluate(storage: dg.ResourceParam[Storage]) -> dg.AssetCheckResult:
        with expose_errors():
            runner = CheckRunner(storage.database, storage.outbox, quiet_h)
            return _result(check.asset, runner.evaluate(check, datetime.now(UTC)))

    return evaluate


def _result(asset: str, result: CheckResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=result.passed,
        severity=SEVERITIES[result.severity],
        description=result.description,
        metadata={name: _metadata_value(asset, value) for name, value in result.metadata.items()},
    )


def _metadata_value(asset: str, value: CheckValue) -> dg.MetadataValue | int | float | str:
    """Return a table as Markdown; numbers are unchanged, since Dagster plots them."""
    return dg.MetadataValue.md(_markdown(asset, value)) if isinstance(value, CheckTable) else value


def _markdown(asset: str, table: CheckTable) -> str:
    if not table.rows:
        return "none"
    rows = [
        [_cell(value, asset if heading == CALL else None) for heading, value in pairs]
        for pairs in (zip(table.headings, row, strict=True) for row in table.rows)
    ]
    lines = [table.headings, ["---"] * len(table.headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object, asset: str | None) -> str:
    """Escape Markdown in a cell; a call id becomes a link to its partition."""
    text = "" if value is None else str(value)
    text = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
    if asset is None:
        return text
    of = Stage.CHANNEL_AUDIO if asset == "recordings" else asset
    return f"[{text}](/assets/{of}?view=partitions&partition={text})"
