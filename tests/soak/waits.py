"""How long calls waited from their entry into the ledger until work on them began."""

from collections.abc import Sequence

import psycopg

from callpipeline.storage.sql import SCHEMA

_WAITS = f"""
SELECT percentile_cont(0.5) WITHIN GROUP (
    ORDER BY extract(epoch FROM s.stored_at - c.created_at) - s.took_s)
FROM {SCHEMA}.calls c JOIN {SCHEMA}.call_stages s USING (call_id)
WHERE s.stage = 'channel_audio' AND c.call_id = ANY(%s)
"""


def waits_of(database_url: str, call_ids: Sequence[str]) -> float:
    """The median wait in seconds of calls that have begun: their first stage tells when."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(_WAITS.encode(), [list(call_ids)]).fetchone()
    assert row and row[0] is not None
    return float(row[0])
