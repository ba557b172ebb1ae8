"""Rematches of stored calls: previews come true, undos are exact, and a kill leaves no mixture."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection
from pydantic import SecretStr

from callpipeline.cli.doctor import operations
from callpipeline.cli.doctor.findings import FindingLevel
from callpipeline.config import Settings
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import RULE_VERSION, find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Decision
from callpipeline.errors import CatalogConflict, CatalogInvalid
from callpipeline.pipeline.processing.processor import Rejudger
from callpipeline.pipeline.rematch.previews import Previewer, PreviewLimits
from callpipeline.pipeline.rematch.recomputation import (
    plan_recomputation,
    request_recomputation,
)
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import ChangeOrigin, ResultVersions
from callpipeline.wiring import Storage, open_storage
from tests.integration.rematching import COMMAND, TEXTS, fill, in_force, rematch, stages

RESULTS = ("mentions", "sentiment", "unjudged", "reviews")


@pytest.fixture
def storage(emptied_url: str, tmp_path: Path) -> Iterator[Storage]:
    options = Settings(home=tmp_path, database_url=SecretStr(emptied_url), _env_file=None)  # pyright: ignore[reportCallIssue]
    with open_storage(options, emptied_url) as storage:
        yield storage


def put_in_force(storage: Storage, catalog: Catalog) -> None:
    storage.catalogs.apply(catalog, COMMAND)
    rematch(storage)


def find_again(storage: Storage) -> None:
    """Find all mentions again, with the decisions as answers about other calls."""
    with storage.database.transaction() as connection:
        connection.execute("UPDATE call_stages SET rule_version = 0")
    rematch(storage)


def contents(storage: Storage) -> dict[str, list[tuple[object, ...]]]:
    with storage.database.transaction() as connection:
        return {
            table: [
                tuple(row.values())
                for row in connection.execute(f"SELECT * FROM {table} t ORDER BY t::text".encode())
            ]
            for table in RESULTS
        }


def counted(storage: Storage) -> dict[str, set[str]]:
    """Return the ids of the mentions that count, by call."""
    with storage.database.transaction() as connection:
        rows = connection.execute(
            "SELECT call_id, mention_id, competitor FROM mentions WHERE status = 'counted'"
        ).fetchall()
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["competitor"], set()).add(f"{row['call_id']} {row['mention_id']}")
    return found


def mentions(storage: Storage, call_ids: list[str]) -> dict[str, object]:
    return {call_id: storage.results.mentions(call_id) for call_id in call_ids}


COMPETITORS = st.builds(
    Competitor,
    st.sampled_from(("Vodafone", "Sky", "Three", "EE", "Orange")),
    st.lists(st.sampled_from(("sky tv", "the limit", "my bill", "cheaper")), max_size=2).map(tuple),
    ambiguous=st.booleans(),
    own=st.booleans(),
)


def as_catalog(competitors: list[Competitor]) -> Catalog | None:
    try:
        return Catalog(tuple({each.name: each for each in competitors}.values()))
    except CatalogInvalid:
        return None


EDITS = st.lists(COMPETITORS, min_size=1, max_size=5).map(as_catalog)


def previews(examples: int) -> hypothesis_settings:
    slow_setup = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return hypothesis_settings(
        max_examples=examples, deadline=None, suppress_health_check=slow_setup
    )


DECISIONS = st.lists(st.sampled_from(list(Decision)), max_size=2)


@previews(examples=10)
@given(edit=EDITS, decisions=DECISIONS)
def test_a_preview_comes_true_and_an_undo_is_exact(
    storage: Storage, edit: Catalog | None, decisions: list[Decision]
) -> None:
    check_preview_and_undo(storage, edit, decisions)


@pytest.mark.slow
@previews(examples=200)
@given(edit=EDITS, decisions=DECISIONS)
def test_two_hundred_previews_come_true(
    storage: Storage, edit: Catalog | None, decisions: list[Decision]
) -> None:
    check_preview_and_undo(storage, edit, decisions)


def check_preview_and_undo(
    storage: Storage, edit: Catalog | None, decisions: list[Decision]
) -> None:
    if edit is None:
        return
    if storage.catalogs.current() is None:
        fill(storage)
    call_ids = [f"2026-01-01-{number:012x}" for number in range(len(TEXTS))]
    first = in_force(storage)
    if decisions:
        _decide(storage, call_ids, decisions)
        find_again(storage)
    before = contents(storage)
    were, counted_before = mentions(storage, call_ids), counted(storage)
    preview = Previewer(storage.rematches, storage.rematches, Matcher).preview(edit)
    assert contents(storage) == before
    put_in_force(storage, edit)
    assert preview.is_complete
    changed = {id_ for id_, found in mentions(storage, call_ids).items() if found != were[id_]}
    # A change that a person's decision covers is not one in the table.
    assert changed <= set(preview.changed_calls)
    if not decisions:
        counted_after = counted(storage)
        for effect in preview.effects:
            old, new = (c.get(effect.name, set()) for c in (counted_before, counted_after))
            assert effect.counted == len(new) - len(old)
        unnamed = counted_before.keys() | counted_after.keys()
        for name in unnamed - {effect.name for effect in preview.effects}:
            assert counted_before.get(name) == counted_after.get(name)
    fresh = {id_: matched(storage, id_, edit) for id_ in call_ids}
    assert {id_: as_found(storage, id_) for id_ in call_ids} == fresh
    put_in_force(storage, first)
    assert contents(storage) == before


def _decide(storage: Storage, call_ids: list[str], decisions: list[Decision]) -> None:
    found = [(id_, each) for id_ in call_ids for each in storage.results.mentions(id_)]
    for (call_id, mention), decision in zip(found, decisions, strict=False):
        storage.reviews.decide(call_id, mention.mention_id, decision, "anna")
    storage.unjudged.register_run("rejudge")
    rejudger = Rejudger(stages(storage, in_force(storage)), storage.unjudged, "rejudge")
    for call_id in call_ids:
        asyncio.run(rejudger.judge(call_id))


def matched(storage: Storage, call_id: str, catalog: Catalog) -> set[tuple[str, str]]:
    """Return the mentions that processing the call anew would find."""
    transcripts, answers = storage.results.transcripts(call_id), storage.rematches.answers(catalog)
    found = find_mentions(transcripts, Matcher(catalog), {}, answers)
    return {(each.mention_id, each.reason) for each in found}


def as_found(storage: Storage, call_id: str) -> set[tuple[str, str]]:
    stored = storage.rematches.load(call_id)
    assert stored
    return {(each.mention_id, each.reason) for each in stored.mentions}


class Killed(BaseException):
    """Stands for SIGKILL: no handler of errors catches it, and the transaction is lost."""


@pytest.mark.parametrize("step", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_a_rematch_that_is_killed_anywhere_ends_right(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Kill it before each statement, or before every twelfth one."""
    fill(storage)
    first = in_force(storage)
    second = Catalog((Competitor("Sky", ("sky tv",)), Competitor("Three"), Competitor("EE")))
    put_in_force(storage, second)
    expected = contents(storage)
    put_in_force(storage, first)
    before = contents(storage)
    points = 0
    while True:
        storage.catalogs.apply(second, COMMAND)
        with monkeypatch.context() as patch:
            left = _kill_after(patch, points)
            with contextlib.suppress(Killed):
                rematch(storage)
        assert_no_mixture(storage)
        rematch(storage)
        assert contents(storage) == expected
        put_in_force(storage, first)
        assert contents(storage) == before
        if left[0] > 0:
            break
        points += step
    assert points > 50


def _kill_after(patch: pytest.MonkeyPatch, statements: int) -> list[int]:
    """Raise Killed instead of running the statement after so many; return how many are left."""
    left = [statements]
    execute = Connection.execute

    def killed(self: Any, *args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return execute(self, *args, **kwargs)

    patch.setattr(Connection, "execute", killed)
    return left


def assert_no_mixture(storage: Storage) -> None:
    """Check that each call has exactly the mentions of the version that it names."""
    with storage.database.transaction() as connection:
        rows = connection.execute(
            "SELECT call_id, catalog_version FROM call_stages WHERE stage = 'competitor_mentions'"
        ).fetchall()
    for row in rows:
        catalog = storage.catalogs.catalog(row["catalog_version"])
        assert catalog
        found = as_found(storage, row["call_id"])
        assert found == matched(storage, row["call_id"], catalog)
        judged = {each.mention_id for each in storage.results.judgements(row["call_id"])}
        counts = {m.mention_id for m in storage.results.mentions(row["call_id"]) if m.counts}
        assert judged == counts


def test_staleness_is_counted_until_the_calls_are_rematched(storage: Storage) -> None:
    fill(storage)
    changed = Catalog((Competitor("Vodafone"), Competitor("EE")))
    storage.catalogs.apply(changed, COMMAND)
    staleness = storage.rematches.staleness(ResultVersions(changed.version, RULE_VERSION))
    assert staleness.describe() == "5 of 5 calls are on an older list"
    assert len(rematch(storage)) == 1
    staleness = storage.rematches.staleness(ResultVersions(changed.version, RULE_VERSION))
    assert staleness.calls == 0


def test_a_limited_preview_reads_the_newest_calls(storage: Storage) -> None:
    call_ids = fill(storage)
    edit = Catalog((Competitor("Vodafone"), Competitor("Three")))
    previewer = Previewer(storage.rematches, storage.rematches, Matcher)
    whole = previewer.preview(edit)
    assert (whole.affected, whole.is_complete) == (3, True)
    one = previewer.preview(edit, limits=PreviewLimits(calls=1))
    assert (one.affected, one.examined, one.is_complete) == (3, 1, False)
    assert one.changed_calls == (call_ids[2],)
    late = previewer.preview(edit, limits=PreviewLimits(searched=2))
    assert (late.affected, late.skipped, late.is_complete) == (0, 3, False)
    brief = previewer.preview(edit, limits=PreviewLimits(seconds=0.0))
    assert (brief.examined, brief.affected) == (1, 3)


def test_two_people_do_not_overwrite_each_other(storage: Storage) -> None:
    first = storage.catalogs.apply(Catalog((Competitor("Sky"),)), COMMAND)
    storage.catalogs.apply(Catalog((Competitor("EE"),)), COMMAND)
    late = NewChange(ChangeOrigin.PAGE, "anna", expected=first.version)
    with pytest.raises(CatalogConflict):
        storage.catalogs.apply(Catalog((Competitor("O2"),)), late)


def test_doctor_says_that_calls_wait_for_their_judge_and_where_the_list_comes_from(
    storage: Storage, tmp_path: Path
) -> None:
    fill(storage)
    catalog = in_force(storage)
    options = Settings(home=tmp_path, database_url=None, _env_file=None)  # pyright: ignore[reportCallIssue]
    findings = operations.competitors(options, storage.database)
    assert "UTC (command)" in findings[0].detail
    plan = plan_recomputation(storage.rematches, Stage.COMPETITOR_MENTIONS)
    request_recomputation(storage.rematches, catalog, plan, "anna")
    opened = storage.rematches.current()
    assert opened
    for call in storage.rematches.todo(opened.rematch_id, 100):
        storage.rematches.defer(call.call_id, opened.rematch_id, "The judge is away.", 600.0)
    found = operations.outdated_calls(storage.database)
    assert not isinstance(found, str)
    assert found[0].level == FindingLevel.WARN
    assert "5 wait for the judge" in found[0].detail


@pytest.mark.parametrize(
    ("names", "is_judged_again"),
    [(("Vodafone", "Globex"), True), (("Vodafone", "Initech"), False), (("Globex",), True)],
    ids=["another name in the segment", "in another call", "gone and back"],
)
def test_a_dismissed_mention_is_judged_again_if_what_it_is_judged_by_changed(
    storage: Storage, names: tuple[str, ...], is_judged_again: bool
):
    call_id, _ = fill(storage, ("Vodafone and Globex are awful.", "Initech is great."))
    [mention] = storage.results.mentions(call_id)
    review = storage.reviews.decide(call_id, mention.mention_id, Decision.DISMISSED)
    put_in_force(storage, Catalog(tuple(map(Competitor, names))))
    if "Vodafone" not in names:
        put_in_force(storage, Catalog((Competitor("Vodafone"), *map(Competitor, names))))
    storage.reviews.undo(review.review_id)
    waiting = {each.mention_id for each in storage.unjudged.of_calls([call_id])}
    assert (mention.mention_id in waiting) == is_judged_again
    stored = storage.rematches.load(call_id)
    assert stored and (mention.mention_id in stored.judgements) != is_judged_again
