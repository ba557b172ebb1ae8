"""Runs with engines over sockets: outages, expired tokens and partial failures."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import soundfile
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.definitions import build
from callpipeline.defs.jobs.missing_judgements import JOB, OP
from callpipeline.defs.jobs.process_calls import plan_batches
from callpipeline.domain.calls.call import CallState
from callpipeline.engines.reference_call import RECORDING
from callpipeline.pipeline.ingest.registration import ingest_file
from tests.fakes.services import FaultServer
from tests.fakes.services.faults import REFUSALS, STATUS_500, STATUS_503, for_competitor
from tests.fakes.services.script import Segments, scripted_segments
from tests.orchestration.lab import Lab

SAID = "We left Vodafone. Then Talk Talk was slow. Then Virgin Media was too dear."
NAMES = {"Vodafone", "TalkTalk", "Virgin Media"}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callpipeline.engines.http.messages.BACKOFF_BASE", 0.0)
    monkeypatch.setattr("callpipeline.engines.http.messages.JITTER_S", 0.0)


@dataclass
class Site:
    """An installation with remote engines and the real definitions."""

    lab: Lab
    services: FaultServer
    settings: Settings
    count: int = field(default=0)

    def calls(self, count: int) -> list[str]:
        """Return calls with speech, each with different bytes."""
        samples, rate_hz = soundfile.read(RECORDING, dtype="int16", always_2d=True)
        return [self._call(samples, rate_hz) for _ in range(count)]

    def _call(self, samples: np.ndarray, rate_hz: int) -> str:
        self.count += 1
        noise = np.random.default_rng(self.count).integers(-3, 4, samples.shape, dtype=np.int16)
        path = self.lab.folder / f"{self.count}.wav"
        soundfile.write(path, samples + noise, rate_hz)
        storage = self.lab.storage
        return ingest_file(path, storage.inbox, storage.ledger, storage.home).call_id

    def run(self, *call_ids: str) -> bool:
        """Execute one run over the calls, as a sensor requests it; returns True if it succeeds."""
        self.lab.definitions = build(self.settings)
        tags = {"callpipeline/batch": f"batch-{self.count}"}
        return self.lab.run(sorted(call_ids), tags=tags, listed=True).success

    def states(self, *call_ids: str) -> set[CallState]:
        return {self.lab.storage.ledger.find(call_id).state for call_id in call_ids}

    def due(self, statement: str) -> None:
        with self.lab.storage.database.transaction() as connection:
            connection.execute(statement.encode())


@pytest.fixture
def site(lab: Lab, services: FaultServer) -> Site:
    services.script.recognise = lambda _: scripted_segments(SAID)
    chosen = {
        "transcription_url": services.url("transcription"),
        "sentiment_url": services.url("sentiment"),
        "auth_url": services.url("auth"),
        "auth_username": "callpipeline",
        "auth_password": SecretStr("a password"),
    }
    return Site(lab, services, lab.settings.model_copy(update=chosen))


def test_an_outage_costs_no_attempt_and_calls_continue_when_the_service_is_back(site: Site) -> None:
    call_ids = site.calls(6)
    site.services.plan("transcription", STATUS_503, forever=True)
    assert site.run(*call_ids), "waiting calls do not fail a run"
    records = [site.lab.storage.ledger.find(call_id) for call_id in call_ids]
    assert {(r.state, r.retries, r.error_class) for r in records} == {
        (CallState.PENDING, 0, "ServiceUnavailable")
    }
    [outage] = site.lab.storage.outages.all()
    assert outage.service.startswith("transcription http://127.0.0.1")
    assert outage.calls == 6
    assert plan_batches(site.lab.storage.queue, "b", 200) == [], (
        "no run is requested in the meantime"
    )

    attempts = site.services.attempts("transcription")
    assert site.run(*call_ids)
    assert site.services.attempts("transcription") == attempts, "a run does not query the service"

    site.services.clear("transcription")
    site.due("UPDATE outages SET retry_at = now()")
    assert site.run(call_ids[0])
    assert site.states(call_ids[0]) == {CallState.COMPLETED}
    assert site.lab.storage.outages.all() == []
    [batch] = plan_batches(site.lab.storage.queue, "c", 200)
    assert set(batch.call_ids) == set(call_ids[1:]), "all are due at once"
    assert site.run(*call_ids[1:])
    assert site.states(*call_ids) == {CallState.COMPLETED}


def test_a_token_that_expires_in_the_middle_of_a_run_is_renewed_once(site: Site) -> None:
    call_ids = site.calls(5)
    site.settings = site.settings.model_copy(update={"concurrency": 1})
    transcribed = 0

    def recognise(_: object) -> Segments:
        nonlocal transcribed
        transcribed += 1
        if transcribed == 5:
            site.services.expire_tokens()
        return scripted_segments(SAID)

    site.services.script.recognise = recognise
    assert site.run(*call_ids)
    assert site.states(*call_ids) == {CallState.COMPLETED}
    assert len(site.services.tokens.issued) == 2, "one login, and one more"
    refused = site.services.attempts("transcription") - transcribed
    assert (transcribed, refused) in {(10, 1), (10, 2)}, "both channels of one call at most"


def test_sentiment_that_fails_for_one_of_three_completes_the_call(site: Site) -> None:
    [call_id] = site.calls(1)
    site.services.plan("sentiment", STATUS_500, forever=True, where=for_competitor("Talk Talk"))
    assert site.run(call_id)
    assert site.states(call_id) == {CallState.COMPLETED}
    results, unjudged = site.lab.storage.results, site.lab.storage.unjudged
    assert {m.competitor for m in results.mentions(call_id) if m.counts} == NAMES
    assert {j.competitor for j in results.judgements(call_id)} == NAMES - {"TalkTalk"}
    assert {one.competitor for one in unjudged.of_calls([call_id])} == {"TalkTalk"}

    site.services.clear("sentiment")
    attempts = site.services.attempts("sentiment")
    site.due("UPDATE unjudged SET next_attempt_at = now()")
    job = build(site.settings).resolve_job_def(JOB)
    config = {"ops": {OP: {"config": {"calls": [call_id]}}}}
    assert job.execute_in_process(
        instance=site.lab.instance, run_config=config, raise_on_error=False
    ).success
    assert {j.competitor for j in results.judgements(call_id)} == NAMES
    assert site.services.attempts("sentiment") - attempts <= 2, "one request a channel at most"
    assert unjudged.of_calls([call_id]) == []


def test_a_recording_that_a_service_rejects_fails_alone_with_the_reason(site: Site) -> None:
    good, bad = site.calls(2)
    refusal = next(fault for fault in REFUSALS if "422" in str(fault))
    seen: list[str] = []

    def first_call(arrival: object) -> bool:
        seen.append(str(arrival))
        return len(seen) == 1

    site.services.plan("transcription", refusal, where=first_call)
    assert not site.run(good, bad)
    records = [site.lab.storage.ledger.find(call_id) for call_id in (good, bad)]
    assert {record.state for record in records} == {CallState.COMPLETED, CallState.FAILED}
    [failed] = [record for record in records if record.state is CallState.FAILED]
    assert failed.error_class == "EngineRefused"
    assert "transcription" in (failed.error_message or "")
    assert "422" in (failed.error_message or "")
    assert site.services.attempts("transcription") == 4, "a rejection is not retried"
