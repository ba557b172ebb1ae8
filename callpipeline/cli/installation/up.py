"""The command up: an installation on one machine."""

import http.client
import shutil
import signal
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Annotated

import typer

from callpipeline import wiring
from callpipeline.cli.engines import missing_requirement
from callpipeline.cli.installation.model import fetch_model
from callpipeline.cli.installation.services import (
    Services,
    Supervisor,
    refuse_second_operator,
    sole_operator,
)
from callpipeline.cli.session import (
    apply_time_zone,
    console,
    open_storage_migrated,
    print_error,
)
from callpipeline.config import Settings, settings
from callpipeline.errors import CatalogInvalid, EngineUnavailable, SettingsInvalid
from callpipeline.storage.postgres.locks import OperatorLock, hold_operator_lock

START_TIMEOUT_S = 600.0
"""A service takes 2-10 s, and minutes on a busy machine; one that stops is noticed at once."""
CODE = "callpipeline.definitions"
RUN = ["-m", "callpipeline.defs.dagster_internals.services"]
"""Prefix of commands that run a Dagster module as a service."""


def up(
    port: Annotated[
        int | None,
        typer.Option(help="Port of Dagster's UI; 0 chooses a free one.", min=0, max=65535),
    ] = None,
) -> None:
    """Start Postgres, Dagster's sensors and UI, and the web app. Ctrl-C stops them.

    Recordings that arrive in the recordings folder or bucket are processed automatically. A service
    that dies is restarted; if one dies five times within ten minutes, everything stops.
    """
    options = settings()
    _check_web_settings(options)
    notifiers = wiring.open_notifiers(options)
    with sole_operator(options.home) as alone:
        if not alone:
            refuse_second_operator(options.home)
        ui_port = _free_port(options.port if port is None else port, "--port or CALLPIPELINE_PORT")
        web_port = _free_port(options.web_port, "CALLPIPELINE_WEB_PORT")
        fetch_model(options)
        stop = _stop_on_signals()
        console.print("starting Postgres …", highlight=False)
        with (
            open_storage_migrated() as storage,
            hold_operator_lock(storage.database.url) as operator,
        ):
            apply_time_zone(storage, options.day_zone)
            problems = [*wiring.source_problems(options), *_catalog_problem(options, storage)]
            _reclaim_calls(storage, options)
            code_port = _free_port(0, "another one")
            environment = _service_environment(ui_port, web_port)
            with Services(options.home / "logs", environment) as services:
                dagster_is_up = _start(services, code_port, ui_port, stop)
                if dagster_is_up and _serve(services, options.web_host, web_port, stop):
                    _print_addresses(options, ui_port, web_port, [n.channel for n in notifiers])
                for problem in problems:
                    print_error(f"{problem} The rest works; `callpipeline doctor` shows details.")
                _supervise(services, operator, stop)
                console.print("stopping …", highlight=False)


def _catalog_problem(options: Settings, storage: wiring.Storage) -> list[str]:
    """Return why no competitor list is in force, if so: calls wait until there is one."""
    try:
        wiring.load_catalog(options, storage.catalogs)
    except CatalogInvalid as error:
        return [f"{error} Calls wait for a valid list."]
    return []


def _stop_on_signals() -> list[int]:
    """Return a list that collects the signals asking this process to stop."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, note)
    return received


def _free_port(wanted: int, by: str) -> int:
    """Return the wanted port, or a free one for 0. Raises SettingsInvalid if it is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise SettingsInvalid(
                f"Port {wanted} is in use: choose another with {by}; 0 chooses a free one."
            ) from error
        return probe.getsockname()[1]


def _service_environment(ui_port: int, web_port: int) -> dict[str, str]:
    """Return the variables of all services; notifications link to both ports."""
    return {
        "CALLPIPELINE_PORT": str(ui_port),
        "CALLPIPELINE_WEB_PORT": str(web_port),
    }


def _reclaim_calls(storage: wiring.Storage, options: Settings) -> None:
    """Reclaim calls that an earlier `up` left claimed, and delete its working files."""
    from callpipeline.defs.jobs.process_calls import reclaim_abandoned

    shutil.rmtree(wiring.workspace(options))
    reclaim_abandoned(storage.claims, exclusive=options.database_url is None)


def _check_web_settings(options: Settings) -> None:
    """Fail before anything is started, rather than when the web app does."""
    from callpipeline.web.access import check_settings

    check_settings(options)


def _start(services: Services, code_port: int, ui_port: int, stop: list[int]) -> bool:
    """Start Dagster; returns False if asked to stop in the meantime."""
    console.print("starting Dagster …", highlight=False)
    workspace = ["-w", str(wiring.write_workspace(settings().home / "dagster", code_port))]
    server = [*RUN, "dagster", "api", "grpc", "-m", CODE, "-h", "127.0.0.1", "-p", str(code_port)]
    location = ["--location-name", "callpipeline", "--use-python-environment-entry-point"]
    services.start("code-server", [*server, *location])
    if not _wait_for("code-server", services, lambda: _answers(code_port), stop):
        return False
    services.start("daemon", [*RUN, "dagster._daemon", "run", *workspace])
    ui = [*RUN, "dagster_webserver", "-h", "127.0.0.1", "-p", str(ui_port), *workspace]
    services.start("webserver", [*ui, "--live-data-poll-rate", "30000"])
    return _wait_for("webserver", services, lambda: _answers(ui_port, "/server_info"), stop)


def _serve(services: Services, host: str, port: int, stop: list[int]) -> bool:
    """Start the web app; returns False if asked to stop in the meantime."""
    services.start("web", ["-m", "callpipeline.web"])
    at = reached(host)
    return _wait_for("web", services, lambda: _answers(port, "/health", at), stop)


def reached(host: str) -> str:
    """Return the address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))


def _wait_for(name: str, services: Services, answers: Callable[[], bool], stop: list[int]) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and not stop:
        if services.ended():
            raise EngineUnavailable(f"{name} stopped immediately:\n{services.log_tail(name)}")
        if answers():
            return True
        time.sleep(0.1)
    if stop:
        return False
    raise EngineUnavailable(f"{name} is not responding: see {services.log(name)}.")


def _answers(port: int, path: str | None = None, host: str = "127.0.0.1") -> bool:
    try:
        if path is None:
            socket.create_connection((host, port), timeout=1).close()
            return True
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False


def _print_addresses(
    options: Settings, ui_port: int, web_port: int, channels: Sequence[str]
) -> None:
    pages = options.web_url or address(web_port, reached(options.web_host))
    behind_login = f"{pages.rstrip('/')}/dagster/"
    lines = {
        "pages": pages,
        "Dagster's UI": address(ui_port) if options.web_is_open else behind_login,
        "recordings": options.recordings_url,
        "competitors": str(options.catalog_path),
        "alerts": ", ".join(channels) or "off (docs/notifications.md)",
        "logs": str(options.home / "logs"),
    }
    for name, value in lines.items():
        console.print(f"  {name:13}{value}", highlight=False, soft_wrap=True)
    if problem := missing_requirement(options):
        print_error(f"{problem} Calls wait until you fix this and restart `up`.")
    console.print("callpipeline is up. Ctrl-C stops it.", highlight=False)


def address(port: int, host: str = "127.0.0.1") -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _supervise(services: Services, operator: OperatorLock, stop: list[int]) -> None:
    """Restart services that die until asked to stop. Raises if one keeps dying."""
    supervisor = Supervisor(services, partial(console.print, highlight=False, soft_wrap=True))
    while not stop:
        operator.check()
        supervisor.restart_dead()
        time.sleep(0.2)
