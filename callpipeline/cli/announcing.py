"""Addresses of recordings that are handed over: part of the command ingest."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from callpipeline.cli.opening import complain
from callpipeline.errors import AnnouncementInvalid
from callpipeline.pipeline.announcing import Announcement, announce
from callpipeline.pipeline.ingest import Ingested
from callpipeline.wiring import Storage


def is_url(word: str) -> bool:
    """Whether an argument is an address; no file has two slashes after a colon in its name."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", word))


def announced(urls: Sequence[str], storage: Storage) -> Iterator[Ingested]:
    """The addresses that could be taken, by the names of their recordings.

    Of each other one is told why not, by its place among them: an address may be a secret.
    """
    for number, url in enumerate(urls, start=1):
        try:
            entered = announce(
                Announcement(url), storage.announcements, storage.home, storage.reach
            )
        except AnnouncementInvalid as error:
            which = f"Address {number}" if len(urls) > 1 else "The address"
            complain(f"{which} cannot be taken. {error}")
        else:
            yield Ingested(Path(entered.name), entered.call_id, entered.is_new)
