"""Changes of the competitor list for pages and the API: proposals, previews and their application.

Applying stores a version; the sensor `competitor_list` requests the rematch of past calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.errors import CatalogConflict, CatalogInvalid
from callpipeline.pipeline.rematch.planning import RematchStatus, rematch_status
from callpipeline.pipeline.rematch.previews import CatalogPreview, Previewer, PreviewLimits
from callpipeline.storage.catalog.editing import CompetitorEdit, Remarks, edit_catalog, edit_entries
from callpipeline.storage.catalog.files import base_version, parse_catalog
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import CatalogChange, ChangeOrigin
from callpipeline.web.access import Visitor
from callpipeline.web.state import AppState
from callpipeline.wiring import company_slots, load_catalog, open_matcher

PREVIEW_LIMITS = PreviewLimits(searched=20_000, calls=100, seconds=3.0)
"""A person waits for the preview, and the processor has other work."""
EMPTY = Catalog(())


@dataclass(frozen=True, slots=True)
class CatalogProposal:
    """A list to preview or apply; None if it has problems. Remarks are by field.

    `base` is the version that it was made from, which must still be in force when it is applied.
    """

    catalog: Catalog | None
    base: str | None = None
    problems: Remarks = field(default_factory=dict)
    warnings: Remarks = field(default_factory=dict)
    remarks: Sequence[str] = ()


def catalog_in_force(state: AppState) -> Catalog:
    """Return the list in force, after the import of a changed file; empty before the first list."""
    try:
        return load_catalog(state.options, state.storage.catalogs)
    except CatalogInvalid:
        return EMPTY


def list_problem(state: AppState) -> str:
    """Return why there is no list in force; empty if there is one."""
    try:
        load_catalog(state.options, state.storage.catalogs)
    except CatalogInvalid as error:
        return str(error)
    return ""


def current_status(state: AppState) -> RematchStatus | None:
    """Return the state of the rematch as it is now, not as it was a second ago."""
    return rematch_status(state.storage.catalogs, state.storage.rematches)


def propose_edit(state: AppState, edit: CompetitorEdit, base: str | None) -> CatalogProposal:
    """Return the list after an edit of one entry, with problems by field."""
    in_force = catalog_in_force(state)
    edited = edit_catalog(in_force, edit)
    return CatalogProposal(
        edited.catalog, base or in_force.version, edited.problems, edited.warnings
    )


def propose_edits(
    state: AppState, edits: Sequence[CompetitorEdit], base: str | None
) -> CatalogProposal:
    """Return the list after edits of entries. Raises CatalogInvalid, CatalogConflict."""
    in_force = catalog_in_force(state)
    if base is not None and in_force is not EMPTY and base != in_force.version:
        raise CatalogConflict(
            f"The list was changed meanwhile: version {in_force.version} is in force. Reload and "
            "try again."
        )
    return CatalogProposal(edit_entries(in_force, edits), base or in_force.version)


def propose_text(text: str, kind: str, base: str | None) -> CatalogProposal:
    """Return the list that a text says. Raises CatalogInvalid.

    A text that was exported names the version that it was made from.
    """
    content = text.encode("utf-8", "surrogatepass")
    parsed = parse_catalog(content, f"list.{kind}")
    return CatalogProposal(parsed.catalog, base or base_version(content), remarks=parsed.warnings)


def preview(state: AppState, catalog: Catalog) -> CatalogPreview:
    """Compute what the list would change in past calls, within `PREVIEW_LIMITS`."""
    rematches = state.storage.rematches
    company_slots().load()
    previewer = Previewer(rematches, rematches, partial(open_matcher, state.options))
    return previewer.preview(catalog, limits=PREVIEW_LIMITS)


def prepare_previews() -> None:
    """Load what previews need, so that the first one does not take seconds longer."""
    company_slots().load()


def apply(
    state: AppState, proposal: CatalogProposal, visitor: Visitor, origin: ChangeOrigin, note: str
) -> CatalogChange:
    """Put a proposed list in force. Raises CatalogConflict."""
    assert proposal.catalog
    catalogs = state.storage.catalogs
    has_list = catalogs.current() is not None
    change = NewChange(origin, visitor.name, note.strip(), proposal.base if has_list else None)
    return catalogs.apply(proposal.catalog, change)


def revert(
    state: AppState, version: str, visitor: Visitor, note: str, base: str | None = None
) -> CatalogChange:
    """Put an earlier version in force again. Raises UnknownCatalog, CatalogConflict."""
    change = NewChange(ChangeOrigin.REVERT, visitor.name, note.strip(), base)
    return state.storage.catalogs.revert(version, change)
