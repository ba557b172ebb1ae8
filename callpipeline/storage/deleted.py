"""What is missing because it was deleted on purpose."""

from collections.abc import Iterator
from contextlib import contextmanager

from callpipeline.domain.call import Stage
from callpipeline.errors import MissingObject
from callpipeline.storage.database import Database


@contextmanager
def explained(database: Database, call_id: str, stage: Stage) -> Iterator[None]:
    """Say of what is missing when it was deleted, where it was."""
    try:
        yield
    except MissingObject:
        [deleted] = database.rows("retention/deleted_on", {"call_id": call_id, "what": stage})
        if deleted["at"] is None:
            raise
        raise MissingObject(
            f"The stage {stage} of call {call_id} was deleted on {deleted['at']:%Y-%m-%d}, "
            "when its time was over (`callpipeline retention`)."
        ) from None
