"""Domain values as versioned JSON documents, and back."""

from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from callpipeline.domain.catalog import Catalog
from callpipeline.domain.transcript import Transcript

TRANSCRIPT_VERSION = 1

_catalog = TypeAdapter(Catalog)


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int
    transcript: Transcript


def transcript_to_json(transcript: Transcript) -> bytes:
    """A transcript with its words, as kept in the object store."""
    return _Document(version=TRANSCRIPT_VERSION, transcript=transcript).model_dump_json().encode()


def transcript_from_json(document: bytes) -> Transcript:
    return _Document.model_validate_json(document).transcript


def catalog_to_jsonable(catalog: Catalog) -> Any:
    return _catalog.dump_python(catalog, mode="json")
