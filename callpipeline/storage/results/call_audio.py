"""Audio of calls for the player: channels that are muted where they must be, and peaks."""

from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.audio import Channel, Peaks, SplitRecording
from callpipeline.domain.calls.call import Stage
from callpipeline.errors import MissingObject
from callpipeline.storage.erasure import explain_deletion
from callpipeline.storage.objects import keys
from callpipeline.storage.objects.ports import ObjectStore, RangeFile
from callpipeline.storage.ports.results import ChannelPeaks
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.results.results import Results
from callpipeline.storage.results.serialization import peaks_from_json, peaks_to_json


class CallAudio:
    """Channel audio and peaks. Raises MissingObject, which says so if retention deleted it."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store
        self._results = Results(database, store)

    def split_recording(self, call_id: str) -> SplitRecording:
        """Return the split recording of a call, unless its numbers are still to be muted."""
        found = self._database.rows("results/is_withheld", {"call_id": call_id})
        if found and found[0]["withheld"]:
            raise MissingObject(
                f"The audio of call {call_id} can be played once card numbers and the like are "
                "muted in it, which happens when it is transcribed."
            )
        return self._results.audio(call_id)

    def open_channel(self, call_id: str, channel: Channel) -> RangeFile:
        """Open one channel's FLAC for random access."""
        with explain_deletion(self._database, call_id, Stage.CHANNEL_AUDIO):
            return RangeFile(self._store, keys.channel_audio(call_id, channel))

    def fetch(self, call_id: str, channel: Channel, into: Path) -> None:
        """Copy one channel's FLAC to a local file."""
        self._results.fetch_channel(call_id, channel, into)

    def peaks(self, call_id: str, channel: Channel, sha256: str) -> Peaks | None:
        """Return the stored peaks of a channel, or None if stored are none of this audio."""
        try:
            found = peaks_from_json(self._store.read(keys.peaks(call_id, channel)))
        except MissingObject:
            return None
        return found if found and found.sha256 == sha256 else None

    def save_peaks(self, call_id: str, peaks: ChannelPeaks) -> None:
        """Store peaks that were computed after the audio was stored.

        Does nothing if a run has claimed the call, which stores its own, or if the audio was
        deleted or replaced.
        """

        def store(connection: Connection[DictRow]) -> None:
            parameters = {"call_id": call_id}
            found = connection.execute(query("results/lock_audio"), parameters).fetchall()
            stored = {(row["channel"], row["sha256"]) for row in found}
            for channel, each in peaks.items():
                if (channel, each.sha256) in stored:
                    self._store.put(keys.peaks(call_id, channel), peaks_to_json(each))

        self._database.with_retry(store)
