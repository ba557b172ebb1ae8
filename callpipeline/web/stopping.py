"""A server that stops although pages listen: their streams end first."""

import socket

import uvicorn
from fastapi import FastAPI


class StoppingServer(uvicorn.Server):
    """uvicorn waits for the answers under way, and a stream of events is one without end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = self.config.app
        opened = getattr(app.state, "opened", None) if isinstance(app, FastAPI) else None
        if opened is not None:
            opened.watch.close()
        await super().shutdown(sockets)
