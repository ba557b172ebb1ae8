"""The app on a socket of this machine: Starlette's own client would skip what servers do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from callpipeline.config import Settings
from callpipeline.web import access
from callpipeline.web.app import create_app
from callpipeline.web.opened import Opened
from callpipeline.web.stopping import StoppingServer
from tests.processes import until
from tests.soak.installation import free_port


@contextmanager
def serving(
    settings: Settings, change: Callable[[Opened], Opened] = lambda opened: opened
) -> Iterator[str]:
    """The address of the app with these settings, while this is open.

    `change` is given what the app has opened, and returns what it is to have instead.
    """
    app = create_app(settings)
    config = uvicorn.Config(
        app, port=free_port(), log_level="warning", loop="asyncio", **access.SERVER
    )
    server = StoppingServer(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), "the app", 20, every_s=0.02)
    assert thread.is_alive(), "the app did not start"
    app.state.opened = change(app.state.opened)
    try:
        yield f"http://127.0.0.1:{config.port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def asked(settings: Settings, **headers: str) -> Iterator[httpx.Client]:
    """A client of the app with these settings, which sends these headers."""
    with (
        serving(settings) as address,
        httpx.Client(base_url=address, headers=headers, timeout=30) as client,
    ):
        yield client
