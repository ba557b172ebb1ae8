"""How recordings that were announced by an address are fetched, by the settings."""

from pathlib import Path

from callpipeline.config import Settings
from callpipeline.domain.reach import Reach
from callpipeline.storage.announced import AnnouncedRecordings, Announcements
from callpipeline.storage.object_store import ObjectStore


def reach(settings: Settings) -> Reach:
    """From where recordings may be fetched."""
    return Reach.with_allowed(settings.fetch_allow or ())


def open_announced(
    settings: Settings, announcements: Announcements, inbox: ObjectStore
) -> AnnouncedRecordings:
    """The store of announced recordings, which keeps what it fetched in the inbox."""

    def download(url: str, into: Path) -> None:
        from callpipeline.storage.download import Download, DownloadLimits

        limits = DownloadLimits(
            max_bytes=settings.fetch_max_mb * 1_000_000,
            connect_s=settings.connect_timeout_s,
            total_s=settings.fetch_timeout_s,
        )
        Download(reach(settings), limits)(url, into)

    return AnnouncedRecordings(announcements, inbox, download)
