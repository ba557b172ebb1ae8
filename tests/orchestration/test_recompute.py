"""A stage of completed calls is computed again when a person asks for it."""

import dataclasses
from datetime import UTC, datetime

import pytest

from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import (
    CallpipelineError,
    CatalogConflict,
    EngineRefused,
    EngineUnavailable,
    ServiceUnavailable,
    SettingsInvalid,
)
from callpipeline.pipeline.rematch.recomputation import (
    plan_recomputation,
    request_recomputation,
)
from callpipeline.pipeline.rematch.rematcher import MAX_DEFERRALS
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.wiring import load_catalog
from tests.fakes.engines import ScriptedJudge
from tests.orchestration.lab import Lab
from tests.orchestration.test_rematch import (
    FIRST,
    calls,
    contents,
    judged,
    mentioned,
    rematch,
    tick,
    write,
)
from tests.orchestration.test_sensors import change


@pytest.fixture(autouse=True)
def a_list(lab: Lab) -> None:
    write(lab, FIRST)


class OtherJudge(ScriptedJudge):
    """A judge under another name, which finds everything negative."""

    def __init__(self, *, fails: CallpipelineError | None = None) -> None:
        super().__init__(
            {"Vodafone": fails} if fails else None,
            thinks={"Vodafone": Sentiment.NEGATIVE},
        )
        self.name = "other-judge"

    async def judge(self, *args, **kwargs):  # pyright: ignore
        results = await super().judge(*args, **kwargs)
        return tuple(
            dataclasses.replace(each, engine=self.name) if hasattr(each, "engine") else each
            for each in results
        )


AWAY = EngineUnavailable("The judge is away.")


def is_due(lab: Lab) -> None:
    """Let the time pass that deferred calls wait."""
    change(lab, "UPDATE rematch_calls SET next_attempt_at = now() WHERE error IS NULL")


def ask(lab: Lab, stage: Stage, **selection: object) -> int:
    """Ask for a stage as the command does; return the number of calls."""
    rematches = lab.storage.rematches
    plan = plan_recomputation(rematches, stage, **selection)  # pyright: ignore[reportArgumentType]
    catalog = load_catalog(lab.settings, lab.storage.catalogs)
    request_recomputation(rematches, catalog, plan, "anna")
    return len(plan.calls)


def sentiments(lab: Lab, call_id: str) -> set[tuple[str, str]]:
    return {(str(j.sentiment), j.engine) for j in lab.storage.results.judgements(call_id)}


def test_a_new_judge_judges_all_mentions_again(lab: Lab) -> None:
    ids = calls(lab)
    lab.judge = OtherJudge()
    assert ask(lab, Stage.COMPETITOR_SENTIMENT) == 2
    assert tick(lab).run_requests
    assert rematch(lab).success
    assert (
        sentiments(lab, ids["both"]) == sentiments(lab, ids["old"]) == {("negative", "other-judge")}
    )
    assert lab.engines.used == []
    assert lab.storage.rematches.current() is None
    assert not tick(lab).run_requests


def test_calls_are_selected_by_time_and_by_engine(lab: Lab) -> None:
    ids = calls(lab)
    change(lab, "UPDATE calls SET started_at = '2026-01-01' WHERE call_id = ANY(%s)", [ids["old"]])
    first = next(iter(sentiments(lab, ids["old"])))[1]
    rematches, sentiment = lab.storage.rematches, Stage.COMPETITOR_SENTIMENT
    since = datetime(2026, 6, 1, tzinfo=UTC)

    def planned(**selection: object) -> list[str]:
        plan = plan_recomputation(rematches, sentiment, **selection)  # pyright: ignore[reportArgumentType]
        return [call.call_id for call in plan.calls]

    assert planned(since=since) == [ids["both"]]
    assert planned(older_than="current", configured=first) == []
    assert planned(older_than=first) == []
    lab.judge = OtherJudge()
    assert ask(lab, sentiment, since=since) == 1
    assert rematch(lab).success
    assert planned(older_than="other-judge") == [ids["old"]]
    assert planned(older_than="current", configured="other-judge") == [ids["old"]]
    with pytest.raises(SettingsInvalid, match="oldest first: .*, other-judge"):
        planned(older_than="gpt")


def test_a_judge_that_is_away_leaves_the_judgements(lab: Lab) -> None:
    ids = calls(lab)
    before = contents(lab)
    lab.judge = OtherJudge(fails=AWAY)
    ask(lab, Stage.COMPETITOR_SENTIMENT)
    assert rematch(lab).success
    assert contents(lab) == before
    current = lab.storage.rematches.current()
    assert current and (current.waiting, current.deferred, current.failed) == (2, 2, 0)
    assert current.is_deferred
    assert "2 wait for the judge, next attempt at " in current.describe()
    assert "(The judge is away)" in current.describe()
    waits = tick(lab)
    assert not waits.run_requests
    assert "wait for the judge" in str(waits.skip_reason)
    lab.judge = OtherJudge()
    is_due(lab)
    assert tick(lab).run_requests
    assert rematch(lab).success
    assert sentiments(lab, ids["old"]) == {("negative", "other-judge")}
    assert lab.storage.rematches.current() is None


def test_a_person_can_try_a_judge_that_was_away_at_once(lab: Lab) -> None:
    ids = calls(lab)
    lab.judge = OtherJudge(fails=AWAY)
    ask(lab, Stage.COMPETITOR_SENTIMENT)
    assert rematch(lab).success
    lab.judge = OtherJudge()
    lab.storage.rematches.resume()
    assert tick(lab).run_requests
    assert rematch(lab).success
    assert sentiments(lab, ids["old"]) == {("negative", "other-judge")}


def test_calls_wait_for_a_service_that_is_down_as_long_as_it_is(lab: Lab) -> None:
    ids = calls(lab)
    lab.judge = OtherJudge(fails=ServiceUnavailable("The service is down.", 1.0, "judge"))
    ask(lab, Stage.COMPETITOR_SENTIMENT)
    for attempt in range(MAX_DEFERRALS + 3):
        assert rematch(lab).success
        current = lab.storage.rematches.current()
        assert current and (current.deferred, current.failed) == (2, 0), attempt
        is_due(lab)
    lab.judge = OtherJudge()
    assert rematch(lab).success
    assert sentiments(lab, ids["both"]) == {("negative", "other-judge")}


def test_a_judge_that_fails_only_some_calls_gives_them_up(lab: Lab) -> None:
    ids = calls(lab)
    before = sentiments(lab, ids["old"])
    lab.judge = OtherJudge(fails=AWAY)
    ask(lab, Stage.COMPETITOR_SENTIMENT)
    for _ in range(MAX_DEFERRALS + 1):
        assert rematch(lab).success
        is_due(lab)
    done = lab.storage.rematches.last()
    assert done and (done.failed, done.deferred, done.outcome) == (2, 0, "done")
    assert sentiments(lab, ids["old"]) == before
    lab.judge = OtherJudge()
    lab.storage.rematches.resume()
    assert rematch(lab).success
    assert sentiments(lab, ids["old"]) == {("negative", "other-judge")}


def test_an_answer_that_can_never_succeed_fails_at_once(lab: Lab) -> None:
    calls(lab)
    lab.judge = OtherJudge(fails=EngineRefused("The judge refused."))
    ask(lab, Stage.COMPETITOR_SENTIMENT)
    assert rematch(lab).success
    done = lab.storage.rematches.last()
    assert done and (done.failed, done.outcome) == (2, "done")


def test_calls_that_are_due_wait_with_those_of_the_same_judge(lab: Lab) -> None:
    calls(lab)
    ask(lab, Stage.COMPETITOR_SENTIMENT)
    rematches = lab.storage.rematches
    opened = rematches.current()
    assert opened
    [first, second] = rematches.todo(opened.rematch_id, 10)
    rematches.defer(first.call_id, opened.rematch_id, "The service is down.", 600.0)
    assert rematches.todo(opened.rematch_id, 10) == [second]
    rematches.defer_rest(opened.rematch_id)
    assert rematches.todo(opened.rematch_id, 10) == []
    current = rematches.current()
    assert current and current.is_deferred


def test_a_list_changed_meanwhile_does_not_forget_what_was_asked(lab: Lab) -> None:
    ids = calls(lab)
    ask(lab, Stage.COMPETITOR_SENTIMENT)
    lab.judge = OtherJudge()
    edited = Catalog((Competitor("Vodafone"), Competitor("TalkTalk")))
    lab.storage.catalogs.apply(edited, NewChange(ChangeOrigin.PAGE, "anna"))
    assert tick(lab).run_requests
    assert rematch(lab).success
    assert mentioned(lab, ids["both"]) == judged(lab, ids["both"]) == {"Vodafone", "TalkTalk"}
    for name in ("both", "old"):
        assert {engine for _, engine in sentiments(lab, ids[name])} == {"other-judge"}
    assert lab.storage.rematches.current() is None


def test_mentions_are_found_again(lab: Lab) -> None:
    ids = calls(lab)
    before = contents(lab)
    change(lab, "DELETE FROM mentions WHERE call_id = ANY(%s)", [ids["old"]])
    assert ask(lab, Stage.COMPETITOR_MENTIONS) == 3
    assert rematch(lab).success
    assert contents(lab) == before


def test_nothing_is_asked_for_while_a_rematch_is_stopped(lab: Lab) -> None:
    calls(lab)
    ask(lab, Stage.COMPETITOR_SENTIMENT)
    lab.storage.rematches.pause(True, "anna")
    with pytest.raises(CatalogConflict, match="catalog resume"):
        ask(lab, Stage.COMPETITOR_SENTIMENT)


def recognised(lab: Lab) -> list[str]:
    """Process two calls that the recogniser hears."""
    lab.engines.heard = "i am leaving vodafone because it is expensive"
    ids = [lab.add_call(name, said=None) for name in ("one", "two")]
    assert lab.run(ids).success
    lab.engines.used.clear()
    return ids


def test_a_new_recogniser_transcribes_stored_audio_again(lab: Lab) -> None:
    ids = [*recognised(lab), *calls(lab).values()]
    write(lab, "competitors: [Vodafone, TalkTalk]\n")
    assert tick(lab).run_requests
    assert rematch(lab).success
    lab.engines.heard, lab.engines.name = "talktalk is much better", "better"
    lab.engines.used.clear()
    # Transcripts that came with the recording are not the recogniser's.
    assert ask(lab, Stage.TRANSCRIPTS) == 2
    assert rematch(lab).success
    assert set(lab.engines.used) == {"transcriber"}
    for call_id in ids[:2]:
        assert mentioned(lab, call_id) == judged(lab, call_id) == {"TalkTalk"}
        assert {t.engine for t in lab.storage.results.transcripts(call_id)} == {"better"}
    states = {record.state for record in lab.storage.ledger.calls(call_ids=ids)}
    assert states == {CallState.COMPLETED}
    assert lab.storage.rematches.current() is None


def test_a_recogniser_that_fails_leaves_the_call_to_retries(lab: Lab) -> None:
    """As after a person's materialization: the call waits, and the next run transcribes it."""
    ids = recognised(lab)
    transcribe = lab.engines.transcribe

    async def fail(*args: object) -> None:
        raise EngineUnavailable("The recogniser is away.")

    lab.engines.transcribe = fail  # pyright: ignore[reportAttributeAccessIssue]
    ask(lab, Stage.TRANSCRIPTS)
    assert rematch(lab).success
    states = {record.state for record in lab.storage.ledger.calls(call_ids=ids)}
    assert states == {CallState.PENDING}
    lab.engines.transcribe = transcribe  # pyright: ignore[reportAttributeAccessIssue]
    assert lab.run(ids).success
    assert mentioned(lab, ids[0]) == {"Vodafone"}
    assert rematch(lab).success
    assert lab.storage.rematches.current() is None


def test_deleted_audio_is_not_selected(lab: Lab) -> None:
    ids = recognised(lab)
    assert ask(lab, Stage.TRANSCRIPTS) == 2
    change(
        lab,
        "INSERT INTO deletions (call_id, what, why, items) "
        "VALUES (%s, 'channel_audio', 'retention', 1)",
        ids[0],
    )
    assert len(plan_recomputation(lab.storage.rematches, Stage.TRANSCRIPTS).calls) == 1
    assert rematch(lab).success
    assert mentioned(lab, ids[0]) == {"Vodafone"}
    done = lab.storage.rematches.last()
    assert done and done.failed == 1
