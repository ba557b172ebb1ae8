"""A source of another company's recordings: its transcripts, metadata and odd files, end to end."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.domain.audio import Flag, Speaker
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.pipeline.ingest.cursor import DiscoveryCursor
from callpipeline.pipeline.ingest.discovery import Discovery, ScanBudget, discover
from callpipeline.pipeline.processing.processor import Processor, process_calls
from callpipeline.storage.ports.calls import CallSummary
from callpipeline.wiring import Storage

CASES = Path(__file__).parents[1] / "data" / "transcripts"
SOURCES = """
sources:
  - name: foreign
    url: calls
    timezone: Europe/London
    time_format: '%d/%m/%Y %I:%M %p'
    speakers: {Sky Taylor: agent}
    unreadable_transcript: transcribe
    exclude: 'test-*'
    metadata:
      file: calls.csv
      key: Recording
      fields: {agent: Agent, started_at: Start, external_id: Ref, agent_channel: Side}
"""
CSV = (
    "Recording,Agent,Start,Ref,Side\n"
    "aws.wav,Ann,05/07/2026 03:04 PM,A1,right\n"
    "ZOOM.WAV,Bea,06/07/2026 09:00 AM,Z1,\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    calls = tmp_path / "calls"
    calls.mkdir()
    noise = np.random.default_rng(7)
    for name in ("aws.wav", "zoom.wav", "broken.wav", "test-1.wav"):
        soundfile.write(calls / name, noise.normal(0, 0.05, (40_000, 2)), 8000, "PCM_16")
    aws = (CASES / "t01-aws-transcribe-channels.json").read_bytes()
    (calls / "aws.json").write_bytes(aws)
    zoom = (CASES / "t21b-zoom-names-are-brands.vtt").read_bytes()
    (calls / "ZOOM.transcript.VTT").write_bytes(zoom)
    (calls / "broken.srt").write_text("no times at all")
    (calls / "calls.csv").write_text(CSV)
    (calls / "old_$folder$").touch()
    (tmp_path / "sources.yaml").write_text(SOURCES)
    return tmp_path


@pytest.fixture
def options(settings: Settings, folder: Path) -> Settings:
    changed = {"sources": folder / "sources.yaml", "transcriber": "pocketsphinx"}
    return settings.model_copy(update=changed)


@pytest.fixture
def storage(options: Settings, database_url: str) -> Iterator[Storage]:
    with wiring.open_storage(options, database_url) as storage:
        yield storage


def scan(options: Settings, storage: Storage) -> Discovery:
    source = wiring.load_sources(options)[1]
    tick = ScanBudget(datetime.now(UTC), settle_s=0)
    store = wiring.open_source(options, source)
    return discover(source, store, storage.ledger, DiscoveryCursor(), tick)


async def process(options: Settings, storage: Storage) -> None:
    ids = [call.call_id for call in storage.ledger.calls()]
    with wiring.open_stages(options, storage) as stages:
        claimed = storage.claims.claim(ids, "run-1")
        events = process_calls(Processor(stages, "run-1"), claimed, tuple(Stage), concurrency=2)
        async for _ in events:
            pass


def test_each_call_gets_its_transcript_its_speakers_and_its_metadata(
    options: Settings, storage: Storage
) -> None:
    found = scan(options, storage)
    names = {call.file_name for call in storage.ledger.calls()}
    assert names == {"aws.wav", "zoom.wav", "broken.wav"}
    assert found.result.skipped == 6
    asyncio.run(process(options, storage))
    calls = {call.file_name: call for call in storage.ledger.calls()}
    assert {call.state for call in calls.values()} == {CallState.COMPLETED}

    aws, zoom, broken = (calls[name] for name in ("aws.wav", "zoom.wav", "broken.wav"))
    assert aws.metadata == {"agent": "Ann", "external_id": "A1"}
    assert aws.started_at == datetime(2026, 7, 5, 14, 4, tzinfo=UTC)
    assert zoom.metadata == {"agent": "Bea", "external_id": "Z1"}
    assert said(storage, aws) == [(Speaker.CUSTOMER, "hello"), (Speaker.AGENT, "Vodafone")]
    assert said(storage, zoom) == [
        (Speaker.AGENT, "Hello, Riverside Telecom."),
        (Speaker.CUSTOMER, "I need the bill for June."),
        (Speaker.AGENT, "Certainly, one moment."),
        (Speaker.CUSTOMER, "Thank you."),
    ]
    counted = [each for each in storage.results.mentions(zoom.call_id) if each.counts]
    assert counted == [], "names of participants are not said"
    assert Flag.UNREADABLE_TRANSCRIPT in {flag.flag for flag in broken.flags}
    assert "*.srt: line 1" in json.dumps([flag.detail for flag in broken.flags])


def said(storage: Storage, call: CallSummary) -> list[tuple[Speaker, str]]:
    segments = storage.calls.segments(call.call_id)
    return [(segment.speaker, segment.text) for segment in segments]
