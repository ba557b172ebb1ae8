"""Which names a recogniser is told to listen for, the most important first."""

from itertools import chain, zip_longest

from callpipeline.domain.catalog import Catalog
from callpipeline.domain.spelling import is_phrase, normalise, spellings


def hints_of(catalog: Catalog) -> tuple[str, ...]:
    """The names in the order of the list, then everyone's first alias, everyone's second, …

    A recogniser that listens for a word hears it more often than it is said. So an ambiguous name
    ("Three", "One", "Sky"), which ordinary speech is full of, is no hint, only those of its
    aliases that nobody says by chance ("three mobile", "one dot com"). What only writes
    differently a name that is a hint already ("t mobile", "T-Mobile") is left out.
    """
    names = (c.name for c in catalog.competitors if _is_telling(c.name, ambiguous=c.ambiguous))
    aliases = zip_longest(
        *(
            [alias for alias in c.aliases if _is_telling(alias, ambiguous=c.ambiguous)]
            for c in catalog.competitors
        )
    )
    hints: list[str] = []
    covered: set[str] = set()
    for hint in chain(names, filter(None, chain.from_iterable(aliases))):
        if normalise(hint) not in covered:
            hints.append(hint)
            covered |= spellings(hint)
    return tuple(hints)


def _is_telling(name: str, *, ambiguous: bool) -> bool:
    """Whether a name is said of the company alone; one letter by letter ("e e") may be noise."""
    return is_phrase(name) or not (ambiguous or _is_spelled_out(name))


def _is_spelled_out(name: str) -> bool:
    words = normalise(name).split()
    return len(words) > 1 and all(len(word) == 1 for word in words)
