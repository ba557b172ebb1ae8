"""The competitors a customer wants to know about, with their other names."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from callpipeline.domain.spelling import normalise, spellings
from callpipeline.errors import CatalogInvalid


@dataclass(frozen=True, slots=True)
class Competitor:
    """A competitor as it is reported (`name`) and as it may be said (`name` and `aliases`).

    An `ambiguous` name is also an ordinary word or phrase ("three", "your ID"), so it counts only
    with evidence around it; aliases of more than one word are taken as they stand. `evidence`
    adds words that speak for this competitor, beside those that speak for any.
    """

    name: str
    aliases: tuple[str, ...] = ()
    ambiguous: bool = False
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpokenForm:
    """One way in which a competitor may be said, in normal form, and the alias it comes from."""

    form: str
    alias: str
    competitor: Competitor


@dataclass(frozen=True)
class Catalog:
    """All competitors; two catalogs with the same content have the same version."""

    competitors: tuple[Competitor, ...]

    def __post_init__(self) -> None:
        names = Counter(competitor.name.casefold() for competitor in self.competitors)
        if any(not name.strip() for name in names):
            raise CatalogInvalid("A competitor has an empty name: give every entry a name.")
        twice = sorted(name for name, times in names.items() if times > 1)
        if twice:
            raise CatalogInvalid(f"Listed twice (casing aside): {', '.join(twice)}. Keep one each.")
        self.spoken_forms()

    @cached_property
    def version(self) -> str:
        """12 hex digits of the content's hash; order of competitors and aliases does not count."""
        content = sorted(
            (asdict(c) | {"aliases": sorted(c.aliases)} for c in self.competitors),
            key=lambda entry: entry["name"],
        )
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def spoken_forms(self) -> Mapping[str, SpokenForm]:
        """Every normal form to look for; raises CatalogInvalid where two competitors share one."""
        forms: dict[str, SpokenForm] = {}
        for spoken in _all_forms(self.competitors):
            holder = forms.setdefault(spoken.form, spoken)
            if holder.competitor is not spoken.competitor:
                raise CatalogInvalid(_shared(holder, spoken))
        return forms


def _all_forms(competitors: tuple[Competitor, ...]) -> Iterator[SpokenForm]:
    """Names and aliases as they stand come first, so that they own their form."""
    listed = [(alias, c) for c in competitors for alias in (c.name, *c.aliases)]
    for alias, competitor in listed:
        if not normalise(alias):
            raise CatalogInvalid(
                f"{alias!r} ({competitor.name}) holds no letter or digit: write it as it is said."
            )
        yield SpokenForm(normalise(alias), alias, competitor)
    for alias, competitor in listed:
        yield from (SpokenForm(form, alias, competitor) for form in sorted(spellings(alias)))


def _shared(one: SpokenForm, other: SpokenForm) -> str:
    return (
        f'"{other.alias}" of {other.competitor.name} sounds the same as "{one.alias}" of '
        f"{one.competitor.name}: keep it with one of them."
    )
