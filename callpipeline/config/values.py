"""Values that several settings share."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def _web_address(url: str) -> str:
    if not _is_base(url):
        raise ValueError("write it like https://host:8443/path, without ? and #")
    return url


def _is_base(url: str) -> bool:
    """Whether it is an address of HTTP below which others can stand."""
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or no address
        return False
    return is_whole and parts.scheme in ("http", "https") and not re.search(r"[\s?#]", url)


WebAddress = Annotated[str, AfterValidator(_web_address)]
