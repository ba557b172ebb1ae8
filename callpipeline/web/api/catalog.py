"""`/catalog`: the competitor list in force with its numbers, its versions, and their rematch."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from callpipeline.domain.competitors.catalog_diff import CompetitorChange, diff_catalogs
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.pipeline.reading.competitors import ListedCompetitor, load_competitors
from callpipeline.pipeline.rematch.planning import RematchPhase, RematchStatus
from callpipeline.storage.catalog.files import catalog_to_yaml
from callpipeline.storage.ports.rematch import CatalogChange, ChangeOrigin
from callpipeline.web.api.analytics import NOT_MODIFIED, document_response
from callpipeline.web.problems import problems
from callpipeline.web.services.catalog import catalog_in_force, current_status
from callpipeline.web.state import AppState, State

read_router = APIRouter(prefix="/catalog", tags=["catalog"], responses=problems(503))
YAML = "application/yaml"
VersionName = Annotated[
    str, Path(max_length=64, description="A version, its first digits, or its number.")
]
VersionParam = Annotated[
    str | None, Query(max_length=64, description="A version; by default that in force.")
]


class CompetitorItem(BaseModel):
    """A competitor: `own` names are the user's own, which never count.

    An `ambiguous` name is also an ordinary word, which counts with `evidence` around it;
    `sounds_like` is how recognisers mishear the name.
    """

    model_config = ConfigDict(from_attributes=True)

    name: str
    aliases: list[str]
    ambiguous: bool
    evidence: list[str]
    own: bool
    sells: str
    sounds_like: list[str]


class CountedEntry(CompetitorItem):
    """A competitor with its counted mentions, the calls that hold one, and its share of voice.

    An own name has `own_mentions` instead, which never count.

    `trend` has the mentions of each week of `weeks`; `change` compares the mentions per
    completed call of the last four full weeks with the four before; it is clear if it is more than
    chance. `precision` is the share of confirmed mentions among those that people
    `confirmed` or `dismissed`.
    """

    mentions: int
    own_mentions: int
    calls: int
    share: float
    trend: list[int]
    change: float | None
    is_change_clear: bool
    to_review: int
    confirmed: int
    dismissed: int
    precision: float | None


class ChangeItem(BaseModel):
    """A change of the list: `number` and `version` name it; `parent` was in force before."""

    number: int
    version: str
    parent: str | None
    origin: ChangeOrigin
    made_by: str | None
    note: str
    made_at: datetime


class CatalogFileItem(BaseModel):
    """A file that the list is imported from; `problem` says why it was refused."""

    name: str
    version: str | None
    problem: str | None
    warnings: list[str]
    seen_at: datetime


class RematchItem(BaseModel):
    """A rematch: of `calls` to compute, `waiting` are left and `failed` could not be.

    The judge was away for the `deferred` ones of those that wait.
    """

    model_config = ConfigDict(from_attributes=True)

    rematch_id: int
    reason: str
    calls: int
    done: int
    waiting: int
    failed: int
    deferred: int
    next_attempt_at: datetime | None
    unaffected: int
    created_at: datetime
    paused_at: datetime | None
    paused_by: str | None


class RematchDocument(BaseModel):
    """Completed calls, those on an older list, and the rematch that is open for the list in force.

    `phase` is current if nothing is left to do, and waiting until a run starts. Of the `stale`
    calls, `unreachable` have no transcript any more, and `failed` ones wait for a resume.
    """

    phase: RematchPhase
    message: str
    completed: int
    stale: int
    waiting: int
    unreachable: int
    failed: int
    rematch: RematchItem | None


class CatalogDocument(BaseModel):
    """The list in force, with numbers of all calls. `in_force` is null before the first list."""

    version: str
    rule_version: int
    in_force: ChangeItem | None
    weeks: list[date]
    competitors: list[CountedEntry]
    files: list[CatalogFileItem]
    rematch: RematchDocument


class ChangeList(BaseModel):
    """Changes of the list, newest first: the first one is in force."""

    changes: list[ChangeItem]


class CatalogContent(BaseModel):
    """The competitors of a version."""

    version: str
    is_in_force: bool
    competitors: list[CompetitorItem]


class EntryChange(BaseModel):
    """A competitor that one version lists otherwise than another; `description` is one line."""

    name: str
    kind: Literal["added", "removed", "changed"]
    description: str
    before: CompetitorItem | None
    after: CompetitorItem | None


class CatalogDifference(BaseModel):
    """The changes from version `before` to version `after`, by name."""

    before: str
    after: str
    changes: list[EntryChange]


@read_router.get("", response_model=CatalogDocument, responses=NOT_MODIFIED)
def catalog(request: Request, state: State) -> Response:
    """Return the competitors of the list in force with their numbers."""
    in_force = catalog_in_force(state)
    current = state.storage.catalogs.current()
    today = state.today()
    found = load_competitors(state.storage.analytics, state.storage.reviews, in_force, today)
    document = CatalogDocument(
        version=in_force.version,
        rule_version=RULE_VERSION,
        in_force=change_item(current) if current else None,
        weeks=[week.since for week in found.weeks],
        competitors=[_counted(each) for each in found.competitors],
        files=_files(state),
        rematch=rematch_document(current_status(state)),
    )
    return document_response(request, document)


@read_router.get("/versions", response_model=ChangeList, responses=NOT_MODIFIED | problems(422))
def versions(
    request: Request, state: State, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """List the changes of the list with their author and note, newest first."""
    history = state.storage.catalogs.history(limit)
    return document_response(request, ChangeList(changes=[change_item(each) for each in history]))


@read_router.get(
    "/versions/{version}",
    response_model=CatalogContent,
    responses=NOT_MODIFIED | problems(404, 422),
)
def version(request: Request, state: State, version: VersionName) -> Response:
    """Return the competitors of a version."""
    found = state.storage.catalogs.read(version)
    current = state.storage.catalogs.current()
    content = CatalogContent(
        version=found.version,
        is_in_force=current is not None and current.version == found.version,
        competitors=[CompetitorItem.model_validate(each) for each in found.competitors],
    )
    return document_response(request, content)


@read_router.get(
    "/versions/{version}/changes",
    response_model=CatalogDifference,
    responses=NOT_MODIFIED | problems(404, 422),
)
def changes(
    request: Request, state: State, version: VersionName, to: VersionParam = None
) -> Response:
    """Compare a version with another one."""
    before = state.storage.catalogs.read(version)
    after = state.storage.catalogs.read(to) if to is not None else catalog_in_force(state)
    found = diff_catalogs(before, after)
    difference = CatalogDifference(
        before=before.version, after=after.version, changes=entry_changes(found)
    )
    return document_response(request, difference)


@read_router.get(
    "/competitors.yaml",
    response_class=Response,
    responses={200: {"content": {YAML: {}}}} | problems(404, 422),
)
def export(state: State, version: VersionParam = None) -> Response:
    """Download a version as a file that can be edited and applied.

    Its first line names the version: it replaces that version only.
    """
    found = state.storage.catalogs.read(version) if version else catalog_in_force(state)
    headers = {"Content-Disposition": 'attachment; filename="competitors.yaml"'}
    return Response(catalog_to_yaml(found), media_type=YAML, headers=headers)


@read_router.get("/rematch")
def rematch(state: State) -> RematchDocument:
    """Return the progress of the rematch, and how many calls are on an older list."""
    return rematch_document(current_status(state))


def rematch_document(status: RematchStatus | None) -> RematchDocument:
    if status is None:
        return RematchDocument(
            phase=RematchPhase.CURRENT,
            message="There is no list yet.",
            completed=0,
            stale=0,
            waiting=0,
            unreachable=0,
            failed=0,
            rematch=None,
        )
    staleness = status.staleness
    return RematchDocument(
        phase=status.phase,
        message=status.describe(),
        completed=staleness.completed,
        stale=staleness.calls,
        waiting=staleness.waiting,
        unreachable=staleness.unreachable,
        failed=staleness.failed,
        rematch=RematchItem.model_validate(status.rematch) if status.rematch else None,
    )


def change_item(change: CatalogChange) -> ChangeItem:
    return ChangeItem(
        number=change.change_id,
        version=change.version,
        parent=change.parent,
        origin=change.origin,
        made_by=change.made_by,
        note=change.note,
        made_at=change.made_at,
    )


def entry_changes(found: Sequence[CompetitorChange]) -> list[EntryChange]:
    return [
        EntryChange(
            name=each.name,
            kind=each.kind,
            description=each.describe(),
            before=CompetitorItem.model_validate(each.before) if each.before else None,
            after=CompetitorItem.model_validate(each.after) if each.after else None,
        )
        for each in found
    ]


def _counted(listed: ListedCompetitor) -> CountedEntry:
    return CountedEntry(
        **CompetitorItem.model_validate(listed.entry).model_dump(),
        mentions=listed.mentions,
        own_mentions=listed.own_mentions,
        calls=listed.calls,
        share=listed.share,
        trend=list(listed.trend),
        change=listed.change.relative,
        is_change_clear=listed.change.is_clear,
        to_review=listed.to_review,
        confirmed=listed.decisions.confirmed,
        dismissed=listed.decisions.dismissed,
        precision=listed.decisions.precision,
    )


def _files(state: AppState) -> list[CatalogFileItem]:
    return [
        CatalogFileItem(
            name=each.path.rpartition("/")[2],
            version=each.version,
            problem=each.problem,
            warnings=list(each.warnings),
            seen_at=each.seen_at,
        )
        for each in state.storage.catalogs.files()
    ]
