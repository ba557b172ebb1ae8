"""Where recordings arrive and results are kept: folders and buckets, by the settings."""

import contextlib

from callpipeline.config import Settings
from callpipeline.domain.source import Source
from callpipeline.errors import SettingsInvalid
from callpipeline.storage.objects import (
    ObjectStore,
    S3Access,
    bucket_name,
    folder_at,
    open_store,
)
from callpipeline.storage.sources_file import lies_in, read_sources, refuse_overlap

HOME_SOURCE = "recordings"
"""The source that is always there; what people hand over is copied to it."""


def load_sources(settings: Settings) -> tuple[Source, ...]:
    """Every place where recordings arrive, the home of what people hand over first.

    Raises SettingsInvalid where two of them, or one and the store of results, are in each other.
    """
    named = read_sources(settings.sources) if settings.sources else ()
    default = Source(HOME_SOURCE, settings.recordings_url, agent_channel=settings.agent_channel)
    homes = [source for source in named if source.name == HOME_SOURCE] or [default]
    sources = (*homes, *(source for source in named if source.name != HOME_SOURCE))
    refuse_overlap(sources, lambda source: _bucket_of(settings, source))
    for source in sources:
        _refuse_mixing(source, settings.storage_url)
    return sources


def _refuse_mixing(source: Source, storage_url: str) -> None:
    """Raises SettingsInvalid where what is made of calls would be found as new calls."""
    if lies_in(storage_url, source.url):
        raise SettingsInvalid(
            f"CALLPIPELINE_STORAGE lies in the source {source.name}: what is made of calls "
            "would be taken for new recordings. Give it a place of its own."
        )
    if lies_in(source.url, storage_url):
        raise SettingsInvalid(
            f"The source {source.name} lies in CALLPIPELINE_STORAGE: what is made of calls could "
            "be taken for new recordings. Give one of them a place of its own, such as "
            "s3://bucket/recordings and s3://bucket/storage."
        )


def open_source(settings: Settings, source: Source) -> ObjectStore:
    """The folder or bucket of a source; the folder of HOME_SOURCE is made, to drop files into."""
    if source.name == HOME_SOURCE:
        _make(source.url)
    return open_store(source.url, s3_access(settings), _bucket_of(settings, source))


def _bucket_of(settings: Settings, source: Source) -> str:
    """The bucket of a source's recordings; CALLPIPELINE_RECORDINGS keeps that of older ledgers."""
    home = settings.recordings_url
    is_default = lies_in(source.url, home) and lies_in(home, source.url)
    return bucket_name(source.url, None if is_default else source.name)


def open_results_store(settings: Settings) -> ObjectStore:
    """The folder or bucket where channel audio and transcripts are kept."""
    _make(settings.storage_url)
    return open_store(settings.storage_url, s3_access(settings))


def _make(url: str) -> None:
    """Make a folder. One that cannot be made stops nothing here, and is told of when it is used."""
    if folder := folder_at(url):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)


def s3_access(settings: Settings) -> S3Access:
    """How the settings reach S3; what they leave out is left to the AWS environment."""
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    return S3Access(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=key.get_secret_value() if key else None,
        secret_access_key=secret.get_secret_value() if secret else None,
    )
