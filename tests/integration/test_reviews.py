"""What people decide about mentions holds, whatever runs do meanwhile and afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from callpipeline.domain.call import CallState, Stage
from callpipeline.domain.mention import Mention, MentionStatus
from callpipeline.domain.retention import Kept
from callpipeline.domain.review import Decision
from callpipeline.errors import ClaimLost, ReviewOutdated, UnknownCall, UnknownMention
from callpipeline.pipeline.documents import call_document
from callpipeline.pipeline.reviewing import doubts
from callpipeline.storage.marts import Marts
from callpipeline.storage.retention import Retained
from callpipeline.wiring import Storage
from tests.builders import a_judgement, a_mention, a_transcript, a_write, an_unjudged
from tests.integration.calls import at_once, change, enter, row, store

SAID = "sky is what i want and vodafone and three"
CHANNEL = a_transcript(SAID).channel
DOUBT, KNOWN, WRONG = (
    a_mention(name, channel=CHANNEL, char_start=SAID.index(name.lower()), status=status)
    for name, status in (
        ("Sky", MentionStatus.UNSURE),
        ("Vodafone", MentionStatus.ACCEPTED),
        ("Three", MentionStatus.REJECTED),
    )
)
ALL = (DOUBT, KNOWN, WRONG)
MENTIONS, SENTIMENT = Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT
ACCEPT, REFUSE = Decision.ACCEPTED, Decision.REFUSED


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


def complete(storage: Storage, key: str, found: Sequence[Mention] = ALL, said: str = SAID) -> str:
    (call_id,) = enter(storage, key)
    storage.claims.claim([call_id], "run-1")
    store(storage, call_id, Stage.CHANNEL_AUDIO, Stage.CALL_METRICS)
    storage.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [a_transcript(said)])
    storage.results.save_mentions(a_write(call_id, MENTIONS), found)
    judged = [a_judgement(mention) for mention in found if mention.counts]
    storage.results.save_sentiment(a_write(call_id, SENTIMENT), judged)
    assert storage.claims.complete(call_id, "run-1") is CallState.COMPLETED
    return call_id


@pytest.fixture
def call_id(storage: Storage) -> str:
    """A complete call in which one competitor may be named, one is, and one is not."""
    return complete(storage, "call.wav")


def stands(storage: Storage, call_id: str, mention: Mention) -> tuple[str, str]:
    found = {each.mention_id: each for each in storage.results.mentions(call_id)}
    return found[mention.mention_id].status.value, found[mention.mention_id].reason


def judged(storage: Storage, call_id: str) -> set[str]:
    return {judgement.competitor for judgement in storage.results.judgements(call_id)}


def missing(storage: Storage, call_id: str) -> set[str]:
    return {one.competitor for one in storage.unjudged.of_calls([call_id])}


def asked(storage: Storage, statement: str) -> list[dict[str, Any]]:
    with storage.database.transaction() as connection:
        return connection.execute(statement.encode()).fetchall()


def judge_missing(storage: Storage, call_id: str, *mentions: Mention, run_id: str = "again"):
    """As the job does that judges what is missing of complete calls."""
    storage.unjudged.enter_run(run_id)
    taken = storage.unjudged.take(call_id, run_id)
    assert taken == {mention.mention_id for mention in mentions}
    return lambda: storage.unjudged.save(
        a_write(call_id, SENTIMENT, run_id), list(map(a_judgement, mentions))
    )


def test_what_is_accepted_counts_and_is_judged_soon_while_the_call_stays_complete(
    storage: Storage, call_id: str
):
    review = storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT, "ann")
    assert (review.decision, review.decided_by, review.undoes) == (ACCEPT, "ann", None)
    assert stands(storage, call_id, DOUBT) == ("accepted", "a person accepted it")
    assert storage.unjudged.due(9) == [call_id]
    judge_missing(storage, call_id, DOUBT)()
    assert judged(storage, call_id) == {"Sky", "Vodafone"}
    assert missing(storage, call_id) == set()
    assert storage.ledger.find(call_id).state is CallState.COMPLETED


def test_what_is_refused_has_no_sentiment_nor_waits_for_one(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, KNOWN.mention_id, REFUSE)
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    storage.reviews.decide(call_id, DOUBT.mention_id, REFUSE)
    assert stands(storage, call_id, KNOWN) == ("rejected", "a person refused it")
    assert stands(storage, call_id, DOUBT) == ("rejected", "a person refused it")
    assert judged(storage, call_id) == missing(storage, call_id) == set()


def test_what_the_rules_rejected_can_be_accepted(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, WRONG.mention_id, ACCEPT)
    assert stands(storage, call_id, WRONG)[0] == "accepted"
    assert missing(storage, call_id) == {"Three"}


def test_accepting_what_counts_already_keeps_its_sentiment(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, KNOWN.mention_id, ACCEPT)
    assert judged(storage, call_id) == {"Vodafone"}
    assert missing(storage, call_id) == set()


# Taking back


def test_what_is_taken_back_stands_as_before(storage: Storage, call_id: str):
    before = stands(storage, call_id, DOUBT)
    first = storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT, "ann")
    second = storage.reviews.decide(call_id, DOUBT.mention_id, REFUSE, "bob")
    undone = storage.reviews.undo(second.review_id, "bob")
    assert (undone.decision, undone.undoes) == (ACCEPT, second.review_id)
    assert stands(storage, call_id, DOUBT)[0] == "accepted"
    storage.reviews.undo(undone.review_id, "bob")
    assert stands(storage, call_id, DOUBT)[0] == "rejected"
    history = storage.reviews.history(call_id, DOUBT.mention_id)
    assert [each.decided_by for each in history] == ["bob", "bob", "bob", "ann"]
    assert history[-1] == first
    storage.reviews.decide(call_id, DOUBT.mention_id, Decision.LEFT)
    assert stands(storage, call_id, DOUBT) == before
    assert storage.reviews.holding(call_id) == {}


def test_what_was_refused_by_mistake_is_judged_again(storage: Storage, call_id: str):
    review = storage.reviews.decide(call_id, KNOWN.mention_id, REFUSE)
    storage.reviews.undo(review.review_id)
    assert stands(storage, call_id, KNOWN) == ("accepted", KNOWN.reason)
    assert missing(storage, call_id) == {"Vodafone"}
    judge_missing(storage, call_id, KNOWN)()
    assert judged(storage, call_id) == {"Vodafone"}


def test_what_somebody_else_decided_since_is_not_taken_back(storage: Storage, call_id: str):
    mine = storage.reviews.decide(call_id, DOUBT.mention_id, REFUSE, "ann")
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT, "bob")
    with pytest.raises(ReviewOutdated):
        storage.reviews.undo(mine.review_id, "ann")
    with pytest.raises(ReviewOutdated):
        storage.reviews.undo(999_999_999)
    assert stands(storage, call_id, DOUBT)[0] == "accepted"


# Mentions that are found anew


def find_again(storage: Storage, call_id: str, *found: Mention, run_id: str = "run-2"):
    """A run over the last two stages, which judges what counts by what it was told."""
    storage.claims.claim([call_id], run_id, anew=[MENTIONS, SENTIMENT])
    stored = storage.results.save_mentions(a_write(call_id, MENTIONS, run_id), found)
    judged = [a_judgement(mention) for mention in stored if mention.counts]
    storage.results.save_sentiment(a_write(call_id, SENTIMENT, run_id), judged)
    storage.claims.complete(call_id, run_id)
    return stored


def test_decisions_hold_when_mentions_are_found_anew(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    storage.reviews.decide(call_id, KNOWN.mention_id, REFUSE)
    moved = replace(DOUBT, start_s=DOUBT.start_s + 0.4, reason="another list")
    stored = find_again(storage, call_id, moved, KNOWN, WRONG)
    assert [mention.status for mention in stored] == ["accepted", "rejected", "rejected"]
    assert stored == storage.results.mentions(call_id)
    assert judged(storage, call_id) == {"Sky"}  # by the run, not later
    assert missing(storage, call_id) == set()
    storage.reviews.decide(call_id, DOUBT.mention_id, Decision.LEFT)
    assert stands(storage, call_id, DOUBT) == ("unsure", "another list")


def test_a_mention_that_vanished_and_returns_is_as_it_was_decided(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    find_again(storage, call_id, KNOWN)
    assert judged(storage, call_id) == {"Vodafone"}
    with pytest.raises(UnknownMention):
        storage.reviews.decide(call_id, DOUBT.mention_id, REFUSE)
    find_again(storage, call_id, DOUBT, KNOWN, run_id="run-3")
    assert stands(storage, call_id, DOUBT)[0] == "accepted"
    assert judged(storage, call_id) == {"Sky", "Vodafone"}


def test_a_decision_is_not_about_another_word_of_the_same_id(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    elsewhere = replace(DOUBT, start_s=DOUBT.start_s + 30, end_s=DOUBT.end_s + 30)
    find_again(storage, call_id, elsewhere)
    assert stands(storage, call_id, DOUBT) == ("unsure", DOUBT.reason)


# While a run holds the call


def test_a_decision_before_a_run_looks_is_seen_by_it(storage: Storage, call_id: str):
    storage.claims.claim([call_id], "run-2", anew=[MENTIONS, SENTIMENT])
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    assert row(storage, call_id)["state"] == "PROCESSING"
    assert storage.unjudged.due(9) == []
    find_again(storage, call_id, *ALL)
    assert judged(storage, call_id) == {"Sky", "Vodafone"}


def test_a_decision_while_a_run_judges_is_not_lost(storage: Storage, call_id: str):
    storage.claims.claim([call_id], "run-2", anew=[MENTIONS, SENTIMENT])
    stored = storage.results.save_mentions(a_write(call_id, MENTIONS, "run-2"), ALL)
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    storage.reviews.decide(call_id, KNOWN.mention_id, REFUSE)
    verdicts = [a_judgement(mention) for mention in stored if mention.counts]
    storage.results.save_sentiment(a_write(call_id, SENTIMENT, "run-2"), verdicts)
    storage.claims.complete(call_id, "run-2")
    assert judged(storage, call_id) == set()
    assert storage.unjudged.due(9) == [call_id]
    judge_missing(storage, call_id, DOUBT)()
    assert judged(storage, call_id) == {"Sky"}


def test_what_could_not_be_judged_of_a_refused_mention_is_not_asked_again(
    storage: Storage, call_id: str
):
    storage.claims.claim([call_id], "run-2", anew=[SENTIMENT])
    storage.reviews.decide(call_id, KNOWN.mention_id, REFUSE)
    late = a_write(call_id, SENTIMENT, "run-2")
    storage.results.save_sentiment(late, [], [an_unjudged(KNOWN)])
    assert missing(storage, call_id) == set()


def test_a_late_verdict_on_what_was_refused_meanwhile_is_not_stored(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    save = judge_missing(storage, call_id, DOUBT)
    storage.reviews.decide(call_id, DOUBT.mention_id, REFUSE)
    with pytest.raises(ClaimLost):
        save()
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    with pytest.raises(ClaimLost):
        save()
    assert judged(storage, call_id) == {"Vodafone"}
    judge_missing(storage, call_id, DOUBT, run_id="yet again")()
    assert judged(storage, call_id) == {"Sky", "Vodafone"}


# Two at once


def test_of_decisions_at_once_the_last_holds_and_all_are_known(storage: Storage, call_id: str):
    def decide(number: int) -> None:
        decision = ACCEPT if number % 2 else REFUSE
        storage.reviews.decide(call_id, DOUBT.mention_id, decision, f"person {number}")

    at_once(6, decide)
    history = storage.reviews.history(call_id, DOUBT.mention_id)
    assert {each.decided_by for each in history} == {f"person {n}" for n in range(6)}
    counts = history[0].decision is ACCEPT
    assert stands(storage, call_id, DOUBT)[0] == ("accepted" if counts else "rejected")
    assert missing(storage, call_id) == ({"Sky"} if counts else set())


def test_of_two_who_take_back_the_same_one_does(storage: Storage, call_id: str):
    review = storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)

    def undo(number: int) -> bool:
        try:
            storage.reviews.undo(review.review_id)
        except ReviewOutdated:
            return False
        return True

    assert sorted(at_once(4, undo)) == [False, False, False, True]
    assert stands(storage, call_id, DOUBT)[0] == "unsure"


def test_decisions_while_runs_write_end_as_decided(storage: Storage, call_id: str):
    """Whichever comes first, in each of many rounds."""
    for number in range(12):
        decision = ACCEPT if number % 2 else REFUSE

        def work(who: int, run_id: str = f"run-{number + 2}", decision: Decision = decision):
            if who:
                find_again(storage, call_id, *ALL, run_id=run_id)
            else:
                storage.reviews.decide(call_id, DOUBT.mention_id, decision)

        at_once(2, work)
        counts = decision is ACCEPT
        assert stands(storage, call_id, DOUBT)[0] == ("accepted" if counts else "rejected")
        known = judged(storage, call_id) | missing(storage, call_id)
        assert known == ({"Sky", "Vodafone"} if counts else {"Vodafone"})
        assert row(storage, call_id)["state"] == "COMPLETED"


# The day of the call


def test_a_decision_lets_the_day_be_counted_anew(storage: Storage, call_id: str):
    change(storage, [call_id], updated_at="now() - interval '2 hours'")
    marts, hour = Marts(storage.database), datetime.now(UTC) - timedelta(hours=1)
    assert marts.stale_days(date(2026, 1, 1), hour)[0] == []
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    [stale], _ = marts.stale_days(date(2026, 1, 1), hour)
    assert stale.day == date(2026, 3, 2)


def test_a_call_under_way_is_not_touched(storage: Storage, call_id: str):
    storage.claims.claim([call_id], "run-2")
    before = row(storage, call_id)
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    assert row(storage, call_id) == before


# The list


def test_the_newest_calls_come_first_and_their_mentions_in_order_of_time(storage: Storage):
    later = replace(WRONG, status=MentionStatus.UNSURE)
    ids = [complete(storage, f"{n}.wav", [later, DOUBT, KNOWN]) for n in range(5)]
    for number, call_id in enumerate(ids):
        change(storage, [call_id], started_at=f"timestamptz '2026-03-0{number + 1} 12:00Z'")
    storage.claims.claim([ids[2]], "run-2")
    expected = [(id_, name) for id_ in reversed(ids) if id_ != ids[2] for name in ("Sky", "Three")]
    found, after = list[tuple[str, str]](), None
    for _ in range(3):
        page = doubts(storage.reviews, after=after, limit=3)
        found += [(d.unsure.call_id, d.unsure.mention.competitor) for d in page.doubts]
        after = page.next_after
    assert found == expected
    assert after is None
    only = doubts(storage.reviews, competitor="Three").doubts
    assert [each.unsure.call_id for each in only] == [ids[n] for n in (4, 3, 1, 0)]
    assert storage.reviews.count_unsure() == {"Sky": 4, "Three": 4}
    [first, *_] = only
    assert (first.before, first.said, first.after) == (SAID.removesuffix("three"), "three", "")


def test_calls_of_the_same_moment_are_listed_once_each(storage: Storage):
    ids = [complete(storage, f"{n}.wav", [DOUBT]) for n in range(4)]
    found, after = list[str](), None
    for _ in ids:
        page = doubts(storage.reviews, after=after, limit=1)
        found += [each.unsure.call_id for each in page.doubts]
        after = page.next_after
    assert sorted(found) == sorted(ids)


def test_what_is_decided_is_not_listed(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, DOUBT.mention_id, REFUSE)
    assert doubts(storage.reviews).doubts == ()
    assert storage.reviews.count_unsure() == {}


def test_the_document_of_a_call_tells_what_was_decided_and_not_by_whom(
    storage: Storage, call_id: str
):
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT, "ann@example.com")
    document = call_document(storage, storage.ledger.find(call_id))
    told = {mention["competitor"]: mention["review"] for mention in document["mentions"]}
    assert told["Sky"]["decision"] == "accepted"
    assert told["Vodafone"] is told["Three"] is None
    assert "ann@" not in str(document)


# What is not there (any more)


def test_only_mentions_of_calls_that_are_there_are_decided(storage: Storage, call_id: str):
    with pytest.raises(UnknownMention):
        storage.reviews.decide(call_id, "left.9.9.Sky", ACCEPT)
    with pytest.raises(UnknownCall):
        storage.reviews.decide("2026-03-02-ffffffffffff", DOUBT.mention_id, ACCEPT)
    assert storage.reviews.history(call_id) == []


def test_with_an_erased_call_its_reviews_go(storage: Storage, call_id: str):
    review = storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT, "ann")
    storage.reviews.undo(review.review_id, "ann")
    storage.erasures.begin([call_id], keep_recording=True, because="asked")
    assert asked(storage, "SELECT * FROM reviews") == []
    with pytest.raises(UnknownCall):
        storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    with pytest.raises(ReviewOutdated):
        storage.reviews.undo(review.review_id)


def test_without_transcripts_what_is_accepted_cannot_be_judged(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, KNOWN.mention_id, REFUSE)
    change(storage, [call_id], first_ended_at="now() - interval '9 days'")
    now = datetime.now(UTC)
    Retained(storage.database).delete(Kept.TRANSCRIPTS, call_id, now, lambda row: 1)
    assert stands(storage, call_id, KNOWN) == ("rejected", "a person refused it")
    assert asked(storage, "SELECT DISTINCT found_reason FROM mentions ORDER BY 1") == [
        {"found_reason": ""},
        {"found_reason": None},
    ]
    storage.reviews.decide(call_id, DOUBT.mention_id, ACCEPT)
    [one] = storage.unjudged.of_calls([call_id])
    assert (one.competitor, one.error_class, one.not_before) == ("Sky", "MissingObject", None)
    assert storage.unjudged.due(9) == []
    storage.reviews.decide(call_id, DOUBT.mention_id, Decision.LEFT)
    [doubt] = doubts(storage.reviews).doubts
    assert (doubt.before, doubt.said, doubt.after) == ("", "sky", "")
