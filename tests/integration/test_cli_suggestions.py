"""The commands catalog suggest, accept and refuse, on stored calls."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.storage.objects import keys
from callpipeline.storage.postgres import tables
from callpipeline.storage.results import serialization
from callpipeline.wiring import Storage, load_catalog, open_storage
from tests.builders import a_transcript
from tests.integration.command_line import Installation
from tests.integration.test_rematch import rematch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = (
    "We left Cyteva because Sytevah was too expensive.",
    "Is it true that Sytevah and Cyteva are the same company?",
    "Nothing of interest here.",
)
CALL_IDS = tuple(f"2026-01-0{number + 1}-{number:012x}" for number in range(len(TEXTS)))


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def installation(tmp_path: Path, database_url: str) -> Installation:
    installation = Installation(tmp_path / "data", database_url)
    # Without espeak-ng, results are the same on all machines.
    installation.environment["PATH"] = str(Path(sys.executable).parent)
    (installation.home / "competitors.yaml").write_text("competitors: [Cyteva, Vodafone]\n")
    return installation


@pytest.fixture
def storage(installation: Installation, database_url: str) -> Iterator[Storage]:
    options = Settings(home=installation.home, database_url=SecretStr(database_url), _env_file=None)  # pyright: ignore[reportCallIssue]
    with open_storage(options, database_url) as storage:
        version = load_catalog(options, storage.catalogs).version
        for number, text in enumerate(TEXTS):
            store(storage, CALL_IDS[number], text, version)
        yield storage


def store(storage: Storage, call_id: str, text: str, version: str) -> None:
    """Store a completed call that was matched with a version of the list, without its mentions."""
    transcript = a_transcript(text, engine="supplied")
    document = serialization.transcript_to_json(transcript)
    storage.store.put(keys.transcript(call_id, transcript.channel), document)
    call = {"call_id": call_id, "bucket": "b", "key": call_id, "etag": "e", "size_bytes": 1}
    day = NOW + timedelta(days=int(call_id[8:10]))
    call |= {"last_modified": day, "state": "COMPLETED", "completed_at": day}
    with storage.database.transaction() as connection:
        tables.insert(connection, "calls", [call])
        tables.insert(
            connection, "transcripts", [serialization.transcript_row(call_id, transcript)]
        )
        rows = [serialization.segment_row(call_id, each) for each in transcript.segments]
        tables.insert(connection, "segments", rows)
        for place, stage in enumerate(Stage):
            is_matched = stage is Stage.COMPETITOR_MENTIONS
            row = {"call_id": call_id, "stage": stage, "run_id": "first", "took_s": 1.0}
            row |= {"catalog_version": version if place > 2 else None, "stored_at": day}
            tables.insert(
                connection,
                "call_stages",
                [row | {"rule_version": RULE_VERSION if is_matched else None}],
            )


def aliases(installation: Installation, *options: str) -> dict[str, str]:
    """Return the suggested aliases with their tiers."""
    found = installation.json("catalog", "suggest", *options)
    return {each["alias"]: each["tier"] for each in found["suggestions"]}


def test_suggestions_name_places_that_can_be_played(
    installation: Installation, storage: Storage
) -> None:
    report = installation.json("catalog", "suggest", "--competitor", "cyteva")
    assert (report["calls_read"], report["calls_stored"]) == (3, 3)
    assert report["sounds"] == "rules of spelling"
    (found,) = report["suggestions"]
    assert (found["alias"], found["calls"], found["new_mentions"]) == ("sytevah", 2, 2)
    newest, oldest = found["quotes"]
    assert sorted([newest["call_id"][:10], oldest["call_id"][:10]]) == ["2026-01-01", "2026-01-02"]
    call_id, start_s = newest["call_id"], newest["start_s"]
    assert newest["url"] == f"http://127.0.0.1:8100/calls/{call_id}?t={start_s}"

    shown = installation.run("catalog", "suggest").stdout
    assert "Read 23 words of 3 of 3 calls, the newest; sounds by rules of spelling." in shown
    assert "Install espeak-ng for better suggestions" in shown
    assert '"sytevah"  2 places in 2 calls; adds 2 mentions' in shown
    assert newest["url"] in shown
    assert installation.json("catalog", "suggest", "--calls", "1")["calls_read"] == 1


def test_a_rematch_adds_the_mentions_of_an_accepted_alias(
    installation: Installation, storage: Storage
) -> None:
    accepted = installation.run("catalog", "accept", "Cyteva", "sytevah", "--no-wait")
    assert "the list in force differs from its file now" in accepted.stderr
    shown = installation.run("catalog", "show").stdout
    assert "Cyteva (heard as sytevah)" in shown
    assert "3 of 3 calls are on an older list" in shown
    newest, *_ = installation.json("catalog", "log")
    assert (newest["origin"], newest["note"]) == ("command", "Cyteva is heard as sytevah")
    rematch(storage)
    assert "older list" not in installation.run("catalog", "show").stdout
    first, second, third = (storage.results.mentions(call_id) for call_id in CALL_IDS)
    heard = [each for each in first if each.alias == "sytevah"]
    assert [(each.competitor, each.text, each.reason) for each in heard] == [
        ("Cyteva", "Sytevah", 'heard as "Sytevah"')
    ]
    assert (len(first), len(second), len(third)) == (2, 2, 0)
    assert aliases(installation) == {}
    exported = installation.run("catalog", "show", "--yaml").stdout
    assert "  sounds_like:\n  - sytevah\n" in exported


def test_applying_a_list_says_how_its_names_are_said(
    installation: Installation, storage: Storage
) -> None:
    text = "competitors: [Vodafone, Cyteva, Sytevah, Unheard]\n"
    file = installation.home / "next.yaml"
    file.write_text(text)
    shown = installation.run("catalog", "apply", file, "--no-wait").stdout
    assert "said in these" in shown and "Sytevah 2×" in shown, shown
    assert "Unheard" not in shown


def test_an_alias_that_another_name_has_is_refused(
    installation: Installation, storage: Storage
) -> None:
    refused = installation.run("catalog", "accept", "Cyteva", "voda fone", exit_code=1)
    assert '"Vodafone" of Vodafone sounds like "voda fone" of Cyteva' in refused.stderr
    refused = installation.run("catalog", "accept", "Cyteva", "one, two", exit_code=1)
    assert "looks like several names" in refused.stderr
    refused = installation.run("catalog", "refuse", "Cytera", "sytevah", exit_code=1)
    assert "'Cytera' is no name of the list in force" in refused.stderr
    assert len(installation.json("catalog", "log")) == 1


def test_a_refused_alias_does_not_come_back_until_it_is_accepted(
    installation: Installation, storage: Storage
) -> None:
    assert set(aliases(installation)) == {"sytevah"}
    done = installation.run("catalog", "refuse", "cyteva", "Sytevah")
    assert "Refused for Cyteva: Sytevah." in done.stdout
    installation.run("catalog", "refuse", "cyteva", "sytevah")
    assert aliases(installation) == {}
    assert "No suggestions." in installation.run("catalog", "suggest").stdout
    installation.run("catalog", "accept", "Cyteva", "sytevah", "--no-wait")
    *_, first = installation.json("catalog", "log")
    installation.run("catalog", "revert", first["version"], "--no-wait")
    assert set(aliases(installation)) == {"sytevah"}
