"""The catalog: competitors, the surface forms of their names, and recogniser hints."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from callpipeline.domain.competitors.spellings import (
    Spelling,
    is_phrase,
    normalise,
    spellings,
    surface_forms,
)
from callpipeline.errors import CatalogInvalid

MAX_ABBREVIATION_LETTERS = 3
MISSPELT_RATIO = 0.8


@dataclass(frozen=True, slots=True)
class Competitor:
    """A competitor, reported as `name` and spoken of as `name` or one of its `aliases`.

    An `ambiguous` name is also an ordinary word or phrase ("three", "your ID"), so it counts only
    with evidence in its context; aliases of several words need none. `evidence` lists words that
    suggest this competitor, in addition to those that suggest any company; `sells` says in a few
    words what it sells. An `own` name is the user's company or brand: it is found, but never
    counted. `sounds_like` lists what recognisers write when they mishear the name ("site eva" for
    "Cyteva"): matched like aliases, but never a hint.
    """

    name: str
    aliases: tuple[str, ...] = ()
    ambiguous: bool = False
    evidence: tuple[str, ...] = ()
    own: bool = False
    sells: str = ""
    sounds_like: tuple[str, ...] = ()

    @property
    def listed_names(self) -> tuple[str, ...]:
        """Return the name, its aliases and its sounds-like aliases."""
        return (self.name, *self.aliases, *self.sounds_like)


class SurfaceForm(NamedTuple):
    """A normalised spelling of a name or alias that the matcher looks for."""

    form: str
    alias: str
    competitor: Competitor
    spelling: Spelling


class NameMatch(NamedTuple):
    """A name at `char_start:char_end` of the original text, found as `alias` of the catalog."""

    competitor: Competitor
    alias: str
    char_start: int
    char_end: int


@dataclass(frozen=True)
class Catalog:
    """All competitors; catalogs with the same content have the same version."""

    competitors: tuple[Competitor, ...]

    def __post_init__(self) -> None:
        names = Counter(competitor.name.casefold() for competitor in self.competitors)
        if any(not name.strip() for name in names):
            raise CatalogInvalid("A competitor has an empty name: give every entry a name.")
        duplicates = sorted(name for name, count in names.items() if count > 1)
        if duplicates:
            raise CatalogInvalid(
                f"Duplicate names (ignoring case): {', '.join(duplicates)}. Keep one of each."
            )
        _ = self.forms

    @cached_property
    def version(self) -> str:
        """Return 12 hex digits of a hash of the content; the order of entries doesn't matter."""
        content = sorted(map(_hashed, self.competitors), key=lambda entry: entry["name"])
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @cached_property
    def forms(self) -> tuple[SurfaceForm, ...]:
        """Return all surface forms, those of one competitor only once.

        Raises CatalogInvalid if two competitors share an exact one.
        """
        forms: dict[str, SurfaceForm] = {}
        for one, other in form_conflicts(self.competitors, forms):
            raise CatalogInvalid(_conflict(one, other))
        return tuple(forms.values())

    def surface_forms(self) -> Mapping[str, SurfaceForm]:
        """Return all surface forms by their normal form."""
        return {form.form: form for form in self.forms}


_ALWAYS_HASHED = frozenset({"name", "aliases", "ambiguous", "evidence"})


def _hashed(competitor: Competitor) -> dict[str, Any]:
    """Return what the version depends on: fields added later only if they are set."""
    content = asdict(competitor) | {
        "aliases": sorted(competitor.aliases),
        "sounds_like": sorted(competitor.sounds_like),
    }
    return {name: each for name, each in content.items() if each or name in _ALWAYS_HASHED}


def form_conflicts(
    competitors: tuple[Competitor, ...], forms: dict[str, SurfaceForm] | None = None
) -> Iterator[tuple[SurfaceForm, SurfaceForm]]:
    """Yield pairs of names of different competitors that sound the same; fill `forms`.

    Spaces make no difference, and a derived spelling gives way to the name of another competitor.
    """
    found: dict[str, SurfaceForm] = {} if forms is None else forms
    owners: dict[str, SurfaceForm] = {}
    for form in _all_forms(competitors):
        owner = owners.setdefault(form.form.replace(" ", ""), form)
        if owner.competitor is form.competitor:
            found.setdefault(form.form, form)
        elif form.spelling is Spelling.EXACT:
            yield owner, form


def _all_forms(competitors: tuple[Competitor, ...]) -> Iterator[SurfaceForm]:
    """Yield names and aliases themselves first, then by how close the spelling is."""
    listed = [(alias, c) for c in competitors for alias in c.listed_names]
    later: list[SurfaceForm] = []
    spelt: list[SurfaceForm] = []
    for alias, competitor in listed:
        normal = normalise(alias)
        if not normal:
            raise CatalogInvalid(
                f"{alias!r} ({competitor.name}) has no letter or digit: spell it as it is spoken."
            )
        for form, spelling in spellings(alias).items():
            surface_form = SurfaceForm(form, alias, competitor, spelling)
            if form == normal:
                yield surface_form
            else:
                (spelt if spelling is Spelling.EXACT else later).append(surface_form)
    yield from spelt
    yield from later


def _conflict(one: SurfaceForm, other: SurfaceForm) -> str:
    return (
        f'"{other.alias}" of {other.competitor.name} sounds like "{one.alias}" of '
        f"{one.competitor.name}: keep only one of them."
    )


def recogniser_hints(catalog: Catalog) -> tuple[str, ...]:
    """Return the names to bias a recogniser towards, most important first.

    The order is: names with sounds-like aliases, which recognisers are known to mishear, other
    names in catalog order, then every competitor's first alias, second, … A
    recogniser hears its hints more often than they are spoken, so ambiguous names ("Three", "One",
    "Sky") are left out, but their unmistakable aliases ("Three Mobile", "One Dot Com") are
    included. Spellings of an earlier hint ("t mobile", "T-Mobile") are skipped, and so are aliases
    that spell how a name is misheard ("voda phone"); those in `sounds_like` are never hints. All
    are written with capitals, as Whisper writes names.
    """
    by_need = sorted(catalog.competitors, key=lambda c: not c.sounds_like)
    names = (c.name for c in by_need if _is_distinctive(c.name, ambiguous=c.ambiguous))
    aliases = zip_longest(
        *(
            [
                _with_capitals(alias)
                for alias in c.aliases
                if _is_distinctive(alias, ambiguous=c.ambiguous) and not _is_misspelt(alias, c.name)
            ]
            for c in catalog.competitors
        )
    )
    hints: list[str] = []
    covered: set[str] = set()
    for hint in chain(names, filter(None, chain.from_iterable(aliases))):
        if normalise(hint) not in covered:
            hints.append(hint)
            covered |= surface_forms(hint) | {normalise(hint)}
    return tuple(hints)


def _with_capitals(alias: str) -> str:
    """Return an alias written as a name: "aws" as "AWS", "three mobile" as "Three Mobile"."""
    if alias != alias.lower():
        return alias
    if len(alias) <= MAX_ABBREVIATION_LETTERS:
        return alias.upper()
    return " ".join(map(str.capitalize, alias.split()))


def _is_misspelt(alias: str, name: str) -> bool:
    """Return true if an alias is nearly the name, in lower case: text of a recogniser."""
    heard, named = ("".join(normalise(text).split()) for text in (alias, name))
    is_similar = SequenceMatcher(None, heard, named).ratio() >= MISSPELT_RATIO
    return alias == alias.lower() and is_similar


def _is_distinctive(name: str, *, ambiguous: bool) -> bool:
    """Return true if a name is used only for the company; "e e" may be noise."""
    return is_phrase(name) or not (ambiguous or _is_spelled_out(name))


def _is_spelled_out(name: str) -> bool:
    words = normalise(name).split()
    return len(words) > 1 and all(len(word) == 1 for word in words)
