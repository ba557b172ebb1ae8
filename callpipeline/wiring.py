"""Settings in, adapters out: the only place that names a concrete adapter."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from callpipeline.config import CHECKOUT, Settings
from callpipeline.domain.catalog import Catalog
from callpipeline.domain.matching import Matcher
from callpipeline.pipeline.sidecar import SidecarTranscripts
from callpipeline.pipeline.stages import Engines, Stages
from callpipeline.storage.catalog_file import read_catalog
from callpipeline.storage.database import Database
from callpipeline.storage.embedded import EmbeddedPostgres
from callpipeline.storage.ledger import Ledger
from callpipeline.storage.objects import ObjectStore, S3Access, open_store
from callpipeline.storage.results import Results


@dataclass(frozen=True, slots=True)
class Storage:
    """Everything that is kept, opened."""

    database: Database
    ledger: Ledger
    results: Results
    recordings: ObjectStore
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
def open_storage(settings: Settings, database_url: str) -> Iterator[Storage]:
    """The ledger, the results and both object stores."""
    store, recordings = open_results_store(settings), open_recordings(settings)
    with Database(database_url) as database:
        yield Storage(database, Ledger(database), Results(database, store), recordings, store)


def open_recordings(settings: Settings) -> ObjectStore:
    """The folder or bucket where recordings arrive."""
    return open_store(settings.recordings_url, _s3_access(settings))


def open_results_store(settings: Settings) -> ObjectStore:
    """The folder or bucket where channel audio and transcripts are kept."""
    return open_store(settings.storage_url, _s3_access(settings))


@contextmanager
def open_stages(settings: Settings, storage: Storage) -> Iterator[Stages]:
    """The stages with the engines that the settings name; recognisers stop when this closes."""
    from callpipeline.engines.transcribe.supplied import parse

    catalog = load_catalog(settings)
    storage.results.remember_catalog(catalog)
    with open_engines(settings) as engines:
        yield Stages(
            engines=engines,
            recordings=storage.recordings,
            supplied=SidecarTranscripts(storage.recordings, parse),
            results=storage.results,
            catalog=catalog,
            matcher=Matcher(catalog),
            workspace=workspace(settings),
        )


def workspace(settings: Settings) -> Path:
    """The folder for the files of calls under way; what a killed run leaves lies here."""
    folder = settings.home / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load_catalog(settings: Settings) -> Catalog:
    """The competitor list; where none is set or made yet, a starter list is put in its place."""
    path = settings.catalog_path
    starter = CHECKOUT / "samples" / "competitors.yaml"
    if settings.catalog is None and not path.exists() and starter.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(starter, path)
    return read_catalog(path)


@contextmanager
def open_engines(settings: Settings) -> Iterator[Engines]:
    """The engines that the settings name. Their heavy libraries load when they are first used."""
    from callpipeline.engines.sentiment.lexicon import LexiconJudge
    from callpipeline.engines.speech import SileroSpeechDetector
    from callpipeline.engines.split.local import LocalSplitter
    from callpipeline.engines.transcribe.pocketsphinx import PocketsphinxTranscriber

    splitters = {"local": LocalSplitter}
    transcribers = {"auto": PocketsphinxTranscriber, "pocketsphinx": PocketsphinxTranscriber}
    judges = {"lexicon": LexiconJudge}
    with closing(transcribers[settings.transcriber](settings.recogniser_workers)) as transcriber:
        yield Engines(
            splitters[settings.splitter](),
            SileroSpeechDetector(),
            transcriber,
            judges[settings.sentiment](),
        )


def _s3_access(settings: Settings) -> S3Access:
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    return S3Access(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=key.get_secret_value() if key else None,
        secret_access_key=secret.get_secret_value() if secret else None,
    )


def dagster_environment(settings: Settings, database_url: str) -> dict[str, str]:
    """What Dagster's processes need in their environment, as dagster.yaml reads it."""
    home = settings.home.absolute()
    return {
        "DAGSTER_HOME": str(CHECKOUT),
        "CALLPIPELINE_HOME": str(home),
        "CALLPIPELINE_DATABASE_URL": database_url,
        "CALLPIPELINE_DAGSTER_URL": _in_public_schema(database_url),
        "CALLPIPELINE_DAGSTER_FILES": str(home / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }


def _in_public_schema(database_url: str) -> str:
    """Dagster's tables are in `public`, also where the user is named like our schema.

    Postgres looks in a schema of the user's name first: Dagster then found our alembic_version.
    """
    separator = "&" if urlsplit(database_url).query else "?"
    return f"{database_url}{separator}options={quote('-c search_path=public')}"


def sample_recordings() -> Path:
    """The folder of sample calls that comes with a checkout."""
    return CHECKOUT / "samples"
