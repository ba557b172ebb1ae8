"""From where announced recordings are fetched, how large they may be, and how long it may take."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from callpipeline.domain.reach import Reach


class FetchingSettings(BaseSettings):
    """Of recordings that are announced by an address."""

    fetch_allow: Annotated[tuple[str, ...] | None, NoDecode] = None
    fetch_max_mb: int = Field(default=1024, ge=1)
    fetch_timeout_s: float = Field(default=900.0, gt=0)

    @field_validator("fetch_allow", mode="before")
    @classmethod
    def _hosts_and_networks(cls, value: object) -> object:
        """Several have commas between them."""
        if not isinstance(value, str):
            return value
        entries = tuple(part.strip() for part in value.split(",") if part.strip())
        Reach.with_allowed(entries)  # raises ValueError naming the one that is none
        return entries
