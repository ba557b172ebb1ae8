"""`callpipeline up`: everything that a working installation on one machine needs."""

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
from callpipeline.cli import plainly, readiness
from callpipeline.cli.opening import complain, console, opened
from callpipeline.cli.services import Services, refuse_second_operator, sole_operator
from callpipeline.cli.supervision import Supervisor
from callpipeline.config import CHECKOUT, Settings, settings
from callpipeline.errors import EngineUnavailable, SettingsInvalid
from callpipeline.storage.operator import Operator, sole_operator_of

START_TIMEOUT_S = 120.0
CODE = "callpipeline.definitions"
RUN = [plainly.__file__]
"""Runs a module of Dagster, whose log is to be read in any editor."""


def up(
    port: Annotated[
        int | None,
        typer.Option(help="Port of Dagster's UI; 0 takes any that is free.", min=0, max=65535),
    ] = None,
) -> None:
    """Run it all: Postgres, the sensors and runs, Dagster's UI, the web app. Ctrl-C stops it.

    Every recording that lands in the recordings folder or bucket is processed by itself. A service
    that dies is started again; one that dies five times in ten minutes stops it all.
    """
    options = settings()
    _refuse_unguarded(options)
    notifiers = wiring.open_notifiers(options)
    stop = _stop_on_signals()
    with sole_operator(options.home) as alone:
        if not alone:
            refuse_second_operator(options.home)
        ui_port = _free_port(options.port if port is None else port, "--port or CALLPIPELINE_PORT")
        web_port = _free_port(options.web_port, "CALLPIPELINE_WEB_PORT")
        console.print("starting Postgres …", highlight=False)
        with opened() as storage, sole_operator_of(storage.database.url) as operator:
            wiring.load_catalog(options)
            _take_back(storage, options)
            code_port = _free_port(0, "another one")
            environment = {
                "CALLPIPELINE_CODE_SERVER_PORT": str(code_port),
                # Notifications have buttons that lead there.
                "CALLPIPELINE_DAGSTER_UI_URL": options.dagster_ui_url or address(ui_port),
                "CALLPIPELINE_WEB_PORT": str(web_port),
            }
            with Services(options.home / "logs", environment) as services:
                if _start(services, code_port, ui_port, stop) and _serve(
                    services, options.web_host, web_port, stop
                ):
                    _tell(options, ui_port, web_port, [str(n.channel) for n in notifiers])
                _supervise(services, operator, stop)
                console.print("stopping …", highlight=False)


def _stop_on_signals() -> list[int]:
    """A list that gets the signal which asks this process to end."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)

    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, note)
    return asked


def _free_port(wanted: int, by: str) -> int:
    """The wanted port, or any. Raises SettingsInvalid that says what another is chosen `by`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise SettingsInvalid(
                f"Port {wanted} is in use: choose another with {by}; 0 takes any."
            ) from error
        return probe.getsockname()[1]


def _take_back(storage: wiring.Storage, options: Settings) -> None:
    """Calls that an earlier `up` left in the hands of a run, and the files of its work."""
    from callpipeline.defs.runs import take_back

    shutil.rmtree(wiring.workspace(options))
    take_back(storage.claims, nobody_else=options.database_url is None)


def _refuse_unguarded(options: Settings) -> None:
    """Before anything is started, not by the death of the web app."""
    from callpipeline.web.access import refuse_unguarded

    refuse_unguarded(options)


def _start(services: Services, code_port: int, ui_port: int, stop: list[int]) -> bool:
    """Whether Dagster is up; False when it was asked to stop meanwhile."""
    console.print("starting Dagster …", highlight=False)
    workspace = ["-w", str(CHECKOUT / "workspace.yaml")]
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
    """Whether the web app is up, too; it need not listen on 127.0.0.1."""
    services.start("web", ["-m", "callpipeline.web"])
    at = reached(host)
    return _wait_for("web", services, lambda: _answers(port, "/health", at), stop)


def reached(host: str) -> str:
    """The address at which this machine reaches what listens on that one."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))


def _wait_for(name: str, services: Services, answers: Callable[[], bool], stop: list[int]) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and not stop:
        if services.ended():
            raise EngineUnavailable(f"{name} stopped at once:\n{services.last_words(name)}")
        if answers():
            return True
        time.sleep(0.1)
    if stop:
        return False
    raise EngineUnavailable(f"{name} does not answer: see {services.log(name)}.")


def _answers(port: int, path: str | None = None, host: str = "127.0.0.1") -> bool:
    try:
        if path is None:
            socket.create_connection((host, port), timeout=1).close()
            return True
        connection = http.client.HTTPConnection(host, port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False


def _tell(options: Settings, ui_port: int, web_port: int, channels: Sequence[str]) -> None:
    lines = {
        "pages": options.web_url or address(web_port, reached(options.web_host)),
        "Dagster's UI": address(ui_port),
        "recordings": options.recordings_url,
        "competitors": str(options.catalog_path),
        "tells": ", ".join(channels) or "nobody: see docs/notifications.md",
        "logs": str(options.home / "logs"),
    }
    for name, value in lines.items():
        console.print(f"  {name:13}{value}", highlight=False, soft_wrap=True)
    if lack := readiness.trouble(options):
        complain(f"{lack} Calls wait until that is mended and `up` started again.")
    console.print("callpipeline is up. Ctrl-C stops it.", highlight=False)


def address(port: int, host: str = "127.0.0.1") -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _supervise(services: Services, operator: Operator, stop: list[int]) -> None:
    """Until it is asked to stop; raises what makes it impossible to go on."""
    supervisor = Supervisor(services, partial(console.print, highlight=False, soft_wrap=True))
    while not stop:
        operator.check()
        supervisor.look()
        time.sleep(0.2)
