"""A run's signs of life, by which the reconciler tells a run at work from a dead one."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from callpipeline.storage.claims import Claims

BEAT_S = 5.0
SILENT_S = 30.0
"""A run that was silent for so long is taken to be dead: six signs of life did not come."""

log = logging.getLogger(__name__)


@contextmanager
def signs_of_life(claims: Claims, run_id: str, *, every_s: float = BEAT_S) -> Iterator[None]:
    """Say every few seconds that the run lives: in a thread, on a connection of its own.

    A busy event loop is no death, nor are calls whose writes wait for a slow object store and
    keep all the other connections.
    """
    ended = threading.Event()

    def beat() -> None:
        with claims.apart(patience_s=every_s) as heart:
            while not ended.wait(every_s):
                try:
                    heart.alive(run_id)
                except Exception as error:
                    # The next sign may get through; the run itself finds out when it writes. A
                    # thread that died of whatever it was would let a run at work pass for dead.
                    kind = type(error).__name__
                    log.warning("run %s could not give a sign of life: %s", run_id, kind)

    thread = threading.Thread(target=beat, name="signs-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
