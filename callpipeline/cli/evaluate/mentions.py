"""`callpipeline evaluate mentions`: precision, recall and questions on labels; their export."""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.present import escape
from callpipeline.cli.session import AsJson, console, open_storage_migrated, settings
from callpipeline.pipeline.quality.mention_labels import (
    MentionReport,
    MentionScore,
    measure_mentions,
    measure_taught,
    read_labels,
    rows_of,
)
from callpipeline.pipeline.quality.regressions import LABEL_COLUMNS, reviewed_rows
from callpipeline.pipeline.quality.sentiment_evaluation import utterance_rows
from callpipeline.storage.catalog.files import read_catalog


def mentions(
    labels: Annotated[
        Path, typer.Argument(help="A CSV file with name, is_company and context.", metavar="LABELS")
    ],
    transcripts: Annotated[
        Path | None,
        typer.Option(help="Whole calls, <call>.json, instead of the contexts.", metavar="FOLDER"),
    ] = None,
    catalog: Annotated[
        Path | None, typer.Option(help="Take the names from this catalog.", metavar="FILE")
    ] = None,
    lower_case: Annotated[
        bool, typer.Option("--lower-case", help="Lower the text, as many recognisers write it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how well names are distinguished from ordinary words, before and after review.

    Names that are not in the catalog count as ambiguous. A person's answers are simulated from the
    labels: one question for each open name of a call.
    """
    listed = read_catalog(catalog).catalog.competitors if catalog else ()
    labelled = read_labels(labels, transcripts, lower_case=lower_case)
    known = {c.name: c for c in listed}
    open_matcher = partial(wiring.open_matcher, settings())
    report = measure_mentions(labelled, known, open_matcher)
    taught = measure_taught(labelled, known, open_matcher)
    if as_json:
        print(json.dumps(_document(report) | {"after_two_answers": _scores(taught)}, indent=2))
        return
    table = present.grid(
        "name", "precision", "recall", "F1", "reviewed: precision", "reviewed: recall"
    )
    for name, automatic, reviewed in rows_of(report):
        table.add_row(present.printable(name), *_shown(automatic), *_shown(reviewed)[:2])
    console.print(table)
    console.print(f"{report.questions_per_call:.1f} questions per call in {report.calls:,} calls")
    if taught.f1 is not None:
        line = "After two answers about a name: precision {}, recall {}, F1 {}"
        console.print(line.format(*_shown(taught)), highlight=False)


def labels(
    file: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE")],
    sentiment: Annotated[
        bool, typer.Option("--sentiment", help="Corrected sentiment, for `evaluate sentiment`.")
    ] = False,
) -> None:
    """Write what people decided in review as a CSV file of labels, for `evaluate mentions`.

    With --sentiment: what they corrected, as JSON lines. Both hold words from transcripts: keep
    them as safe as the calls.
    """
    with open_storage_migrated() as storage:
        if sentiment:
            corrected = storage.corrections.corrected()
            rows: list[dict[str, Any]] = list(utterance_rows(corrected, storage.calls.segments))
        else:
            rows = list(reviewed_rows(storage.evaluations.reviewed_mentions()))
    with file.open("w", encoding="utf-8", newline="") as written:
        if sentiment:
            written.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(written, list(LABEL_COLUMNS))
            writer.writeheader()
            writer.writerows(rows)
    console.print(f"{len(rows):,} labels written to {escape(str(file))}", highlight=False)


def _shown(score: MentionScore) -> tuple[str, str, str]:
    precision, recall = score.intervals()
    return (
        _with_interval(score.precision, precision),
        _with_interval(score.recall, recall),
        _plain(score.f1),
    )


def _plain(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f}"


def _with_interval(share: float | None, interval: tuple[float, float]) -> str:
    return "-" if share is None else f"{share:.2f} ({interval[0]:.2f}-{interval[1]:.2f})"


def _document(report: MentionReport) -> dict[str, Any]:
    names = {
        name: {"automatic": _scores(automatic), "reviewed": _scores(reviewed)}
        for name, automatic, reviewed in rows_of(report)
    }
    total = names.pop("All names")
    return {
        "calls": report.calls,
        "questions_per_call": round(report.questions_per_call, 3),
        "all": total,
        "names": names,
    }


def _scores(score: MentionScore) -> dict[str, Any]:
    precision, recall = score.intervals()
    return {
        "precision": score.precision,
        "precision_interval": precision,
        "recall": score.recall,
        "recall_interval": recall,
        "f1": score.f1,
        "right": score.right,
        "wrong": score.wrong,
        "missed": score.missed,
    }
