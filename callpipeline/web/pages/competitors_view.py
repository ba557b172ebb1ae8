"""Views of the page Competitors: its form, what a change would do, and the history."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.catalog_diff import CompetitorChange, diff_catalogs
from callpipeline.errors import CatalogInvalid
from callpipeline.pipeline.reading.competitors import ListedCompetitor
from callpipeline.pipeline.rematch.previews import CatalogPreview
from callpipeline.storage.catalog.editing import CompetitorEdit
from callpipeline.storage.catalog.files import catalog_to_yaml
from callpipeline.storage.catalog.versions import CatalogVersions
from callpipeline.storage.ports.rematch import CatalogChange, ChangeOrigin
from callpipeline.web.services import catalog as service
from callpipeline.web.services.catalog import CatalogProposal, catalog_in_force
from callpipeline.web.state import AppState

ChangeKind = Literal["edit", "remove", "text", "restore"]
MAX_FORM_TEXT = 30_000
"""Characters of a list in a form, which the login limits to 64 KiB with its encoding."""
AMBIGUITY = {"auto": None, "yes": True, "no": False}
ORIGIN_LABELS = {
    ChangeOrigin.FILE: "File",
    ChangeOrigin.COMMAND: "Command line",
    ChangeOrigin.PAGE: "This page",
    ChangeOrigin.API: "API",
    ChangeOrigin.REVERT: "Undo",
}
SPARKLINE_SIZE = (96, 24)
UNCHECKED = CatalogProposal(None)


ListKey = Literal["list", "competitor", "mentions", "change", "to_review", "precision"]
LIST_KEYS: Mapping[ListKey, Callable[[ListedCompetitor], Any]] = {
    "competitor": lambda of: of.entry.name.casefold(),
    "mentions": lambda of: None if of.entry.own else of.mentions,
    "change": lambda of: math.inf if of.change.is_new else of.change.relative,
    "to_review": lambda of: of.to_review,
    "precision": lambda of: of.decisions.precision,
}
"""Values that the list can be sorted by; entries without one come last."""


@dataclass(frozen=True, slots=True)
class ListSorting:
    """Query parameters of the list: its column, and the direction; `list` is its own order."""

    sort: ListKey = "list"
    order: Literal["up", "down"] = "down"

    def sorted(self, competitors: Sequence[ListedCompetitor]) -> list[ListedCompetitor]:
        """Return the competitors in the requested order."""
        key = LIST_KEYS.get(self.sort)
        if key is None:
            return list(competitors)
        known = [each for each in competitors if key(each) is not None]
        known.sort(key=key, reverse=self.order == "down")
        return known + [each for each in competitors if key(each) is None]

    def direction(self, key: ListKey) -> str | None:
        """Return the value of `aria-sort`, if the list is sorted by this column."""
        if key != self.sort:
            return None
        return "ascending" if self.order == "up" else "descending"

    def link(self, key: ListKey) -> str:
        """Return the link that sorts by this column, or reverses the order."""
        is_up = self.order == "down" if key == self.sort else key == "competitor"
        return f"/competitors?sort={key}&order={'up' if is_up else 'down'}"

    @property
    def url(self) -> str:
        """Return the link of the list as it is."""
        is_default = self.sort == "list"
        return "/competitors" if is_default else f"/competitors?sort={self.sort}&order={self.order}"


class ProposalForm(BaseModel):
    """Form of a change; `base` is the version in force when it was opened.

    `aliases`, `sounds_like` and `evidence` have one name per line.
    """

    kind: ChangeKind = "edit"
    base: Annotated[str, Field(max_length=64)] = ""
    note: Annotated[str, Field(max_length=500)] = ""
    replaces: Annotated[str, Field(max_length=1000)] = ""
    name: Annotated[str, Field(max_length=1000)] = ""
    aliases: Annotated[str, Field(max_length=10_000)] = ""
    sounds_like: Annotated[str, Field(max_length=10_000)] = ""
    ambiguous: Literal["auto", "yes", "no"] = "auto"
    evidence: Annotated[str, Field(max_length=10_000)] = ""
    own: bool = False
    sells: Annotated[str, Field(max_length=1000)] = ""
    text: Annotated[str, Field(max_length=2 * MAX_FORM_TEXT)] = ""
    version: Annotated[str, Field(max_length=64)] = ""

    @property
    def title(self) -> str:
        match self.kind:
            case "edit":
                return f"Edit {self.replaces}" if self.replaces else "Add a competitor"
            case "remove":
                return f"Remove {self.replaces}"
            case "text":
                return "Edit the list as text"
            case "restore":
                return f"Restore version {self.version}"

    def edit(self) -> CompetitorEdit:
        """Return the edit of one entry."""
        if self.kind == "remove":
            return CompetitorEdit(self.replaces)
        return CompetitorEdit(
            self.replaces or None,
            self.name,
            self.aliases.splitlines(),
            AMBIGUITY[self.ambiguous],
            self.evidence.splitlines(),
            self.own,
            self.sells,
            self.sounds_like.splitlines(),
        )


@dataclass(frozen=True, slots=True)
class ProposalView:
    """A change as the page shows it: the form, its problems, and its effect on past calls.

    `problem` concerns no field, as when another person changed the list meanwhile.
    """

    form: ProposalForm
    proposal: CatalogProposal = UNCHECKED
    changes: Sequence[CompetitorChange] = ()
    effect: CatalogPreview | None = None
    problem: str = ""

    @property
    def is_ready(self) -> bool:
        return self.proposal.catalog is not None and bool(self.changes)

    @property
    def has_problems(self) -> bool:
        return any(self.proposal.problems.values())

    def with_problem(self, problem: str, base: str) -> "ProposalView":
        """Return the view with a problem, and the version in force as its new base."""
        form = self.form.model_copy(update={"base": base})
        return replace(self, form=form, problem=problem)


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A change of the list; `changes` are None if the content of a version was not kept."""

    change: CatalogChange
    origin: str
    changes: Sequence[CompetitorChange] | None
    is_in_force: bool


def entry_form(entry: Competitor, base: str) -> ProposalForm:
    """Return the form of a listed competitor."""
    return ProposalForm(
        base=base,
        replaces=entry.name,
        name=entry.name,
        aliases="\n".join(entry.aliases),
        sounds_like="\n".join(entry.sounds_like),
        ambiguous="yes" if entry.ambiguous else "no",
        evidence="\n".join(entry.evidence),
        own=entry.own,
        sells=entry.sells,
    )


def text_form(catalog: Catalog) -> ProposalForm:
    """Return the form of the whole list as text."""
    text = catalog_to_yaml(catalog) if catalog.competitors else "competitors:\n- "
    return ProposalForm(kind="text", base=catalog.version, text=text)


def propose(state: AppState, form: ProposalForm) -> CatalogProposal:
    """Return the list that the form describes. Raises UnknownCatalog."""
    base = form.base or None
    if form.kind == "restore":
        return CatalogProposal(state.storage.catalogs.read(form.version), base)
    if form.kind != "text":
        return service.propose_edit(state, form.edit(), base)
    try:
        return service.propose_text(form.text, "yaml", base)
    except CatalogInvalid as error:
        return CatalogProposal(None, base, {"text": (str(error),)})


def proposal_view(state: AppState, form: ProposalForm) -> ProposalView:
    """Return the change with its effect on past calls, if it is valid and changes something."""
    proposal = propose(state, form)
    if proposal.catalog is None:
        return ProposalView(form, proposal)
    changes = diff_catalogs(catalog_in_force(state), proposal.catalog)
    effect = service.preview(state, proposal.catalog) if changes else None
    return ProposalView(form, proposal, changes, effect)


def history_rows(catalogs: CatalogVersions, limit: int) -> list[HistoryRow]:
    """Return the newest changes with what each of them changed."""
    history = catalogs.history(limit)
    contents: dict[str, Catalog | None] = {}
    for version in {each.version for each in history} | {each.parent for each in history}:
        if version is not None:
            contents[version] = catalogs.catalog(version)
    rows: list[HistoryRow] = []
    for number, each in enumerate(history):
        before = contents.get(each.parent) if each.parent else None
        after = contents.get(each.version)
        is_known = after is not None and (before is not None or each.parent is None)
        changes = diff_catalogs(before, after) if after is not None and is_known else None
        rows.append(HistoryRow(each, ORIGIN_LABELS[each.origin], changes, number == 0))
    return rows


def sparkline(values: Sequence[int]) -> str:
    """Return the points of a polyline in a box of SPARKLINE_SIZE."""
    width, height = SPARKLINE_SIZE
    highest, step = max(values, default=0) or 1, width / max(len(values) - 1, 1)
    return " ".join(
        f"{number * step:.1f},{height - 2 - value / highest * (height - 4):.1f}"
        for number, value in enumerate(values)
    )
