"""Object stores, sources, retention periods, the workspace, and Dagster's home."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from callpipeline.config import CHECKOUT, Settings, environment
from callpipeline.config.legacy import minio_access
from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import RetentionClass, RetentionPeriods
from callpipeline.domain.calls.legacy import IMPORTED_BUCKET
from callpipeline.domain.calls.source_audio import SourceAudio
from callpipeline.domain.calls.sources import MonoFirstSpeaker, Source
from callpipeline.domain.egress import EgressPolicy
from callpipeline.domain.redaction.masking import RedactionPolicy
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.ingest.beside import TranscriptRules
from callpipeline.storage.objects import files
from callpipeline.storage.objects.s3 import BucketStore
from callpipeline.storage.objects.urls import (
    ObjectStore,
    S3Access,
    bucket_name,
    local_folder,
    open_store,
)
from callpipeline.storage.ports.calls import ANNOUNCED_BUCKET
from callpipeline.storage.sources.recordings import AnnouncedRecordings, Announcements
from callpipeline.storage.sources.sources_file import check_overlap, is_within, read_sources

HOME_SOURCE = "recordings"
"""The source that always exists; uploads are copied to it."""


def enter_dagster_environment(settings: Settings, database_url: str) -> None:
    """Prepare this process for Dagster: environment variables, and a home with dagster.yaml."""
    environment = dagster_environment(settings, database_url)
    # On a read-only data folder, commands that do not open Dagster's instance still work.
    with suppress(OSError):
        write_dagster_home(Path(environment["DAGSTER_HOME"]), settings.max_runs)
    os.environ.update(environment)


def write_dagster_home(home: Path, max_runs: int = 5, start_timeout_s: int = 180) -> None:
    """Write dagster.yaml of this version into Dagster's home, unless it is up to date."""
    text = (CHECKOUT / "dagster.yaml").read_text()
    text = text.replace("max_concurrent_runs: 5\n", f"max_concurrent_runs: {max_runs}\n")
    timeout = f"start_timeout_seconds: {start_timeout_s}\n"
    text = text.replace("start_timeout_seconds: 180\n", timeout)
    path = home / "dagster.yaml"
    if path.exists() and path.read_text() == text:
        return
    files.replace_file(path, text.encode())


def write_workspace(home: Path, port: int, host: str = "127.0.0.1") -> Path:
    """Write a workspace.yaml that names the code server; returns its path."""
    server = {"host": host, "port": port, "location_name": "callpipeline"}
    path = home / "workspace.yaml"
    path.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))  # JSON is valid YAML
    return path


def dagster_environment(settings: Settings, database_url: str) -> dict[str, str]:
    """Return the environment variables that dagster.yaml, boto3 and Slack's sensor read."""
    home, s3 = settings.home.absolute(), s3_access(settings)
    for_boto3 = {
        "AWS_ACCESS_KEY_ID": s3.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3.secret_access_key,
        "AWS_DEFAULT_REGION": s3.region or (s3.endpoint and "us-east-1"),
        # Many S3-compatible servers don't support the checksums that boto3 adds by default.
        "AWS_REQUEST_CHECKSUM_CALCULATION": s3.endpoint and "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": s3.endpoint and "when_required",
    }
    token = settings.slack_bot_token
    for_slack = {"CALLPIPELINE_SLACK_BOT_TOKEN": token.get_secret_value() if token else None}
    return {
        "DAGSTER_HOME": str(home / "dagster"),
        "CALLPIPELINE_HOME": str(home),
        "CALLPIPELINE_DATABASE_URL": database_url,
        "CALLPIPELINE_DAGSTER_URL": _in_public_schema(database_url),
        "CALLPIPELINE_DAGSTER_FILES": str(home / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        # Planned events are written in batches of this many rows, all others immediately.
        "DAGSTER_EVENT_BATCH_SIZE": "1000",
        # Unexpected errors may quote a transcript; messages of dg.Failure are not redacted.
        "DAGSTER_REDACT_USER_CODE_ERRORS": "1",
    } | {name: value for name, value in (for_boto3 | for_slack).items() if value}


def _in_public_schema(database_url: str) -> str:
    """Keep Dagster's tables in `public` even if the database user is named like our schema.

    Postgres searches the schema of the user's name first, where Dagster would find our
    alembic_version.
    """
    separator = "&" if urlsplit(database_url).query else "?"
    return f"{database_url}{separator}options={quote('-c search_path=public')}"


def load_sources(settings: Settings) -> tuple[Source, ...]:
    """Return all valid sources, starting with HOME_SOURCE.

    Raises SettingsInvalid if that is invalid; `source_problems` describes others.
    """
    return _examine_sources(settings)[0]


def source_problems(settings: Settings) -> tuple[str, ...]:
    """Describe the sources that are left out because they are invalid, and what to change."""
    return _examine_sources(settings)[1]


def _examine_sources(settings: Settings) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Return the valid sources, and the problems of the others.

    A source is invalid if it contains another, or overlaps with the store of results.
    """
    problems: list[str] = []
    named: tuple[Source, ...] = ()
    if settings.sources:
        try:
            named = read_sources(settings.sources, problems)
        except SettingsInvalid as error:
            problems.append(str(error))
    default = Source(HOME_SOURCE, settings.recordings_url, agent_channel=settings.agent_channel)
    homes = [source for source in named if source.name == HOME_SOURCE] or [default]
    valid: list[Source] = []
    for source in (*homes, *(source for source in named if source.name != HOME_SOURCE)):
        try:
            check_overlap((*valid, source), lambda each: _bucket_of(settings, each))
            _refuse_mixing(source, settings.storage_url)
        except SettingsInvalid as error:
            if not valid:
                raise
            problems.append(str(error))
        else:
            valid.append(source)
    return tuple(valid), tuple(problems)


def first_speakers(settings: Settings) -> dict[str, Speaker]:
    """Return who speaks first in mono recordings, by bucket; UNKNOWN where that varies."""
    return {
        _bucket_of(settings, source): _first_speaker(settings, source)
        for source in load_sources(settings)
    }


def source_audio(settings: Settings) -> dict[str, SourceAudio]:
    """Return what the sources say about the audio of their recordings, by bucket."""
    return {_bucket_of(settings, source): source.audio for source in load_sources(settings)}


def _first_speaker(settings: Settings, source: Source) -> Speaker:
    chosen = (source.mono_first_speaker, settings.mono_first_speaker)
    first = next((each for each in chosen if each is not MonoFirstSpeaker.AUTO), None)
    return Speaker(first.value) if first else Speaker.UNKNOWN


def transcript_rules(settings: Settings) -> dict[str, TranscriptRules]:
    """Return the rules of supplied transcripts by bucket; announced calls have those of uploads."""
    sources = load_sources(settings)
    rules = {
        _bucket_of(settings, source): TranscriptRules(source.speakers, source.unreadable_transcript)
        for source in sources
    }
    return rules | {ANNOUNCED_BUCKET: rules[_bucket_of(settings, sources[0])]}


def redaction_policies(settings: Settings) -> dict[str, RedactionPolicy]:
    """Return what is masked by bucket; announced calls have the policy of uploads.

    In imported calls, whose source is unknown, everything is masked that is in some source.
    """
    sources = load_sources(settings)

    def policy(source: Source) -> RedactionPolicy:
        kinds = source.redact if source.redact is not None else frozenset(settings.redact or ())
        return RedactionPolicy(kinds, settings.redact_regions)

    policies = {_bucket_of(settings, source): policy(source) for source in sources}
    kinds = frozenset(settings.redact or ()).union(*(each.kinds for each in policies.values()))
    return policies | {
        ANNOUNCED_BUCKET: policies[_bucket_of(settings, sources[0])],
        IMPORTED_BUCKET: RedactionPolicy(kinds, settings.redact_regions),
    }


def sources_by_bucket(settings: Settings) -> dict[str, Source]:
    return {_bucket_of(settings, source): source for source in load_sources(settings)}


def _refuse_mixing(source: Source, storage_url: str) -> None:
    """Raise SettingsInvalid if results would be discovered as new recordings."""
    if is_within(storage_url, source.url):
        raise SettingsInvalid(
            f"CALLPIPELINE_STORAGE is inside the source {source.name}: results would be imported "
            "as new recordings. Use a separate folder or prefix."
        )
    if is_within(source.url, storage_url):
        raise SettingsInvalid(
            f"The source {source.name} is inside CALLPIPELINE_STORAGE: results could be imported "
            "as new recordings. Use separate folders or prefixes, such as s3://bucket/recordings "
            "and s3://bucket/storage."
        )


def open_source(settings: Settings, source: Source) -> ObjectStore:
    """Open the folder or bucket of a source; create that of HOME_SOURCE, to drop files into."""
    if source.name == HOME_SOURCE:
        _create_folder(source.url)
    return open_store(source.url, s3_access(settings), _bucket_of(settings, source))


def _bucket_of(settings: Settings, source: Source) -> str:
    """Return a source's bucket name; that of CALLPIPELINE_RECORDINGS matches older ledgers."""
    home = settings.recordings_url
    is_default = is_within(source.url, home) and is_within(home, source.url)
    return bucket_name(source.url, None if is_default else source.name)


def open_results_store(settings: Settings) -> ObjectStore:
    """Open the folder or bucket of channel audio and transcripts."""
    _create_folder(settings.storage_url)
    return open_store(settings.storage_url, s3_access(settings))


def _create_folder(url: str) -> None:
    """Create a local folder; a failure is reported when the folder is used."""
    if folder := local_folder(url):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=files.FOLDER_MODE)


def disk_shortage(settings: Settings, incoming_bytes: int = 0) -> str | None:
    """Return which disk is read-only, or would have less than CALLPIPELINE_MIN_FREE_MB free.

    A read-only folder of recordings is no shortage: it may be one on purpose.
    """
    folders = (
        settings.home,
        local_folder(settings.storage_url),
        local_folder(settings.recordings_url),
    )
    for folder in filter(None, folders):
        if folder != folders[-1] and files.is_read_only(folder):
            return f"the disk with {folder} is read-only: check it, and mount it for writing"
        free = files.free_bytes(folder)
        if free - incoming_bytes < settings.min_free_mb * 1_000_000:
            return (
                f"only {free / 1_000_000:,.0f} MB are free below {folder}: make room "
                f"(CALLPIPELINE_MIN_FREE_MB keeps {settings.min_free_mb} MB free)"
            )
    return None


def s3_access(settings: Settings) -> S3Access:
    """Return the S3 settings; unset ones are taken from the AWS environment."""
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    return S3Access(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=key.get_secret_value() if key else None,
        secret_access_key=secret.get_secret_value() if secret else None,
    )


def create_buckets(settings: Settings) -> list[str]:
    """Create the buckets of the sources and of the results that are missing; return their names.

    Raises StoreUnavailable.
    """
    urls = [*(source.url for source in load_sources(settings)), settings.storage_url]
    created: list[str] = []
    for name in dict.fromkeys(urlsplit(url).netloc for url in urls if local_folder(url) is None):
        store = BucketStore(f"s3://{name}", name, "", s3_access(settings))
        if store.create_bucket():
            created.append(name)
    return created


def open_old_bucket(settings: Settings, url: str) -> ObjectStore:
    """Open the folder or bucket with the old system's transcripts.

    Its MINIO_* variables apply, if they are set; else the S3 settings.
    """
    found = minio_access(environment())
    access = S3Access(found[0], "us-east-1", *found[1:]) if found else s3_access(settings)
    return open_store(url if "://" in url or Path(url).exists() else f"s3://{url}", access)


def retention_periods(settings: Settings) -> RetentionPeriods:
    """Return the retention periods; 0 days means permanently.

    Raises SettingsInvalid if recordings outlive the calls that locate them.
    """
    days = {each: getattr(settings, f"keep_{each}_days") or None for each in RetentionClass}
    recordings, results = days[RetentionClass.RECORDINGS], days[RetentionClass.RESULTS]
    if recordings and results and recordings > results:
        raise SettingsInvalid(
            "CALLPIPELINE_KEEP_RECORDINGS_DAYS exceeds CALLPIPELINE_KEEP_RESULTS_DAYS, but once a "
            "call is erased, its recording can't be located. Use at most as many days, or 0 to "
            "leave recordings where they are."
        )
    return RetentionPeriods(days)


def workspace(settings: Settings) -> Path:
    """Return the folder of temporary files of calls in processing."""
    folder = settings.home / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def run_workspace(settings: Settings, run_id: str | None) -> Iterator[Path]:
    """Create a run's own folder in the workspace, and delete it with the run."""
    folder = workspace(settings) / (run_id or "no-run")
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_workspace(settings: Settings, run_id: str) -> None:
    """Delete the files that a dead run left on this machine."""
    shutil.rmtree(workspace(settings) / run_id, ignore_errors=True)


def egress_policy(settings: Settings) -> EgressPolicy:
    """Return the policy of hosts that recordings may be fetched from."""
    return EgressPolicy.allowing(settings.fetch_allow or ())


def open_announced(
    settings: Settings, announcements: Announcements, inbox: ObjectStore
) -> AnnouncedRecordings:
    """Open the store of announced recordings, which downloads them into the inbox."""

    def download(url: str, into: Path) -> None:
        from callpipeline.storage.sources.download import Downloader, DownloadLimits

        limits = DownloadLimits(
            max_bytes=settings.fetch_max_mb * 1_000_000,
            connect_s=settings.connect_timeout_s,
            total_s=settings.fetch_timeout_s,
        )
        Downloader(egress_policy(settings), limits)(url, into)

    return AnnouncedRecordings(announcements, inbox, download)
