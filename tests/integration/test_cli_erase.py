"""`callpipeline erase` as a person types it: what it asks, what it refuses, what it says."""

import pytest

from tests.integration.databases import execute_sql
from tests.integration.test_cli import Installation, here, wav

__all__ = ["here"]
COUNT = "SELECT state, count(*) FROM calls GROUP BY state ORDER BY state"


@pytest.fixture
def call_id(here: Installation) -> str:
    """A call that waits, of a recording that was handed over."""
    return here.json("ingest", wav(here.home / "mine" / "call-0001.wav"))[0]["call_id"]


def test_it_lists_what_it_would_erase_and_erases_nothing_unasked(
    here: Installation, call_id: str, database_url: str
):
    dry = here.run("erase", call_id, "--dry-run")
    assert "call-0001.wav" in dry.stdout
    unasked = here.run("erase", call_id, exit_code=1)
    assert "Permanently delete this call, with the recording?" in unasked.stderr
    assert execute_sql(database_url, COUNT) == [("PENDING", 1)]


def test_an_erased_call_is_gone_and_its_recording_stays_out_until_that_is_lifted(
    here: Installation, call_id: str
):
    [done] = here.json("erase", "call-0001.wav", "--yes")
    assert done == {"call_id": call_id, "finished": True, "trouble": None}
    assert not list((here.home / "recordings").rglob("*.*"))
    listed = here.json("status")
    assert listed["counts"] == {"ERASED": 1}
    mine = here.home / "mine" / "call-0001.wav"
    refused = here.run("ingest", mine, exit_code=1)
    assert f"erased; run `callpipeline erase --lift {call_id}`" in refused.stdout
    assert here.json("ingest", mine, exit_code=1)[0]["erased"]
    assert "can be imported again" in here.run("erase", "--lift", call_id).stdout
    assert here.json("ingest", mine)[0]["new"]


def test_with_keep_recording_the_file_stays_and_stays_out(here: Installation, call_id: str):
    here.run("erase", call_id, "--yes", "--keep-recording")
    assert [path.name for path in (here.home / "recordings").rglob("*.wav")] == ["call-0001.wav"]
    assert here.json("status")["counts"] == {"ERASED": 1}


def test_to_erase_an_erased_call_looks_for_it_again(here: Installation, call_id: str):
    here.run("erase", call_id, "--yes")
    again = here.run("erase", call_id)
    assert again.stdout.split() == [call_id, "erased"]
    assert "already erased" in here.run("erase", call_id, "--dry-run").stdout
    assert here.json("erase", call_id, "--dry-run") == [{"call_id": call_id, "state": "ERASED"}]


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        ((), 2, "Name the calls"),
        (("call-1.wav", "--customer", "Mrs Smith"), 2, "Use either"),
        (("--lift",), 2, "Name the calls"),
        (("nothing-such.wav",), 1, "Call 'nothing-such.wav' not found"),
        (("--lift", "2026-01-01-000000000000"), 1, "is not an erased call"),
        (("--lift", "2026-01-01-000000000000", "--dry-run"), 2, "and no other option"),
    ],
)
def test_what_makes_no_sense_is_refused(
    here: Installation, words: tuple[str, ...], exit_code: int, said: str
):
    assert said in here.run("erase", *words, exit_code=exit_code).stderr


def test_compact_rewrites_the_files_with_calls_and_alone(here: Installation, call_id: str):
    erased = here.run("erase", call_id, "--yes", "--compact")
    assert "tables rewritten" in erased.stderr
    assert call_id in erased.stdout
    assert "tables rewritten" in here.run("erase", "--compact").stderr
    assert here.json("status")["counts"] == {"ERASED": 1}
    refused = here.run("erase", "--lift", call_id, "--compact", exit_code=2)
    assert "and no other option" in refused.stderr


def test_views_and_reports_that_name_a_customer_are_listed_and_deleted(
    here: Installation, call_id: str, database_url: str
):
    execute_sql(database_url, "DELETE FROM saved_views; DELETE FROM outbox")
    execute_sql(database_url, f"""UPDATE calls SET metadata = '{{"customer": "Ann Smith"}}'
                                  WHERE call_id = '{call_id}'""")  # fmt: skip
    made = """INSERT INTO saved_views (name, page, filters, extras, is_shared, owner) VALUES
        ('About ANN SMITH', 'calls', '{}', '[]', true, 'user:ben'),
        ('words', 'search', '{}', '[["words", "ann smith refund"]]', false, 'user:ben'),
        ('file', 'calls', '{"name": "ann-smith_2026"}', '[]', false, 'user:ben'),
        ('Joann Smith', 'calls', '{}', '[]', true, 'user:ben'),
        ('Ann Smithers', 'calls', '{"name": "ann"}', '[]', true, 'user:ben');
        INSERT INTO outbox (kind, severity, group_key, title) VALUES
        ('weekly_report', 'info', 'w1', 'Weekly report: About Ann Smith, 2026-03-02 to 2026-03-08'),
        ('weekly_report', 'info', 'w2', 'Weekly report: Joann Smith, 2026-03-02 to 2026-03-08')"""
    execute_sql(database_url, made)
    dry = here.run("erase", "--customer", "Ann Smith", "--dry-run").stdout
    assert "About ANN SMITH (view of user:ben) names this customer" in dry
    assert dry.count("names this customer") == 4
    names = "SELECT name FROM saved_views ORDER BY name"
    assert len(execute_sql(database_url, names)) == 5
    unasked = here.run("erase", "--customer", "Ann Smith", exit_code=1)
    assert "delete this call, with the recording, and 4 listed views or reports?" in unasked.stderr
    assert len(execute_sql(database_url, names)) == 5
    here.run("erase", "--customer", "Ann Smith", "--yes")
    assert execute_sql(database_url, names) == [("Ann Smithers",), ("Joann Smith",)]
    titles = execute_sql(database_url, "SELECT title FROM outbox WHERE kind = 'weekly_report'")
    assert [title for [title] in titles] == ["Weekly report: Joann Smith, 2026-03-02 to 2026-03-08"]
    assert execute_sql(database_url, COUNT) == [("ERASED", 1)]


def test_a_customer_without_calls_is_told(here: Installation, call_id: str):
    told = here.run("erase", "--customer", "Mrs Smith", exit_code=1)
    assert "No calls of that customer." in told.stderr
    assert here.json("erase", "--customer", "Mrs Smith", exit_code=1) == []


def test_one_unknown_call_of_several_erases_none(
    here: Installation, call_id: str, database_url: str
):
    here.run("erase", call_id, "nothing-such.wav", "--yes", exit_code=1)
    assert execute_sql(database_url, COUNT) == [("PENDING", 1)]
