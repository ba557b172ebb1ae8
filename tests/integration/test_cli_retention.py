"""`callpipeline retention` as a person types it, and what the doctor says of late erasures."""

from tests.integration.databases import execute_sql
from tests.integration.test_cli import Installation, here, wav

__all__ = ["here"]
AGE = "UPDATE calls SET state = 'COMPLETED', completed_at = now() - interval '91 days'"


def test_it_shows_what_is_due_and_deletes_nothing_unasked(here: Installation, database_url: str):
    here.run("ingest", wav(here.home / "mine" / "call.wav"))
    execute_sql(database_url, AGE)
    shown = here.run("retention", CALLPIPELINE_KEEP_RECORDINGS_DAYS="90").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "recordings 90 days 1" in lines
    assert "audio forever -" in lines
    assert "Dagster's runs 30 days 0" in lines
    assert list((here.home / "recordings").rglob("*.wav"))
    assert here.run("retention", "--history").stdout.strip().startswith("Nothing was deleted")

    assert "recordings 90 days 1" in " ".join(
        here.run("retention", "--now", CALLPIPELINE_KEEP_RECORDINGS_DAYS="90").stdout.split()
    )
    assert not list((here.home / "recordings").rglob("*.wav"))
    [noted] = here.json("retention", "--history")
    assert (noted["why"], noted["what"], noted["items"]) == ("retention", "recording", 1)


def test_what_is_in_the_way_is_told_with_exit_code_1(here: Installation, database_url: str):
    here.run("ingest", wav(here.home / "mine" / "call.wav"))
    execute_sql(database_url, f"{AGE}, bucket = 'old'")
    told = here.run("retention", "--now", exit_code=1, CALLPIPELINE_KEEP_RECORDINGS_DAYS="90")
    assert "recordings: The recording came from old" in told.stderr


def test_periods_that_contradict_each_other_are_refused(here: Installation):
    here.environment |= {
        "CALLPIPELINE_KEEP_RECORDINGS_DAYS": "9",
        "CALLPIPELINE_KEEP_RESULTS_DAYS": "8",
    }
    assert "KEEP_RECORDINGS_DAYS exceeds" in here.run("retention", exit_code=1).stderr
    findings = {one["name"]: one for one in here.json("doctor", exit_code=1)}
    assert findings["retention"]["level"] == "bad"
    assert "Use either" in here.run("retention", "--now", "--history", exit_code=2).stderr


def test_the_doctor_tells_of_an_erasure_that_does_not_end(here: Installation, database_url: str):
    [entered] = here.json("ingest", wav(here.home / "mine" / "call.wav"))
    execute_sql(database_url, "UPDATE calls SET bucket = 'old'")
    wrong = here.run("erase", entered["call_id"], "--yes", exit_code=1)
    assert "is not fully erased: The recording came from old" in wrong.stderr
    findings = {one["name"]: one for one in here.json("doctor", exit_code=0)}
    assert findings["erasures"]["detail"] == "1 in progress"
    execute_sql(database_url, "UPDATE erasures SET asked_at = now() - interval '2 hours'")
    findings = {one["name"]: one for one in here.json("doctor", exit_code=1)}
    assert findings["erasures"]["level"] == "bad"
    assert "came from old" in findings["erasures"]["detail"]
