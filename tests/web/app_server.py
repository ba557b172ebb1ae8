"""The app on a local socket: Starlette's test client would bypass the server."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from callpipeline.config import Settings
from callpipeline.web import access
from callpipeline.web.app import Server, create_app
from callpipeline.web.state import AppState
from tests.processes import free_port, until


@contextmanager
def serving(
    settings: Settings, change: Callable[[AppState], AppState] = lambda opened: opened
) -> Iterator[str]:
    """Serve the app with these settings; yield its URL.

    `change` gets the app's state and returns a replacement.
    """
    app = create_app(settings)
    config = uvicorn.Config(
        app, port=free_port(), log_level="warning", loop="asyncio", **access.UVICORN_OPTIONS
    )
    server = Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), "the app", 20, every_s=0.02)
    assert thread.is_alive(), "the app did not start"
    app.state.app_state = change(app.state.app_state)
    try:
        yield f"http://127.0.0.1:{config.port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def app_client(settings: Settings, **headers: str) -> Iterator[httpx.Client]:
    """Yield a client of the app that sends these headers."""
    with (
        serving(settings) as address,
        httpx.Client(base_url=address, headers=headers, timeout=300) as client,
    ):
        yield client
