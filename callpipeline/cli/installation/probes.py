"""Health checks of services on this machine, quick enough to run every few seconds."""

import http.client
from collections.abc import Callable, Mapping
from contextlib import closing

from callpipeline.cli.installation.up import reached
from callpipeline.config import Settings
from callpipeline.errors import CallpipelineError

TIMEOUT_S = 10.0

Probe = Callable[[Settings], str | None]
"""Returns what is wrong with a service, None if it works."""


def _code_server(options: Settings) -> str | None:
    # Deferred, as is the next: other probes need neither gRPC nor the database.
    from callpipeline.defs.dagster_internals.probes import code_server_status

    host = reached(options.code_host)
    return code_server_status(f"{_bracketed(host)}:{options.code_port}", TIMEOUT_S)


def _daemon(options: Settings) -> str | None:
    from callpipeline.defs.dagster_internals.probes import daemon_status

    if options.database_url is None:
        return "DATABASE_URL is not set"
    return daemon_status(options.database_url.get_secret_value(), TIMEOUT_S)


def _worker(options: Settings) -> str | None:
    from callpipeline.defs.dagster_internals.probes import worker_status

    if options.celery_broker is None:
        return "CALLPIPELINE_CELERY_BROKER is not set"
    return worker_status(options.celery_broker.get_secret_value(), TIMEOUT_S)


def _database(options: Settings) -> str | None:
    from callpipeline.storage.postgres.migrations import check_schema

    if options.database_url is None:
        return "DATABASE_URL is not set"
    try:
        check_schema(options.database_url.get_secret_value())
    except CallpipelineError as error:
        return str(error)
    return None


def _ui(options: Settings) -> str | None:
    return _http_status(options.ui_host, options.port, "/server_info")


def _web(options: Settings) -> str | None:
    return _http_status(options.web_host, options.web_port, "/health/ready")


def _engines(options: Settings) -> str | None:
    return _http_status(options.serve_host, options.serve_port, "/health")


def _http_status(host: str, port: int, path: str) -> str | None:
    connection = http.client.HTTPConnection(reached(host), port, timeout=TIMEOUT_S)
    try:
        with closing(connection):
            connection.request("GET", path, headers={"Host": "localhost"})
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer on port {port} ({type(error).__name__})"
    return None if status in (200, 204) else f"{path} answers {status}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


PROBES: Mapping[str, Probe] = {
    "code-server": _code_server,
    "daemon": _daemon,
    "worker": _worker,
    "ui": _ui,
    "web": _web,
    "engines": _engines,
    "database": _database,
}
