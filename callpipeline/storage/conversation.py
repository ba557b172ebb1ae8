"""What was said in a call, from the database: all but the times of words, in one query."""

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcript import Segment
from callpipeline.storage.database import Database


def conversation(database: Database, call_id: str) -> tuple[Segment, ...]:
    """The segments of all channels in order of time, without words; none where none are kept."""
    rows = database.rows("listening/segments", {"call_id": call_id})
    return tuple(
        Segment(
            index=row["segment_index"],
            start_s=row["start_s"],
            end_s=row["end_s"],
            channel=Channel(row["channel"]),
            speaker=Speaker(row["speaker"]),
            text=row["text"],
        )
        for row in rows
    )
