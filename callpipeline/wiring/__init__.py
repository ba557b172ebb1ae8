"""Wiring: builds all adapters from the settings; only code here names concrete adapters."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from callpipeline.config import CHECKOUT, Settings
from callpipeline.domain.calls.call import Lane
from callpipeline.domain.calls.legacy import IMPORTED_BUCKET
from callpipeline.domain.calls.sources import Source
from callpipeline.domain.calls.teams import Teams
from callpipeline.domain.competitors.catalog import Catalog, recogniser_hints
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.domain.egress import EgressPolicy
from callpipeline.errors import CatalogInvalid, SettingsInvalid
from callpipeline.pipeline.erasure import QUIET_S, Eraser, ExternalEraser, Retention
from callpipeline.pipeline.ingest.beside import SidecarTranscripts, SideMetadata
from callpipeline.pipeline.ingest.legacy_import import LegacyImport
from callpipeline.pipeline.processing.redaction import Redactor
from callpipeline.pipeline.processing.stages import Stages
from callpipeline.storage.access import ApiKeys, AuditLog, UserAccounts
from callpipeline.storage.calls.claims import Claims
from callpipeline.storage.calls.descriptions import Descriptions
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.storage.calls.queue import CallQueue, Outages
from callpipeline.storage.calls.saved_views import SavedViews
from callpipeline.storage.calls.versions import RecordingVersions
from callpipeline.storage.catalog.rematches import Rematches
from callpipeline.storage.catalog.suggestions import AliasSuggestions
from callpipeline.storage.catalog.versions import CatalogVersions
from callpipeline.storage.erasure import Erasures, RetentionStore
from callpipeline.storage.notifications import AlertRules, Notifications, Outbox
from callpipeline.storage.objects import files
from callpipeline.storage.objects.urls import ObjectStore
from callpipeline.storage.postgres.database import Database, DatabaseLimits
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.reading.analytics import Analytics
from callpipeline.storage.reading.calls import CallReader
from callpipeline.storage.reading.filtered import DayZone
from callpipeline.storage.reading.insights import Insights
from callpipeline.storage.reading.search import SegmentSearch
from callpipeline.storage.results.call_audio import CallAudio
from callpipeline.storage.results.decisions.corrections import SentimentCorrections
from callpipeline.storage.results.decisions.evaluations import Evaluations
from callpipeline.storage.results.decisions.reviews import Reviews
from callpipeline.storage.results.decisions.words import WordCorrections
from callpipeline.storage.results.patterns import SentimentPatterns
from callpipeline.storage.results.results import Results
from callpipeline.storage.results.speakers import Speakers
from callpipeline.storage.results.unjudged import UnjudgedStore
from callpipeline.storage.sources.imported_texts import ImportedTexts
from callpipeline.storage.sources.imports import (
    ImportedRecordings,
    Imports,
    LegacyDatabase,
    open_legacy_database,
)
from callpipeline.storage.sources.recordings import Announcements, Recordings
from callpipeline.wiring.engines import (
    add_patterns,
    built_in_phrases,
    company_slots,
    measure_peaks,
    mention_engine,
    mute_channel,
    open_engines,
    open_matcher,
    open_sound_finder,
    refuse_to_serve_remote,
    text_sentiment,
    throttle_engines,
)
from callpipeline.wiring.notifiers import (
    configured_channels,
    notification_policy,
    open_dispatcher,
    open_links,
    open_notifiers,
    page_links,
)
from callpipeline.wiring.recognisers import (
    can_fall_back,
    choose_recogniser,
    missing_model,
    model_shelf,
)
from callpipeline.wiring.registry import recogniser_language
from callpipeline.wiring.stores import (
    HOME_SOURCE,
    clear_workspace,
    create_buckets,
    dagster_environment,
    disk_shortage,
    egress_policy,
    enter_dagster_environment,
    first_speakers,
    load_sources,
    open_announced,
    open_old_bucket,
    open_results_store,
    open_source,
    redaction_policies,
    retention_periods,
    run_workspace,
    source_audio,
    source_problems,
    sources_by_bucket,
    transcript_rules,
    workspace,
    write_dagster_home,
    write_workspace,
)

__all__ = [
    "HOME_SOURCE",
    "Storage",
    "built_in_phrases",
    "can_fall_back",
    "choose_recogniser",
    "clear_workspace",
    "company_slots",
    "configured_channels",
    "create_buckets",
    "dagster_environment",
    "disk_shortage",
    "enter_dagster_environment",
    "load_catalog",
    "load_sources",
    "load_teams",
    "mention_engine",
    "missing_model",
    "model_shelf",
    "notification_policy",
    "open_database_url",
    "open_dispatcher",
    "open_engines",
    "open_eraser",
    "open_legacy_import",
    "open_links",
    "open_matcher",
    "open_notifiers",
    "open_results_store",
    "open_retention",
    "open_side_metadata",
    "open_sound_finder",
    "open_source",
    "open_stages",
    "open_storage",
    "page_links",
    "recogniser_language",
    "redaction_policies",
    "refuse_to_serve_remote",
    "retention_periods",
    "sample_recordings",
    "source_problems",
    "text_sentiment",
    "workspace",
    "write_dagster_home",
    "write_workspace",
]


@dataclass(frozen=True, slots=True)
class Storage:
    """All stores, opened.

    `recordings` reads the recordings of all sources, and announced ones, fetched as
    `egress_policy` permits. `inbox` is the object store of the source `home`, which uploads are
    copied to.
    """

    database: Database
    ledger: Ledger
    queue: CallQueue
    claims: Claims
    outbox: Outbox
    notifications: Notifications
    erasures: Erasures
    outages: Outages
    results: Results
    audio: CallAudio
    calls: CallReader
    analytics: Analytics
    search: SegmentSearch
    reviews: Reviews
    speakers: Speakers
    unjudged: UnjudgedStore
    catalogs: CatalogVersions
    rematches: Rematches
    home: Source
    inbox: ObjectStore
    announcements: Announcements
    egress_policy: EgressPolicy
    recordings: Recordings
    store: ObjectStore

    @property
    def corrections(self) -> SentimentCorrections:
        return SentimentCorrections(self.database)

    @property
    def words(self) -> WordCorrections:
        return WordCorrections(self.database, self.store)

    @property
    def alert_rules(self) -> AlertRules:
        return AlertRules(self.database)

    @property
    def views(self) -> SavedViews:
        return SavedViews(self.database)

    @property
    def day_zone(self) -> DayZone:
        return DayZone(self.database)

    @property
    def insights(self) -> Insights:
        return Insights(self.database)

    @property
    def evaluations(self) -> Evaluations:
        return Evaluations(self.database)

    @property
    def users(self) -> UserAccounts:
        return UserAccounts(self.database)

    @property
    def keys(self) -> ApiKeys:
        return ApiKeys(self.database)

    @property
    def audit(self) -> AuditLog:
        return AuditLog(self.database)

    @property
    def descriptions(self) -> Descriptions:
        return Descriptions(self.database)

    @property
    def suggestions(self) -> AliasSuggestions:
        return AliasSuggestions(self.database)

    @property
    def imported_texts(self) -> ImportedTexts:
        return ImportedTexts(self.database, self.store)

    @property
    def patterns(self) -> SentimentPatterns:
        return SentimentPatterns(self.database)


def load_teams(settings: Settings) -> Teams:
    """Read the teams of agents. Raises SettingsInvalid for a file that can't be read."""
    if settings.teams is None:
        return Teams()
    try:
        return Teams.parse(settings.teams.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsInvalid(f"CALLPIPELINE_TEAMS: {settings.teams.name}: {reason}.") from None


@contextmanager
def open_database_url(settings: Settings) -> Iterator[str]:
    """Yield the URL of Postgres; without a setting, run the embedded one meanwhile."""
    if settings.database_url:
        yield settings.database_url.get_secret_value()
        return
    with EmbeddedPostgres(settings.home / "postgres").running() as url:
        yield url


@contextmanager
def open_storage(
    settings: Settings,
    database_url: str,
    *,
    run_id: str | None = None,
    limits: DatabaseLimits = DatabaseLimits(),  # noqa: B008 - immutable
) -> Iterator[Storage]:
    """Open all stores; writes of a run carry its ID."""
    store, sources = open_results_store(settings), load_sources(settings)
    stores = [open_source(settings, source) for source in sources]
    patience_s, most = settings.outage_patience_h * 3600, _max_connections(settings)
    with Database(database_url, run_id=run_id, max_connections=most, limits=limits) as database:
        results, announcements = Results(database, store), Announcements(database)
        yield Storage(
            database=database,
            ledger=Ledger(database),
            queue=CallQueue(database, outage_patience_s=patience_s),
            claims=_open_claims(settings, database, patience_s),
            outbox=Outbox(database),
            notifications=Notifications(database),
            erasures=Erasures(database),
            outages=Outages(database),
            results=results,
            audio=CallAudio(database, store),
            calls=CallReader(database),
            analytics=Analytics(database),
            search=SegmentSearch(database),
            reviews=Reviews(database),
            speakers=Speakers(database),
            unjudged=UnjudgedStore(database, outage_patience_s=patience_s),
            catalogs=CatalogVersions(database),
            rematches=Rematches(database, results),
            home=sources[0],
            inbox=stores[0],
            announcements=announcements,
            egress_policy=egress_policy(settings),
            recordings=_open_recordings(settings, stores, announcements),
            store=store,
        )


def _open_recordings(
    settings: Settings, stores: list[ObjectStore], announcements: Announcements
) -> Recordings:
    announced = open_announced(settings, announcements, stores[0])
    others = [announced, ImportedRecordings()]
    return Recordings([*stores, *others], is_complete=not source_problems(settings))


def _open_claims(settings: Settings, database: Database, outage_patience_s: float) -> Claims:
    return Claims(
        database,
        retry_waits_s=settings.retry_waits_s,
        outage_patience_s=outage_patience_s,
        notify_completed=notification_policy(settings).routing.notifies_completed,
    )


def _max_connections(settings: Settings) -> int:
    """Return one for each call in processing, whose writes share at most 32 threads."""
    return min(settings.concurrency, 32) + 2


def open_eraser(
    settings: Settings, storage: Storage, external: ExternalEraser, *, quiet_s: float = QUIET_S
) -> Eraser:
    """Build the eraser of calls; `external` erases what is outside the stores."""
    return Eraser(
        erasures=storage.erasures,
        recordings=storage.recordings,
        store=storage.store,
        external=external,
        workspace=workspace(settings),
        quiet_s=quiet_s,
        sources=sources_by_bucket(settings),
    )


def open_retention(settings: Settings, storage: Storage) -> Retention:
    """Build the deletion of calls, and parts of calls, after their retention periods."""
    return Retention(
        retained=RetentionStore(storage.database),
        erasures=storage.erasures,
        recordings=storage.recordings,
        store=storage.store,
        periods=retention_periods(settings),
        announcements=storage.announcements,
        sources=sources_by_bucket(settings),
    )


def open_side_metadata(settings: Settings, storage: Storage) -> SideMetadata:
    """Build the reader of metadata files beside recordings."""
    return SideMetadata(storage.recordings, sources_by_bucket(settings), storage.descriptions)


@contextmanager
def open_stages(settings: Settings, storage: Storage, lane: Lane = Lane.LIVE) -> Iterator[Stages]:
    """Open the stages with the configured engines; recognisers stop on exit."""
    from callpipeline.engines.transcribe.supplied import parse_supplied

    catalog = load_catalog(settings, storage.catalogs)
    with (
        open_engines(
            settings, lane, hints=recogniser_hints(catalog), outages=storage.outages
        ) as engines,
        run_workspace(settings, storage.database.run_id) as folder,
        ExitStack() as stack,
    ):
        throttled = throttle_engines(settings, engines, storage.database, lane, stack)
        yield Stages(
            engines=add_patterns(throttled, storage.patterns.lists),
            recordings=storage.recordings,
            supplied=SidecarTranscripts(
                storage.recordings, parse_supplied, transcript_rules(settings)
            ),
            states=storage.claims,
            results=storage.results,
            catalog=catalog,
            matcher=open_matcher(settings, catalog),
            measure_peaks=measure_peaks,
            workspace=folder,
            stage_timeout_s=settings.stage_timeout_s,
            links=open_links(settings),
            first_speakers=first_speakers(settings),
            mention_engine=mention_engine(settings),
            side_metadata=open_side_metadata(settings, storage),
            source_audio=source_audio(settings),
            versions=RecordingVersions(storage.database),
            redactor=Redactor(
                storage.results, mute_channel, measure_peaks, redaction_policies(settings)
            ),
        )


@contextmanager
def open_legacy_import(
    settings: Settings, storage: Storage, database_url: str, bucket_url: str | None
) -> Iterator[tuple[LegacyImport, LegacyDatabase]]:
    """Open an import from the old system's database, and from the bucket with its transcripts."""
    from callpipeline.engines.transcribe.remote import parse_old_transcript

    agent_channel = settings.agent_channel
    importer = LegacyImport(
        Imports(storage.database, storage.store, RULE_VERSION),
        open_old_bucket(settings, bucket_url) if bucket_url else None,
        lambda content, channel: parse_old_transcript(content, channel, agent_channel),
        load_catalog(settings, storage.catalogs),
        agent_channel,
        redaction_policies(settings)[IMPORTED_BUCKET],
    )
    with open_legacy_database(database_url) as database:
        yield importer, database


def load_catalog(settings: Settings, catalogs: CatalogVersions) -> Catalog:
    """Return the competitor list in force, after the import of its file if that has changed.

    Without any list, a starter list is created at the default path, unless the settings forbid it.
    Raises CatalogInvalid.
    """
    current = catalogs.current()
    path = settings.catalog_path
    starter = CHECKOUT / "samples" / "competitors.yaml"
    may_start = settings.starter_catalog and settings.catalog is None and starter.exists()
    if current is None and may_start and not path.exists():
        files.create_file(path, starter.read_bytes())
    current = catalogs.import_file(path) or catalogs.current()
    catalog = catalogs.catalog(current.version) if current else None
    if catalog is None:
        raise CatalogInvalid(
            "The competitor list in force was stored in another form: apply a file with "
            "`callpipeline catalog apply FILE`."
        )
    return catalog


def sample_recordings() -> Path:
    """Return the folder of sample calls."""
    return CHECKOUT / "samples"
