"""Numbers of the competitors of a catalog."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.mentions import Decision
from callpipeline.pipeline.reading.competitors import CompetitorOverview, load_competitors
from callpipeline.storage.ports.results import DecisionCount
from callpipeline.wiring import Storage, open_storage
from tests.builders import a_mention, a_transcript, a_write
from tests.integration.calls import enter, store
from tests.integration.rematching import COMMAND, fill, rematch

TODAY = date(2026, 3, 18)
"""A Wednesday: the trend begins on Monday, 29 December, and the calls are in its first week."""
CATALOG = Catalog(
    (
        Competitor("Three", ambiguous=True),
        Competitor("Vodafone"),
        Competitor("Voxi"),
        Competitor("EE", own=True),
    )
)


@pytest.fixture
def storage(emptied_url: str, tmp_path: Path) -> Iterator[Storage]:
    options = Settings(home=tmp_path, database_url=SecretStr(emptied_url), _env_file=None)  # pyright: ignore[reportCallIssue]
    with open_storage(options, emptied_url) as storage:
        fill(storage)
        storage.catalogs.apply(CATALOG, COMMAND)
        rematch(storage)
        yield storage


def overview(storage: Storage) -> CompetitorOverview:
    return load_competitors(storage.analytics, storage.reviews, CATALOG, TODAY)


def test_each_entry_has_its_numbers_in_the_order_of_the_list(storage: Storage) -> None:
    found = {each.entry.name: each for each in overview(storage).competitors}
    assert list(found) == ["Three", "Vodafone", "Voxi", "EE"]
    assert (found["Vodafone"].mentions, found["Vodafone"].calls) == (2, 2)
    assert (found["Voxi"].mentions, found["Voxi"].trend) == (0, (0,) * 12)
    assert (found["EE"].mentions, found["EE"].own_mentions) == (0, 1)
    assert found["Vodafone"].own_mentions == 0


def test_the_trend_has_twelve_weeks_with_the_present_one(storage: Storage) -> None:
    found = overview(storage)
    assert (len(found.weeks), found.weeks[-1].since) == (12, date(2026, 3, 16))
    [vodafone] = [each for each in found.competitors if each.entry.name == "Vodafone"]
    assert vodafone.trend == (2, *[0] * 11)
    assert (vodafone.change.relative, vodafone.change.is_new) == (None, False)
    later = load_competitors(
        storage.analytics, storage.reviews, CATALOG, date(2026, 1, 1) + timedelta(weeks=5)
    )
    [vodafone] = [each for each in later.competitors if each.entry.name == "Vodafone"]
    assert not vodafone.change.is_new


def test_precision_is_that_of_the_last_decisions(storage: Storage) -> None:
    with storage.database.transaction() as connection:
        rows = connection.execute(
            "SELECT call_id, mention_id FROM mentions WHERE competitor = 'Vodafone'"
        ).fetchall()
    first, second = ((row["call_id"], row["mention_id"]) for row in rows)
    for decision in (Decision.CONFIRMED, Decision.DISMISSED):
        storage.reviews.decide(*first, decision, "anna")
    storage.reviews.decide(*second, Decision.CONFIRMED, "anna")
    assert storage.reviews.count_decisions() == {"Vodafone": DecisionCount(1, 1)}
    [vodafone] = [each for each in overview(storage).competitors if each.entry.name == "Vodafone"]
    assert (vodafone.decisions.precision, vodafone.mentions) == (0.5, 1)
    storage.reviews.decide(*first, Decision.RESET, "anna")
    assert storage.reviews.count_decisions() == {"Vodafone": DecisionCount(1, 0)}
    assert DecisionCount().precision is None


def test_open_questions_are_counted(storage: Storage) -> None:
    with storage.database.transaction() as connection:
        connection.execute(
            "UPDATE mentions SET status = 'needs_review' WHERE competitor = 'Vodafone'"
        )
    [vodafone] = [each for each in overview(storage).competitors if each.entry.name == "Vodafone"]
    assert (vodafone.to_review, vodafone.mentions) == (2, 0)


def test_a_segment_that_names_several_competitors_is_answered_once(storage: Storage) -> None:
    (call_id,) = enter(storage, "asked.wav")
    storage.claims.claim([call_id], "run-1")
    store(storage, call_id, Stage.CHANNEL_AUDIO, Stage.CALL_METRICS)
    said = "vodafone and sky are cheaper and vodafone is faster"
    transcripts = [
        a_transcript("hello", "we can match that price", channel=Channel.LEFT),
        a_transcript(said, channel=Channel.RIGHT),
    ]
    storage.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), transcripts)
    places = [("Vodafone", 0), ("Sky", said.index("sky")), ("Vodafone", said.rindex("vodafone"))]
    found = [a_mention(name, char_start=at) for name, at in places]
    storage.results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), found)
    storage.results.save_sentiment(a_write(call_id, Stage.COMPETITOR_SENTIMENT), [])
    storage.claims.complete(call_id, "run-1")
    answers = [
        each for each in storage.insights.answers(CallFilters(), limit=9) if each.call_id == call_id
    ]
    assert [(each.question, each.answer) for each in answers] == [(said, "we can match that price")]
