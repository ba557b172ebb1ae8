"""Which objects others may read of those that are kept of calls: their transcripts."""

import re

from callpipeline.storage.database import Database

_TRANSCRIPT = re.compile(r"calls/(\d{4}-\d\d-\d\d-[0-9a-f]{12})/transcript\.\w+\.json", re.ASCII)


class StoredTranscripts:
    """Objects by their keys, as the ledger has them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has(self, key: str) -> bool:
        """Whether a key is that of a call's transcript. Of an erased call there is none."""
        found = _TRANSCRIPT.fullmatch(key)
        if not found:
            return False
        [row] = self._database.rows("shared/is_transcript", {"call_id": found[1], "key": key})
        return row["is_one"]
