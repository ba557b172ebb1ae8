"""Deleting a recording where it arrived, and nothing that is another call's."""

from dataclasses import dataclass

from callpipeline.errors import MissingObject
from callpipeline.pipeline.sidecar import keys_beside
from callpipeline.storage.erasures import Erasures
from callpipeline.storage.recordings import Recordings


@dataclass(frozen=True, slots=True)
class Place:
    """The object that a call was made of."""

    call_id: str
    bucket: str
    key: str
    etag: str | None


def remove_recording(recordings: Recordings, erasures: Erasures, place: Place) -> int:
    """Delete the object, not one that was put in its place since; returns how many went.

    A transcript beside it goes too, where it lies beside no other call's recording. Raises
    StoreUnavailable, and MissingObject where its source is none any more.
    """
    store = recordings.store(place.bucket)
    try:
        is_other = store.recording(place.key).etag != place.etag
    except MissingObject:
        is_other = False
    if is_other:
        return 0
    shared = erasures.shares_place(place.bucket, place.key, place.call_id)
    keys = [place.key] if shared else [place.key, *keys_beside(place.key)]
    there = [key for key in keys if store.exists(key)]
    for key in there:
        store.delete(key)
    return len(there)
