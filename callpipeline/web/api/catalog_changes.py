"""`/catalog/…`: check, preview, apply and revert lists, and stop or resume their rematch."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from callpipeline.domain.competitors.catalog_diff import diff_catalogs
from callpipeline.domain.competitors.mentions import MentionStatus
from callpipeline.errors import CatalogInvalid
from callpipeline.pipeline.rematch.previews import CatalogPreview
from callpipeline.storage.catalog.editing import CompetitorEdit
from callpipeline.storage.ports.rematch import CatalogChange, ChangeOrigin
from callpipeline.web.access import Admin
from callpipeline.web.api.catalog import (
    ChangeItem,
    EntryChange,
    RematchDocument,
    change_item,
    entry_changes,
    rematch_document,
)
from callpipeline.web.problems import problems
from callpipeline.web.services import catalog as service
from callpipeline.web.services.catalog import CatalogProposal, catalog_in_force, current_status
from callpipeline.web.services.idempotency import IdempotencyHeader, repeatable_request, run_once
from callpipeline.web.state import AppState, State

check_router = APIRouter(prefix="/catalog", tags=["catalog"], responses=problems(503))
write_router = APIRouter(prefix="/catalog", tags=["catalog"], responses=problems(503))

MAX_TEXT_CHARS = 100_000
MAX_EDITS = 100
Result = TypeVar("Result")
APPLY_LEASE_S = 60.0
"""A process that applies a list for longer has died."""

Version = Annotated[str, Field(min_length=1, max_length=64)]
Written = Annotated[str, Field(max_length=200)]
Names = Annotated[list[Written], Field(max_length=50)]
Note = Annotated[str, Field(max_length=500, description="A reason, shown in the history.")]
Base = Annotated[
    Version | None,
    Field(description="The version that this was made from: 409 if another one is in force."),
]


class CompetitorEntryRequest(BaseModel):
    """A competitor as it should be. Without `ambiguous`, ordinary words are ambiguous."""

    name: Written
    aliases: Names = Field(default_factory=list)
    ambiguous: bool | None = None
    evidence: Names = Field(default_factory=list)
    own: bool = False
    sells: Written = ""
    sounds_like: Names = Field(default_factory=list)


class EntryEditRequest(BaseModel):
    """A change of one entry: `replaces` is its present name, null to add `competitor`.

    Without `competitor` the entry is removed.
    """

    replaces: Written | None = None
    competitor: CompetitorEntryRequest | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.replaces is None and self.competitor is None:
            raise ValueError("name the entry to replace, the competitor to write, or both")
        return self

    def edit(self) -> CompetitorEdit:
        entry = self.competitor.model_dump() if self.competitor else {}
        return CompetitorEdit(self.replaces, **entry)


class CatalogText(BaseModel):
    """A whole list, in the format of a file: YAML (or JSON), a name per line, or CSV."""

    text: Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
    format: Literal["yaml", "txt", "csv"] = "yaml"


class ProposalRequest(BaseModel):
    """Another list: either a whole `document`, or `edits` of the one in force, in order."""

    document: CatalogText | None = None
    edits: Annotated[list[EntryEditRequest], Field(max_length=MAX_EDITS)] = Field(
        default_factory=list
    )
    base: Base = None

    @model_validator(mode="after")
    def _is_either(self) -> Self:
        if (self.document is None) == (not self.edits):
            raise ValueError("give either `document` or `edits`")
        return self


class ApplyRequest(ProposalRequest):
    """Another list to put in force."""

    note: Note = ""


class RevertRequest(BaseModel):
    """An earlier version to put in force again."""

    version: Version
    note: Note = ""
    base: Base = None


class ListCheckResult(BaseModel):
    """Result of a check: problems name their line, changes are those to the list in force."""

    is_valid: bool
    problem: str | None = None
    version: str | None = None
    competitors: int = 0
    warnings: list[str] = Field(default_factory=list)
    changes: list[EntryChange] = Field(default_factory=list)


class QuoteItem(BaseModel):
    """A mention that comes or goes, with the words around it."""

    model_config = ConfigDict(from_attributes=True)

    call_id: str
    mention_id: str
    comes: bool
    status: MentionStatus
    before: str
    text: str
    after: str
    start_s: float


class EffectItem(BaseModel):
    """The effect on one competitor in the examined calls; counts are of mentions."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    counted: int
    counted_before: int
    counted_after: int
    to_review: int
    to_review_before: int
    to_review_after: int
    calls: int
    quotes: list[QuoteItem]


class SpokenNameItem(BaseModel):
    """Number of times that a name is said in the examined calls, and in lower case like a word.

    `waiting` places wait for review; `advice` proposes what the list could say about the name.
    """

    model_config = ConfigDict(from_attributes=True)

    competitor: str
    alias: str
    said: int
    lower_case: int
    counted: int
    looks_ordinary: bool
    waiting: int
    advice: list[str]


class PreviewDocument(BaseModel):
    """Effect of a list on past calls; nothing is changed by a preview.

    `affected` of the `completed` calls hold a changed name; the newest `examined` ones were
    computed, and numbers are of these. `skipped` older calls were not searched. `seconds` is about
    how long applying takes, and `to_judge` how many mentions need their sentiment judged.
    """

    model_config = ConfigDict(from_attributes=True)

    version: str
    is_complete: bool
    completed: int
    skipped: int
    affected: int
    examined: int
    changed_calls: list[str]
    counted: int
    to_review: int
    to_judge: int
    unreadable: int
    seconds: float
    effects: list[EffectItem]
    names: list[SpokenNameItem]
    changes: list[EntryChange]
    warnings: list[str]


class ApplyResult(BaseModel):
    """The change in force; `is_changed` is false if its version was in force already.

    The rematch of past calls starts within seconds; `/catalog/rematch` shows its progress.
    """

    is_changed: bool
    change: ChangeItem
    warnings: list[str] = Field(default_factory=list)


@check_router.post("/check", responses=problems(422))
async def check(text: CatalogText, state: State) -> ListCheckResult:
    """Check a list without using it: its problems, or its changes to the list in force."""
    return await _in_turn(state, lambda: _check(state, text))


@check_router.post("/preview", responses=problems(409, 422))
async def preview(wanted: ProposalRequest, state: State) -> PreviewDocument:
    """Show what a list would change in past calls: at most 100 calls are computed, for 3 s."""
    return await _in_turn(state, lambda: _preview(state, wanted))


@write_router.post("/apply", responses=problems(409, 422))
async def apply(
    wanted: ApplyRequest,
    request: Request,
    response: Response,
    state: State,
    visitor: Admin,
    idempotency_key: IdempotencyHeader = None,
) -> ApplyResult:
    """Put a list in force. The visitor's name and the note go into the history."""

    def work() -> dict[str, Any]:
        proposal, before = _proposal(state, wanted), state.storage.catalogs.current()
        made = service.apply(state, proposal, visitor, ChangeOrigin.API, wanted.note)
        return _result(before, made, proposal.remarks)

    key = repeatable_request(
        request, idempotency_key, wanted.model_dump_json(), lease_s=APPLY_LEASE_S
    )
    return ApplyResult(**await run_once(state.idempotency_keys, key, response, work))


@write_router.post("/revert", responses=problems(404, 409, 422))
async def revert(
    wanted: RevertRequest,
    request: Request,
    response: Response,
    state: State,
    visitor: Admin,
    idempotency_key: IdempotencyHeader = None,
) -> ApplyResult:
    """Put an earlier version in force again: results become what they were under it."""

    def work() -> dict[str, Any]:
        before = state.storage.catalogs.current()
        made = service.revert(state, wanted.version, visitor, wanted.note, wanted.base)
        return _result(before, made, ())

    key = repeatable_request(
        request, idempotency_key, wanted.model_dump_json(), lease_s=APPLY_LEASE_S
    )
    return ApplyResult(**await run_once(state.idempotency_keys, key, response, work))


@write_router.post("/rematch/cancel")
def cancel(state: State, visitor: Admin) -> RematchDocument:
    """Stop the rematch of past calls. New calls use the list in force; a resume continues it."""
    state.storage.rematches.pause(True, visitor.name)
    return rematch_document(current_status(state))


@write_router.post("/rematch/resume")
def resume(state: State) -> RematchDocument:
    """Continue a stopped rematch, and retry calls that could not be rematched."""
    state.storage.rematches.resume()
    return rematch_document(current_status(state))


async def _in_turn(state: AppState, work: Callable[[], Result]) -> Result:
    """Work in a thread, beside few others. Raises HTTPException (422) for an invalid list."""
    async with state.competitors.searches:
        return await asyncio.to_thread(work)


def _check(state: AppState, text: CatalogText) -> ListCheckResult:
    try:
        proposal = service.propose_text(text.text, text.format, None)
    except CatalogInvalid as error:
        return ListCheckResult(is_valid=False, problem=str(error))
    assert proposal.catalog
    return ListCheckResult(
        is_valid=True,
        version=proposal.catalog.version,
        competitors=len(proposal.catalog.competitors),
        warnings=list(proposal.remarks),
        changes=entry_changes(diff_catalogs(catalog_in_force(state), proposal.catalog)),
    )


def _preview(state: AppState, wanted: ProposalRequest) -> PreviewDocument:
    proposal = _proposal(state, wanted)
    assert proposal.catalog
    found = service.preview(state, proposal.catalog)
    changed = diff_catalogs(catalog_in_force(state), proposal.catalog)
    return _preview_document(found, entry_changes(changed), list(proposal.remarks))


def _preview_document(
    found: CatalogPreview, changes: list[EntryChange], warnings: list[str]
) -> PreviewDocument:
    own = {name for name in PreviewDocument.model_fields if hasattr(found, name)}
    return PreviewDocument(
        **{name: getattr(found, name) for name in own - {"effects", "names", "changed_calls"}},
        version=found.catalog.version,
        changed_calls=list(found.changed_calls),
        effects=[EffectItem.model_validate(each) for each in found.effects],
        names=[SpokenNameItem.model_validate(each) for each in found.names],
        changes=changes,
        warnings=warnings,
    )


def _proposal(state: AppState, wanted: ProposalRequest) -> CatalogProposal:
    """Return the proposed list. Raises HTTPException (422) if it is invalid."""
    try:
        if document := wanted.document:
            return service.propose_text(document.text, document.format, wanted.base)
        return service.propose_edits(state, [each.edit() for each in wanted.edits], wanted.base)
    except CatalogInvalid as error:
        raise HTTPException(422, str(error)) from error


def _result(
    before: CatalogChange | None, made: CatalogChange, warnings: Sequence[str]
) -> dict[str, Any]:
    is_changed = before is None or before.change_id != made.change_id
    result = ApplyResult(is_changed=is_changed, change=change_item(made), warnings=list(warnings))
    return result.model_dump(mode="json")
