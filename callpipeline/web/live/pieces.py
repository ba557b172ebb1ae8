"""The pieces of pages that show a call, made once for all pages that show it."""

from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a page, and a mark that differs whenever what is shown does."""

    html: str
    mark: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """Of one call: its row in lists, and the head of its own page."""

    row: Piece
    state: Piece
    is_final: bool

    def of(self, view: str) -> Piece:
        return self.state if view == "state" else self.row


def piece(html: str) -> Piece:
    return Piece(html, sha256(html.encode()).hexdigest()[:10])
