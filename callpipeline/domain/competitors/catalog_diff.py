"""Differences between two catalogs, and where in transcripts they can change a result."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from callpipeline.domain.competitors.catalog import Catalog, Competitor, SurfaceForm
from callpipeline.domain.competitors.matcher import MIN_LETTERS, stem_of
from callpipeline.domain.competitors.spellings import pad_symbols

_GAP, _EDGE = "[^a-z0-9]*", "(^|[^a-z0-9])"


@dataclass(frozen=True, slots=True)
class CompetitorChange:
    """A competitor that was added (no `before`), removed (no `after`) or changed."""

    before: Competitor | None
    after: Competitor | None

    @property
    def name(self) -> str:
        found = self.after or self.before
        return found.name if found else ""

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        if self.before is None:
            return "added"
        return "changed" if self.after else "removed"

    def describe(self) -> str:
        """Return the change as a line: "+ Vodafone", "~ Three: + alias 3 mobile"."""
        if self.before is None:
            return f"+ {self.name}{_details(self.after)}"
        if self.after is None:
            return f"- {self.name}"
        return f"~ {self.name}: {', '.join(_changes(self.before, self.after))}"


def diff_catalogs(before: Catalog | None, after: Catalog) -> tuple[CompetitorChange, ...]:
    """Return the changes from one catalog to another, by name; a renamed one is two changes."""
    old = {each.name: each for each in (before.competitors if before else ())}
    new = {each.name: each for each in after.competitors}
    names = sorted(old.keys() | new.keys(), key=str.casefold)
    changes = (CompetitorChange(old.get(name), new.get(name)) for name in names)
    return tuple(each for each in changes if each.before != each.after)


def _details(added: Competitor | None) -> str:
    if added is None:
        return ""
    facts = [f"also {', '.join(added.aliases)}"] if added.aliases else []
    facts += [f"heard as {', '.join(added.sounds_like)}"] if added.sounds_like else []
    facts += ["ambiguous"] if added.ambiguous else []
    facts += ["your own company"] if added.own else []
    return f" ({'; '.join(facts)})" if facts else ""


def _changes(before: Competitor, after: Competitor) -> Iterator[str]:
    for key, one, many in (
        ("aliases", "alias", "aliases"),
        ("sounds_like", "sounds-like alias", "sounds-like aliases"),
        ("evidence", "evidence", "evidence"),
    ):
        old, new = getattr(before, key), getattr(after, key)
        for sign, names in (
            ("+", [name for name in new if name not in old]),
            ("-", [name for name in old if name not in new]),
        ):
            if names:
                yield f"{sign} {one if len(names) == 1 else many} {', '.join(names)}"
        if sorted(old) == sorted(new) and old != new:
            yield f"{many} in another order"
    if before.sells != after.sells:
        yield f"sells {after.sells}" if after.sells else "sells nothing stated"
    for key, word in (("ambiguous", "ambiguous"), ("own", "your own company")):
        if getattr(before, key) != getattr(after, key):
            yield word if getattr(after, key) else f"not {word}"


def changed_forms(before: Catalog, after: Catalog) -> frozenset[str]:
    """Return the surface forms that one catalog finds and the other does not, or otherwise.

    A call without any of them has the same mentions under both catalogs: a match can only be
    displaced by another match, and a decision depends on the matches of the call.
    """
    old, new = before.surface_forms(), after.surface_forms()
    return frozenset(
        form for form in old.keys() | new.keys() if _effect(old.get(form)) != _effect(new.get(form))
    )


def _effect(form: SurfaceForm | None) -> tuple[str, bool, Competitor] | None:
    """Return all that a match depends on: not the other aliases of its competitor."""
    if form is None:
        return None
    alone = replace(form.competitor, aliases=(), sounds_like=())
    return form.alias, form.alias in form.competitor.sounds_like, alone


class FormSearch:
    """Searches the texts of channels for surface forms, in two steps.

    `pattern` is a regular expression for the database that matches every text of ASCII letters,
    in lower case and without symbols that are words, with a form, and few others. Other texts must
    be read anyway; `is_in` decides. Like the matcher, both disregard spaces in long names.
    """

    def __init__(self, forms: Collection[str]) -> None:
        letters = {form: form.replace(" ", "").replace("'", "") for form in forms}
        short = {form for form in forms if len(letters[form]) < MIN_LETTERS}
        long = {stem_of(letters[form]) for form in forms if form not in short}
        self._long = sorted(long)
        self._short = sorted(
            f" {each} "
            for form in short
            for word in (form, letters[form])
            for each in (word, f"{word}s")
        )
        patterns = [_pattern(each) for each in self._long]
        patterns += [f"({_EDGE}{_pattern(letters[form])}s?({_EDGE}|$))" for form in sorted(short)]
        self.pattern = "|".join(patterns) or "a^"

    def is_in(self, text: str) -> bool:
        """Return true if the text contains one of the forms, as the matcher finds them."""
        words = pad_symbols(text).split()
        letters = "".join(words).replace("'", "")
        if any(each in letters for each in self._long):
            return True
        spaced = f" {' '.join(words)} "
        return any(each in spaced for each in self._short)


def _pattern(letters: str) -> str:
    return _GAP.join(letters)
