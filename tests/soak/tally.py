"""Counts of calls in the database and the object store: LOST, DUP and PARTIAL."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.storage.objects.folder_walk import PARTIAL_PREFIX
from callpipeline.storage.postgres.sql import SCHEMA
from callpipeline.storage.results.serialization import transcript_from_json

PER_CALL = {"recordings": 1, "call_metrics": 1, "channels": 2, "transcripts": 2, "call_stages": 5}
OBJECTS = ("left.flac", "right.flac", "transcript.left.json", "transcript.right.json")

_COUNTED = ", ".join(
    f"(SELECT count(*) FROM {table} t WHERE t.call_id = c.call_id) AS {table}"
    for table in (*PER_CALL, "mentions", "sentiment")
)
_CALLS = f"""
SELECT c.call_id, c.key, c.state, {_COUNTED},
       ARRAY(SELECT DISTINCT channel || ' ' || split_part(text, ' ', 1)
             FROM segments s WHERE s.call_id = c.call_id) AS takes
FROM calls c
"""
_TWICE = """
SELECT min(call_id) AS call_id FROM calls WHERE state = 'COMPLETED' AND sha256 IS NOT NULL
GROUP BY sha256 HAVING count(*) > 1
"""


@dataclass
class Tally:
    """Calls by state, and the ones that are wrong.

    `lost`: acknowledged, without a final state. `dup`: more than one set of results. `partial`:
    COMPLETED with fewer results than the recording says.
    """

    states: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    dup: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        states = ", ".join(f"{state} {count}" for state, count in sorted(self.states.items()))
        counted = f"LOST {len(self.lost)}  DUP {len(self.dup)}  PARTIAL {len(self.partial)}"
        return f"{counted}  ({states})"

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.dup or self.partial)


def tally(
    database_url: str, store: Path | None = None, acknowledged: Collection[str] = ()
) -> Tally:
    """Count all calls; `store` is the folder of results, `acknowledged` are keys or call IDs."""
    found = Tally()
    with psycopg.connect(database_url) as connection:
        connection.execute(f"SET search_path TO {SCHEMA}".encode())
        cursor = connection.cursor(row_factory=dict_row)
        rows = cursor.execute(_CALLS.encode()).fetchall()
        found.dup = [row["call_id"] for row in cursor.execute(_TWICE.encode())]
    for row in rows:
        _count(found, row, store)
    registered = {row["call_id"] for row in rows} | {row["key"] for row in rows}
    found.lost += [f"{name}: never registered" for name in acknowledged if name not in registered]
    return found


_MISSING_IN_DAGSTER = f"""
SELECT count(*) FROM {SCHEMA}.call_stages s JOIN {SCHEMA}.calls c USING (call_id)
WHERE c.state = 'COMPLETED' AND NOT EXISTS (
    SELECT FROM public.event_logs e
    WHERE e.dagster_event_type = 'ASSET_MATERIALIZATION' AND e.partition = s.call_id
      AND e.asset_key = '["' || s.stage || '"]')
"""


def count_missing_in_dagster(database_url: str) -> int:
    """Count the stored stages of completed calls that Dagster doesn't show.

    Their run died before it reported them.
    """
    with psycopg.connect(database_url) as connection:
        row = connection.execute(_MISSING_IN_DAGSTER.encode()).fetchone()
    return row[0] if row else 0


def _count(found: Tally, row: dict[str, Any], store: Path | None) -> None:
    state = CallState(row["state"])
    found.states[state] += 1
    if not state.is_final:
        found.lost.append(f"{row['call_id']} {row['key']}: {state}")
    elif state is CallState.DUPLICATE and any(row[table] for table in PER_CALL):
        found.dup.append(f"{row['call_id']} {row['key']}: a duplicate with results")
    elif state is CallState.COMPLETED:
        wrong = _wrong(row, store)
        found.dup += [f"{row['call_id']} {row['key']}: {what}" for what in wrong if "more" in what]
        found.partial += [
            f"{row['call_id']} {row['key']}: {what}" for what in wrong if "more" not in what
        ]


def _wrong(row: dict[str, Any], store: Path | None) -> list[str]:
    """Return where a completed call has more or fewer results than its recording says."""
    match = re.search(r"soak-\d+-m(\d+)", row["key"])
    mentions = int(match[1]) if match else row["mentions"]
    expected = PER_CALL | {"mentions": mentions, "sentiment": mentions, "call_stages": len(Stage)}
    counts = {table: row[table] for table in expected}
    if len(row["takes"]) != 2:
        wrong = [f"{'more' if len(row['takes']) > 2 else 'fewer'} takes: {row['takes']}"]
    else:
        wrong = []
    for table, count in expected.items():
        if counts[table] != count:
            kind = "more" if counts[table] > count else "fewer"
            wrong.append(f"{kind} {table}: {counts[table]}, not {count}")
    return wrong + (_wrong_objects(row, store) if store else [])


def _wrong_objects(row: dict[str, Any], store: Path) -> list[str]:
    """Return how the stored objects differ from the rows."""
    folder = store / "calls" / row["call_id"]
    # Partial files of killed processes are no objects: listings leave them out.
    partial = PARTIAL_PREFIX.decode()
    names = (path.name for path in folder.iterdir()) if folder.exists() else ()
    present = sorted(name for name in names if not name.startswith(partial))
    if present != sorted(OBJECTS):
        return [f"{'more' if len(present) > len(OBJECTS) else 'fewer'} objects: {present}"]
    takes: set[str] = set()
    for name in OBJECTS[2:]:
        transcript = transcript_from_json((folder / name).read_bytes())
        takes |= {f"{s.channel} {s.text.split()[0]}" for s in transcript.segments}
    return (
        [] if takes == set(row["takes"]) else [f"more than one take: {takes}, rows {row['takes']}"]
    )


_WAITS = f"""
SELECT percentile_cont(0.5) WITHIN GROUP (
    ORDER BY extract(epoch FROM s.stored_at - c.created_at) - s.took_s)
FROM {SCHEMA}.calls c JOIN {SCHEMA}.call_stages s USING (call_id)
WHERE s.stage = 'channel_audio' AND c.call_id = ANY(%s)
"""


def median_wait_s(database_url: str, call_ids: Sequence[str]) -> float:
    """Return the median seconds between registration and the start of the first stage."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(_WAITS.encode(), [list(call_ids)]).fetchone()
    assert row and row[0] is not None
    return float(row[0])
