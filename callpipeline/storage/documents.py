"""Domain values as versioned JSON documents, and back."""

import json
from base64 import b64decode, b64encode
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from callpipeline.domain.catalog import Catalog
from callpipeline.domain.peaks import Peaks
from callpipeline.domain.transcript import Transcript
from callpipeline.errors import TranscriptInvalid

TRANSCRIPT_VERSION = 1
PEAKS_VERSION = 1

_catalog = TypeAdapter(Catalog)


class _Document(BaseModel):
    # An error must not quote what was said.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    version: int
    transcript: Transcript


def transcript_to_json(transcript: Transcript) -> bytes:
    """A transcript with its words, as kept in the object store."""
    return _Document(version=TRANSCRIPT_VERSION, transcript=transcript).model_dump_json().encode()


def transcript_from_json(document: bytes) -> Transcript:
    """Raises TranscriptInvalid for what is no transcript of this version."""
    try:
        read = _Document.model_validate_json(document)
    except ValidationError:
        raise TranscriptInvalid("A stored transcript is damaged: make transcripts anew.") from None
    if read.version != TRANSCRIPT_VERSION:
        raise TranscriptInvalid(
            f"A stored transcript is of version {read.version}, this callpipeline reads "
            f"{TRANSCRIPT_VERSION}: make transcripts anew."
        )
    return read.transcript


def peaks_to_json(peaks: Peaks) -> bytes:
    """Peaks as kept in the object store: a byte for each window, in base64."""
    maxima = b64encode(peaks.maxima).decode()
    known = {"version": PEAKS_VERSION, "window_s": peaks.window_s, "sha256": peaks.sha256}
    return json.dumps(known | {"maxima": maxima}).encode()


def peaks_from_json(document: bytes) -> Peaks | None:
    """None for what is damaged or of another version: peaks can always be measured anew."""
    try:
        read = json.loads(document)
        if read["version"] != PEAKS_VERSION:
            return None
        maxima = b64decode(read["maxima"], validate=True)
        return Peaks(float(read["window_s"]), maxima, str(read["sha256"]))
    except (ValueError, TypeError, KeyError):
        return None


def catalog_to_jsonable(catalog: Catalog) -> Any:
    return _catalog.dump_python(catalog, mode="json")
