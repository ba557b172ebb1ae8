"""Asset checks of calls, and the job and schedule that run them every hour.

They are not part of the runs that process calls: a result for each call would be an event for each
call. `pipeline/quality` contains their rules.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from callpipeline.config import Settings
from callpipeline.defs.dagster_internals.tables import PRIORITY_TAG
from callpipeline.defs.errors import expose_errors
from callpipeline.defs.partitions import LANE_TAG
from callpipeline.domain.calls.call import Lane, Stage
from callpipeline.domain.notifications import Severity
from callpipeline.pipeline.processing.stages import Stages
from callpipeline.pipeline.quality.check_rules import CALL, CheckResult, CheckTable, CheckValue
from callpipeline.pipeline.quality.checks import CHECKS, CallCheck, CheckRunner
from callpipeline.pipeline.quality.regressions import (
    Regression,
    evaluate_mentions,
    evaluate_sentiment,
)
from callpipeline.pipeline.quality.sentiment_evaluation import (
    utterance_rows,
    utterances_of_rows,
)
from callpipeline.wiring import Storage

JOB = "check_calls"
EVERY_HOUR = "7 * * * *"
"""Not on the hour, when digests and many other jobs start."""
QUALITY_JOB = "evaluate_quality"
TWICE_A_DAY = "37 5,17 * * *"
PRIORITY = "20"
"""Higher than all batches of calls: a check detects batches that are stuck."""
SEVERITIES = {
    Severity.WARNING: dg.AssetCheckSeverity.WARN,
    Severity.ERROR: dg.AssetCheckSeverity.ERROR,
}

QUALITY = {
    "mention_quality": Stage.COMPETITOR_MENTIONS,
    "sentiment_quality": Stage.COMPETITOR_SENTIMENT,
}
"""Checks of list, rules and engines on labels, by name."""

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

evaluate_quality_job = dg.define_asset_job(
    QUALITY_JOB,
    selection=dg.AssetSelection.checks(
        *(dg.AssetCheckKey(dg.AssetKey(asset.value), name) for name, asset in QUALITY.items())
    ),
    executor_def=dg.in_process_executor,
    tags={LANE_TAG: Lane.BULK.value},
    description="Evaluates a new list, new rules or a new engine on labels; else does nothing.",
)

evaluate_quality_schedule = dg.ScheduleDefinition(
    name=QUALITY_JOB,
    job=evaluate_quality_job,
    cron_schedule=TWICE_A_DAY,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Evaluates list, rules and engines on labels twice a day.",
)


def call_checks(quiet_h: float | None) -> list[dg.AssetChecksDefinition]:
    """Return all checks; more than `quiet_h` hours without a recording fail one of them."""
    return [_as_asset_check(check, quiet_h) for check in CHECKS]


def quality_checks(settings: Callable[[], Settings]) -> list[dg.AssetChecksDefinition]:
    """Return the checks that fail when a change of list, rules or engine makes labels wrong."""
    return [_mention_quality(settings), _sentiment_quality(settings)]


def _mention_quality(settings: Callable[[], Settings]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name="mention_quality",
        asset=Stage.COMPETITOR_MENTIONS.value,
        description=(
            "Precision and recall on labels: what people decided in review, and the file "
            "CALLPIPELINE_MENTION_LABELS. Fails if a new list, new rules or a new encoder makes "
            "more labels wrong than right, compared with the versions before."
        ),
    )
    def mentions(
        storage: dg.ResourceParam[Storage], stages: dg.ResourceParam[Stages]
    ) -> dg.AssetCheckResult:
        with expose_errors():
            return _quality(
                evaluate_mentions(
                    storage.evaluations,
                    stages.catalog,
                    stages.matcher.for_catalog,
                    stages.mention_engine,
                    settings().mention_labels_path,
                )
            )

    return mentions


def _sentiment_quality(settings: Callable[[], Settings]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name="sentiment_quality",
        asset=Stage.COMPETITOR_SENTIMENT.value,
        description=(
            "Macro-F1 of the configured judge on labels: what people corrected on the pages, and "
            "the utterances of CALLPIPELINE_SENTIMENT_LABELS. "
            "Fails if another judge makes more labels wrong than right, compared with the one "
            "before. An evaluation is not repeated while judge and labels are the same."
        ),
    )
    def sentiment(
        storage: dg.ResourceParam[Storage], stages: dg.ResourceParam[Stages]
    ) -> dg.AssetCheckResult:
        with expose_errors():
            judge, file = stages.engines.judge, settings().sentiment_labels_path
            rows = utterance_rows(storage.corrections.corrected(), storage.calls.segments)
            corrected = utterances_of_rows(rows)
            evaluating = evaluate_sentiment(storage.evaluations, judge, file, corrected)
            return _quality(asyncio.run(evaluating))

    return sentiment


def _quality(found: Regression) -> dg.AssetCheckResult:
    """Return a warning if more labels became wrong than right, an error if that is no chance."""
    is_error = found.is_significant
    return dg.AssetCheckResult(
        passed=not found.is_worse,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=found.describe(),
        metadata={name: round(number, 3) for name, number in found.now.numbers.items()},
    )


def _as_asset_check(check: CallCheck, quiet_h: float | None) -> dg.AssetChecksDefinition:
    @dg.asset_check(name=check.name, asset=check.asset, description=check.description)
    def evaluate(storage: dg.ResourceParam[Storage]) -> dg.AssetCheckResult:
        with expose_errors():
            runner = CheckRunner(storage.database, storage.outbox, quiet_h, storage.day_zone.get())
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
