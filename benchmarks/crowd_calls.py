"""The calls of a made-up crowd: who, when, in what state, how long."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb

from benchmarks.crowd_words import AGENTS
from callpipeline.domain.call import Recording

Row = tuple[Any, ...]

STATES = ("COMPLETED", "FAILED", "PENDING", "PROCESSING", "DUPLICATE", "ERASED")
SHARES = (0.94, 0.02, 0.015, 0.005, 0.015, 0.005)


@dataclass(frozen=True, slots=True)
class Size:
    """How many there are of what; one call in 2,000 is two hours long."""

    calls: int = 100_000
    segments: int = 2_000_000
    mentions: int = 200_000
    agents: int = 40
    competitors: int = 30
    days: int = 400
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Made:
    """A call as it is entered, with its number of segments."""

    call_id: str
    state: str
    took_place_at: datetime
    created_at: datetime
    segments: int
    row: Row


_COLUMNS = (
    "call_id bucket key etag size_bytes last_modified sha256 metadata started_at duplicate_of lane "
    "state claimed_by error_stage error_class error_message error_transient created_at updated_at "
    "completed_at first_ended_at"
)
CALL_COLUMNS = tuple(_COLUMNS.split())


def calls_of(size: Size, chance: np.random.Generator, now: datetime) -> Iterator[Made]:
    """Oldest first. What waits or is worked on is of today: nothing waits for a year."""
    ages = np.sort(chance.random(size.calls))[::-1] * size.days * 86_400 + 3_600
    states = chance.choice(len(STATES), size.calls, p=SHARES)
    lengths = _lengths(size, chance)
    agents = zipf(len(AGENTS[: size.agents]), size.calls, chance, steepness=0.5)
    known = chance.random(size.calls) > 0.03
    first: str | None = None
    for n in range(size.calls):
        waits = n >= size.calls * 0.97
        state = STATES[states[n]]
        if state in ("PENDING", "PROCESSING") and not waits:
            state = "COMPLETED"
        if waits and n % 3 == 0 and state == "COMPLETED":
            state = "PENDING" if n % 4 else "PROCESSING"
        if state == "DUPLICATE" and first is None:
            state = "COMPLETED"
        agent = AGENTS[agents[n]] if known[n] else None
        at = now - timedelta(seconds=float(ages[n]))
        made = _call(n, state, at, agent, int(lengths[n]), first)
        first = made.call_id if state == "COMPLETED" else first
        yield made


def _call(
    number: int, state: str, at: datetime, agent: str | None, segments: int, first: str | None
) -> Made:
    created_at = at + timedelta(seconds=900)
    bucket = ("recordings", "branch", "archive")[number % 10 // 7 + number % 20 // 19]
    named = (agent or "unknown").lower().replace(" ", "-")
    key = f"{at:%Y/%m}/{named}_{at:%Y%m%dT%H%M%S}_{number % 7_919:05}.wav"
    recording = Recording(bucket, key, f"e{number}", 960_000, at)
    ended = state not in ("PENDING", "PROCESSING")
    done_at = created_at + timedelta(seconds=60) if ended else None
    failed = state == "FAILED"
    row: Row = (
        *(recording.call_id, bucket, key, f"e{number}", 960_000, at, None),
        Jsonb({"agent": agent, "direction": ("in", "out")[number % 2]} if agent else {}),
        at if number % 11 else None,
        first if state == "DUPLICATE" else None,
        ("live", "bulk")[number % 13 == 0],
        state,
        "run-of-the-crowd" if state == "PROCESSING" else None,
        *(("transcripts", "EngineUnavailable", "The recogniser did not answer.", True)
          if failed else (None, None, None, None)),
        *(created_at, done_at or created_at, done_at, done_at),
    )  # fmt: skip
    if state == "ERASED":
        row = (row[0], "", "(erased)", row[0], 0, row[5], None, Jsonb({}), None, *row[9:])
    stored = segments if state == "COMPLETED" else 0
    return Made(recording.call_id, state, at, created_at, stored, row)


def _lengths(size: Size, chance: np.random.Generator) -> np.ndarray:
    """Segments of each call: most are a few minutes long, some two hours."""
    weights = chance.lognormal(0.0, 0.7, size.calls)
    weights[:: max(size.calls // 50, 1)] *= 40
    mean = size.segments / (weights.sum() * SHARES[0])
    return np.maximum((weights * mean).round().astype(int), 2)


def zipf(
    kinds: int, count: int, chance: np.random.Generator, *, steepness: float = 1.0
) -> np.ndarray:
    weights = 1.0 / np.arange(1, kinds + 1) ** steepness
    edges = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(edges, chance.random(count)), kinds - 1)
