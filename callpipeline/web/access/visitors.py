"""Who asks, as routes and pages know it."""

from dataclasses import dataclass
from typing import Literal

from callpipeline.domain.access import Scope
from callpipeline.web.access.tokens import Binding

How = Literal["key", "login", "proxy", "loopback"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is known: by a key, a login, a proxy's word, or as a user of this machine.

    `visitor_id` is the same for each request of the same key or user, and of nobody else; it may
    be stored. `name` is for people.
    """

    name: str
    scopes: frozenset[Scope]
    how: How
    visitor_id: str

    def may(self, *scopes: Scope) -> bool:
        """Whether one of these is given to this visitor."""
        return not self.scopes.isdisjoint(scopes)


@dataclass(frozen=True, slots=True)
class Identified:
    """A visitor, and what the tokens of the visitor's forms are bound to."""

    visitor: Visitor
    binding: Binding | None = None
    """None for a key: a browser sends none by itself, so its requests need no token."""
