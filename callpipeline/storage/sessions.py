"""Logins of the web app, each until it is over."""

from typing import NamedTuple

from callpipeline.storage.database import Database


class Session(NamedTuple):
    """Whose it is, and the mark of the password that was right then."""

    user_name: str
    password_mark: bytes


class Sessions:
    """Table `web_sessions`. A session is known by the SHA-256 of what its cookie says."""

    def __init__(self, database: Database, *, lifetime_s: float, idle_s: float) -> None:
        self._database = database
        self._lifetime_s = lifetime_s
        self._idle_s = idle_s

    def begin(self, digest: bytes, user_name: str, mark: bytes) -> None:
        """Somebody has logged in."""
        row = {"digest": digest, "user_name": user_name, "mark": mark}
        self._database.rows("sessions/begin", row | {"lifetime_s": self._lifetime_s})

    def find(self, digest: bytes) -> Session | None:
        """A session that is neither over nor idle for too long; it was used just now."""
        wanted = {"digest": digest, "idle_s": self._idle_s}
        rows = self._database.rows("sessions/find", wanted)
        return Session(**rows[0]) if rows else None

    def end(self, digest: bytes) -> None:
        """Somebody has logged out."""
        self._database.rows("sessions/end", {"digest": digest})
