"""What the app takes in."""

from pydantic import Field
from pydantic_settings import BaseSettings


class UploadSettings(BaseSettings):
    """Of recordings that come over HTTP."""

    upload_max_mb: int = Field(default=2048, ge=1)

    @property
    def upload_max_bytes(self) -> int:
        return self.upload_max_mb * 1_000_000
