"""Keys by which programs are let in: who made them, what they may do, and until when."""

from collections.abc import Iterable
from datetime import datetime

from callpipeline.domain.access import ApiKey, KeyRecord, Scope
from callpipeline.storage.database import Database, Row


class ApiKeys:
    """Table `api_keys`. No secret is in it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        key: ApiKey,
        name: str,
        scopes: Iterable[Scope],
        *,
        by: str,
        expires_at: datetime | None = None,
    ) -> None:
        """Let a key in from now on."""
        row = {
            "key_id": key.key_id,
            "name": name,
            "digest": key.digest,
            "scopes": [str(scope) for scope in sorted(set(scopes))],
            "created_by": by,
            "expires_at": expires_at,
        }
        self._database.rows("api_keys/add", row)

    def find(self, key_id: str) -> tuple[KeyRecord, bytes] | None:
        """A key, revoked ones too, with the digest of its secret."""
        rows = self._database.rows("api_keys/find", {"key_id": key_id})
        return (_record(rows[0]), rows[0]["secret_sha256"]) if rows else None

    def all(self) -> list[KeyRecord]:
        """Every key there was, the newest first."""
        return [_record(row) for row in self._database.rows("api_keys/all")]

    def revoke(self, key_id: str, *, by: str) -> None:
        """Let it in no more; for ever."""
        self._database.rows("api_keys/revoke", {"key_id": key_id, "by": by})

    def note_use(self, key_id: str) -> None:
        """It is used; known to a minute."""
        self._database.rows("api_keys/note_use", {"key_id": key_id})


def _record(row: Row) -> KeyRecord:
    kept = {name: row[name] for name in KeyRecord.__dataclass_fields__}
    kept["scopes"] = tuple(Scope(scope) for scope in row["scopes"])
    return KeyRecord(**kept)
