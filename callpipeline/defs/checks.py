"""The checks of calls as Dagster shows them, and the job and schedule that look each hour.

They stand beside the assets and are not made with them: a result for each call would be an event
for each call. What they ask and decide is in `pipeline/`.
"""

from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.tags import PRIORITY_TAG

from callpipeline.defs.told import told
from callpipeline.domain.call import Stage
from callpipeline.domain.notification import Severity
from callpipeline.pipeline.checking import CHECKS, Check, Checking
from callpipeline.pipeline.findings import CALL, Fact, Finding, Table
from callpipeline.wiring import Storage

JOB = "check_calls"
EVERY_HOUR = "7 * * * *"
"""Not on the hour, when digests and other people's jobs begin."""
FIRST = "20"
"""Before all batches of calls: whether these are stuck is what is looked at."""
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
    tags={PRIORITY_TAG: FIRST},
    description="Looks at the calls of the last day with every check, in one run.",
)

check_calls_schedule = dg.ScheduleDefinition(
    name=JOB,
    job=check_calls_job,
    cron_schedule=EVERY_HOUR,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks every hour whether what was made of calls in the last day makes sense.",
)


def call_checks(quiet_h: float | None) -> list[dg.AssetChecksDefinition]:
    """All checks of calls; `quiet_h` is how many hours without a recording are usual."""
    return [_as_asset_check(check, quiet_h) for check in CHECKS]


def _as_asset_check(check: Check, quiet_h: float | None) -> dg.AssetChecksDefinition:
    @dg.asset_check(name=check.name, asset=check.asset, description=check.description)
    def evaluate(storage: dg.ResourceParam[Storage]) -> dg.AssetCheckResult:
        with told():
            checking = Checking(storage.database, storage.outbox, quiet_h)
            return _result(check.asset, checking.evaluate(check, datetime.now(UTC)))

    return evaluate


def _result(asset: str, finding: Finding) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=finding.passed,
        severity=SEVERITIES[finding.severity],
        description=finding.description,
        metadata={name: _shown(asset, fact) for name, fact in finding.facts.items()},
    )


def _shown(asset: str, fact: Fact) -> dg.MetadataValue | int | float | str:
    """Numbers as they are, since Dagster plots them."""
    return dg.MetadataValue.md(_markdown(asset, fact)) if isinstance(fact, Table) else fact


def _markdown(asset: str, table: Table) -> str:
    if not table.rows:
        return "none"
    rows = [
        [_cell(value, asset if heading == CALL else None) for heading, value in pairs]
        for pairs in (zip(table.headings, row, strict=True) for row in table.rows)
    ]
    lines = [table.headings, ["---"] * len(table.headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object, asset: str | None) -> str:
    """What would end the cell or begin markup is written as itself; a call leads to its page."""
    text = "" if value is None else str(value)
    text = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
    if asset is None:
        return text
    of = Stage.CHANNEL_AUDIO if asset == "recordings" else asset
    return f"[{text}](/assets/{of}?view=partitions&partition={text})"
