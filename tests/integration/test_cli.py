"""The commands as a person runs them: real processes, a data folder of their own."""

import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from callpipeline.domain.calls.call import Registration, Stage
from callpipeline.errors import EngineUnavailable, UnsupportedAudio
from callpipeline.storage.objects.urls import S3Access, open_store
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.locks import hold_operator_lock
from callpipeline.wiring import Storage
from tests.builders import (
    CATALOG,
    a_judgement,
    a_mention,
    a_recording,
    a_split,
    a_transcript,
    a_write,
    channel_files,
    some_metrics,
)
from tests.integration.command_line import Installation


@pytest.fixture
def here(tmp_path: Path, database_url: str) -> Installation:
    """An installation on a migrated Postgres."""
    return Installation(tmp_path / "home", database_url)


def wav(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, (800, 2))
    sound = io.BytesIO()
    soundfile.write(sound, noise, 8000, format="WAV")
    path.write_bytes(sound.getvalue())
    return path


# ingest


def test_a_file_is_ingested_once(here: Installation, tmp_path: Path):
    path = wav(tmp_path / "call.wav")
    first = here.run("ingest", path)
    again = here.run("ingest", path)  # another process: what is known is in the ledger
    call_id = first.stdout.split()[0]
    assert first.stdout == f"{call_id}  {path}\nQueued. `callpipeline up` processes them.\n"
    assert again.stdout == f"{call_id}  {path}  (already added)\n"
    [copy] = (here.home / "recordings").rglob("*.wav")
    assert (copy.name, copy.read_bytes()) == ("call.wav", path.read_bytes())


def test_a_folder_is_ingested_with_all_that_may_be_recordings(here: Installation, tmp_path: Path):
    for number in range(3):
        wav(tmp_path / "calls" / f"{number}" / "call.wav", number)
    (tmp_path / "calls" / "notes.txt").write_text("not a recording")
    done = here.json("ingest", tmp_path / "calls")
    assert [each["new"] for each in done] == [True] * 3
    assert len({each["call_id"] for each in done}) == 3
    assert len(list((here.home / "recordings").iterdir())) == 3


def test_a_path_that_is_missing_is_said_and_the_others_are_ingested(
    here: Installation, tmp_path: Path
):
    path = wav(tmp_path / "call.wav")
    done = here.run("ingest", tmp_path / "gone.wav", path, exit_code=1)
    assert f"{tmp_path / 'gone.wav'} does not exist." in done.stderr
    assert str(path) in done.stdout


def test_a_folder_without_recordings_is_said(here: Installation, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    done = here.run("ingest", tmp_path / "empty", exit_code=1)
    assert "No recordings found" in done.stderr


def test_an_address_is_announced_and_shown_by_the_name_of_its_recording(
    here: Installation, tmp_path: Path
):
    url, path = "https://media.example/deep/call.mp3?key=0ff1ce", wav(tmp_path / "call.wav")
    done = here.json("ingest", url, path)
    assert {each["path"] for each in done if each["new"]} == {"call.mp3", str(path)}
    again = here.run("ingest", url).stdout
    assert again.endswith("  call.mp3  (already added)\n") and "0ff1ce" not in again
    assert "PENDING" in here.run("show", "call.mp3").stdout


def test_an_address_that_cannot_be_taken_is_said_and_the_others_are_announced(here: Installation):
    private = "http://ann:0ff1ce@media.example/a.wav", "http://10.0.0.1/0ff1ce.wav"
    done = here.run("ingest", *private, "https://media.example/call.wav", exit_code=1)
    assert "URL 1 was refused. The URL contains a user name and password" in done.stderr
    assert "URL 2 was refused. Recordings can't be fetched from this machine" in done.stderr
    assert "  call.wav\n" in done.stdout and "0ff1ce" not in done.stderr
    allowed = here.run("ingest", private[1], CALLPIPELINE_FETCH_ALLOW="10.0.0.0/8")
    assert "0ff1ce.wav" in allowed.stdout, "which is the name of the recording"


def test_a_file_that_cannot_be_read_is_said_and_the_others_are_ingested(
    here: Installation, tmp_path: Path
):
    path = wav(tmp_path / "call.wav")
    done = here.run("ingest", "/proc/self/mem", path, exit_code=1)
    assert "/proc/self/mem" in done.stderr
    assert str(path) in done.stdout


def test_files_of_any_name_are_ingested_and_shown_under_it(here: Installation, tmp_path: Path):
    names = ["[/red].wav", "[bold]call.wav", "a :smile: b&c.wav", "größe 🎧.wav", "-rf.wav"]
    for seed, name in enumerate(names):
        wav(tmp_path / "calls" / name, seed)
    ingested = here.run("ingest", tmp_path / "calls").stdout
    listed = here.run("status").stdout
    for name in names:
        assert f"/{name}\n" in ingested
        assert Path(name).name in listed


def test_files_of_names_that_no_terminal_can_show_are_ingested_and_listed(
    here: Installation, tmp_path: Path
):
    for seed, name in enumerate(["x\ny.wav", "\udcff.wav", "\x1b[31mred.wav"]):
        wav(tmp_path / "calls" / name, seed)
    here.run("ingest", tmp_path / "calls")
    shown = here.run("status").stdout
    assert shown.count(".wav") == 3
    assert "\x1b" not in shown


# status and show


@pytest.fixture
def processed(here: Installation, storage: Storage, tmp_path: Path) -> str:
    """The id of a call with everything, in the database of this installation."""
    storage.ledger.register([Registration(a_recording(), metadata={"agent": "Kim"})])
    (call,) = storage.claims.claim([a_recording().call_id], "run-1")
    kept = open_store(str(here.home / "storage"), S3Access())
    call_id, results = call.call_id, type(storage.results)(storage.database, kept)
    results.save_catalog(CATALOG)
    results.save_audio(
        a_write(call_id, Stage.CHANNEL_AUDIO), a_split(), channel_files(a_split(), tmp_path / "f")
    )
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS), some_metrics())
    said = [a_transcript("I like vodafone")]
    results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), said)
    results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [a_mention()])
    judged = [a_judgement(a_mention())]
    results.save_sentiment(a_write(call_id, Stage.COMPETITOR_SENTIMENT), judged)
    storage.claims.complete(call_id, "run-1")
    return call_id


def test_a_processed_call_is_shown_with_all_that_is_known(here: Installation, processed: str):
    shown = here.run("show", processed[:16]).stdout
    for part in (processed, "call.wav", "COMPLETED", "I like vodafone", "Vodafone", "positive"):
        assert part in shown
    document = here.json("show", processed)
    assert document["state"] == "COMPLETED"
    assert document["metrics"]["agent_talk_s"] == 4.0
    assert [segment["text"] for segment in document["segments"]] == ["I like vodafone"]
    assert [m["sentiment"]["sentiment"] for m in document["mentions"]] == ["positive"]
    assert document["stages"] == [str(stage) for stage in Stage]


def test_a_call_is_found_by_the_name_of_its_file(here: Installation, processed: str):
    assert here.json("show", "call.wav")["call_id"] == processed


def test_status_counts_and_lists(here: Installation, processed: str, tmp_path: Path):
    here.run("ingest", wav(tmp_path / "waiting.wav"))
    document = here.json("status")
    assert document["counts"] == {"COMPLETED": 1, "PENDING": 1}
    assert [Path(call["key"]).name for call in document["calls"]] == ["waiting.wav", "call.wav"]
    assert document["calls"][1]["metadata"] == {"agent": "Kim"}
    (lane,) = document["waiting"]
    assert (lane["lane"], lane["calls"], lane["next_try_at"]) == ("live", 1, None)
    assert document["more"] == 0
    only = here.run("status", "--state", "completed", "--limit", "0").stdout
    assert "1 PENDING" in only
    assert "lane live: 1 waiting, the oldest for 0:" in only
    assert "waiting.wav" not in only
    assert "and 1 more" in only


def test_status_says_what_is_doubtful_of_calls(
    here: Installation, storage: Storage, processed: str
):
    with storage.database.transaction() as connection:
        connection.execute("UPDATE transcripts SET reliable = false")
    shown = here.run("status").stdout
    assert "transcript is unreliable" in shown
    with storage.database.transaction() as connection:
        connection.execute("UPDATE transcripts SET unheard_s = 12.4")
    assert [c["doubt"] for c in here.json("status")["calls"]] == [
        "transcript is unreliable; 12 s of speech without words"
    ]
    with storage.database.transaction() as connection:
        connection.execute("UPDATE transcripts SET word_count = 0, unheard_s = 2")
    assert [c["doubt"] for c in here.json("status")["calls"]] == ["transcripts contain no words"]


def test_status_of_a_duplicate_and_of_a_call_that_is_tried_later(
    here: Installation, storage: Storage
):
    first, second = a_recording("a.wav"), a_recording("b.wav")
    for recording in (first, second):
        storage.ledger.register([Registration(recording, sha256="ab" * 32)])
    storage.claims.claim([first.call_id], "some-run")
    error = EngineUnavailable("It did not answer.")
    assert storage.claims.fail(first.call_id, "some-run", "transcripts", error)
    shown = here.run("status").stdout
    assert f"same recording as {first.call_id}" in shown
    assert re.search(r"It did not answer\.; next attempt at \d\d", shown)
    assert re.search(r"lane live: 1 waiting; 1 of them for the next attempt at \d\d", shown)
    here.json("status")
    assert here.json("show", second.call_id)["duplicate_of"] == first.call_id


def test_status_of_an_empty_installation_is_empty(here: Installation):
    document = here.json("status")
    assert document.pop("recogniser")["name"] == "pocketsphinx"
    assert set(document.pop("unjudged").values()) == {0, None}
    assert document.pop("engines_lack") is None
    assert document.pop("on_an_older_list") == 0
    assert document == {"counts": {}, "waiting": [], "calls": [], "more": 0, "away": []}


def test_status_says_which_recogniser_hears_the_calls_and_why(here: Installation):
    shown = " ".join(here.run("status").stdout.split())
    assert "recogniser: pocketsphinx, word errors over 90 % on phone calls (there is no" in shown


@pytest.mark.parametrize("words", [["engines", "serve"], ["engines", "check"], ["demo"]])
def test_what_an_engine_lacks_is_one_sentence_before_anything_begins(
    here: Installation, words: list[str]
):
    done = here.run(*words, exit_code=1, CALLPIPELINE_WHISPER_MODEL="tiny")
    assert done.stderr.startswith("error: ") and "CALLPIPELINE_WHISPER_MODEL" in done.stderr
    assert done.stdout == ""


def test_status_says_what_an_engine_lacks(here: Installation):
    shown = here.run("status", CALLPIPELINE_TRANSCRIBER="monks").stdout
    assert "calls can't be processed: CALLPIPELINE_TRANSCRIBER" in shown


def test_an_unknown_call_is_said_so(here: Installation):
    done = here.run("show", "[/red]", exit_code=1)
    assert "Call '[/red]' not found" in done.stderr


def test_an_ambiguous_beginning_is_said_so(here: Installation, tmp_path: Path):
    calls = here.json("ingest", wav(tmp_path / "a.wav", 1), wav(tmp_path / "b.wav", 2))
    done = here.run("show", calls[0]["call_id"][:5], exit_code=1)
    assert "Several call ids start with" in done.stderr


# retry


def test_calls_are_retried_from_the_command_line(here: Installation, storage: Storage):
    failed, done = a_recording("a.wav"), a_recording("b.wav")
    storage.ledger.register([Registration(recording) for recording in (failed, done)])
    storage.claims.claim([failed.call_id], "some-run")
    error = UnsupportedAudio("It is a picture.")
    storage.claims.fail(failed.call_id, "some-run", "channel_audio", error)
    told = here.run("retry", "--failed", "--since", "1h", "--class", "UnsupportedAudio").stdout
    assert told.startswith(f"{failed.call_id}  failed; retrying\n")
    assert "Queued. `callpipeline up` processes them." in told
    assert here.run("retry", "--failed").stdout == "No matching call has failed.\n"
    unknown = here.run("retry", "nothing", "a.wav", exit_code=1)
    assert "error: nothing is not retried: Call 'nothing' not found" in unknown.stderr
    assert failed.call_id in unknown.stdout
    assert [a["retried"] for a in here.json("retry", "nothing", "a.wav", exit_code=1)] == [
        False, True,
    ]  # fmt: skip


# up


def test_a_second_data_folder_on_one_database_is_refused(here: Installation, database_url: str):
    with hold_operator_lock(database_url):
        refused = here.run("up", "--port", "0", exit_code=1).stderr
    assert f"callpipeline is already running on this database (process {os.getpid()} on " in refused
    assert "DATABASE_URL" in refused


# migrate and doctor


def test_migrate_makes_a_database_usable(postgres: str, tmp_path: Path):
    """The session's own database `callpipeline` is empty until then."""
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE to_migrate")
    here = Installation(tmp_path / "home", postgres.rsplit("/", 1)[0] + "/to_migrate")
    refused = here.run("status", exit_code=1)
    assert "run `callpipeline migrate`" in refused.stderr
    assert "schema version 00" in here.run("migrate").stdout
    here.run("status")


def findings(document: Any) -> dict[str, str]:
    return {finding["name"]: finding["level"] for finding in document}


def test_doctor_finds_a_healthy_installation_well(here: Installation):
    found = findings(here.json("doctor"))
    assert set(found) >= {"settings", "competitors", "engines", "disk", "schema", "database",
                          "recordings", "storage", "waiting calls", "runs", "dagster"}  # fmt: skip
    assert found.pop("recogniser") == "warn"  # pocketsphinx: there is no model here
    assert set(found.values()) == {"ok"}, found
    assert list((here.home / "storage").rglob("doctor/*")) == []


def test_doctor_ends_well_with_a_warning(here: Installation):
    done = here.run("doctor", CALLPIPELINE_BATCHSIZE="3")
    assert "did you mean CALLPIPELINE_BATCH_SIZE?" in done.stdout
    assert re.search(r"(?m)^\s*warn ", done.stdout)


def test_doctor_says_what_is_wrong_with_the_competitor_list(here: Installation):
    (here.home / "competitors.yaml").write_text("competitors: [Sky, {nmae: EE}]\n")
    shown = here.run("doctor", exit_code=1).stdout
    bad = [line for line in shown.splitlines() if line.strip().startswith("bad")]
    assert len(bad) == 1
    assert "line 1: unknown key nmae" in bad[0]
    assert len(re.findall(r"(?m)^\s*ok ", shown)) >= 9


def test_doctor_tells_monitors_of_a_setting_that_cannot_be_used(here: Installation):
    here.environment["CALLPIPELINE_CONCURRENCY"] = "many"
    (finding,) = here.json("doctor", exit_code=1)
    assert (finding["name"], finding["level"]) == ("settings", "bad")
    assert "CALLPIPELINE_CONCURRENCY" in finding["detail"]


def test_doctor_examines_the_rest_when_the_database_is_gone(tmp_path: Path):
    here = Installation(tmp_path / "home", "postgresql://x:hunter2@127.0.0.1:9/gone")
    found = here.json("doctor", exit_code=1)
    assert findings(found)["database"] == "bad"
    assert findings(found)["recordings"] == "ok"
    assert "hunter2" not in json.dumps(found)


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("status", "postgresql://x:hunter2@127.0.0.1:9/gone"),
        ("migrate", "postgresql://x:hunter2@127.0.0.1:9/gone"),
        ("status", "mysql://x:hunter2@127.0.0.1/gone"),
    ],
)
def test_a_database_that_is_not_there_is_one_sentence(tmp_path: Path, command: str, url: str):
    done = Installation(tmp_path / "home", url).run(command, exit_code=1)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_wrong_setting_is_one_sentence(here: Installation):
    done = here.run("status", exit_code=1, CALLPIPELINE_CONCURRENCY="many")
    assert done.stderr.startswith("error: Invalid settings: CALLPIPELINE_CONCURRENCY")


# Without any database set


@pytest.fixture
def on_its_own(tmp_path: Path) -> Iterator[Installation]:
    """An installation on its embedded Postgres, kept up between commands to save the starts."""
    here = Installation(tmp_path / "home")
    with EmbeddedPostgres(here.home / "postgres", durable=False).running():
        yield here


def test_everything_works_with_nothing_set_up(on_its_own: Installation, tmp_path: Path):
    (call,) = on_its_own.json("ingest", wav(tmp_path / "call.wav"))
    shown = on_its_own.json("show", call["call_id"])
    assert (shown["state"], shown["mentions"], shown["metrics"]) == ("PENDING", [], None)
    assert "1 PENDING" in on_its_own.run("status").stdout
