"""Rematches in Postgres: their calls, their progress, and the writes of new results.

A call keeps its state: it is complete before, during and after. All its results change in one
transaction, which also removes it from the list of the rematch, so that a killed run leaves each
call either in the old or in the new version, and a late one finds that it is no longer asked for.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.audio import Channel, Interval
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.disambiguation.scoring import NameAnswers
from callpipeline.domain.competitors.mentions import Decision, MentionStatus
from callpipeline.domain.sentiment import Judgement
from callpipeline.domain.transcripts import SUPPLIED_ENGINE
from callpipeline.storage.catalog.versions import CatalogVersions
from callpipeline.storage.ports.rematch import (
    EngineUse,
    NewRematch,
    RematchInput,
    RematchProgress,
    RematchWrite,
    ResultVersions,
    SelectedCall,
    Staleness,
    VersionCount,
    WaitingCall,
)
from callpipeline.storage.postgres import tables
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.results import serialization, speakers, unjudged
from callpipeline.storage.results.decisions import corrections, reviews
from callpipeline.storage.results.results import Results

SEARCHED_CALLS = 2000
"""Calls whose texts are searched by one query."""


class RematchQueue:
    """Rematches: table `rematches`, with the calls that they still have to compute."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._catalogs = CatalogVersions(database)

    def staleness(self, target: ResultVersions) -> Staleness:
        """Count the completed calls, and those that other versions than these made."""
        stale = self._database.rows("rematches/staleness", _versions(target))
        [completed] = self._database.rows("rematches/count_completed")
        return Staleness(completed["calls"], tuple(map(_count, stale)))

    def versions_in_use(self) -> list[VersionCount]:
        """Count the completed calls with transcripts by the versions that made their mentions."""
        return [_count(row) for row in self._database.rows("rematches/versions_in_use")]

    def stale_calls(self, made_by: ResultVersions, target: ResultVersions) -> list[str]:
        """Return the calls that one version made, without those that the target failed for."""
        parameters = _versions(target) | {
            "made_by_version": made_by.catalog_version,
            "made_by_rules": made_by.rule_version,
        }
        return [row["call_id"] for row in self._database.rows("rematches/stale_calls", parameters)]

    def texts(self, call_ids: Sequence[str], pattern: str) -> list[tuple[str, str]]:
        """Return (call id, text) of the channels that may match a pattern of ASCII texts."""
        found: list[tuple[str, str]] = []
        for start in range(0, len(call_ids), SEARCHED_CALLS):
            some = {"call_ids": list(call_ids[start : start + SEARCHED_CALLS]), "pattern": pattern}
            rows = self._database.rows("rematches/candidates", some)
            found += [(row["call_id"], row["text"]) for row in rows]
        return found

    def catalog(self, version: str) -> Catalog | None:
        return self._catalogs.catalog(version)

    def now(self) -> datetime:
        return self._database.rows("rematches/clock")[0]["now"]

    def current(self) -> RematchProgress | None:
        """Return the open rematch."""
        rows = self._database.rows("rematches/open")
        return RematchProgress(**rows[0]) if rows else None

    def last(self) -> RematchProgress | None:
        """Return the last rematch, open or ended."""
        rows = self._database.rows("rematches/last")
        return RematchProgress(**rows[0]) if rows else None

    def open(self, new: NewRematch) -> bool:
        """Open a rematch in place of any other, unless the catalog has changed meanwhile."""
        return self._database.with_retry(lambda c: _open(c, new))

    def has_left_over(self) -> bool:
        """Return whether a person asked for calls that no open rematch will compute."""
        return self._database.rows("rematches/left_over")[0]["any"]

    def todo(
        self, rematch_id: int, limit: int, after: str = "", *, transcribed: bool = False
    ) -> list[WaitingCall]:
        """Return calls to compute now, by id; none once the rematch is paused or superseded.

        Those that are `transcribed` again are listed apart.
        """
        parameters = {"rematch_id": rematch_id, "limit": limit, "after": after}
        rows = self._database.rows("rematches/todo", parameters | {"transcribed": transcribed})
        return [WaitingCall(row["call_id"], _stage(row["stage"]), row["deferrals"]) for row in rows]

    def defer_rest(self, rematch_id: int) -> None:
        """Let all calls wait that are due for a judge that is away for others."""
        parameters = {"rematch_id": rematch_id}
        self._database.with_retry(lambda c: c.execute(query("rematches/defer_rest"), parameters))

    def hand_over(self, call_ids: Sequence[str]) -> None:
        """Remove claimed calls from a rematch: they are processed as other calls are."""
        parameters = {"call_ids": list(call_ids)}
        self._database.with_retry(lambda c: c.execute(query("rematches/hand_over"), parameters))

    def engines(self, stage: Stage) -> list[EngineUse]:
        """Return the engines that made a stage, in the order of their first use."""
        rows = self._database.rows("rematches/engines", {"stage": stage})
        return [EngineUse(**row) for row in rows]

    def select(
        self, stage: Stage, *, since: datetime | None, engines: Sequence[str] | None
    ) -> list[SelectedCall]:
        """Return completed calls since a time, made by some engines; None for all.

        Calls whose audio or transcripts were deleted are left out if the stage needs them.
        """
        needs = Stage.CHANNEL_AUDIO if stage is Stage.TRANSCRIPTS else Stage.TRANSCRIPTS
        made_by = None if engines is None else list(engines)
        parameters = {"stage": stage, "needs": needs, "since": since, "engines": made_by}
        return [
            SelectedCall(**row) for row in self._database.rows("rematches/selected", parameters)
        ]

    def finish(self) -> None:
        """End the open rematch if no call is left to compute."""
        self._database.rows("rematches/finish")

    def pause(self, paused: bool, by: str | None = None) -> bool:
        """Pause the open rematch, or continue it; return whether there is one."""
        parameters = {"paused": paused, "by": sanitize_text(by) if by else None}
        return bool(self._database.rows("rematches/pause", parameters))

    def resume(self) -> None:
        """Continue a paused rematch; calls that failed or wait for a judge are tried again now."""
        self._database.with_retry(lambda c: c.execute(query("rematches/retry_failed")))
        self.pause(False)

    def skip_incomplete(self, rematch_id: int) -> None:
        """Drop calls that are being processed again: that run applies the catalog in force."""
        parameters = {"rematch_id": rematch_id}
        self._database.with_retry(lambda c: c.execute(query("rematches/skip"), parameters))


class Rematches(RematchQueue):
    """Rematches, and the results of their calls."""

    def __init__(self, database: Database, results: Results) -> None:
        super().__init__(database)
        self._results = results

    def load(self, call_id: str) -> RematchInput | None:
        """Return the results of a call; None if it is not complete. Raises MissingObject."""
        parameters = {"call_id": call_id}

        def read(connection: Connection[DictRow]) -> tuple[list[Row], ...]:
            with connection.pipeline():
                cursors = [
                    connection.execute(query("rematches/stages"), parameters),
                    connection.execute(query("rematches/reviews"), parameters),
                    connection.execute(query("rematches/mentions"), parameters),
                    connection.execute(query("rematches/sentiment"), parameters),
                    connection.execute(query("rematches/speech"), parameters),
                ]
                return tuple(cursor.fetchall() for cursor in cursors)

        stages, decided, mentions, judged, speech = self._database.with_retry(read)
        if not stages:
            return None
        transcripts = self._results.transcripts(call_id)
        recognised = {t.channel for t in transcripts if t.engine != SUPPLIED_ENGINE}
        return RematchInput(
            call_id=call_id,
            transcribed_at=stages[0]["transcribed_at"],
            matched_at=stages[0]["matched_at"],
            transcripts=transcripts,
            speech={
                Channel(row["channel"]): tuple(Interval(*edges) for edges in row["speech"])
                for row in speech
                if row["channel"] in recognised
            },
            mentions=tuple(serialization.mention_from_row(_as_found(row)) for row in mentions),
            counted=frozenset(
                row["mention_id"] for row in mentions if row["status"] == MentionStatus.COUNTED
            ),
            decisions={
                row["mention_id"]: (Decision(row["decision"]), row["start_s"]) for row in decided
            },
            judgements={row["mention_id"]: serialization.judgement_from_row(row) for row in judged},
        )

    def answers(self, catalog: Catalog) -> Mapping[str, NameAnswers]:
        """Return what reviewers said about the ambiguous names of a catalog."""
        names = [each.name for each in catalog.competitors if each.ambiguous]
        return reviews.answers(self._database, names) if names else {}

    def kept_judgements(self, call_id: str, contexts: Mapping[str, str]) -> dict[str, Judgement]:
        """Return judgements of mentions that were made in the same context before."""
        if not contexts:
            return {}
        parameters = {"call_id": call_id, "mention_ids": list(contexts)}
        rows = self._database.rows("rematches/kept_judgements", parameters)
        return {
            row["mention_id"]: serialization.judgement_from_row(row)
            for row in rows
            if row["context"] == contexts[row["mention_id"]]
        }

    def save(self, write: RematchWrite) -> bool:
        """Store the results of a call in one transaction; return False if others came first."""
        return self._database.with_retry(lambda c: _save(c, write))

    def save_failure(self, call_id: str, rematch_id: int, error: str) -> None:
        """Record that a call could not be rematched; it keeps its results."""
        failed = {"call_id": call_id, "rematch_id": rematch_id, "error": sanitize_text(error)}
        self._database.with_retry(lambda c: c.execute(query("rematches/save_failure"), failed))

    def defer(self, call_id: str, rematch_id: int, reason: str, wait_s: float) -> None:
        """Let a call wait until the judge may be back; it keeps its results."""
        deferred = {"call_id": call_id, "rematch_id": rematch_id, "reason": sanitize_text(reason)}
        parameters = deferred | {"wait_s": wait_s}
        self._database.with_retry(lambda c: c.execute(query("rematches/defer"), parameters))


def _open(connection: Connection[DictRow], new: NewRematch) -> bool:
    connection.execute(query("catalog/lock"))
    current = connection.execute(query("catalog/current")).fetchone()
    if current is None or current["version"] != new.catalog_version:
        return False
    target: Row = {"catalog_version": new.catalog_version, "rule_version": new.rule_version}
    connection.execute(query("rematches/supersede"))
    for made_by, call_ids in new.unaffected.items():
        connection.execute(
            query("rematches/mark_current"),
            target
            | {
                "call_ids": list(call_ids),
                "made_by_version": made_by.catalog_version,
                "made_by_rules": made_by.rule_version,
                "examined_at": new.examined_at,
            },
        )
    described: Row = {
        "reason": new.reason,
        "asked_by": sanitize_text(new.asked_by) if new.asked_by else None,
        "unaffected": sum(map(len, new.unaffected.values())),
    }
    row = connection.execute(query("rematches/insert"), target | described).fetchone()
    assert row
    rematch: Row = {"rematch_id": row["rematch_id"]}
    calls: Row = {
        "call_ids": [each.call_id for each in new.calls],
        "stages": [each.stage for each in new.calls],
    }
    connection.execute(query("rematches/insert_calls"), rematch | calls)
    connection.execute(query("rematches/take_over"), rematch)
    connection.execute(query("rematches/count_calls"), rematch)
    connection.execute(query("rematches/finish"))
    return True


def _save(connection: Connection[DictRow], write: RematchWrite) -> bool:
    call: Row = {"call_id": write.call_id}
    fences: Row = {name: getattr(write, name) for name in ("transcribed_at", "matched_at")}
    rematch: Row = call | {"rematch_id": write.rematch_id}
    if connection.execute(query("rematches/lock_call"), rematch | fences).fetchone() is None:
        return False
    if write.is_changed:
        _save_changes(connection, write)
    connection.execute(
        query("rematches/save"),
        call
        | {
            "run_id": write.run_id,
            "catalog_version": write.catalog_version,
            "rule_version": write.rule_version,
            "engine": write.engine,
            "mention_engine": write.mention_engine,
            "is_changed": write.is_changed,
        },
    )
    return True


def _save_changes(connection: Connection[DictRow], write: RematchWrite) -> None:
    call: Row = {"call_id": write.call_id}
    dropped: Row = {
        "mention_ids": list(write.dropped),
        "contexts": list(write.dropped.values()),
    }
    if write.forgets_judgements:
        connection.execute(query("rematches/forget_judgements"), call)
    else:
        connection.execute(query("rematches/keep_judgements"), call | dropped)
    connection.execute(query("rematches/delete_sentiment"), call | dropped)
    outdated: Row = {"mention_ids": list(write.outdated)}
    connection.execute(query("rematches/forget_outdated"), call | outdated)
    found: Row = {"mention_ids": list(write.mention_ids)}
    connection.execute(query("results/delete_other_mentions"), call | found)
    rows = [serialization.mention_row(write.call_id, mention) for mention in write.changed]
    tables.upsert(connection, "mentions", ("call_id", "mention_id"), rows)
    judged = [serialization.judgement_row(write.call_id, each) for each in write.judgements]
    tables.upsert(connection, "sentiment", ("call_id", "mention_id"), judged)
    unjudged.insert(connection, write.call_id, write.run_id, write.missing)
    speakers.apply_to_mentions(connection, write.call_id)
    reviews.apply(connection, write.call_id, ())
    corrections.apply(connection, write.call_id)


def _as_found(row: Row) -> Row:
    """Return a row of a mention with the status that the rules found."""
    if row["found_status"] is None:
        return row
    return row | {"status": row["found_status"], "reason": row["found_reason"]}


def _stage(written: str | None) -> Stage | None:
    return Stage(written) if written else None


def _versions(versions: ResultVersions) -> Row:
    return {
        "catalog_version": versions.catalog_version,
        "rule_version": versions.rule_version,
    }


def _count(row: Row) -> VersionCount:
    versions = ResultVersions(row["catalog_version"], row["rule_version"])
    return VersionCount(versions, row["calls"], row.get("unreachable", 0), row.get("failed", 0))
