"""The database and the bucket of the old system, filled with jobs."""

import json
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

TABLES = """
CREATE TABLE jobs (
    id uuid PRIMARY KEY, filename varchar, status varchar, error_message text,
    left_channel_url varchar, right_channel_url varchar,
    left_transcript_path varchar, right_transcript_path varchar, competitors_found varchar[],
    current_step varchar, progress_percentage varchar, total_competitors varchar,
    completed_competitors varchar, created_at timestamp, updated_at timestamp,
    completed_at timestamp
);
CREATE TABLE sentiment_results (
    id uuid PRIMARY KEY, job_id uuid, competitor_name varchar, segment_text text,
    sentiment varchar, detection_method varchar, detection_details text, segment_id varchar,
    start_time varchar, end_time varchar, context varchar, metadata_json jsonb, created_at timestamp
);
"""
FIRST_AT = datetime(2025, 5, 6, 9, 30)  # noqa: DTZ001 - naive UTC, as in the old tables
SAID = {
    "left": ["thanks for calling Riverside", "we can match that"],
    "right": ["I think Ee is cheaper", "and vodafone never answer", "I think Ee is cheaper"],
}


def old_id(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"old job {number}"))


class OldSystem:
    """Adds jobs to the old tables, and their transcripts to a folder that serves as bucket."""

    def __init__(self, url: str, bucket: Path) -> None:
        self.url = url
        self.bucket = bucket
        bucket.mkdir(exist_ok=True)
        self.execute(TABLES)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement.encode(), parameters or None)

    def insert(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        names = ", ".join(rows[0])
        places = ", ".join("%s" for _ in rows[0])
        statement = f"INSERT INTO {table} ({names}) VALUES ({places})"
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.executemany(statement.encode(), [list(row.values()) for row in rows])

    def add_jobs(self, *numbers: int, transcripts: bool = True, **changes: Any) -> None:
        """Add completed jobs, each with two sentiment results on the right channel."""
        jobs = [_job(number, transcripts) | changes for number in numbers]
        self.insert("jobs", jobs)
        self.insert("sentiment_results", [r for number in numbers for r in _results(number)])
        for number in numbers if transcripts else ():
            for side, texts in SAID.items():
                self.put(number, side, {"success": True, "data": a_transcript_of(texts)})

    def put(self, number: int, side: str, document: Any) -> None:
        path = self.bucket / "transcripts" / old_id(number) / f"{side}_transcript.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))


def _job(number: int, transcripts: bool) -> dict[str, Any]:
    at = FIRST_AT + timedelta(hours=number)
    folder = f"transcripts/{old_id(number)}"
    return {
        "id": old_id(number),
        "filename": f"call {number}.wav",
        "status": "COMPLETED",
        "error_message": None,
        "left_transcript_path": f"{folder}/left_transcript.json" if transcripts else None,
        "right_transcript_path": f"{folder}/right_transcript.json" if transcripts else None,
        "competitors_found": ["Ee", "Vodafone"],
        "progress_percentage": "100%",
        "total_competitors": "2",
        "completed_competitors": "2",
        "created_at": at,
        "updated_at": at + timedelta(minutes=2),
        "completed_at": at + timedelta(minutes=2),
    }


def result_id(number: int, which: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"old result {number} {which}"))


def a_result(number: int, which: int, name: str, text: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": result_id(number, which),
        "job_id": old_id(number),
        "competitor_name": name,
        "segment_text": text,
        "sentiment": "neutral",
        "detection_method": "llm-based",
        "detection_details": "LLM analysis",
        "segment_id": str(which),
        "start_time": f"{which * 4.0}",
        "end_time": f"{which * 4.0 + 3}",
        "context": name,
        "created_at": FIRST_AT + timedelta(hours=number, minutes=1),
    } | changes


def _results(number: int) -> list[dict[str, Any]]:
    return [
        a_result(number, 2, "Ee", SAID["right"][2], sentiment="positive"),
        a_result(
            number,
            1,
            "Vodafone",
            SAID["right"][1],
            sentiment="negative",
            detection_method="rule-based",
            detection_details="never answer",
        ),
    ]


def a_transcript_of(texts: Sequence[str]) -> dict[str, Any]:
    segments = [
        {"id": at, "start": at * 4.0, "end": at * 4.0 + 3, "text": f" {text}"}
        for at, text in enumerate(texts)
    ]
    return {"model": "large-v3", "text": " ".join(texts), "segments": segments}
