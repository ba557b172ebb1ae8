"""Completed calls, and their rematch as the job does it, without Dagster."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.engines.sentiment.lexicon import LexiconJudge
from callpipeline.pipeline.processing.stages import Engines, Stages
from callpipeline.pipeline.rematch.planning import continue_rematch
from callpipeline.pipeline.rematch.rematcher import Rematcher, RematchEvent
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.objects import keys
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.storage.postgres import tables
from callpipeline.storage.results import serialization
from callpipeline.wiring import Storage
from tests.builders import a_transcript

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = (
    "Vodafone is cheaper than Sky and Three is terrible.",
    "I am leaving Vodafone for Three because the sky is the limit.",
    "We tried three times, then EE called.",
    "Sky TV is great but Sky is expensive, and Orange is worse.",
    "Please help me with my bill.",
)
COMMAND = NewChange(ChangeOrigin.COMMAND)


def fill(storage: Storage, texts: Sequence[str] = TEXTS) -> list[str]:
    """Store completed calls whose mentions rules before the first version made."""
    first = storage.catalogs.apply(Catalog((Competitor("Vodafone"),)), COMMAND)
    call_ids = [f"2026-01-01-{number:012x}" for number in range(len(texts))]
    with storage.database.transaction() as connection:
        for call_id, text in zip(call_ids, texts, strict=True):
            transcript = a_transcript(text, engine="supplied")
            document = serialization.transcript_to_json(transcript)
            storage.store.put(keys.transcript(call_id, transcript.channel), document)
            call = {"call_id": call_id, "bucket": "b", "key": call_id, "etag": "e"}
            ended = {"size_bytes": 1, "last_modified": NOW, "state": "COMPLETED"}
            tables.insert(connection, "calls", [call | ended | {"completed_at": NOW}])
            head = serialization.transcript_row(call_id, transcript)
            tables.insert(connection, "transcripts", [head])
            segments = [serialization.segment_row(call_id, each) for each in transcript.segments]
            tables.insert(connection, "segments", segments)
            for place, stage in enumerate(Stage):
                row = {"call_id": call_id, "stage": stage, "run_id": "first", "took_s": 1.0}
                row |= {"catalog_version": first.version if place > 2 else None}
                row |= {"rule_version": 0 if stage is Stage.COMPETITOR_MENTIONS else None}
                stored_at = NOW + timedelta(minutes=1)
                tables.insert(connection, "call_stages", [row | {"stored_at": stored_at}])
    rematch(storage)
    return call_ids


def stages(storage: Storage, catalog: Catalog) -> Stages:
    unused = cast(Any, None)
    return Stages(
        engines=Engines(unused, unused, unused, LexiconJudge()),
        recordings=unused,
        supplied=unused,
        states=storage.claims,
        results=storage.results,
        catalog=catalog,
        matcher=Matcher(catalog),
        measure_peaks=unused,
    )


def in_force(storage: Storage) -> Catalog:
    current = storage.catalogs.current()
    assert current
    catalog = storage.catalogs.catalog(current.version)
    assert catalog
    return catalog


def rematch(storage: Storage, *, may_stay_open: bool = False) -> list[RematchEvent]:
    """Rematch all calls that need it, as the job does; assert that none is left."""
    catalog = in_force(storage)
    current = continue_rematch(storage.rematches, catalog)
    if current is None:
        return []
    made = stages(storage, catalog)
    worker = Rematcher(made, storage.rematches, current.rematch_id, "run")

    async def work() -> list[RematchEvent]:
        todo = storage.rematches.todo(current.rematch_id, 1000)
        return [event async for event in worker.rematch_all(todo, concurrency=1)]

    events = asyncio.run(work())
    storage.rematches.finish()
    assert may_stay_open or storage.rematches.current() is None
    return events
