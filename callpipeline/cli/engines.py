"""The commands below `engines`: what listens and judges, for others."""

import contextlib
import os
import signal
import socket
from typing import Annotated

import typer

from callpipeline.cli.engines_check import check
from callpipeline.cli.opening import console, explained
from callpipeline.cli.readiness import described
from callpipeline.config import Settings, settings
from callpipeline.errors import SettingsInvalid

GRACE_S = 10
"""For requests under way when it is stopped."""

app = typer.Typer(
    name="engines",
    help="The engines: what takes recordings apart, listens and judges.",
    no_args_is_help=True,
)


def serve(
    port: Annotated[
        int | None, typer.Option(help="0 takes any that is free.", min=0, max=65535)
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Where it listens: 0.0.0.0 for every address.")
    ] = None,
) -> None:
    """Serve the engines of this installation to others, over HTTP. Ctrl-C stops it cleanly."""
    import uvicorn

    from callpipeline.web.engine_server.app import create_app
    from callpipeline.web.heads import LimitedHeads

    chosen = {"serve_port": port, "serve_host": host}
    options = settings().model_copy(
        update={name: value for name, value in chosen.items() if value is not None}
    )
    served, engines = create_app(options), described(options)
    with _listening(options) as listener:
        _tell(options, listener, engines)
        # Addresses of channels are secrets, so requests are logged by the app: without addresses.
        config = uvicorn.Config(
            served,
            server_header=False,
            access_log=False,
            log_level="info",
            http=LimitedHeads,
            ws="none",
            timeout_graceful_shutdown=GRACE_S,
        )
        # uvicorn raises the signal that stopped it once more when all is closed.
        signal.signal(signal.SIGTERM, lambda *_: None)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def password() -> None:
    """Make the hash of a password, which stands in CALLPIPELINE_WEB_USERS and
    CALLPIPELINE_SERVE_USERS in its place."""
    from callpipeline.web.access.users import hashed

    plain = typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True)
    if len(plain) < 12:
        raise SettingsInvalid("A password has 12 characters or more.")
    typer.echo(hashed(plain))


def _listening(options: Settings) -> socket.socket:
    """Raises SettingsInvalid where the port is taken, or there is no such address here."""
    try:
        found = socket.getaddrinfo(options.serve_host, options.serve_port, type=socket.SOCK_STREAM)
        family, address = found[0][0], found[0][4]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise SettingsInvalid(
            f"{options.serve_host}, port {options.serve_port}, cannot be listened on "
            f"({_why(error)}): choose others with --host and --port."
        ) from error


def _why(error: OSError) -> str:
    """Without the address, which asyncio's and Python's own texts repeat."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror)


def _tell(options: Settings, listener: socket.socket, engines: str) -> None:
    from callpipeline.web.engine_server.login import needs_token_everywhere

    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    everywhere = needs_token_everywhere(options)
    if options.serve_users:
        users = f"{len(options.serve_users)} may log in"
    else:
        users = "none, so nothing is transcribed: set CALLPIPELINE_SERVE_USERS"
    lines = {
        "address": f"http://{shown}:{port}",
        "engines": engines,
        "users": users,
        "token": "for everything" if everywhere else "for transcriptions; all else is open",
    }
    for name, value in lines.items():
        console.print(f"  {name:10}{value}", highlight=False, soft_wrap=True, markup=False)


COMMANDS = {"check": check, "serve": serve, "password": password}
for name, command in COMMANDS.items():
    app.command(name)(explained(command))
