"""`callpipeline import-legacy`: jobs, transcripts and sentiment of the old system."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.mentions import Decision, MentionStatus
from callpipeline.domain.redaction.imported import mask_texts
from callpipeline.domain.redaction.masking import RedactionPolicy, count_kinds
from callpipeline.domain.redaction.tokens import Kind
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.transcripts import interleave
from callpipeline.errors import StoreUnavailable
from callpipeline.pipeline.rematch.rematcher import RematchSkipped
from callpipeline.storage.catalog.rematches import Rematches
from callpipeline.storage.objects.folder import FolderStore
from callpipeline.storage.ports.rematch import RematchInput
from callpipeline.storage.reading.search import SearchRequest
from callpipeline.wiring import Storage, open_storage
from tests.integration.calls import change, erase
from tests.integration.command_line import Installation
from tests.integration.databases import execute_sql, new_database
from tests.integration.dumps import in_database, in_files
from tests.integration.old_system import (
    SAID,
    OldSystem,
    a_result,
    a_transcript_of,
    old_id,
    result_id,
)
from tests.integration.rematching import COMMAND, in_force, rematch
from tests.processes import until

CATALOG = "competitors:\n- name: EE\n- name: Vodafone\n- name: Sky\n  ambiguous: true\n"


@pytest.fixture
def old(postgres: str, tmp_path: Path) -> Iterator[OldSystem]:
    with new_database(postgres) as url:
        yield OldSystem(url, tmp_path / "old-bucket")


@pytest.fixture
def here(tmp_path: Path, database_url: str) -> Installation:
    installation = Installation(tmp_path / "home", database_url)
    (installation.home / "competitors.yaml").write_text(CATALOG)
    return installation


@pytest.fixture
def storage(here: Installation, database_url: str) -> Iterator[Storage]:
    options = Settings(home=here.home, database_url=SecretStr(database_url), _env_file=None)  # pyright: ignore[reportCallIssue]
    with open_storage(options, database_url) as storage:
        yield storage


def imported(here: Installation, old: OldSystem, exit_code: int = 0) -> Any:
    words = ("import-legacy", old.url, "--bucket", str(old.bucket))
    return here.json(*words, exit_code=exit_code)


def counts(report: Any) -> dict[str, int]:
    return {name: count for name, count in report["calls"].items() if count}


def calls_by_job(storage: Storage) -> dict[str, Any]:
    return {call.job_uuid: call for call in storage.ledger.calls()}


NUMBER = "my card is 4111 1111 1111 1111 but vodafone is cheaper"
MASKED = "my card is [card] but vodafone is cheaper"
SECRETS = ["4111", "07700", "900123"]


def test_numbers_are_masked_and_a_repeated_import_masks_what_was_imported_before(
    here: Installation, old: OldSystem, storage: Storage, database_url: str
) -> None:
    phone = "call 07700 900123 and ask for vodafone"
    old.add_jobs(1)
    old.put(1, "right", {"success": True, "data": a_transcript_of([NUMBER])})
    details = "the quote " + NUMBER
    results = [
        a_result(1, 7, "Vodafone", NUMBER, context="1111 but vodafone", detection_details=details),
        a_result(1, 8, "Vodafone", phone),
    ]
    old.insert("sentiment_results", results)
    old.execute("UPDATE jobs SET error_message = 'failed at 4111 1111 1111 1111'")
    imported(here, old)
    assert in_database(database_url, SECRETS)
    assert in_files(here.home / "storage", SECRETS)
    here.environment["CALLPIPELINE_REDACT"] = "card,phone"
    assert "1 calls have numbers to mask: card 1, phone 1." in (
        here.run("redact", "--dry-run").stdout
    )
    assert counts(imported(here, old)) == {"updated": 1}
    assert in_database(database_url, SECRETS) == []
    assert in_files(here.home / "storage", SECRETS) == []
    call = calls_by_job(storage)[old_id(1)]
    [segment] = [s for s in storage.calls.segments(call.call_id) if s.channel == "right"]
    assert segment.text == MASKED
    assert count_kinds(storage.results.redactions(call.call_id)) == {"card": 1}
    quotes = {each.quote for each in storage.results.judgements(call.call_id)}
    assert quotes >= {MASKED, "call [phone] and ask for vodafone"}
    assert counts(imported(here, old)) == {"unchanged": 1}
    assert "No stored transcript has numbers" in here.run("redact", "--dry-run").stdout


def test_masking_an_imported_call_keeps_decisions_and_no_earlier_quote(
    here: Installation, old: OldSystem, storage: Storage, database_url: str
) -> None:
    old.add_jobs(1)
    old.put(1, "right", {"success": True, "data": a_transcript_of([NUMBER])})
    judged = [a_result(1, 7, "Vodafone", NUMBER, context="vodafone", start_time="0.0")]
    old.insert("sentiment_results", judged)
    imported(here, old)
    call_id = calls_by_job(storage)[old_id(1)].call_id
    [before] = [each for each in storage.results.mentions(call_id) if each.segment_index == 0]
    storage.reviews.decide(call_id, before.mention_id, Decision.DISMISSED)
    assert "4111" in str(execute_sql(database_url, "SELECT quote FROM replaced_judgements"))
    here.environment["CALLPIPELINE_REDACT"] = "card"
    assert counts(imported(here, old)) == {"updated": 1}
    after = {each.mention_id: each.status for each in storage.results.mentions(call_id)}
    assert before.mention_id not in after, "the mask is shorter than the number"
    assert list(after.values()).count(MentionStatus.DISMISSED) == 1
    assert in_database(database_url, ["4111"]) == []


def test_an_import_with_fewer_kinds_takes_no_mask_off(
    here: Installation, old: OldSystem, storage: Storage, database_url: str
) -> None:
    old.add_jobs(1)
    old.put(1, "right", {"success": True, "data": a_transcript_of([NUMBER])})
    old.insert("sentiment_results", [a_result(1, 8, "Vodafone", "call 07700 900123")])
    here.environment["CALLPIPELINE_REDACT"] = "card,phone"
    assert counts(imported(here, old)) == {"new": 1}
    for kinds in ("", "card"):
        here.environment["CALLPIPELINE_REDACT"] = kinds
        assert counts(imported(here, old)) == {"changed here": 1}
        assert in_database(database_url, SECRETS) == []
    assert in_files(here.home / "storage", SECRETS) == []


RANG = "call 07700 900123 at harbour"


def import_with_numbers(here: Installation, old: OldSystem, storage: Storage) -> str:
    """Import a call with a number before a name, of which the old system judged one; return it."""
    old.add_jobs(1)
    old.put(1, "right", {"success": True, "data": a_transcript_of([NUMBER, RANG])})
    of_old = [a_result(1, 7, "Vodafone", NUMBER, context="vodafone", start_time="0.0")]
    of_old += [a_result(1, 8, "EE", "ee has 07700 900123", detection_details=f"'{NUMBER}'")]
    old.insert("sentiment_results", of_old)
    old.execute("UPDATE jobs SET error_message = 'failed at 4111 1111 1111 1111'")
    imported(here, old)
    return calls_by_job(storage)[old_id(1)].call_id


def test_calls_that_were_rematched_here_are_masked_without_the_old_system(
    here: Installation, old: OldSystem, storage: Storage, database_url: str
) -> None:
    call_id = import_with_numbers(here, old, storage)
    known = in_force(storage)
    storage.catalogs.apply(Catalog((*known.competitors, Competitor("Harbour"))), COMMAND)
    rematch(storage)
    before = {each.competitor: each for each in storage.results.mentions(call_id)}
    assert set(before) == {"Vodafone", "Harbour"}
    storage.reviews.decide(call_id, before["Harbour"].mention_id, Decision.DISMISSED)
    storage.corrections.correct(call_id, before["Vodafone"].mention_id, Sentiment.NEGATIVE)
    assert in_database(database_url, SECRETS)
    here.environment["CALLPIPELINE_REDACT"] = "card,phone"
    assert counts(imported(here, old)) == {"changed here": 1}
    old.execute("DROP TABLE sentiment_results; DROP TABLE jobs")
    done = here.run("redact", "--yes").stdout
    assert "1 calls have numbers to mask: card 1, phone 1." in done
    assert "Masked numbers in 1 calls." in done
    assert in_database(database_url, SECRETS) == []
    assert in_files(here.home / "storage", SECRETS) == []
    call = calls_by_job(storage)[old_id(1)]
    assert call.state is CallState.COMPLETED
    after = {each.competitor: each for each in storage.results.mentions(call_id)}
    texts = {"Vodafone": MASKED, "Harbour": "call [phone] at harbour"}
    for name, mention in after.items():
        assert texts[name][mention.char_start : mention.char_end] == before[name].text
        assert mention.mention_id != before[name].mention_id
    assert after["Harbour"].status is MentionStatus.DISMISSED
    assert set(storage.reviews.in_force(call_id)) == {after["Harbour"].mention_id}
    [judged] = storage.results.judgements(call_id)
    assert (judged.sentiment, judged.quote, judged.engine) == (
        Sentiment.NEGATIVE, MASKED, "imported",
    )  # fmt: skip
    assert count_kinds(storage.results.redactions(call_id)) == {"card": 1, "phone": 1}
    assert "No stored transcript has numbers" in here.run("redact", "--yes").stdout
    assert storage.search.best(SearchRequest("4111")) == []
    find_again(storage)
    again = {each.mention_id: each.status for each in storage.results.mentions(call_id)}
    assert again == {each.mention_id: each.status for each in after.values()}


def test_masks_of_an_imported_call_are_not_undone_by_its_corrections(
    here: Installation, old: OldSystem, storage: Storage, database_url: str
) -> None:
    call_id = import_with_numbers(here, old, storage)
    said = f"{NUMBER} with Vodafone"
    position = (Channel.RIGHT, 0)
    assert storage.words.correct(call_id, position, said, seen=NUMBER)
    here.environment["CALLPIPELINE_REDACT"] = "card,phone"
    assert "Masked numbers in 1 calls." in here.run("redact", "--yes").stdout
    [segment] = [s for s in storage.calls.segments(call_id) if (s.channel, s.index) == position]
    spoken = {
        (s.channel, s.index): s.text for s in interleave(storage.results.transcripts(call_id))
    }
    assert segment.text == spoken[position] == f"{MASKED} with Vodafone"
    assert in_database(database_url, SECRETS) == []
    assert in_files(here.home / "storage", SECRETS) == []


def find_again(storage: Storage) -> None:
    with storage.database.transaction() as connection:
        connection.execute("UPDATE call_stages SET rule_version = 0 WHERE rule_version > 0")
    rematch(storage)


def test_imported_calls_without_transcripts_are_masked_and_stay_masked(
    here: Installation, old: OldSystem, storage: Storage, database_url: str
) -> None:
    old.add_jobs(1, transcripts=False, status="FAILED", error_message=NUMBER)
    old.insert("sentiment_results", [a_result(1, 8, "EE", f"ee knows {NUMBER}")])
    here.json("import-legacy", old.url)
    here.environment["CALLPIPELINE_REDACT"] = "card"
    assert "Masked numbers in 1 calls." in here.run("redact", "--yes").stdout
    assert in_database(database_url, SECRETS) == []
    for kinds in ("", "card"):
        here.environment["CALLPIPELINE_REDACT"] = kinds
        outcome = "updated" if kinds else "changed here"
        assert counts(here.json("import-legacy", old.url)) == {outcome: 1}
        assert in_database(database_url, SECRETS) == []


def test_a_rematch_that_read_a_call_before_it_was_masked_stores_nothing(
    here: Installation, old: OldSystem, storage: Storage, database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    call_id = import_with_numbers(here, old, storage)
    storage.catalogs.apply(Catalog((Competitor("Harbour"),)), COMMAND)
    policy = RedactionPolicy(frozenset(Kind))
    load = Rematches.load

    def load_and_mask(rematches: Rematches, loaded: str) -> RematchInput | None:
        found = load(rematches, loaded)
        storage.imported_texts.mask(call_id, lambda texts: mask_texts(texts, policy))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Rematches, "load", load_and_mask)
        assert rematch(storage, may_stay_open=True) == [RematchSkipped(call_id)]
    assert in_database(database_url, SECRETS) == []
    rematch(storage)
    [mention] = storage.results.mentions(call_id)
    assert (mention.text, mention.char_start) == ("harbour", len("call [phone] at "))
    assert in_database(database_url, SECRETS) == []


@pytest.mark.parametrize("stored", range(2))
def test_a_redaction_that_dies_between_the_store_and_the_database_is_repeated(
    here: Installation, old: OldSystem, storage: Storage, database_url: str, stored: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    call_id = import_with_numbers(here, old, storage)
    policy = RedactionPolicy(frozenset(Kind))
    put, left = FolderStore.put, [stored]

    def put_some(store: FolderStore, key: str, content: Any) -> None:
        put(store, key, content)
        left[0] -= 1
        if left[0] < 0:
            raise StoreUnavailable("The command dies here.")

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "put", put_some)
        with pytest.raises(StoreUnavailable):
            storage.imported_texts.mask(call_id, lambda texts: mask_texts(texts, policy))
    assert in_database(database_url, SECRETS)
    here.environment["CALLPIPELINE_REDACT"] = "card,phone"
    here.run("redact", "--yes")
    assert in_database(database_url, SECRETS) == []
    assert in_files(here.home / "storage", SECRETS) == []
    [mention] = [m for m in storage.results.mentions(call_id) if m.segment_index == 0]
    assert MASKED[mention.char_start : mention.char_end] == "vodafone"


def test_everything_is_brought_over(here: Installation, old: OldSystem, storage: Storage) -> None:
    old.add_jobs(1)
    report = imported(here, old)
    assert (report["jobs"], counts(report)) == (1, {"new": 1})
    assert (report["transcripts"], report["sentiment_results"]) == (2, 2)
    call = calls_by_job(storage)[old_id(1)]
    assert (call.state, call.file_name) == (CallState.COMPLETED, "call 1.wav")
    assert call.took_place_at == call.created_at == datetime(2025, 5, 6, 10, 30, tzinfo=UTC)
    assert call.completed_at == datetime(2025, 5, 6, 10, 32, tzinfo=UTC)
    assert set(call.competitors_found) == {"EE", "Vodafone"}, "by the names of our list"
    segments = storage.calls.segments(call.call_id)
    assert [s.text for s in segments if s.channel == "right"] == SAID["right"]
    assert [s.text for t in storage.results.transcripts(call.call_id) for s in t.segments] == [
        *SAID["left"],
        *SAID["right"],
    ]
    detail = storage.calls.find(call.call_id)
    assert detail
    found = {each.mention.competitor: each for each in detail.mentions}
    assert found["EE"].sentiment is Sentiment.POSITIVE
    assert found["EE"].mention.start_s == 8.0, "the text occurs twice: the time decides"
    assert found["EE"].segment_text == SAID["right"][2]
    assert (found["Vodafone"].rule, found["Vodafone"].score) == ("rule-based: never answer", -1.0)


def test_commands_accept_the_old_ids(here: Installation, old: OldSystem) -> None:
    old.add_jobs(1)
    imported(here, old)
    shown = here.json("show", old_id(1))
    assert shown["call_id"] == here.json("show", shown["call_id"])["call_id"]


def test_a_repeated_import_changes_nothing(
    here: Installation, old: OldSystem, storage: Storage
) -> None:
    old.add_jobs(1, 2, 3)
    imported(here, old)
    before = rows(storage)
    assert counts(imported(here, old)) == {"unchanged": 3}
    assert rows(storage) == before
    old.add_jobs(4)
    old.execute("UPDATE sentiment_results SET sentiment = 'neutral' WHERE sentiment = 'positive'")
    report = imported(here, old)
    assert counts(report) == {"updated": 3, "new": 1}
    assert len(rows(storage)["calls"]) == 4
    assert len(rows(storage)["sentiment"]) == 8
    assert {row["sentiment"] for row in rows(storage)["sentiment"]} == {"neutral", "negative"}


def rows(storage: Storage) -> dict[str, list[Any]]:
    names = ("calls", "call_stages", "transcripts", "segments", "mentions", "sentiment")
    with storage.database.transaction() as connection:
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3".encode()).fetchall()
            for name in names
        }


GATE = """
CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT count(*) FROM callpipeline.calls) >= {number} THEN
        PERFORM pg_advisory_xact_lock(4711);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE INSERT ON callpipeline.calls
    FOR EACH ROW EXECUTE FUNCTION wait_at_the_gate();
"""


@contextmanager
def waiting_at(url: str, number: int) -> Iterator[None]:
    """Let an import wait at this number of calls: it can't end before it is killed."""
    execute_sql(url, GATE.format(number=number))
    with psycopg.connect(url, autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(4711)")
        yield
    # Waits for the transaction that was waiting.
    execute_sql(url, "DROP FUNCTION wait_at_the_gate CASCADE")


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def test_a_killed_import_is_continued(here: Installation, old: OldSystem, storage: Storage) -> None:
    numbers = range(400)
    old.add_jobs(*numbers)
    arguments = ["import-legacy", old.url, "--bucket", str(old.bucket)]
    command = [sys.executable, "-c", "from callpipeline.cli import app; app()", *arguments]
    for least in (20, 150):
        with waiting_at(storage.database.url, least + 100):
            process = subprocess.Popen(
                command, env=here.environment, cwd=here.home, stderr=subprocess.DEVNULL
            )
            try:
                until(
                    lambda n=least, it=process: number_of_calls(storage) >= n or has_ended(it),
                    "some calls are imported",
                    60,
                    every_s=0.01,
                )
                assert process.poll() is None, "it ended before it was killed"
            finally:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
        assert least <= number_of_calls(storage) < 400
    stored = number_of_calls(storage)
    report = imported(here, old)
    assert counts(report) == {"new": 400 - stored, "unchanged": stored}
    found = rows(storage)
    assert (len(found["calls"]), len(found["mentions"]), len(found["sentiment"])) == (400, 800, 800)
    assert (len(found["transcripts"]), len(found["segments"])) == (800, 2000)
    assert {call.job_uuid for call in storage.ledger.calls()} == {old_id(n) for n in numbers}
    for call in storage.ledger.calls(limit=20):
        assert len(storage.results.transcripts(call.call_id)) == 2


def number_of_calls(storage: Storage) -> int:
    return sum(storage.ledger.count().values())


def test_failed_and_unfinished_jobs_are_failed_calls(
    here: Installation, old: OldSystem, storage: Storage
) -> None:
    old.add_jobs(1, transcripts=False, status="FAILED", error_message="ffmpeg: no such file")
    old.add_jobs(2, transcripts=False, status="FAILED", completed_at=None)
    old.add_jobs(3, transcripts=False, status="PROCESSING", completed_at=None)
    old.execute("DELETE FROM sentiment_results")
    report = imported(here, old)
    assert (counts(report), report["unfinished_jobs"]) == ({"new": 3}, 1)
    calls = calls_by_job(storage)
    assert {call.state for call in calls.values()} == {CallState.FAILED}
    assert calls[old_id(1)].error_message == "ffmpeg: no such file"
    assert calls[old_id(2)].error_message == "The old system gave no reason."
    assert "upload its recording again" in (calls[old_id(3)].error_message or "")
    assert counts(imported(here, old)) == {"unchanged": 3}


def test_without_a_bucket_the_results_are_imported(
    here: Installation, old: OldSystem, storage: Storage
) -> None:
    old.add_jobs(1)
    report = here.json("import-legacy", old.url)
    assert (report["transcripts"], report["sentiment_results"]) == (0, 2)
    call = calls_by_job(storage)[old_id(1)]
    results = storage.calls.sentiment_results([call.call_id])[call.call_id]
    assert [each.segment_text for each in results] == [SAID["right"][1], SAID["right"][2]]
    assert Stage.TRANSCRIPTS not in call.stages
    assert counts(imported(here, old)) == {"updated": 1}, "the transcripts follow"
    results = storage.calls.sentiment_results([call.call_id])[call.call_id]
    assert [each.segment_text for each in results] == [SAID["right"][1], SAID["right"][2]]


def test_what_cannot_be_read_is_named_and_left_out(
    here: Installation, old: OldSystem, storage: Storage
) -> None:
    old.add_jobs(1, 2, 3, 4, 5)
    old.execute(f"UPDATE jobs SET status = 'LOST' WHERE id = '{old_id(2)}'")
    old.execute(f"UPDATE jobs SET created_at = NULL WHERE id = '{old_id(3)}'")
    old.put(4, "left", "{ not JSON")
    (old.bucket / "transcripts" / old_id(5) / "right_transcript.json").unlink()
    bad = [
        a_result(1, 10, "Sky", "the sky is blue", sentiment="furious"),
        a_result(1, 11, "Sky", "the sky is blue", start_time="soon"),
        a_result(1, 12, "", "the sky is blue"),
        a_result(1, 13, "Sky", "the sky is blue", start_time="-1"),
        a_result(99, 14, "Sky", "no job has this"),
    ]
    old.insert("sentiment_results", bad)
    report = imported(here, old, exit_code=3)
    assert counts(report) == {"new": 3}
    named = "\n".join(report["problems"])
    wanted = [old_id(n) for n in (2, 3, 4, 5)] + [result_id(1, n) for n in (10, 11, 12, 13)]
    assert all(each in named for each in [*wanted, result_id(99, 14)]), named
    assert len(report["problems"]) == 9
    assert "blue" not in named, "problems quote nothing that was said"
    assert len(rows(storage)["sentiment"]) == 6
    assert report["problems"] == imported(here, old, exit_code=3)["problems"]
    shown = here.run("import-legacy", old.url, "--bucket", str(old.bucket), exit_code=3)
    assert old_id(2) in shown.stderr and "3 unchanged" in shown.stdout


def test_repeated_results_are_merged(here: Installation, old: OldSystem, storage: Storage) -> None:
    """A crashed worker of the old system stored the same results twice."""
    old.add_jobs(1)
    again = a_result(1, 20, "Vodafone", SAID["right"][1], segment_id="1", start_time="4.0")
    old.insert("sentiment_results", [again | {"created_at": "2025-05-06 12:00"}])
    report = imported(here, old)
    assert (report["sentiment_results"], report["repeated_sentiment_results"]) == (2, 1)
    stored = {row["competitor"]: row["sentiment"] for row in rows(storage)["sentiment"]}
    assert stored == {"EE": "positive", "Vodafone": "neutral"}, "the newest one counts"


def test_what_was_changed_here_is_kept(
    here: Installation, old: OldSystem, storage: Storage
) -> None:
    old.add_jobs(1, 2, 3)
    imported(here, old)
    calls = calls_by_job(storage)
    erase(storage, calls[old_id(1)].call_id)
    with storage.database.transaction() as connection:
        connection.execute(
            b"UPDATE call_stages SET run_id = 'a run of ours' WHERE call_id = %s",
            [calls[old_id(2)].call_id],
        )
    change(storage, [calls[old_id(3)].call_id], priority="1")
    old.execute("UPDATE sentiment_results SET sentiment = 'neutral'")
    report = imported(here, old)
    assert counts(report) == {"erased": 1, "changed here": 1, "updated": 1}


def test_a_new_list_is_applied_to_imported_calls(
    here: Installation, old: OldSystem, storage: Storage
) -> None:
    old.add_jobs(1)
    old.add_jobs(2, transcripts=False)
    imported(here, old)
    assert rematch(storage) == [], "an import alone changes no result"
    known = in_force(storage)
    storage.catalogs.apply(Catalog((*known.competitors, Competitor("Riverside"))), COMMAND)
    rematch(storage)
    calls = calls_by_job(storage)
    with_transcripts, without = calls[old_id(1)], calls[old_id(2)]
    assert with_transcripts.state is without.state is CallState.COMPLETED
    assert set(with_transcripts.competitors_found) == {"EE", "Vodafone", "Riverside"}
    assert set(without.competitors_found) == {"EE", "Vodafone"}
    judged = storage.results.judgements(with_transcripts.call_id)
    kept = {each.engine for each in judged if each.competitor == "Vodafone"}
    assert kept == {"imported"}, "mentions that are found again keep their sentiment"
    assert counts(imported(here, old)) == {"changed here": 1, "unchanged": 1}


def test_hostile_names_are_stored(here: Installation, old: OldSystem, storage: Storage) -> None:
    names = ["../../etc/passwd", "", "é" * 2000, "a\nb\u202e.wav", "x'; DROP TABLE calls; --"]
    for number, name in enumerate(names):
        old.add_jobs(number, filename=name)
    assert counts(imported(here, old)) == {"new": len(names)}
    assert set(calls_by_job(storage)) == {old_id(number) for number in range(len(names))}


def test_other_databases_are_refused(here: Installation, postgres: str) -> None:
    with new_database(postgres) as url:
        refused = here.run("import-legacy", url, exit_code=1)
    assert "not a database of the old system" in refused.stderr
    wrong = "postgresql://nobody:secret-word@127.0.0.1:1/none"
    unreachable = here.run("import-legacy", wrong, exit_code=1)
    assert "can't be read" in unreachable.stderr and "secret-word" not in unreachable.stderr


def test_the_old_database_is_not_taken_for_ours(old: OldSystem, tmp_path: Path) -> None:
    """Dagster has a table `jobs` as well."""
    mistaken = Installation(tmp_path / "mistaken", old.url)
    for command in ("migrate", "status"):
        refused = mistaken.run(command, exit_code=1)
        assert "CALLPIPELINE_DATABASE_URL" in refused.stderr
    findings = {each["name"]: each for each in mistaken.json("doctor", exit_code=1)}
    assert findings["schema"]["level"] == "bad"
    assert "import-legacy" in findings["schema"]["detail"]


def test_older_tables_lack_columns(here: Installation, old: OldSystem, storage: Storage) -> None:
    old.add_jobs(1)
    old.execute(
        "ALTER TABLE jobs DROP completed_at, DROP competitors_found; "
        "ALTER TABLE sentiment_results DROP context, DROP created_at, DROP detection_method"
    )
    assert counts(imported(here, old)) == {"new": 1}
    assert calls_by_job(storage)[old_id(1)].completed_at is not None
