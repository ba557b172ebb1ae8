"""What people decide about mentions holds, whatever runs do meanwhile and afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from callpipeline.domain.calls.call import CallState, RetentionClass, Stage
from callpipeline.domain.competitors.mentions import Decision, Mention, MentionStatus, follows
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import ClaimLost, ReviewOutdated, UnknownCall, UnknownMention
from callpipeline.pipeline.reading.documents import call_document, pending_reviews
from callpipeline.storage.erasure import RetentionStore
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.reading.analytics import DailyMarts
from callpipeline.wiring import Storage
from tests.builders import a_judgement, a_mention, a_transcript, a_write, an_unjudged
from tests.integration.calls import change, enter, row, run_concurrently, store

SAID = "sky is what i want and vodafone and three"
CHANNEL = a_transcript(SAID).channel
PENDING, KNOWN, WRONG = (
    a_mention(name, channel=CHANNEL, char_start=SAID.index(name.lower()), status=status)
    for name, status in (
        ("Sky", MentionStatus.NEEDS_REVIEW),
        ("Vodafone", MentionStatus.COUNTED),
        ("Three", MentionStatus.DISMISSED),
    )
)
ALL = (PENDING, KNOWN, WRONG)
MENTIONS, SENTIMENT = Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT
CONFIRM, DISMISS = Decision.CONFIRMED, Decision.DISMISSED


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
    """A completed call with a pending, a counted and a dismissed mention."""
    return complete(storage, "call.wav")


def status_of(storage: Storage, call_id: str, mention: Mention) -> tuple[str, str]:
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
    """Judge unjudged mentions like the job for completed calls."""
    storage.unjudged.register_run(run_id)
    taken = storage.unjudged.claim(call_id, run_id)
    assert taken == {mention.mention_id for mention in mentions}
    return lambda: storage.unjudged.save(
        a_write(call_id, SENTIMENT, run_id), list(map(a_judgement, mentions))
    )


def test_a_confirmed_mention_counts_and_is_judged_while_the_call_stays_complete(
    storage: Storage, call_id: str
):
    review = storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM, "ann")
    assert (review.decision, review.decided_by, review.undoes) == (CONFIRM, "ann", None)
    assert status_of(storage, call_id, PENDING) == ("counted", "a person confirmed it")
    assert storage.unjudged.due(9) == [call_id]
    judge_missing(storage, call_id, PENDING)()
    assert judged(storage, call_id) == {"Sky", "Vodafone"}
    assert missing(storage, call_id) == set()
    assert storage.ledger.find(call_id).state is CallState.COMPLETED


def test_a_dismissed_mention_has_no_sentiment_and_is_not_judged(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, KNOWN.mention_id, DISMISS)
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    storage.reviews.decide(call_id, PENDING.mention_id, DISMISS)
    assert status_of(storage, call_id, KNOWN) == ("dismissed", "a person dismissed it")
    assert status_of(storage, call_id, PENDING) == ("dismissed", "a person dismissed it")
    assert judged(storage, call_id) == missing(storage, call_id) == set()


def test_a_mention_that_the_rules_dismissed_can_be_confirmed(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, WRONG.mention_id, CONFIRM)
    assert status_of(storage, call_id, WRONG)[0] == "counted"
    assert missing(storage, call_id) == {"Three"}


def test_confirming_a_counted_mention_keeps_its_sentiment(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, KNOWN.mention_id, CONFIRM)
    assert judged(storage, call_id) == {"Vodafone"}
    assert missing(storage, call_id) == set()


# Undo


def test_undo_restores_the_earlier_status(storage: Storage, call_id: str):
    before = status_of(storage, call_id, PENDING)
    first = storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM, "ann")
    second = storage.reviews.decide(call_id, PENDING.mention_id, DISMISS, "bob")
    undone = storage.reviews.undo(second.review_id, "bob")
    assert (undone.decision, undone.undoes) == (CONFIRM, second.review_id)
    assert status_of(storage, call_id, PENDING)[0] == "counted"
    storage.reviews.undo(undone.review_id, "bob")
    assert status_of(storage, call_id, PENDING)[0] == "dismissed"
    history = storage.reviews.history(call_id, PENDING.mention_id)
    assert [each.decided_by for each in history] == ["bob", "bob", "bob", "ann"]
    assert history[-1] == first
    storage.reviews.decide(call_id, PENDING.mention_id, Decision.RESET)
    assert status_of(storage, call_id, PENDING) == before
    assert storage.reviews.in_force(call_id) == {}


def sentiment_rows(storage: Storage) -> list[dict[str, Any]]:
    return asked(storage, "SELECT * FROM sentiment ORDER BY mention_id")


def test_undoing_a_dismissal_gives_back_the_same_judgement(storage: Storage, call_id: str):
    before = sentiment_rows(storage)
    assert [row["competitor"] for row in before] == ["Vodafone"]
    review = storage.reviews.decide(call_id, KNOWN.mention_id, DISMISS)
    assert sentiment_rows(storage) == []
    storage.reviews.undo(review.review_id)
    assert status_of(storage, call_id, KNOWN) == ("counted", KNOWN.reason)
    assert missing(storage, call_id) == set()
    assert sentiment_rows(storage) == before
    read = asked(storage, "SELECT stance FROM reading_mentions")
    assert [row["stance"] for row in read] == [before[0]["sentiment"]]
    assert asked(storage, "SELECT FROM replaced_judgements") == []


def test_a_corrected_sentiment_is_corrected_after_an_undo_as_well(storage: Storage, call_id: str):
    storage.corrections.correct(call_id, KNOWN.mention_id, Sentiment.MIXED, "ann")
    before = sentiment_rows(storage)
    review = storage.reviews.decide(call_id, KNOWN.mention_id, DISMISS)
    storage.reviews.undo(review.review_id)
    assert sentiment_rows(storage) == before
    assert before[0]["sentiment"] == "mixed"
    storage.corrections.correct(call_id, KNOWN.mention_id, None, "ann")
    [row] = sentiment_rows(storage)
    assert row["sentiment"] == before[0]["judged"]["sentiment"]


def test_a_dismissed_mention_is_judged_if_its_call_was_judged_again_meanwhile(
    storage: Storage, call_id: str
):
    review = storage.reviews.decide(call_id, KNOWN.mention_id, DISMISS)
    find_again(storage, call_id, *ALL)
    storage.reviews.undo(review.review_id)
    assert missing(storage, call_id) == {"Vodafone"}
    judge_missing(storage, call_id, KNOWN)()
    assert judged(storage, call_id) == {"Vodafone"}


def test_retention_deletes_the_words_of_a_judgement_that_was_set_aside(
    storage: Storage, call_id: str
):
    [before] = sentiment_rows(storage)
    assert before["quote"]
    review = storage.reviews.decide(call_id, KNOWN.mention_id, DISMISS)
    with storage.database.transaction() as connection:
        connection.execute(query("erasure/delete_segments"), {"call_id": call_id})
    [kept] = asked(storage, "SELECT quote, switching_quote, rule FROM replaced_judgements")
    assert kept["quote"] == kept["switching_quote"] == ""
    assert ":" not in kept["rule"] or kept["rule"].endswith(":")
    storage.reviews.undo(review.review_id)
    [after] = sentiment_rows(storage)
    assert (after["sentiment"], after["quote"]) == (before["sentiment"], "")


def test_undo_fails_after_a_later_decision(storage: Storage, call_id: str):
    mine = storage.reviews.decide(call_id, PENDING.mention_id, DISMISS, "ann")
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM, "bob")
    with pytest.raises(ReviewOutdated):
        storage.reviews.undo(mine.review_id, "ann")
    with pytest.raises(ReviewOutdated):
        storage.reviews.undo(999_999_999)
    assert status_of(storage, call_id, PENDING)[0] == "counted"


# Mentions that are found again


def find_again(storage: Storage, call_id: str, *found: Mention, run_id: str = "run-2"):
    """Repeat the last two stages in a run, judging the mentions that the store returns."""
    storage.claims.claim([call_id], run_id, recompute=[MENTIONS, SENTIMENT])
    stored = storage.results.save_mentions(a_write(call_id, MENTIONS, run_id), found)
    judged = [a_judgement(mention) for mention in stored if mention.counts]
    storage.results.save_sentiment(a_write(call_id, SENTIMENT, run_id), judged)
    storage.claims.complete(call_id, run_id)
    return stored


def test_decisions_apply_when_mentions_are_found_again(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    storage.reviews.decide(call_id, KNOWN.mention_id, DISMISS)
    moved = replace(PENDING, start_s=PENDING.start_s + 0.4, reason="another list")
    stored = find_again(storage, call_id, moved, KNOWN, WRONG)
    assert [mention.status for mention in stored] == ["counted", "dismissed", "dismissed"]
    assert stored == storage.results.mentions(call_id)
    assert judged(storage, call_id) == {"Sky"}  # by the run, not later
    assert missing(storage, call_id) == set()
    storage.reviews.decide(call_id, PENDING.mention_id, Decision.RESET)
    assert status_of(storage, call_id, PENDING) == ("needs_review", "another list")


def test_a_decision_applies_to_a_mention_that_returns(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    find_again(storage, call_id, KNOWN)
    assert judged(storage, call_id) == {"Vodafone"}
    with pytest.raises(UnknownMention):
        storage.reviews.decide(call_id, PENDING.mention_id, DISMISS)
    find_again(storage, call_id, PENDING, KNOWN, run_id="run-3")
    assert status_of(storage, call_id, PENDING)[0] == "counted"
    assert judged(storage, call_id) == {"Sky", "Vodafone"}


def test_a_decision_does_not_apply_to_another_word_with_the_same_id(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    elsewhere = replace(PENDING, start_s=PENDING.start_s + 30, end_s=PENDING.end_s + 30)
    find_again(storage, call_id, elsewhere)
    assert status_of(storage, call_id, PENDING) == ("needs_review", PENDING.reason)


# While a run has claimed the call


def test_a_run_sees_an_earlier_decision(storage: Storage, call_id: str):
    storage.claims.claim([call_id], "run-2", recompute=[MENTIONS, SENTIMENT])
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    assert row(storage, call_id)["state"] == "PROCESSING"
    assert storage.unjudged.due(9) == []
    find_again(storage, call_id, *ALL)
    assert judged(storage, call_id) == {"Sky", "Vodafone"}


def test_a_decision_while_a_run_judges_is_not_lost(storage: Storage, call_id: str):
    storage.claims.claim([call_id], "run-2", recompute=[MENTIONS, SENTIMENT])
    stored = storage.results.save_mentions(a_write(call_id, MENTIONS, "run-2"), ALL)
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    storage.reviews.decide(call_id, KNOWN.mention_id, DISMISS)
    verdicts = [a_judgement(mention) for mention in stored if mention.counts]
    storage.results.save_sentiment(a_write(call_id, SENTIMENT, "run-2"), verdicts)
    storage.claims.complete(call_id, "run-2")
    assert judged(storage, call_id) == set()
    assert storage.unjudged.due(9) == [call_id]
    judge_missing(storage, call_id, PENDING)()
    assert judged(storage, call_id) == {"Sky"}


def test_an_unjudged_mention_is_not_retried_after_its_dismissal(storage: Storage, call_id: str):
    storage.claims.claim([call_id], "run-2", recompute=[SENTIMENT])
    storage.reviews.decide(call_id, KNOWN.mention_id, DISMISS)
    late = a_write(call_id, SENTIMENT, "run-2")
    storage.results.save_sentiment(late, [], [an_unjudged(KNOWN)])
    assert missing(storage, call_id) == set()


def test_a_late_judgement_of_a_dismissed_mention_is_not_stored(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    save = judge_missing(storage, call_id, PENDING)
    storage.reviews.decide(call_id, PENDING.mention_id, DISMISS)
    with pytest.raises(ClaimLost):
        save()
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    with pytest.raises(ClaimLost):
        save()
    assert judged(storage, call_id) == {"Vodafone"}
    judge_missing(storage, call_id, PENDING, run_id="yet again")()
    assert judged(storage, call_id) == {"Sky", "Vodafone"}


# Concurrent decisions


def test_of_concurrent_decisions_the_last_applies_and_all_are_recorded(
    storage: Storage, call_id: str
):
    def decide(number: int) -> None:
        decision = CONFIRM if number % 2 else DISMISS
        storage.reviews.decide(call_id, PENDING.mention_id, decision, f"person {number}")

    run_concurrently(6, decide)
    history = storage.reviews.history(call_id, PENDING.mention_id)
    assert {each.decided_by for each in history} == {f"person {n}" for n in range(6)}
    counts = history[0].decision is CONFIRM
    assert status_of(storage, call_id, PENDING)[0] == ("counted" if counts else "dismissed")
    assert missing(storage, call_id) == ({"Sky"} if counts else set())


def test_of_two_concurrent_undos_one_succeeds(storage: Storage, call_id: str):
    review = storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)

    def undo(number: int) -> bool:
        try:
            storage.reviews.undo(review.review_id)
        except ReviewOutdated:
            return False
        return True

    assert sorted(run_concurrently(4, undo)) == [False, False, False, True]
    assert status_of(storage, call_id, PENDING)[0] == "needs_review"


def test_decisions_apply_while_runs_write(storage: Storage, call_id: str):
    """Either may come first, in each of many rounds."""
    for number in range(12):
        decision = CONFIRM if number % 2 else DISMISS

        def work(who: int, run_id: str = f"run-{number + 2}", decision: Decision = decision):
            if who:
                find_again(storage, call_id, *ALL, run_id=run_id)
            else:
                storage.reviews.decide(call_id, PENDING.mention_id, decision)

        run_concurrently(2, work)
        counts = decision is CONFIRM
        assert status_of(storage, call_id, PENDING)[0] == ("counted" if counts else "dismissed")
        known = judged(storage, call_id) | missing(storage, call_id)
        assert known == ({"Sky", "Vodafone"} if counts else {"Vodafone"})
        assert row(storage, call_id)["state"] == "COMPLETED"


# The day of the call


def test_a_decision_makes_the_day_stale(storage: Storage, call_id: str):
    change(storage, [call_id], updated_at="now() - interval '2 hours'")
    marts, hour = DailyMarts(storage.database), datetime.now(UTC) - timedelta(hours=1)
    assert marts.stale_days(date(2026, 1, 1), hour)[0] == []
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    [stale], _ = marts.stale_days(date(2026, 1, 1), hour)
    assert stale.day == date(2026, 3, 2)


def test_a_call_in_progress_is_not_changed(storage: Storage, call_id: str):
    storage.claims.claim([call_id], "run-2")
    before = row(storage, call_id)
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    assert row(storage, call_id) == before


# The list


def test_the_questions_that_tell_most_come_first(storage: Storage):
    certain, unsure = replace(PENDING, log_odds=-2.0), replace(PENDING, log_odds=0.5)
    rare = replace(WRONG, status=MentionStatus.NEEDS_REVIEW, log_odds=0.4)
    found = [[certain], [unsure, KNOWN], [certain], [certain, rare], [unsure]]
    ids = [complete(storage, f"{n}.wav", each) for n, each in enumerate(found)]
    for number, call_id in enumerate(ids):
        change(storage, [call_id], started_at=f"timestamptz '2026-03-0{number + 1} 12:00Z'")
    storage.claims.claim([ids[2]], "run-2")  # is processed again: asks nothing now
    expected = [(4, "Sky"), (1, "Sky"), (3, "Sky"), (0, "Sky"), (3, "Three")]
    listed, after = list[tuple[int, str]](), None
    for _ in range(3):
        page = pending_reviews(storage.reviews, after=after, limit=2)
        listed += [(ids.index(d.pending.call_id), d.pending.mention.competitor) for d in page.items]
        after = page.next_after
    # Four calls wait for Sky: 4 p (1 - p) is .94 and .42; only one for Three: .24.
    assert listed == expected
    assert after is None
    only = pending_reviews(storage.reviews, competitor="Sky").items
    assert [each.pending.call_id for each in only] == [ids[n] for n in (4, 1, 3, 0)]
    assert storage.reviews.count_pending() == {"Sky": 4, "Three": 1}
    [first, *_] = only
    assert (first.text, first.after) == ("sky", SAID.partition("sky")[2])


def test_the_least_certain_mention_of_a_call_is_asked(storage: Storage):
    found = [
        replace(PENDING, log_odds=-1.4),
        replace(PENDING, char_start=50, char_end=53, log_odds=0.2),
    ]
    complete(storage, "one.wav", found)
    [one] = pending_reviews(storage.reviews).items
    assert one.pending.mention.log_odds == 0.2


def test_an_answer_holds_for_what_moderate_scores_decided_in_the_call(storage: Storage):
    def scored(at: int, status: MentionStatus, log_odds: float | None, phrase: str = "") -> Mention:
        place = {"char_start": at, "char_end": at + 3}
        return replace(PENDING, status=status, log_odds=log_odds, phrase=phrase, **place)

    open_one = scored(0, MentionStatus.NEEDS_REVIEW, 0.1)
    follow = (
        scored(10, MentionStatus.NEEDS_REVIEW, -4.0, "sky diving"),
        scored(20, MentionStatus.COUNTED, 2.0),
        scored(30, MentionStatus.COUNTED, 1.6, "sky tv"),
    )
    stay = (
        scored(40, MentionStatus.COUNTED, 3.5),
        scored(60, MentionStatus.COUNTED, None),
    )
    found = (open_one, *follow, *stay, KNOWN)
    call_id = complete(storage, "one.wav", found)
    review = storage.reviews.decide(call_id, open_one.mention_id, DISMISS)
    assert [status_of(storage, call_id, each)[0] for each in found] == [
        *4 * ["dismissed"],
        *3 * ["counted"],
    ]
    for each in found:
        is_dismissed = status_of(storage, call_id, each)[0] == "dismissed"
        assert is_dismissed == follows(each, open_one)
    storage.reviews.undo(review.review_id)
    assert [status_of(storage, call_id, each)[0] for each in found] == [e.status for e in found]


def test_an_answer_about_a_phrase_holds_for_this_phrase(storage: Storage):
    decided = replace(PENDING, status=MentionStatus.COUNTED, log_odds=2.0)
    asked = replace(PENDING, char_start=10, char_end=13, log_odds=0.1, phrase="sky diving")
    same = replace(decided, char_start=20, char_end=23, phrase="sky diving")
    other = replace(decided, char_start=30, char_end=33, phrase="sky tv")
    call_id = complete(storage, "one.wav", [decided, asked, same, other])
    storage.reviews.decide(call_id, asked.mention_id, DISMISS)
    found = [status_of(storage, call_id, each)[0] for each in (decided, asked, same, other)]
    assert found == ["counted", "dismissed", "dismissed", "counted"]
    assert [follows(each, asked) for each in (decided, same, other)] == [False, True, False]


def test_without_its_phrase_an_answer_holds_for_open_mentions_only(storage: Storage):
    """Retention deletes phrases: nobody knows any more which mentions the answer is about."""
    decided = replace(PENDING, status=MentionStatus.COUNTED, log_odds=2.0)
    asked = replace(PENDING, char_start=10, char_end=13, log_odds=0.1, phrase="sky diving")
    also_open = replace(asked, char_start=20, char_end=23, phrase="sky tv")
    call_id = complete(storage, "one.wav", [decided, asked, also_open])
    change(storage, [call_id], first_ended_at="now() - interval '9 days'")
    now = datetime.now(UTC)
    RetentionStore(storage.database).delete(RetentionClass.TRANSCRIPTS, call_id, now, lambda row: 1)
    storage.reviews.decide(call_id, asked.mention_id, DISMISS)
    found = [status_of(storage, call_id, each)[0] for each in (decided, asked, also_open)]
    assert found == ["counted", "dismissed", "dismissed"]


def test_an_answer_leaves_alone_what_people_decided_before(storage: Storage):
    counted = replace(
        PENDING, char_start=50, char_end=53, status=MentionStatus.COUNTED, log_odds=2.0
    )
    call_id = complete(storage, "one.wav", [replace(PENDING, log_odds=0.1), counted])
    storage.reviews.decide(call_id, counted.mention_id, CONFIRM)
    storage.reviews.decide(call_id, PENDING.mention_id, DISMISS)
    assert status_of(storage, call_id, counted) == ("counted", "a person confirmed it")


def test_calls_with_the_same_time_are_listed_once_each(storage: Storage):
    ids = [complete(storage, f"{n}.wav", [PENDING]) for n in range(4)]
    found, after = list[str](), None
    for _ in ids:
        page = pending_reviews(storage.reviews, after=after, limit=1)
        found += [each.pending.call_id for each in page.items]
        after = page.next_after
    assert sorted(found) == sorted(ids)


def test_reviewed_mentions_are_not_listed(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, PENDING.mention_id, DISMISS)
    assert pending_reviews(storage.reviews).items == ()
    assert storage.reviews.count_pending() == {}


def test_the_document_of_a_call_has_decisions_but_not_their_reviewers(
    storage: Storage, call_id: str
):
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM, "ann@example.com")
    document = call_document(storage, storage.ledger.find(call_id))
    reviews = {mention["competitor"]: mention["review"] for mention in document["mentions"]}
    assert reviews["Sky"]["decision"] == "confirmed"
    assert reviews["Vodafone"] is reviews["Three"] is None
    assert "ann@" not in str(document)


# Missing calls and mentions


def test_unknown_calls_and_mentions_are_rejected(storage: Storage, call_id: str):
    with pytest.raises(UnknownMention):
        storage.reviews.decide(call_id, "left.9.9.Sky", CONFIRM)
    with pytest.raises(UnknownCall):
        storage.reviews.decide("2026-03-02-ffffffffffff", PENDING.mention_id, CONFIRM)
    assert storage.reviews.history(call_id) == []


def test_reviews_are_erased_with_their_call(storage: Storage, call_id: str):
    review = storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM, "ann")
    storage.reviews.undo(review.review_id, "ann")
    storage.erasures.begin([call_id], keep_recording=True, because="asked")
    assert asked(storage, "SELECT * FROM reviews") == []
    with pytest.raises(UnknownCall):
        storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    with pytest.raises(ReviewOutdated):
        storage.reviews.undo(review.review_id)


def test_a_confirmed_mention_without_transcript_cannot_be_judged(storage: Storage, call_id: str):
    storage.reviews.decide(call_id, KNOWN.mention_id, DISMISS)
    change(storage, [call_id], first_ended_at="now() - interval '9 days'")
    now = datetime.now(UTC)
    RetentionStore(storage.database).delete(RetentionClass.TRANSCRIPTS, call_id, now, lambda row: 1)
    assert status_of(storage, call_id, KNOWN) == ("dismissed", "a person dismissed it")
    assert asked(storage, "SELECT DISTINCT found_reason FROM mentions ORDER BY 1") == [
        {"found_reason": ""},
        {"found_reason": None},
    ]
    storage.reviews.decide(call_id, PENDING.mention_id, CONFIRM)
    [one] = storage.unjudged.of_calls([call_id])
    assert (one.competitor, one.error_class, one.next_attempt_at) == ("Sky", "MissingObject", None)
    assert storage.unjudged.due(9) == []
    storage.reviews.decide(call_id, PENDING.mention_id, Decision.RESET)
    [doubt] = pending_reviews(storage.reviews).items
    assert (doubt.before, doubt.text, doubt.after) == ("", "sky", "")


FIRST, SECOND = (
    replace(PENDING, char_start=start, char_end=start + 3, start_s=float(start), log_odds=score)
    for start, score in ((0, 1.0), (30, -0.2))
)
OTHER = replace(FIRST, char_start=60, char_end=63, start_s=60.0, phrase="sky blue", log_odds=-0.9)


def test_one_question_is_asked_for_a_competitor_and_its_answer_applies_to_the_call(
    storage: Storage,
):
    call_id = complete(storage, "asked.wav", (FIRST, SECOND, KNOWN))
    assert [one.mention.start_s for one in storage.reviews.pending()] == [SECOND.start_s]
    assert storage.reviews.count_pending() == {"Sky": 1}
    review = storage.reviews.decide(call_id, SECOND.mention_id, CONFIRM, "ann")
    assert review.mention_id == SECOND.mention_id
    assert status_of(storage, call_id, FIRST) == ("counted", "a person confirmed it")
    assert status_of(storage, call_id, SECOND) == ("counted", "a person confirmed it")
    storage.reviews.undo(review.review_id, "ann")
    assert status_of(storage, call_id, FIRST)[0] == "needs_review"
    assert status_of(storage, call_id, SECOND)[0] == "needs_review"


def test_answers_are_kept_with_their_score_and_phrase(storage: Storage):
    call_id = complete(storage, "taught.wav", (FIRST, OTHER, KNOWN))
    storage.reviews.decide(call_id, FIRST.mention_id, DISMISS)
    (given,) = storage.results.answers(["Sky", "Vodafone"]).values()
    assert {(one.score, one.phrase, one.is_company) for one in given.answers} == {
        (1.0, "", False),
        (-0.9, "sky blue", False),
    }
    assert storage.results.answers(["Vodafone"]) == {}
