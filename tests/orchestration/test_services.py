"""Whole runs whose engines are services over sockets: outages, expired tokens, partial failures."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import soundfile
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.definitions import build
from callpipeline.defs.selection import plan_batches
from callpipeline.defs.unjudged import JOB, OP
from callpipeline.domain.call import CallState
from callpipeline.engines.known_call import RECORDING
from callpipeline.pipeline.ingest import ingest
from tests.fakes.services import FaultServer
from tests.fakes.services.faults import REFUSALS, STATUS_500, STATUS_503
from tests.fakes.services.plans import about
from tests.fakes.services.script import Segments, said
from tests.orchestration.lab import Lab

SAID = "We left Vodafone. Then Talk Talk was slow. Then Virgin Media was too dear."
NAMES = {"Vodafone", "TalkTalk", "Virgin Media"}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callpipeline.engines.http.attempts.WAIT_BASE", 0.0)
    monkeypatch.setattr("callpipeline.engines.http.attempts.JITTER_S", 0.0)


@dataclass
class Site:
    """An installation whose engines are services; its definitions are the product's own."""

    lab: Lab
    services: FaultServer
    settings: Settings
    made: int = field(default=0)

    def calls(self, count: int) -> list[str]:
        """Recordings in which there is speech, no two of them the same."""
        samples, rate_hz = soundfile.read(RECORDING, dtype="int16", always_2d=True)
        return [self._call(samples, rate_hz) for _ in range(count)]

    def _call(self, samples: np.ndarray, rate_hz: int) -> str:
        self.made += 1
        noise = np.random.default_rng(self.made).integers(-3, 4, samples.shape, dtype=np.int16)
        path = self.lab.folder / f"{self.made}.wav"
        soundfile.write(path, samples + noise, rate_hz)
        storage = self.lab.storage
        return ingest(path, storage.inbox, storage.ledger, storage.home).call_id

    def run(self, *call_ids: str) -> bool:
        """One run over the calls, as a sensor asks for it; whether Dagster shows it green."""
        self.lab.definitions = build(self.settings)
        tags = {"callpipeline/batch": f"batch-{self.made}"}
        return self.lab.run(sorted(call_ids), tags=tags, listed=True).success

    def states(self, *call_ids: str) -> set[CallState]:
        return {self.lab.storage.ledger.find(call_id).state for call_id in call_ids}

    def due(self, statement: str) -> None:
        with self.lab.storage.database.transaction() as connection:
            connection.execute(statement.encode())


@pytest.fixture
def site(lab: Lab, services: FaultServer) -> Site:
    services.script.hear = lambda _: said(SAID)
    chosen = {
        "transcription_url": services.url("transcription"),
        "sentiment_url": services.url("sentiment"),
        "auth_url": services.url("auth"),
        "auth_username": "callpipeline",
        "auth_password": SecretStr("a password"),
    }
    return Site(lab, services, lab.settings.model_copy(update=chosen))


def test_an_outage_costs_no_call_a_try_and_all_go_on_when_the_service_is_back(site: Site) -> None:
    call_ids = site.calls(6)
    site.services.plan("transcription", STATUS_503, forever=True)
    assert site.run(*call_ids), "calls that wait make no run red"
    records = [site.lab.storage.ledger.find(call_id) for call_id in call_ids]
    assert {(r.state, r.retries, r.error_class) for r in records} == {
        (CallState.PENDING, 0, "EngineAway")
    }
    [outage] = site.lab.storage.outages.all()
    assert outage.service.startswith("transcription http://127.0.0.1")
    assert outage.calls == 6
    assert plan_batches(site.lab.storage.queue, "b", 200) == [], "nobody asks for a run meanwhile"

    asked = site.services.attempts("transcription")
    assert site.run(*call_ids)
    assert site.services.attempts("transcription") == asked, "nor does a run ask the service"

    site.services.clear("transcription")
    site.due("UPDATE outages SET again_at = now()")
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
    heard = 0

    def hear(_: object) -> Segments:
        nonlocal heard
        heard += 1
        if heard == 5:
            site.services.expire_tokens()
        return said(SAID)

    site.services.script.hear = hear
    assert site.run(*call_ids)
    assert site.states(*call_ids) == {CallState.COMPLETED}
    assert len(site.services.tokens.issued) == 2, "one login, and one more"
    refused = site.services.attempts("transcription") - heard
    assert (heard, refused) in {(10, 1), (10, 2)}, "both channels of one call at most"


def test_sentiment_that_fails_for_one_of_three_completes_the_call(site: Site) -> None:
    [call_id] = site.calls(1)
    site.services.plan("sentiment", STATUS_500, forever=True, where=about("Talk Talk"))
    assert site.run(call_id)
    assert site.states(call_id) == {CallState.COMPLETED}
    results, unjudged = site.lab.storage.results, site.lab.storage.unjudged
    assert {m.competitor for m in results.mentions(call_id) if m.counts} == NAMES
    assert {j.competitor for j in results.judgements(call_id)} == NAMES - {"TalkTalk"}
    assert {one.competitor for one in unjudged.of_calls([call_id])} == {"TalkTalk"}

    site.services.clear("sentiment")
    asked = site.services.attempts("sentiment")
    site.due("UPDATE unjudged SET not_before = now()")
    job = build(site.settings).resolve_job_def(JOB)
    config = {"ops": {OP: {"config": {"calls": [call_id]}}}}
    assert job.execute_in_process(
        instance=site.lab.instance, run_config=config, raise_on_error=False
    ).success
    assert {j.competitor for j in results.judgements(call_id)} == NAMES
    assert site.services.attempts("sentiment") - asked <= 2, "one request a channel at most"
    assert unjudged.of_calls([call_id]) == []


def test_a_recording_that_a_service_refuses_fails_alone_with_the_reason(site: Site) -> None:
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
    assert site.services.attempts("transcription") == 4, "a refusal is not asked for again"
