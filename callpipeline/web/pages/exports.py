"""Links that save what a page shows."""

from collections.abc import Iterator
from dataclasses import dataclass

from callpipeline.domain.filters import Filters
from callpipeline.storage.export import Format
from callpipeline.web.filters import address


@dataclass(frozen=True, slots=True)
class Saved:
    """What can be saved of what a page shows, in each format."""

    what: str
    filters: Filters
    words: str | None = None

    def links(self) -> Iterator[tuple[str, str]]:
        for kind in Format:
            way = address(f"/export/{self.what}.{kind}", self.filters, words=self.words)
            yield kind.upper(), way
