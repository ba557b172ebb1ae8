"""Versions of the competitor catalog, and the import of its file.

Versions are immutable and named by a hash of their content; the last row of `catalog_changes` is in
force. A file is a way in: a changed valid one becomes the next version, an invalid one is refused
and the last valid version stays in force.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.errors import CatalogConflict, CatalogInvalid, UnknownCatalog
from callpipeline.storage.catalog.files import ParsedCatalog, base_version, parse_catalog
from callpipeline.storage.ports.rematch import CatalogChange, ChangeOrigin
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.results.serialization import catalog_from_jsonable, catalog_to_jsonable

CONFLICT = (
    "the list was edited elsewhere after this file was last imported, so importing the file would "
    "undo that edit. Write the list in force to the file (`callpipeline catalog show --yaml`) and "
    "change it there, or put the file in force with `callpipeline catalog apply`."
)


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change to make; with `expected`, only if that version is in force."""

    origin: ChangeOrigin
    made_by: str | None = None
    note: str = ""
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """The state of a file when it was last read; `problem` says why it was refused."""

    path: str
    sha256: str
    version: str | None
    problem: str | None
    warnings: tuple[str, ...]
    seen_at: datetime


class CatalogVersions:
    """The versions of the catalog, their history, and the files they come from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self) -> CatalogChange | None:
        """Return the change in force; None before the first."""
        rows = self._database.rows("catalog/current")
        return _change(rows[0]) if rows else None

    def history(self, limit: int = 100) -> list[CatalogChange]:
        """Return the changes, newest first."""
        return [_change(row) for row in self._database.rows("catalog/history", {"limit": limit})]

    def catalog(self, version: str) -> Catalog | None:
        """Return the content of a version; None if unknown, or from before contents were kept."""
        rows = self._database.rows("catalog/content", {"version": version})
        return catalog_from_jsonable(rows[0]["content"]) if rows else None

    def read(self, written: str) -> Catalog:
        """Return the catalog that a person means by its beginning or number.

        Raises UnknownCatalog.
        """
        catalog = self.catalog(self.find(written))
        if catalog is None:
            raise UnknownCatalog(f"The content of version {written} was not kept.")
        return catalog

    def find(self, written: str) -> str:
        """Return the version that a person means by its beginning or number.

        Raises UnknownCatalog.
        """
        beginning = sanitize_text(written.strip().lower())
        found = self._database.rows("catalog/find", {"beginning": beginning})
        exact = [row["version"] for row in found if row["version"] == written]
        versions = exact or [row["version"] for row in found]
        if len(versions) != 1:
            reason = "is the beginning of several versions" if versions else "is no version"
            raise UnknownCatalog(f"{written!r} {reason}: `callpipeline catalog log` lists them.")
        return versions[0]

    def apply(self, catalog: Catalog, change: NewChange) -> CatalogChange:
        """Put a catalog in force; return the change, or that in force if nothing would change.

        Raises CatalogConflict if another version than expected is in force.
        """
        return self._database.with_retry(lambda c: _apply(c, catalog, change))

    def revert(self, version: str, change: NewChange) -> CatalogChange:
        """Put an earlier version in force. Raises UnknownCatalog, CatalogConflict."""
        return self.apply(self.read(version), change)

    def files(self) -> list[CatalogFile]:
        return [_file(row) for row in self._database.rows("catalog/files")]

    def is_read(self, path: Path) -> bool:
        """Return true if the present content of a file was read before, or there is no file."""
        try:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            return True
        rows = self._database.rows("catalog/file", {"path": str(path)})
        return bool(rows) and rows[0]["sha256"] == sha256

    def import_file(self, path: Path) -> CatalogChange | None:
        """Import a file if its content has changed; return the new change, if any.

        A refused content is recorded. Raises CatalogInvalid only if no version is in force yet.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            if self.current() is None:
                raise CatalogInvalid(
                    f"{path}: cannot be read ({error.strerror}); create it, with a list."
                ) from error
            return None
        sha256 = hashlib.sha256(content).hexdigest()
        known: Row = {"path": str(path), "sha256": sha256, "base": base_version(content)}
        rows = self._database.rows("catalog/file", known)
        if rows and rows[0]["sha256"] == sha256 and self.current():
            return None
        try:
            parsed = parse_catalog(content, path.name)
        except CatalogInvalid as error:
            if self.current() is None:
                raise CatalogInvalid(f"{path}: {error}") from error
            self._refuse(known, str(error))
            return None
        return self._database.with_retry(lambda c: _import(c, known, parsed))

    def take_file(self, path: Path, change: NewChange) -> CatalogChange:
        """Put a file in force whatever is. Raises CatalogInvalid."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CatalogInvalid(f"{path}: cannot be read ({error.strerror}).") from error
        try:
            parsed = parse_catalog(content, path.name)
        except CatalogInvalid as error:
            raise CatalogInvalid(f"{path}: {error}") from error
        known: Row = {"path": str(path), "sha256": hashlib.sha256(content).hexdigest()}

        def take(connection: Connection[DictRow]) -> CatalogChange:
            made = _apply(connection, parsed.catalog, change)
            _save_file(connection, known, parsed)
            return made

        return self._database.with_retry(take)

    def _refuse(self, known: Row, problem: str) -> None:
        refused = {"version": None, "problem": sanitize_text(problem), "warnings": Jsonb([])}
        self._database.with_retry(lambda c: c.execute(query("catalog/save_file"), known | refused))


def save_version(connection: Connection[DictRow], catalog: Catalog) -> None:
    """Save the content of a version, in the caller's transaction."""
    content = {"version": catalog.version, "content": Jsonb(catalog_to_jsonable(catalog))}
    connection.execute(query("catalog/insert_version"), content)


def _current(connection: Connection[DictRow]) -> CatalogChange | None:
    row = connection.execute(query("catalog/current")).fetchone()
    return _change(row) if row else None


def _apply(connection: Connection[DictRow], catalog: Catalog, change: NewChange) -> CatalogChange:
    connection.execute(query("catalog/lock"))
    current = _current(connection)
    if current and current.version == catalog.version:
        return current
    if change.expected and (current is None or current.version != change.expected):
        raise CatalogConflict(_conflict(current))
    save_version(connection, catalog)
    row = connection.execute(
        query("catalog/insert_change"),
        {
            "version": catalog.version,
            "parent": current.version if current else None,
            "origin": change.origin,
            "made_by": sanitize_text(change.made_by) if change.made_by else None,
            "note": sanitize_text(change.note),
        },
    ).fetchone()
    assert row
    return _change(row)


def _conflict(current: CatalogChange | None) -> str:
    if current is None:
        return "There is no list yet. Reload and try again."
    by = f" by {current.made_by}" if current.made_by else ""
    return (
        f"The list was changed meanwhile{by}: version {current.version} is in force. Reload and "
        "try again."
    )


def _import(
    connection: Connection[DictRow], known: Row, parsed: ParsedCatalog
) -> CatalogChange | None:
    """Import a file that was read, unless it would undo an edit made elsewhere."""
    connection.execute(query("catalog/lock"))
    row = connection.execute(query("catalog/file"), known).fetchone()
    current = _current(connection)
    if row and row["sha256"] == known["sha256"] and current:
        return None  # another process was faster
    made_from = {parsed.catalog.version, known["base"], row["version"] if row else None}
    is_edited = current is not None and current.origin is not ChangeOrigin.FILE
    if current and is_edited and current.version not in made_from:
        refused = {"version": None, "problem": CONFLICT, "warnings": Jsonb([])}
        connection.execute(query("catalog/save_file"), known | refused)
        return None
    made = _apply(connection, parsed.catalog, NewChange(ChangeOrigin.FILE))
    _save_file(connection, known, parsed)
    return None if current and made.change_id == current.change_id else made


def _save_file(connection: Connection[DictRow], known: Row, parsed: ParsedCatalog) -> None:
    read = {"version": parsed.catalog.version, "problem": None}
    warnings = {"warnings": Jsonb([sanitize_text(each) for each in parsed.warnings])}
    connection.execute(query("catalog/save_file"), known | read | warnings)


def _change(row: Row) -> CatalogChange:
    typed: Row = {"origin": ChangeOrigin(row["origin"])}
    return CatalogChange(**(row | typed))


def _file(row: Row) -> CatalogFile:
    typed: Row = {"warnings": tuple(row["warnings"])}
    return CatalogFile(**(row | typed))
