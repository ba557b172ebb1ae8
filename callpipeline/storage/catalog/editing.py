"""Edits of single competitors, with problems and remarks by the field that they concern."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from callpipeline.domain.competitors.catalog import (
    Catalog,
    Competitor,
    form_conflicts,
    normalise,
)
from callpipeline.domain.competitors.misheard import alias_letters
from callpipeline.errors import CatalogInvalid, UnknownCatalog
from callpipeline.storage.catalog.entries import (
    CONTROL,
    FUNCTION_WORDS,
    ORDINARY_WORDS,
    ListProblems,
    clean_name,
    name_problem,
    tidy_name,
)

EntryField = Literal["name", "aliases", "sounds_like", "ambiguous", "evidence", "sells"]
Remarks = Mapping[str, Sequence[str]]
MAX_SELLS_CHARS = 200
EMPTY_LIST = "The list would be empty: keep at least one name."


@dataclass(frozen=True, slots=True)
class CompetitorEdit:
    """A change of one entry: `replaces` is its present name, None to add one.

    Without a `name` the entry is removed. `ambiguous` is None to decide by the word.
    """

    replaces: str | None = None
    name: str | None = None
    aliases: Sequence[str] = ()
    ambiguous: bool | None = None
    evidence: Sequence[str] = ()
    own: bool = False
    sells: str = ""
    sounds_like: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class EditedCatalog:
    """The catalog after an edit, None if there are problems, and remarks by field."""

    catalog: Catalog | None
    problems: Remarks = field(default_factory=dict[str, Sequence[str]])
    warnings: Remarks = field(default_factory=dict[str, Sequence[str]])


def edit_catalog(base: Catalog, edit: CompetitorEdit) -> EditedCatalog:
    """Return the catalog after an edit of one entry; others keep their place."""
    listed = {each.name: each for each in base.competitors}
    if edit.replaces is not None and edit.replaces not in listed:
        return _refused(
            f"{edit.replaces} is no longer on the list: it was removed or renamed meanwhile."
        )
    if edit.name is None:
        kept = tuple(each for each in base.competitors if each.name != edit.replaces)
        return EditedCatalog(Catalog(kept)) if kept else _refused(EMPTY_LIST)
    remarks = _EditRemarks()
    entry = _checked_entry(edit, remarks)
    others = [each for each in base.competitors if each.name != edit.replaces]
    _check_names(entry, others, remarks)
    if remarks.problems:
        return EditedCatalog(None, dict(remarks.problems), dict(remarks.warnings))
    if edit.replaces is None:
        after = (*base.competitors, entry)
    else:
        after = tuple(entry if each.name == edit.replaces else each for each in base.competitors)
    return EditedCatalog(Catalog(after), {}, dict(remarks.warnings))


def edit_entries(base: Catalog, edits: Iterable[CompetitorEdit]) -> Catalog:
    """Return the catalog after several edits. Raises CatalogInvalid."""
    catalog = base
    for number, edit in enumerate(edits, start=1):
        edited = edit_catalog(catalog, edit)
        if edited.catalog is None:
            reasons = [reason for each in edited.problems.values() for reason in each]
            raise CatalogInvalid(f"edit {number}: {' '.join(reasons)}")
        catalog = edited.catalog
    return catalog


class _EditRemarks:
    def __init__(self) -> None:
        self.problems: defaultdict[str, list[str]] = defaultdict(list)
        self.warnings: defaultdict[str, list[str]] = defaultdict(list)


def _checked_entry(edit: CompetitorEdit, remarks: _EditRemarks) -> Competitor:
    name, sells = edit.name or "", " ".join(edit.sells.split())
    if problem := name_problem(name):
        remarks.problems["name"].append(_sentence(problem))
    if len(sells) > MAX_SELLS_CHARS or CONTROL.search(sells):
        remarks.problems["sells"].append("Say in a few words what it sells.")
    return Competitor(
        tidy_name(name),
        _checked_names("aliases", edit.aliases, remarks),
        ambiguous=_is_ambiguous(edit, remarks),
        evidence=_checked_names("evidence", edit.evidence, remarks),
        own=edit.own,
        sells=sells,
        sounds_like=_checked_names("sounds_like", edit.sounds_like, remarks),
    )


def _checked_names(
    where: EntryField, written: Iterable[str], remarks: _EditRemarks
) -> tuple[str, ...]:
    """Return the names of a field without empty and repeated ones."""
    names: dict[str, None] = {}
    for each in written:
        if not each.strip():
            continue
        if problem := name_problem(each):
            remarks.problems[where].append(_sentence(problem))
        names[tidy_name(each)] = None
    return tuple(names)


def _is_ambiguous(edit: CompetitorEdit, remarks: _EditRemarks) -> bool:
    if edit.ambiguous is not None:
        return edit.ambiguous
    name = tidy_name(edit.name or "")
    word = normalise(name)
    if word in FUNCTION_WORDS:
        remarks.problems["name"].append(
            f"{name} is a word of nearly every sentence: write a longer name, or say that it is "
            "ambiguous."
        )
    elif word in ORDINARY_WORDS:
        remarks.warnings["ambiguous"].append(
            f"{name} is also an ordinary word: it counts only with evidence around it."
        )
    return word in ORDINARY_WORDS


def _check_names(entry: Competitor, others: Sequence[Competitor], remarks: _EditRemarks) -> None:
    """Report a name that is listed already, and names that sound like those of another entry."""
    spoken = [each for each in entry.listed_names if normalise(each)]
    if remarks.problems or not spoken:
        return
    same = next((o for o in others if normalise(o.name) == normalise(entry.name)), None)
    if same:
        remarks.problems["name"].append(f"{same.name} is on the list already.")
        return
    for one, other in form_conflicts((*others, entry)):
        mine, theirs = (one, other) if one.competitor is entry else (other, one)
        where = _field_of(entry, mine.alias)
        problem = f"{mine.alias} sounds like {theirs.alias} of {theirs.competitor.name}."
        if mine.alias == theirs.alias:
            problem = f"{theirs.competitor.name} has the name {theirs.alias} already."
        if problem not in remarks.problems[where]:
            remarks.problems[where].append(problem)


def _field_of(entry: Competitor, alias: str) -> EntryField:
    if alias == entry.name:
        return "name"
    return "aliases" if alias in entry.aliases else "sounds_like"


def _refused(problem: str) -> EditedCatalog:
    return EditedCatalog(None, {"name": (problem,)})


def _sentence(problem: str) -> str:
    return problem[:1].upper() + problem[1:]


def listed_competitor(catalog: Catalog, written: str) -> Competitor:
    """Return the competitor of a name in any case and spacing. Raises UnknownCatalog."""
    letters = alias_letters(written)
    for each in catalog.competitors:
        if alias_letters(each.name) == letters:
            return each
    raise UnknownCatalog(
        f"{written!r} is no name of the list in force: `callpipeline catalog show` lists them."
    )


def cleaned_aliases(aliases: Sequence[str]) -> list[str]:
    """Return aliases as a file may have them. Raises CatalogInvalid."""
    cleaned: list[str] = []
    for alias in aliases:
        problems = ListProblems()
        found = clean_name(0, alias, problems)
        if not found:
            raise CatalogInvalid(problems[0].removeprefix("line 0: "))
        cleaned.append(found)
    return cleaned


def with_sounds_like(catalog: Catalog, named: Competitor, aliases: Sequence[str]) -> Catalog:
    """Add sounds-like aliases that the name doesn't have.

    Raises CatalogInvalid if another name has one.
    """
    known = {alias_letters(each) for each in named.listed_names}
    new = {alias_letters(each): each for each in aliases if alias_letters(each) not in known}
    changed = replace(named, sounds_like=(*named.sounds_like, *new.values()))
    return Catalog(tuple(changed if each is named else each for each in catalog.competitors))
