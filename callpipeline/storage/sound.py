"""The sound of calls as it is listened to: channels that are read where wanted, and waveforms."""

from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.audio import Channel, SplitRecording
from callpipeline.domain.call import Stage
from callpipeline.domain.peaks import Peaks
from callpipeline.errors import MissingObject
from callpipeline.storage import keys
from callpipeline.storage.database import Database
from callpipeline.storage.deleted import explained
from callpipeline.storage.documents import peaks_from_json, peaks_to_json
from callpipeline.storage.object_store import ObjectStore
from callpipeline.storage.ports import ChannelPeaks
from callpipeline.storage.range_file import RangeFile
from callpipeline.storage.results import Results
from callpipeline.storage.sql import query


class Sound:
    """Channel audio and what is kept beside it. All raise MissingObject for what is not there.

    Where it was deleted, when its time was over, the sentence says so.
    """

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store
        self._results = Results(database, store)

    def of(self, call_id: str) -> SplitRecording:
        """What is known of the sound of a call."""
        return self._results.audio(call_id)

    def opened(self, call_id: str, channel: Channel) -> RangeFile:
        """One channel's FLAC, to be read where it is wanted."""
        with explained(self._database, call_id, Stage.CHANNEL_AUDIO):
            return RangeFile(self._store, keys.channel_audio(call_id, channel))

    def fetch(self, call_id: str, channel: Channel, into: Path) -> None:
        """Copy one channel's FLAC to a local file."""
        self._results.fetch_channel(call_id, channel, into)

    def peaks(self, call_id: str, channel: Channel, sha256: str) -> Peaks | None:
        """The peaks that are kept of a channel, None where none are of that very sound."""
        try:
            found = peaks_from_json(self._store.read(keys.peaks(call_id, channel)))
        except MissingObject:
            return None
        return found if found and found.sha256 == sha256 else None

    def keep_peaks(self, call_id: str, peaks: ChannelPeaks) -> None:
        """Keep peaks that were measured later than the sound was stored.

        Not where a run has the call, which makes them itself, nor where the sound is gone meanwhile
        or is another one.
        """

        def keep(connection: Connection[DictRow]) -> None:
            wanted = {"call_id": call_id}
            found = connection.execute(query("results/hold_audio"), wanted).fetchall()
            there = {(row["channel"], row["sha256"]) for row in found}
            for channel, each in peaks.items():
                if (channel, each.sha256) in there:
                    self._store.put(keys.peaks(call_id, channel), peaks_to_json(each))

        self._database.patiently(keep)
