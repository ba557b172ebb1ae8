"""Where looking for new recordings stands, by source."""

import re
import secrets

from callpipeline.storage.database import Database

_TOKEN = re.compile("[0-9a-f]{16}")


class Positions:
    """Table `discovery`. A position belongs to a token, which tells nothing by itself.

    Whoever looks keeps the token where people can clear it, who then get a look from the beginning.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, source: str, token: str | None) -> tuple[str, str | None]:
        """The token and its position; a new token and none where the source has no such token."""
        if token and _TOKEN.fullmatch(token):
            wanted = {"source": source, "token": token}
            for row in self._database.rows("discovery/find", wanted):
                return token, row["position"]
        begun = {"source": source, "token": secrets.token_hex(8)}
        self._database.rows("discovery/begin", begun)
        return begun["token"], None

    def keep(self, source: str, token: str, position: str) -> None:
        """Remember how far looking has come, unless it was to be forgotten since it was found."""
        kept = {"source": source, "token": token, "position": position}
        self._database.rows("discovery/keep", kept)
