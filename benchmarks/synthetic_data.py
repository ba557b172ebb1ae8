"""Synthetic calls with agents, times, states and lengths, and the vocabulary of their speech."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb

from callpipeline.domain.calls.call import Recording

Row = tuple[Any, ...]

STATES = ("COMPLETED", "FAILED", "PENDING", "PROCESSING", "DUPLICATE", "ERASED")
SHARES = (0.94, 0.02, 0.015, 0.005, 0.015, 0.005)


@dataclass(frozen=True, slots=True)
class DatasetSize:
    """Numbers of synthetic rows. One call in 2,000 is two hours long."""

    calls: int = 100_000
    segments: int = 2_000_000
    mentions: int = 200_000
    agents: int = 40
    competitors: int = 30
    days: int = 400
    seed: int = 7


@dataclass(frozen=True, slots=True)
class SyntheticCall:
    """A row of `calls` with its number of segments."""

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


def generate_calls(
    size: DatasetSize, rng: np.random.Generator, now: datetime
) -> Iterator[SyntheticCall]:
    """Generate calls, oldest first; only recent ones are pending or in progress."""
    ages = np.sort(rng.random(size.calls))[::-1] * size.days * 86_400 + 3_600
    states = rng.choice(len(STATES), size.calls, p=SHARES)
    lengths = _lengths(size, rng)
    agents = zipf(len(AGENTS[: size.agents]), size.calls, rng, steepness=0.5)
    known = rng.random(size.calls) > 0.03
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
        call = _call(n, state, at, agent, int(lengths[n]), first)
        first = call.call_id if state == "COMPLETED" else first
        yield call


def _call(
    number: int, state: str, at: datetime, agent: str | None, segments: int, first: str | None
) -> SyntheticCall:
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
        "synthetic-run" if state == "PROCESSING" else None,
        *(("transcripts", "EngineUnavailable", "The recogniser did not answer.", True)
          if failed else (None, None, None, None)),
        *(created_at, done_at or created_at, done_at, done_at),
    )  # fmt: skip
    if state == "ERASED":
        row = (row[0], "", "(erased)", row[0], 0, row[5], None, Jsonb({}), None, *row[9:])
    stored = segments if state == "COMPLETED" else 0
    return SyntheticCall(recording.call_id, state, at, created_at, stored, row)


def _lengths(size: DatasetSize, rng: np.random.Generator) -> np.ndarray:
    """Return the number of segments per call: most last a few minutes, some two hours."""
    weights = rng.lognormal(0.0, 0.7, size.calls)
    weights[:: max(size.calls // 50, 1)] *= 40
    mean = size.segments / (weights.sum() * SHARES[0])
    return np.maximum((weights * mean).round().astype(int), 2)


def zipf(kinds: int, count: int, rng: np.random.Generator, *, steepness: float = 1.0) -> np.ndarray:
    weights = 1.0 / np.arange(1, kinds + 1) ** steepness
    edges = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(edges, rng.random(count)), kinds - 1)


_COMMON = (
    "the i to you and it a that is of in so on have for yes we be with my not can do but your this "
    "just no okay are was if it's me what at i'm all there as that's know one get don't they or "
    "right will would then now see our from like well because out up thank about been had could "
    "when please good how some which does too i've that'll let's time call number account name "
    "going want need look think said really got back thing day month bill phone line service check "
    "pay contract address email date today tomorrow week year first last moment bear hold speak "
    "customer team manager price offer deal package internet broadband router speed engineer visit "
    "appointment order delivery payment card bank direct debit balance due charge refund credit "
    "cancel cancelled upgrade renew renewal switch move leave stay join complaint problem issue "
    "fault slow fast working broken connection signal coverage data minutes text roaming device "
    "handset sim plan monthly cheaper expensive discount free extra cost pounds pence security "
    "password postcode confirm question answer help happy sorry apologise understand explain "
    "system notes department transfer waiting queue minute hour morning afternoon evening sure "
    "perfect lovely great brilliant fine alright course actually basically obviously probably "
    "maybe anyway anything everything something nothing someone anyone else other another same "
    "different new old better worse best still already again always never sometimes often"
)
COMMON = tuple(_COMMON.split())
"""The most common words of such calls, in order of frequency."""

PHRASES = (
    "thank you for calling",
    "is there anything else",
    "cancel my contract",
    "speak to a manager",
    "fed up with the service",
    "thinking of switching",
    "cheaper somewhere else",
    "out of contract now",
    "price went up again",
    "matching their offer",
)

AGENTS = tuple(
    f"{first} {last}"
    for last in ("Abbot", "Baker", "Cole", "Dixon")
    for first in ("Ann", "Ben", "Cara", "Dev", "Ella", "Finn", "Gita", "Hugo", "Iris", "Jon")
)

_COMPETITORS = (
    "Vodafone,Virgin Media,Sky,EE,Three,O2,BT,TalkTalk,giffgaff,Plusnet,Tesco Mobile,Lebara,"
    "Hyperoptic,Zen,Community Fibre,Smarty,Voxi,iD Mobile,Spusu,Lyca,Gigaclear,KCOM,Now,Cuckoo,"
    "Onestream,Trooli,Truespeed,YouFibre,Toob,Brsk"
)
COMPETITORS = tuple(_COMPETITORS.split(","))


def vocabulary() -> list[str]:
    """Return 20,000 words: the common ones, then words of a recogniser's dictionary."""
    import pocketsphinx

    common = set(COMMON)
    dictionary = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    known = (line.split(maxsplit=1)[0] for line in dictionary.read_text().splitlines() if line)
    rare = [word for word in known if word.isalpha() and len(word) > 3 and word not in common]
    return [*dict.fromkeys(COMMON), *rare[:: max(len(rare) // 20_000, 1)][:20_000]]
