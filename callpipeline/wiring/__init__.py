"""Settings in, adapters out: the only place that names a concrete adapter."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from callpipeline.config import CHECKOUT, Settings
from callpipeline.domain.call import Lane
from callpipeline.domain.catalog import Catalog
from callpipeline.domain.hints import hints_of
from callpipeline.domain.matching import Matcher
from callpipeline.domain.reach import Reach
from callpipeline.domain.source import Source
from callpipeline.pipeline.erasing import QUIET_S, Elsewhere, Eraser
from callpipeline.pipeline.retention import Retention
from callpipeline.pipeline.sidecar import SidecarTranscripts
from callpipeline.pipeline.stages import Stages
from callpipeline.storage.announced import Announcements
from callpipeline.storage.catalog_file import read_catalog
from callpipeline.storage.claims import Claims
from callpipeline.storage.database import Database
from callpipeline.storage.embedded import EmbeddedPostgres
from callpipeline.storage.erasures import Erasures
from callpipeline.storage.ledger import Ledger
from callpipeline.storage.notifications import Notifications
from callpipeline.storage.objects import ObjectStore
from callpipeline.storage.outages import Outages
from callpipeline.storage.outbox import Outbox
from callpipeline.storage.queue import Queue
from callpipeline.storage.recordings import Recordings
from callpipeline.storage.results import Results
from callpipeline.storage.retention import Retained
from callpipeline.storage.reviews import Reviews
from callpipeline.storage.sound import Sound
from callpipeline.storage.unjudged import UnjudgedMentions
from callpipeline.wiring.engines import (
    in_turn,
    open_engines,
    refuse_to_serve_remote,
    tone_of,
)
from callpipeline.wiring.environment import dagster_environment
from callpipeline.wiring.fetching import open_announced, reach
from callpipeline.wiring.notifiers import (
    configured_channels,
    notification_policy,
    open_dispatcher,
    open_links,
    open_notifiers,
)
from callpipeline.wiring.periods import periods
from callpipeline.wiring.places import HOME_SOURCE, load_sources, open_results_store, open_source
from callpipeline.wiring.recognisers import choose as choose_recogniser
from callpipeline.wiring.recognisers import shelf as model_shelf
from callpipeline.wiring.registry import language_heard
from callpipeline.wiring.workspace import clear_workspace, workspace, workspace_of

__all__ = [
    "HOME_SOURCE",
    "Storage",
    "choose_recogniser",
    "clear_workspace",
    "configured_channels",
    "dagster_environment",
    "language_heard",
    "load_catalog",
    "load_sources",
    "model_shelf",
    "notification_policy",
    "open_database_url",
    "open_dispatcher",
    "open_engines",
    "open_eraser",
    "open_links",
    "open_notifiers",
    "open_results_store",
    "open_retention",
    "open_source",
    "open_stages",
    "open_storage",
    "periods",
    "refuse_to_serve_remote",
    "sample_recordings",
    "tone_of",
    "workspace",
]


@dataclass(frozen=True, slots=True)
class Storage:
    """Everything that is kept, opened.

    `recordings` are those of all sources, and those that were announced by an address, which may
    be fetched from where `reach` says; `inbox` is the store of the source `home`, to which what
    people hand over is copied.
    """

    database: Database
    ledger: Ledger
    queue: Queue
    claims: Claims
    outbox: Outbox
    notifications: Notifications
    erasures: Erasures
    outages: Outages
    results: Results
    sound: Sound
    reviews: Reviews
    unjudged: UnjudgedMentions
    home: Source
    inbox: ObjectStore
    announcements: Announcements
    reach: Reach
    recordings: Recordings
    store: ObjectStore


@contextmanager
def open_database_url(settings: Settings) -> Iterator[str]:
    """The URL of Postgres: the one that is set, or the embedded one, up while this is open."""
    if settings.database_url:
        yield settings.database_url.get_secret_value()
        return
    with EmbeddedPostgres(settings.home / "postgres").running() as url:
        yield url


@contextmanager
def open_storage(
    settings: Settings, database_url: str, *, run_id: str | None = None
) -> Iterator[Storage]:
    """The ledger, the results and the object stores; for a run, under its name."""
    store, sources = open_results_store(settings), load_sources(settings)
    stores = [open_source(settings, source) for source in sources]
    # Each call under way writes on a connection; more than 32 threads do not write at once.
    connections = min(settings.concurrency, 32) + 2
    patience_s = settings.outage_patience_h * 3600
    with Database(database_url, run_id=run_id, max_connections=connections) as database:
        announcements = Announcements(database)
        announced = open_announced(settings, announcements, stores[0])
        yield Storage(
            database=database,
            ledger=Ledger(database),
            queue=Queue(database, outage_patience_s=patience_s),
            claims=Claims(
                database,
                retry_waits_s=settings.retry_waits_s,
                outage_patience_s=patience_s,
                tells_completed=notification_policy(settings).routing.tells_completed,
            ),
            outbox=Outbox(database),
            notifications=Notifications(database),
            erasures=Erasures(database),
            outages=Outages(database),
            results=Results(database, store),
            sound=Sound(database, store),
            reviews=Reviews(database),
            unjudged=UnjudgedMentions(database, outage_patience_s=patience_s),
            home=sources[0],
            inbox=stores[0],
            announcements=announcements,
            reach=reach(settings),
            recordings=Recordings([*stores, announced]),
            store=store,
        )


def open_eraser(
    settings: Settings, storage: Storage, elsewhere: Elsewhere, *, quiet_s: float = QUIET_S
) -> Eraser:
    """What deletes all that is kept of erased calls; `elsewhere` is what storage does not know."""
    return Eraser(
        erasures=storage.erasures,
        recordings=storage.recordings,
        store=storage.store,
        elsewhere=elsewhere,
        workspace=workspace(settings),
        quiet_s=quiet_s,
    )


def open_retention(settings: Settings, storage: Storage) -> Retention:
    """What deletes calls, or parts of them, that were kept long enough."""
    return Retention(
        retained=Retained(storage.database),
        erasures=storage.erasures,
        recordings=storage.recordings,
        store=storage.store,
        periods=periods(settings),
        announcements=storage.announcements,
    )


@contextmanager
def open_stages(settings: Settings, storage: Storage, lane: Lane = Lane.LIVE) -> Iterator[Stages]:
    """The stages with the engines that the settings name; recognisers stop when this closes."""
    from callpipeline.engines.transcribe.supplied import parse

    catalog = load_catalog(settings)
    storage.results.remember_catalog(catalog)
    with (
        open_engines(settings, lane, hints=hints_of(catalog), outages=storage.outages) as engines,
        workspace_of(settings, storage.database.run_id) as folder,
        ExitStack() as stack,
    ):
        yield Stages(
            engines=in_turn(settings, engines, storage.database, lane, stack),
            recordings=storage.recordings,
            supplied=SidecarTranscripts(storage.recordings, parse),
            states=storage.claims,
            results=storage.results,
            catalog=catalog,
            matcher=Matcher(catalog),
            workspace=folder,
            stage_timeout_s=settings.stage_timeout_s,
            links=open_links(settings),
        )


def load_catalog(settings: Settings) -> Catalog:
    """The competitor list; where none is set or made yet, a starter list is put in its place."""
    path = settings.catalog_path
    starter = CHECKOUT / "samples" / "competitors.yaml"
    if settings.catalog is None and not path.exists() and starter.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(starter, path)
    return read_catalog(path)


def sample_recordings() -> Path:
    """The folder of sample calls that comes with a checkout."""
    return CHECKOUT / "samples"
