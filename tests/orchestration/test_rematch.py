"""A changed competitor list reaches completed calls: without transcription, whole, and undoably."""

from pathlib import Path

import dagster as dg
import pytest

from callpipeline.defs.jobs.rematch import REMATCH_JOB
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.mentions import Decision
from callpipeline.pipeline.rematch.planning import continue_rematch
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.wiring import load_catalog
from tests.fakes.engines import ScriptedJudge
from tests.orchestration.lab import Lab
from tests.orchestration.test_sensors import change

FIRST = "competitors: [Vodafone]\n"
SECOND = "competitors: [Vodafone, TalkTalk]\n"
RESULTS = ("mentions", "sentiment", "unjudged", "reviews", "segments", "transcripts")


@pytest.fixture(autouse=True)
def a_list(lab: Lab) -> None:
    write(lab, FIRST)


def write(lab: Lab, text: str) -> None:
    path = lab.settings.catalog_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def calls(lab: Lab) -> dict[str, str]:
    """Process three calls with the first list; return their ids by what is said."""
    said = {
        "both": "vodafone is cheaper but talktalk is slow",
        "old": "i am leaving vodafone because it is expensive",
        "none": "please help me with my bill",
    }
    ids = {name: lab.add_call(name, said=text) for name, text in said.items()}
    assert lab.run(list(ids.values())).success
    lab.engines.used.clear()
    return ids


def tick(lab: Lab, cursor: str | None = None) -> dg.SensorResult:
    sensor = lab.definitions.resolve_sensor_def("competitor_list")
    with dg.build_sensor_context(
        instance=lab.instance,
        resources={"storage": lab.storage},
        definitions=lab.definitions,
        cursor=cursor,
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def rematch(lab: Lab) -> dg.ExecuteInProcessResult:
    return lab.definitions.resolve_job_def(REMATCH_JOB).execute_in_process(
        instance=lab.instance, raise_on_error=False
    )


def apply(lab: Lab, text: str) -> None:
    """Change the file, and do what the sensor requests."""
    write(lab, text)
    assert tick(lab).run_requests
    assert rematch(lab).success
    assert not tick(lab).run_requests


def mentioned(lab: Lab, call_id: str) -> set[str]:
    return {each.competitor for each in lab.storage.results.mentions(call_id)}


def judged(lab: Lab, call_id: str) -> set[str]:
    return {each.competitor for each in lab.storage.results.judgements(call_id)}


def contents(lab: Lab) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of the tables of results."""
    with lab.storage.database.transaction() as connection:
        return {
            table: [
                tuple(row.values())
                for row in connection.execute(f"SELECT * FROM {table} t ORDER BY t::text".encode())
            ]
            for table in RESULTS
        }


def versions(lab: Lab) -> set[tuple[str, int]]:
    with lab.storage.database.transaction() as connection:
        rows = connection.execute(
            "SELECT catalog_version, rule_version FROM call_stages "
            "WHERE stage = 'competitor_mentions'"
        ).fetchall()
    return {(row["catalog_version"], row["rule_version"]) for row in rows}


def test_a_changed_list_reaches_completed_calls_by_itself(lab: Lab) -> None:
    ids = calls(lab)
    assert not tick(lab).run_requests
    apply(lab, SECOND)
    assert mentioned(lab, ids["both"]) == judged(lab, ids["both"]) == {"Vodafone", "TalkTalk"}
    assert lab.engines.used == []
    states = {record.state for record in lab.storage.ledger.calls(call_ids=list(ids.values()))}
    assert states == {CallState.COMPLETED}
    assert len(versions(lab)) == 1


def test_a_list_changed_on_the_page_reaches_completed_calls(lab: Lab) -> None:
    """The file is unchanged, and does not undo it."""
    ids = calls(lab)
    assert not tick(lab).run_requests
    edited = Catalog((Competitor("Vodafone"), Competitor("TalkTalk")))
    made = lab.storage.catalogs.apply(edited, NewChange(ChangeOrigin.PAGE, "anna"))
    assert tick(lab).run_requests
    assert rematch(lab).success
    assert not tick(lab).run_requests
    assert mentioned(lab, ids["both"]) == {"Vodafone", "TalkTalk"}
    current = lab.storage.catalogs.current()
    assert current and current.version == made.version


def test_only_calls_with_a_changed_name_are_computed(lab: Lab) -> None:
    ids = calls(lab)
    apply(lab, SECOND)
    done = lab.storage.rematches.last()
    assert done and (done.calls, done.unaffected, done.outcome) == (1, 2, "done")
    [event] = lab.instance.fetch_materializations(
        dg.AssetKey("competitor_mentions"), limit=1
    ).records
    assert event.asset_materialization
    assert event.asset_materialization.partition == ids["both"]
    assert event.asset_materialization.metadata["rematched"].value is True


def test_a_call_whose_partition_key_was_retired_is_reached(lab: Lab) -> None:
    ids = calls(lab)
    change(lab, "UPDATE calls SET created_at = now() - interval '60 days'")
    lab.instance.delete_dynamic_partition("calls", ids["both"])
    apply(lab, SECOND)
    assert mentioned(lab, ids["both"]) == {"Vodafone", "TalkTalk"}
    assert ids["both"] in lab.instance.get_dynamic_partitions("calls")


def test_an_undo_restores_the_tables(lab: Lab) -> None:
    ids = calls(lab)
    [mention] = lab.storage.results.mentions(ids["old"])
    lab.storage.reviews.decide(ids["old"], mention.mention_id, Decision.DISMISSED, "anna")
    before = contents(lab)
    apply(lab, "competitors: [TalkTalk, {name: Vodafone, ambiguous: true}]\n")
    assert contents(lab) != before
    apply(lab, FIRST)
    assert contents(lab) == before
    assert lab.engines.used == []


def test_a_removed_name_comes_back_with_its_judgement(lab: Lab) -> None:
    lab.judge = ScriptedJudge()
    ids = calls(lab)
    before = contents(lab)
    apply(lab, "competitors: [TalkTalk]\n")
    assert mentioned(lab, ids["both"]) == {"TalkTalk"}
    lab.judge = ScriptedJudge()
    apply(lab, FIRST)
    assert lab.judge.asked == []
    assert contents(lab) == before


def test_reviews_survive_a_rematch(lab: Lab) -> None:
    ids = calls(lab)
    [mention] = lab.storage.results.mentions(ids["both"])
    lab.storage.reviews.decide(ids["both"], mention.mention_id, Decision.DISMISSED, "anna")
    apply(lab, SECOND)
    assert judged(lab, ids["both"]) == {"TalkTalk"}


def test_an_invalid_file_is_refused_and_the_last_list_stays(lab: Lab) -> None:
    ids = calls(lab)
    write(lab, "competitors:\n  - nmae: Sky\n")
    assert not tick(lab).run_requests
    assert tick(lab).skip_reason
    [file] = lab.storage.catalogs.files()
    assert file.problem and "line 2" in file.problem
    with lab.storage.database.transaction() as connection:
        rows = connection.execute("SELECT kind, message FROM outbox").fetchall()
    assert [row["kind"] for row in rows] == ["catalog_refused"]
    assert mentioned(lab, ids["old"]) == {"Vodafone"}
    apply(lab, SECOND)
    assert [file.problem for file in lab.storage.catalogs.files()] == [None]


def test_a_paused_rematch_continues_where_it_stopped(lab: Lab) -> None:
    ids = calls(lab)
    write(lab, SECOND)
    assert tick(lab).run_requests
    continue_rematch(lab.storage.rematches, load_catalog(lab.settings, lab.storage.catalogs))
    assert lab.storage.rematches.pause(True, "anna")
    stopped = lab.storage.rematches.current()
    assert stopped and (stopped.paused_by, stopped.describe()) == (
        "anna",
        "0 of 1 calls rematched, 2 unaffected; stopped",
    )
    assert not tick(lab).run_requests
    assert rematch(lab).success
    assert mentioned(lab, ids["both"]) == {"Vodafone"}
    lab.storage.rematches.resume()
    assert rematch(lab).success
    assert mentioned(lab, ids["both"]) == {"Vodafone", "TalkTalk"}


def test_a_call_without_its_transcript_is_reported_once(lab: Lab, tmp_path: Path) -> None:
    ids = calls(lab)
    for path in (lab.settings.home / "storage").rglob(f"*{ids['both']}*/*.json"):
        path.unlink()
    apply(lab, SECOND)
    done = lab.storage.rematches.last()
    assert done and (done.failed, done.outcome) == (1, "done")
    assert mentioned(lab, ids["both"]) == {"Vodafone"}


def test_the_version_in_force_is_observed(lab: Lab) -> None:
    result = tick(lab)
    [observation] = result.asset_events
    assert isinstance(observation, dg.AssetObservation)
    assert observation.tags == {"dagster/data_version": result.cursor}
    assert not tick(lab, cursor=result.cursor).asset_events
