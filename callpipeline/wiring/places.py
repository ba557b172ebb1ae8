"""Where recordings arrive and results are kept: folders and buckets, by the settings."""

from callpipeline.config import Settings
from callpipeline.domain.source import Source
from callpipeline.errors import SettingsInvalid
from callpipeline.storage.objects import ObjectStore, S3Access, bucket_name, open_store
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
        if lies_in(settings.storage_url, source.url):
            raise SettingsInvalid(
                f"CALLPIPELINE_STORAGE lies in the source {source.name}: what is made of calls "
                "would be taken for new recordings. Give it a place of its own."
            )
    return sources


def open_source(settings: Settings, source: Source) -> ObjectStore:
    """The folder or bucket of a source."""
    return open_store(source.url, s3_access(settings), _bucket_of(settings, source))


def _bucket_of(settings: Settings, source: Source) -> str:
    """The bucket of a source's recordings; CALLPIPELINE_RECORDINGS keeps that of older ledgers."""
    home = settings.recordings_url
    is_default = lies_in(source.url, home) and lies_in(home, source.url)
    return bucket_name(source.url, None if is_default else source.name)


def open_results_store(settings: Settings) -> ObjectStore:
    """The folder or bucket where channel audio and transcripts are kept."""
    return open_store(settings.storage_url, s3_access(settings))


def s3_access(settings: Settings) -> S3Access:
    """How the settings reach S3; what they leave out is left to the AWS environment."""
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    return S3Access(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=key.get_secret_value() if key else None,
        secret_access_key=secret.get_secret_value() if secret else None,
    )
