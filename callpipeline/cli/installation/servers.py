"""The commands that run one service each, for containers and service managers."""

import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from callpipeline import wiring
from callpipeline.cli.installation import guardian, probes
from callpipeline.cli.installation.model import fetch_model
from callpipeline.cli.installation.up import CODE, RUN
from callpipeline.cli.session import AsJson, console, print_error, print_note
from callpipeline.config import Settings, settings
from callpipeline.errors import SettingsInvalid
from callpipeline.storage.postgres.locks import OPERATE
from callpipeline.storage.postgres.migrations import check_schema, wait_until_available

RUN_START_S, POD_START_S = 180, 900
"""Longest start of a run; a pod may wait for a machine that is started for it, and its image."""
NO_DATABASE = (
    "Set DATABASE_URL (postgresql://user:password@host:5432/name): services in processes of their "
    "own share a database. `callpipeline up` runs all of them here, with a database of its own."
)


def code_server() -> None:
    """Serve the code location, and execute runs unless CALLPIPELINE_RUN_LAUNCHER names others.

    Stopped, it hands the calls of its runs back to the queue.
    """
    options = _prepare()
    _refuse_taken_port(options.code_host, options.code_port, "CALLPIPELINE_CODE_PORT")
    if options.run_launcher == "default":
        fetch_model(options)
    address = ["-h", options.code_host, "-p", str(options.code_port)]
    location = ["--location-name", "callpipeline", "--use-python-environment-entry-point"]
    _run(options, [*RUN, "dagster", "api", "grpc", "-m", CODE, *address, *location, *_log(options)])


def daemon() -> None:
    """Run the daemon: sensors, schedules and the queue of runs. Only one may run on a database."""
    options = _prepare()
    os.environ[OPERATE] = "1"
    _run(options, [*RUN, "dagster._daemon", "run", *_workspace(options), *_log(options)])


def worker() -> None:
    """Execute runs from Celery's queue (CALLPIPELINE_RUN_LAUNCHER=celery), on any machine.

    Stopped, it hands the calls of its runs back to the queue.
    """
    options = _prepare()
    if options.run_launcher != "celery":
        raise SettingsInvalid(
            "Set CALLPIPELINE_RUN_LAUNCHER=celery here and for all other services: by default, the "
            "code server executes the runs."
        )
    if find_spec("dagster_celery") is None:
        raise SettingsInvalid(
            "A worker needs the extra celery: pip install 'callpipeline[celery]'."
        )
    fetch_model(options)
    _run(options, ["-m", "callpipeline.defs.dagster_internals.run_launchers.celery_runs"])


def execute(
    arguments: Annotated[list[str], typer.Argument(help="Dagster's command.", show_default=False)],
) -> None:
    """Execute one run, in a pod that the launcher for Kubernetes has started.

    Stopped, it hands the calls of the run back to the queue.
    """
    if "api" not in arguments:
        raise SettingsInvalid("The launcher for Kubernetes runs this command, with its arguments.")
    options = _prepare()
    fetch_model(options)
    # Dagster names the interpreter of the code server, which may be another one.
    _run(options, ["-m", "dagster", *arguments[arguments.index("api") :]])


def ui() -> None:
    """Serve Dagster's UI, behind the guard (docs/security.md)."""
    options = _prepare()
    if not options.ui_on_loopback and options.web_key is None:
        raise SettingsInvalid(
            "Set CALLPIPELINE_WEB_KEY, to the same value for the web app and the UI: the UI "
            "recognises requests that the web app passes on by it."
        )
    _refuse_taken_port(options.ui_host, options.port, "CALLPIPELINE_PORT")
    address = ["-h", options.ui_host, "-p", str(options.port), *_workspace(options)]
    rate = ["--live-data-poll-rate", "30000"]
    _run(options, [*RUN, "dagster_webserver", *address, *rate, *_log(options)])


def web() -> None:
    """Serve the web app and its HTTP API."""
    from callpipeline.web.access import check_settings

    check_settings(settings())
    options = _prepare()
    _refuse_taken_port(options.web_host.strip("[]"), options.web_port, "CALLPIPELINE_WEB_PORT")
    _run(options, ["-m", "callpipeline.web"])


def env(as_json: AsJson = False) -> None:
    """Print the environment that Dagster's own commands need, as shell commands; has secrets.

    Also writes dagster.yaml and workspace.yaml to DAGSTER_HOME. Use it as in
    `eval "$(callpipeline env)"; dagster instance info`.
    """
    options = settings()
    environment = _environment(options)
    if as_json:
        print(json.dumps(environment, indent=2))
        return
    for name, value in sorted(environment.items()):
        print(f"export {name}={shlex.quote(value)}")


def health(
    service: Annotated[
        str, typer.Argument(help=f"One of {', '.join(probes.PROBES)}.", show_default=False)
    ],
) -> None:
    """Check a service on this machine; exits with 1 if it does not work."""
    probe = probes.PROBES.get(service)
    if probe is None:
        print_error(f"{service!r} is not one of {', '.join(probes.PROBES)}.")
        raise typer.Exit(2)
    if problem := probe(settings()):
        print_error(f"{service}: {problem}")
        raise typer.Exit(1)
    console.print(f"{service}: ok", highlight=False)


def _prepare() -> Settings:
    """Wait for the database and check its schema; return the settings. Raises SettingsInvalid."""
    for kind in (signal.SIGINT, signal.SIGTERM):
        # A first process of a container ignores signals without a handler, and scripts ignore
        # SIGINT for commands in the background.
        signal.signal(kind, _exit)
    options = settings()
    if options.database_url is None:
        raise SettingsInvalid(NO_DATABASE)
    url = options.database_url.get_secret_value()
    if note := wait_until_available(lambda: check_schema(url), print_note):
        print_note(note)
    return options


def _exit(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def _environment(options: Settings) -> dict[str, str]:
    """Return the variables of a service, and prepare its Dagster home.

    Without a setting, Dagster's commands find the embedded database themselves.
    """
    url = options.database_url.get_secret_value() if options.database_url else ""
    environment = wiring.dagster_environment(options, url)
    if not url:
        del environment["CALLPIPELINE_DATABASE_URL"], environment["CALLPIPELINE_DAGSTER_URL"]
    home = Path(environment["DAGSTER_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    timeout_s = POD_START_S if options.run_launcher == "k8s" else RUN_START_S
    wiring.write_dagster_home(home, options.max_runs, timeout_s)
    host, port = options.code_address
    wiring.write_workspace(home, port, host)
    return environment


def _workspace(options: Settings) -> list[str]:
    return ["-w", str(options.home.absolute() / "dagster" / "workspace.yaml")]


def _log(options: Settings) -> list[str]:
    return ["--log-format", "json" if options.log_format == "json" else "colored"]


def _run(options: Settings, command: Sequence[str]) -> NoReturn:
    """Replace this process by one that runs `python <command>` and stops it with its runs."""
    environment: dict[str, Any] = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "CALLPIPELINE_STARTER_CATALOG": "false",  # `migrate` has created it
        **_environment(options),
    }
    sys.stdout.flush()
    run = [sys.executable, guardian.__file__, str(options.stop_grace_s), sys.executable, *command]
    os.execve(sys.executable, run, environment)


def _refuse_taken_port(host: str, port: int, setting: str) -> None:
    """Raise SettingsInvalid if another server listens there.

    The gRPC library shares ports: an old code server would answer some of the requests.
    """
    if port == 0:
        return
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else str(error.strerror)
        raise SettingsInvalid(
            f"{host}, port {port}, can't be used ({reason}): stop the other server, or choose "
            f"another port with {setting}."
        ) from error
