"""What Dagster remembers of each asset beside its events: the last one, and what was cached."""

from collections.abc import Sequence

import dagster as dg
from dagster._core.event_api import EventLogRecord
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import AssetKeyTable as Assets
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from dagster_shared.serdes import deserialize_value, serialize_value
from sqlalchemy import Connection, or_, select, update

MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION.value


def refresh_assets(connection: Connection, call_ids: Sequence[str]) -> int:
    """Make the last materialization anew where it was that of one of these calls, and forget the
    partitions' statuses that name one; Dagster finds these out again. Returns how many there were.
    """
    last, status = Assets.c.last_materialization, Assets.c.cached_status_data
    found = 0
    for call_id in call_ids:
        stale = status.contains(call_id, autoescape=True)
        forget = update(Assets).where(stale).values(cached_status_data=None)
        found += connection.execute(forget).rowcount
    is_last = or_(*(last.contains(call_id, autoescape=True) for call_id in call_ids))
    for row in connection.execute(select(Assets.c.asset_key).where(is_last)).all():
        known = _last_of(connection, row.asset_key)
        of_asset = update(Assets).where(Assets.c.asset_key == row.asset_key)
        connection.execute(of_asset.values(last_materialization=known))
        found += 1
    return found


def _last_of(connection: Connection, asset_key: str) -> str | None:
    """The asset's last materialization that there still is, as Dagster keeps it."""
    of_asset = Events.c.asset_key == asset_key, Events.c.dagster_event_type == MATERIALIZED
    newest = select(Events.c.id, Events.c.event).where(*of_asset).order_by(Events.c.id.desc())
    row = connection.execute(newest.limit(1)).first()
    if row is None:
        return None
    return serialize_value(EventLogRecord(row.id, deserialize_value(row.event, EventLogEntry)))
