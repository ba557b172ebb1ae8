"""Sentiment patterns of users: in the database, or in the file of an engine server."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.sentiment import PatternKind, PatternLists
from callpipeline.errors import SettingsInvalid
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.sql import query


class SentimentPatterns:
    """Pattern lists in table `sentiment_patterns`, for all machines. Implements `PatternStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lists(self) -> PatternLists:
        """Return both lists, each in the order in which its patterns were added."""
        return _lists(self._database.rows("patterns/list"))

    @contextmanager
    def changing(self, kind: PatternKind) -> Iterator[list[str]]:
        """Yield a list for changes under a lock; it is stored at the end."""
        with self._database.transaction() as connection:
            connection.execute(query("patterns/lock"))
            patterns = list(_lists(_rows(connection))[kind])
            before = tuple(patterns)
            yield patterns
            if tuple(patterns) != before:
                connection.execute(query("patterns/delete"), {"kind": kind})
                connection.execute(query("patterns/add"), {"kind": kind, "patterns": patterns})


def _rows(connection: Connection[DictRow]) -> list[DictRow]:
    return connection.execute(query("patterns/list")).fetchall()


def _lists(rows: list[dict[str, Any]]) -> PatternLists:
    return {
        kind: tuple(row["pattern"] for row in rows if row["kind"] == kind) for kind in PatternKind
    }


class PatternFile:
    """Pattern lists in a JSON file, which several servers may share. Implements `PatternStore`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.lists()

    def lists(self) -> PatternLists:
        """Return both lists. Raises SettingsInvalid if the file is damaged."""
        try:
            document = json.loads(self._path.read_bytes())
            return {kind: tuple(map(_text, document[kind])) for kind in PatternKind}
        except FileNotFoundError:
            return dict.fromkeys(PatternKind, ())
        except (ValueError, KeyError, TypeError):
            raise SettingsInvalid(
                f"{self._path} is not a valid pattern list: fix or delete it."
            ) from None

    @contextmanager
    def changing(self, kind: PatternKind) -> Iterator[list[str]]:
        """Yield a list for changes under a lock; it is stored at the end."""
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lists = self.lists()
            patterns = list(lists[kind])
            yield patterns
            self._store({**lists, kind: tuple(patterns)})

    def _store(self, lists: PatternLists) -> None:
        partial = self._path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(lists, file, ensure_ascii=False, indent=2)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)


def _text(pattern: object) -> str:
    if not isinstance(pattern, str):
        raise TypeError
    return pattern
