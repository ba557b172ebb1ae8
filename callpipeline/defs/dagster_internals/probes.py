"""Health checks of Dagster's processes that do not import Dagster, which takes two seconds.

`python -m callpipeline.defs.dagster_internals.probes code-server` (or `daemon`, `worker`) exits
with 1 and says what is wrong: containers run it every few seconds, and `callpipeline health`
imports far more.
"""

import socket
import sys
from datetime import UTC, datetime, timedelta

import psycopg

from callpipeline.config import settings

SERVICE = "DagsterApi"
"""Name by which the code server reports its health, in the health protocol of gRPC."""
QUEUE = "callpipeline"
"""Name of Celery's queue, and of its workers before the `@`."""
TIMEOUT_S = 10.0
HEARTBEAT_TIMEOUT = timedelta(minutes=2)
"""The daemon sends a heartbeat every 30 s."""
_LAST_HEARTBEATS = """
    SELECT daemon_type, timestamp FROM public.daemon_heartbeats
    WHERE daemon_type IN ('SENSOR', 'SCHEDULER', 'QUEUED_RUN_COORDINATOR')
"""


def code_server_status(target: str, timeout_s: float) -> str | None:
    """Return what is wrong with the code server at `host:port`, None if it serves."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(target) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # pyright: ignore[reportAttributeAccessIssue]
        try:
            answer = check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=timeout_s)
        except grpc.RpcError as error:
            code = error.code() if isinstance(error, grpc.Call) else None
            return f"no answer at {target} ({code.name if code else 'failed'})"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return "it is not serving"


def daemon_status(url: str, timeout_s: float) -> str | None:
    """Return what is wrong with the daemon that uses a database, None if all its duties work."""
    try:
        with psycopg.connect(
            url, connect_timeout=round(timeout_s), options="-c TimeZone=UTC"
        ) as connection:
            beats = connection.execute(_LAST_HEARTBEATS).fetchall()
    except psycopg.errors.UndefinedTable:
        beats = []
    except psycopg.Error as error:
        return f"the database did not respond ({type(error).__name__})"
    if not beats:
        return "it has not started"
    newest = max(beat.replace(tzinfo=UTC) for _, beat in beats)
    if (age := datetime.now(UTC) - newest) > HEARTBEAT_TIMEOUT:
        return f"its last heartbeat was {age.total_seconds():.0f} s ago"
    silent = sorted(
        duty.lower()
        for duty, beat in beats
        if newest - beat.replace(tzinfo=UTC) > HEARTBEAT_TIMEOUT
    )
    return f"no heartbeat of {', '.join(silent)}" if silent else None


def worker_name(number: int | str) -> str:
    """Return the name of the Celery worker of this machine with a process id."""
    return f"{QUEUE}@{socket.gethostname()}-{number}"


def worker_status(broker: str, timeout_s: float) -> str | None:
    """Return what is wrong with the Celery workers of this machine, None if one answers."""
    try:
        from celery import Celery
        from kombu.exceptions import OperationalError
    except ImportError:
        return "the extra celery is not installed"
    once = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    limits = {"socket_connect_timeout": timeout_s, "socket_timeout": timeout_s}
    with Celery(broker=broker) as app:
        app.conf.broker_transport_options = once | limits
        asked = {"pattern": worker_name("*"), "matcher": "glob", "limit": 1}
        try:
            answers = app.control.ping(timeout=timeout_s, **asked)
        except (OperationalError, OSError) as error:
            return f"the broker did not respond ({type(error).__name__})"
    return None if answers else "no worker on this machine answers"


def main() -> None:
    """Check the service that the first argument names."""
    options, url = settings(), settings().database_url
    if sys.argv[1:] == ["code-server"]:
        problem = code_server_status(f"127.0.0.1:{options.code_port}", TIMEOUT_S)
    elif sys.argv[1:] == ["worker"]:
        broker = options.celery_broker
        problem = worker_status(broker.get_secret_value() if broker else "", TIMEOUT_S)
    else:
        problem = daemon_status(url.get_secret_value() if url else "", TIMEOUT_S)
    sys.exit(problem)


if __name__ == "__main__":
    main()
