"""Opens what the app holds, and closes it in order."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.pipeline.announcing import Announced, Announcement, announce
from callpipeline.pipeline.shared import SharedObjects
from callpipeline.storage.reading.following import Following
from callpipeline.storage.reading.reader import Reading
from callpipeline.storage.repeats import Repeats
from callpipeline.storage.shared import StoredTranscripts
from callpipeline.web.access.signing import Signer
from callpipeline.web.competitor_list import CompetitorList
from callpipeline.web.exporting import Exports
from callpipeline.web.forms.landing import Landing
from callpipeline.web.forms.uploads import Uploads
from callpipeline.web.health import Doctor
from callpipeline.web.live.watch import Watch
from callpipeline.web.metrics import Metrics
from callpipeline.web.opened import Opened
from callpipeline.web.own_key import own_key
from callpipeline.web.pages.standing import pieces_of, standing
from callpipeline.web.remembered import Remembered


@contextmanager
def opening(options: Settings, metrics: Metrics) -> Iterator[Opened]:
    """All that routes and pages work with, while this is open."""
    with (
        wiring.open_database_url(options) as url,
        wiring.open_storage(options, url) as storage,
        storage.database.apart(patience_s=2) as probe,
        closing(Exports(storage.database)) as exports,
        Landing(options.home / "uploads") as landing,
    ):
        metrics.watch(probe)
        reading, following = Reading(storage.database), Following(storage.database)
        links = wiring.open_links(options)

        def announced(said: Announcement) -> Announced:
            return announce(said, storage.announcements, storage.home, storage.reach)

        yield Opened(
            options=options,
            storage=storage,
            dispatcher=wiring.open_dispatcher(options, storage.outbox),
            doctor=Doctor(storage, probe),
            metrics=metrics,
            uploads=Uploads(landing),
            repeats=Repeats(storage.database),
            shared=SharedObjects(storage.store, StoredTranscripts(storage.database)),
            competitors=CompetitorList(options.catalog_path, lambda: wiring.load_catalog(options)),
            signer=Signer(_key(options)),
            exports=exports,
            reading=reading,
            choices=Remembered(reading.choices),
            following=following,
            links=links,
            watch=Watch(following, lambda call: pieces_of(standing(call, links))),
            announce=announced,
        )


def _key(options: Settings) -> bytes:
    """What signs the addresses that the app hands out: they hold longer than it runs."""
    key = options.web_key
    return key.get_secret_value().encode() if key else own_key(options.home)
