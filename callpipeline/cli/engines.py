"""The command group engines: check and serve the configured engines."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from callpipeline import wiring
from callpipeline.cli.session import AsJson, console, report_errors
from callpipeline.config import Settings, settings
from callpipeline.engines.reference_call import COMPETITOR, DURATION_S
from callpipeline.errors import CallpipelineError, SettingsInvalid
from callpipeline.pipeline.quality.engine_check import EngineCheck, check_engines
from callpipeline.wiring.engines import local_splitting

GRACE_S = 10
"""For requests in progress when the server is stopped."""

app = typer.Typer(
    name="engines",
    help="Engines that split recordings, transcribe and judge sentiment: check, serve.",
    no_args_is_help=True,
)


def serve(
    port: Annotated[
        int | None, typer.Option(help="Port; 0 chooses a free one.", min=0, max=65535)
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = None,
) -> None:
    """Serve the engines of this installation over HTTP. Ctrl-C stops the server."""
    import uvicorn

    from callpipeline.engine_server.app import create_app
    from callpipeline.http_server.access_log import log_config
    from callpipeline.http_server.connections import HeaderLimit

    chosen = {"serve_port": port, "serve_host": host}
    options = settings().model_copy(
        update={name: value for name, value in chosen.items() if value is not None}
    )
    served, engines = create_app(options), describe_engines(options)
    with _listening(options) as listener:
        _print_listening(options, listener, engines)
        # URLs of channels are secrets, so the app logs requests itself, without URLs.
        config = uvicorn.Config(
            served,
            server_header=False,
            access_log=False,
            log_config=log_config(options.log_format),
            http=HeaderLimit,
            ws="none",
            timeout_graceful_shutdown=GRACE_S,
        )
        # uvicorn raises the signal that stopped it again after shutdown.
        signal.signal(signal.SIGTERM, lambda *_: None)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def password() -> None:
    """Print the hash of a password for CALLPIPELINE_WEB_USERS and CALLPIPELINE_SERVE_USERS."""
    from callpipeline.http_server.security import hash_password

    plain = typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True)
    if len(plain) < 12:
        raise SettingsInvalid("Use at least 12 characters.")
    typer.echo(hash_password(plain))


def _listening(options: Settings) -> socket.socket:
    """Open the socket. Raises SettingsInvalid if the address or port can't be used."""
    try:
        found = socket.getaddrinfo(options.serve_host, options.serve_port, type=socket.SOCK_STREAM)
        family, address = found[0][0], found[0][4]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise SettingsInvalid(
            f"{options.serve_host}, port {options.serve_port}, can't be used "
            f"({_why(error)}): choose another with --host and --port, or CALLPIPELINE_SERVE_PORT."
        ) from error


def _why(error: OSError) -> str:
    """Return the reason without the address, which Python's own messages repeat."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror)


def _print_listening(options: Settings, listener: socket.socket, engines: str) -> None:
    from callpipeline.engine_server.login import needs_token_everywhere

    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    everywhere = needs_token_everywhere(options)
    if options.serve_users:
        users = f"{len(options.serve_users)} configured"
    else:
        users = "none, so transcription is off: set CALLPIPELINE_SERVE_USERS"
    lines = {
        "address": f"http://{shown}:{port}",
        "engines": engines,
        "users": users,
        "token": "required everywhere" if everywhere else "required for transcription only",
    }
    for name, value in lines.items():
        console.print(f"  {name:10}{value}", highlight=False, soft_wrap=True, markup=False)


def describe_engines(options: Settings) -> str:
    """Return the names and origins of all engines. Raises SettingsInvalid if one is not usable."""
    with wiring.open_engines(options) as chosen:
        engines = (chosen.splitter, chosen.speech_detector, chosen.transcriber, chosen.judge)
        return ", ".join(_name_and_origin(engine) for engine in engines)


def missing_requirement(options: Settings) -> str | None:
    """Return what the engines need before they can run, or None."""
    try:
        describe_engines(options)
    except CallpipelineError as error:
        return str(error)
    return None


def _name_and_origin(engine: Any) -> str:
    """Return an engine's name, and its origin if it is remote."""
    where = getattr(engine, "origin", None)
    return f"{engine.name} at {where}" if where else engine.name


def check(as_json: AsJson = False) -> None:
    """Test each configured engine with a short built-in call, and print results and timing.

    Nothing is stored. Exits with 1 if an engine fails.
    """
    checks = asyncio.run(_run_checks(quiet=as_json))
    if as_json:
        print(json.dumps([_check_as_json(check_result) for check_result in checks], indent=2))
    raise typer.Exit(1 if any(check_result.error for check_result in checks) else 0)


async def _run_checks(*, quiet: bool) -> list[EngineCheck]:
    checks: list[EngineCheck] = []
    with (
        wiring.open_engines(settings(), hints=[COMPETITOR]) as engines,
        tempfile.TemporaryDirectory() as folder,
    ):
        if not quiet:
            call = f"a built-in call of {DURATION_S} s that mentions {COMPETITOR}"
            console.print(f"testing the engines with {call}", highlight=False)
        async for check_result in check_engines(engines, Path(folder), local_splitting):
            checks.append(check_result)
            if not quiet:
                _print_check(check_result)
    return checks


def _print_check(check_result: EngineCheck) -> None:
    mark = "[red]bad[/red]" if check_result.error else "[green]ok[/green]"
    what = f"{check_result.role} [bold]{escape(check_result.engine)}[/bold]"
    where = f" at {escape(check_result.origin)}" if check_result.origin else ""
    console.print(f"{mark} {what}{where}, {check_result.took_s:.1f} s", highlight=False)
    for line in (str(check_result.error),) if check_result.error else check_result.details:
        console.print(f"   {escape(line)}", highlight=False)


def _check_as_json(check_result: EngineCheck) -> dict[str, Any]:
    error = check_result.error
    return {
        "role": check_result.role,
        "engine": check_result.engine,
        "where": check_result.origin,
        "took_s": round(check_result.took_s, 3),
        "came": list(check_result.details),
        "error": {"class": type(error).__name__, "message": str(error)} if error else None,
    }


COMMANDS = {"check": check, "serve": serve, "password": password}
for name, command in COMMANDS.items():
    app.command(name)(report_errors(command))
