"""Views of the page Competitors: its form, what a change would do, and the history."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.catalog_diff import CompetitorChange, diff_catalogs
from callpipeline.domain.competitors.catalog_merge import merge_catalogs, merge_entries
from callpipeline.errors import CatalogInvalid
from callpipeline.pipeline.reading.competitors import ListedCompetitor
from callpipeline.pipeline.rematch.previews import CatalogPreview
from callpipeline.storage.catalog.editing import CompetitorEdit, edit_catalog
from callpipeline.storage.catalog.files import base_version, catalog_to_yaml
from callpipeline.storage.catalog.versions import CatalogVersions
from callpipeline.storage.ports.rematch import CatalogChange, ChangeOrigin
from callpipeline.web.services import catalog as service
from callpipeline.web.services.catalog import CatalogProposal, catalog_in_force
from callpipeline.web.state import AppState

ChangeKind = Literal["edit", "remove", "text", "restore"]
MAX_FORM_TEXT = 30_000
"""Characters of a list in a form, which the login limits to 64 KiB with its encoding."""
ENTRY_FIELDS = {"name", "aliases", "sounds_like", "ambiguous", "evidence", "own", "sells"}
AMBIGUITY = {"auto": None, "yes": True, "no": False}
ORIGIN_LABELS = {
    ChangeOrigin.FILE: "File",
    ChangeOrigin.COMMAND: "Command line",
    ChangeOrigin.PAGE: "Web page",
    ChangeOrigin.API: "API",
    ChangeOrigin.REVERT: "Undo",
}
SPARKLINE_SIZE = (96, 24)
UNCHECKED = CatalogProposal(None)
MERGED = "This form has both changes now: check them, and apply again."
NOT_MERGED = (
    "Your change is still here: check what it does to the list that is in force now, and apply it "
    "again."
)


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

    `problem` concerns no field: another person changed the list meanwhile. Then the form has both
    changes, and the version in force as its base.
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
    in_force = catalog_in_force(state)
    form, problem = _rebased(state, form, in_force)
    proposal = propose(state, form)
    if proposal.catalog is None:
        return ProposalView(form, proposal, problem=problem)
    changes = diff_catalogs(in_force, proposal.catalog)
    effect = service.preview(state, proposal.catalog) if changes else None
    return ProposalView(form, proposal, changes, effect, problem)


def _rebased(state: AppState, form: ProposalForm, in_force: Catalog) -> tuple[ProposalForm, str]:
    """Return the form with what others changed since it was opened, and a remark about it."""
    made_from = form.base or base_version(form.text.encode("utf-8", "surrogatepass"))
    if not made_from or made_from == in_force.version or not in_force.competitors:
        return form, ""
    current = state.storage.catalogs.current()
    by = f" by {current.made_by}" if current and current.made_by else ""
    problem = f"The list was changed meanwhile{by}."
    base, change = state.storage.catalogs.catalog(made_from), None
    if base is not None:
        change = _merged_fields(form, base, in_force)
    update = {"base": in_force.version} | (change or {})
    return form.model_copy(update=update), f"{problem} {MERGED if change else NOT_MERGED}"


def _merged_fields(form: ProposalForm, base: Catalog, in_force: Catalog) -> dict[str, Any] | None:
    """Return fields with both changes; None if the form has none of the other, or is invalid."""
    try:
        if form.kind == "text":
            mine = service.propose_text(form.text, "yaml", None).catalog
            merged = merge_catalogs(base, mine, in_force) if mine else in_force
            # The first line of the text names the version that it was made from.
            return {"text": text_form(merged).text.replace(merged.version, in_force.version, 1)}
        edited = edit_catalog(base, form.edit()).catalog
    except CatalogInvalid:
        return None
    before, after = (
        next((each for each in catalog.competitors if each.name == form.replaces), None)
        for catalog in (base, in_force)
    )
    if form.kind != "edit" or not (edited and before and after) or before == after:
        return None
    mine = edited.competitors[base.competitors.index(before)]
    entry = entry_form(merge_entries(before, mine, after), in_force.version)
    return entry.model_dump(include=ENTRY_FIELDS)


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
