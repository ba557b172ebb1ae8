"""Values that several settings share."""

from typing import Annotated

from pydantic import AfterValidator


def _web_address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("write it like https://host")
    return url


WebAddress = Annotated[str, AfterValidator(_web_address)]
