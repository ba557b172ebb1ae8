"""The command evaluate sentiment: the accuracy of the configured judge on labelled utterances."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from callpipeline import wiring
from callpipeline.cli.present import printable
from callpipeline.cli.session import AsJson, console
from callpipeline.config import settings
from callpipeline.domain.sentiment import Sentiment
from callpipeline.engines.ports import SentimentJudge
from callpipeline.pipeline.quality.sentiment_evaluation import (
    SCORED,
    EvaluationScores,
    JudgedUtterance,
    LabelledUtterance,
    SentimentEvaluation,
    by_confidence,
    by_rule,
    evaluate_judge,
    judge_as_majority,
    judge_texts,
    measure,
    read_utterances,
    worst,
)
from callpipeline.wiring.engines import vader_sentiment


def sentiment(
    files: Annotated[list[Path], typer.Argument(help="JSON lines; see docs/sentiment.md.")],
    worst_count: Annotated[
        int, typer.Option("--worst", help="How many wrong judgements to print.", min=0)
    ] = 10,
    at_least: Annotated[
        float | None,
        typer.Option(help="Exit with 1 if macro-F1 is lower in a file.", min=0.0, max=1.0),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the configured judge on labelled utterances, whole and cut in two.

    VADER and the most frequent label are measured on the same utterances. Nothing is stored.
    """
    sets = [(file, read_utterances(file)) for file in files]
    with wiring.open_engines(settings()) as engines:
        evaluations = [(f, u, asyncio.run(_evaluate(engines.judge, u))) for f, u in sets]
    reports = [_report(*each) for each in evaluations]
    if as_json:
        print(json.dumps(reports, indent=2))
    else:
        for file, utterances, evaluation in evaluations:
            _print(file, utterances, evaluation, worst_count)
    if at_least is not None and any(r["judge"]["macro_f1"] < at_least for r in reports):
        raise typer.Exit(1)


async def _evaluate(
    judge: SentimentJudge, utterances: Sequence[LabelledUtterance]
) -> SentimentEvaluation:
    return await evaluate_judge(judge, utterances)


def _comparison(
    utterances: Sequence[LabelledUtterance], evaluation: SentimentEvaluation
) -> Iterator[tuple[str, EvaluationScores]]:
    yield evaluation.engine, measure(evaluation.whole)
    yield "cut in two", measure(evaluation.cut)
    yield "VADER", measure(judge_texts(utterances, vader_sentiment))
    yield "most frequent label", measure(judge_as_majority(utterances))


def _print(
    file: Path,
    utterances: Sequence[LabelledUtterance],
    evaluation: SentimentEvaluation,
    worst_count: int,
) -> None:
    rows = list(_comparison(utterances, evaluation))
    console.print(
        f"[bold]{printable(file.name)}[/bold]: {len(utterances)} utterances, "
        f"{evaluation.cpu_ms:.1f} ms CPU each",
        highlight=False,
    )
    console.print(_scores_table(rows))
    scores = rows[0][1]
    console.print(_labels_table(scores))
    for title, groups in (
        ("decided by", by_rule(evaluation.whole)),
        ("confidence", by_confidence(evaluation.whole)),
    ):
        if groups:
            console.print(_groups_table(title, groups))
    for each in worst(evaluation.whole, worst_count):
        console.print(
            f"  {each.sentiment} instead of {each.utterance.label}: "
            f"{printable(each.utterance.text)} ({printable(each.rule)})",
            highlight=False,
            soft_wrap=True,
        )


def _scores_table(rows: Sequence[tuple[str, EvaluationScores]]) -> Table:
    table = Table("judge", "macro-F1", "95 %", "accuracy", "turned round")
    for name, scores in rows:
        low, high = scores.interval
        table.add_row(
            printable(name),
            f"{scores.macro_f1:.2f}",
            f"{low:.2f}–{high:.2f}",
            f"{scores.accuracy:.2f}",
            f"{100 * scores.turned_round:.0f} %",
        )
    return table


def _labels_table(scores: EvaluationScores) -> Table:
    said = [*SCORED, Sentiment.MIXED]
    table = Table("label", "precision", "recall", *(f"→ {label}" for label in said))
    for label in said:
        counts = [scores.confusion.get((label, each), 0) for each in said]
        if label in SCORED:
            shown = (f"{scores.precision[label]:.2f}", f"{scores.recall[label]:.2f}")
        else:
            shown = ("–", "–")
        table.add_row(label, *shown, *map(str, counts))
    return table


def _groups_table(title: str, groups: Sequence[tuple[str, Sequence[JudgedUtterance]]]) -> Table:
    table = Table(title, "judgements", "right", "turned round")
    for name, judged in groups:
        right = sum(each.is_right for each in judged) / len(judged)
        turned = sum(each.is_turned_round for each in judged)
        table.add_row(printable(name), str(len(judged)), f"{100 * right:.0f} %", str(turned))
    return table


def _report(
    file: Path, utterances: Sequence[LabelledUtterance], evaluation: SentimentEvaluation
) -> dict[str, Any]:
    names = ("judge", "cut", "vader", "majority")
    scores = [_as_json(scores) for _, scores in _comparison(utterances, evaluation)]
    return {
        "file": file.name,
        "engine": evaluation.engine,
        "count": len(utterances),
        "cpu_ms": round(evaluation.cpu_ms, 2),
        **dict(zip(names, scores, strict=True)),
        "by_rule": _groups_as_json(by_rule(evaluation.whole)),
        "by_confidence": _groups_as_json(by_confidence(evaluation.whole)),
    }


def _as_json(scores: EvaluationScores) -> dict[str, Any]:
    return {
        "macro_f1": round(scores.macro_f1, 4),
        "interval": [round(edge, 4) for edge in scores.interval],
        "accuracy": round(scores.accuracy, 4),
        "turned_round": round(scores.turned_round, 4),
        "precision": {label: round(value, 4) for label, value in scores.precision.items()},
        "recall": {label: round(value, 4) for label, value in scores.recall.items()},
        "confusion": {f"{true} {said}": n for (true, said), n in sorted(scores.confusion.items())},
    }


def _groups_as_json(
    groups: Sequence[tuple[str, Sequence[JudgedUtterance]]],
) -> list[dict[str, Any]]:
    return [
        {
            "group": name,
            "count": len(judged),
            "right": sum(each.is_right for each in judged),
            "turned_round": sum(each.is_turned_round for each in judged),
        }
        for name, judged in groups
    ]
