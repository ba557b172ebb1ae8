"""What the doctor finds wrong with settings: misspelt ones, and ones that are not safe.

Reads names of the environment and of `.env`, never values: those are `config`'s.
"""

import difflib
import ipaddress
import os
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values
from psycopg.conninfo import conninfo_to_dict
from pydantic import AliasChoices

from callpipeline import wiring
from callpipeline.cli.findings import Finding, Level
from callpipeline.config import Settings
from callpipeline.errors import SettingsInvalid
from callpipeline.web.access.starting import refuse_unguarded

PREFIX = "CALLPIPELINE_"
OURS_ALONE = frozenset({"CALLPIPELINE_CODE_SERVER_PORT"})
"""What `up` tells the processes it starts, besides what Dagster needs."""
ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
DEFAULT_PASSWORDS = frozenset(
    {"postgres", "password", "passwort", "callpipeline", "dagster", "admin", "root", "secret",
     "changeme", "change-me", "example", "test", "user", "123456", "12345678"}
)  # fmt: skip
SHORTEST_PASSWORD = 8

Complaint = partial(Finding, "settings")


def examine(options: Settings) -> list[Finding]:
    """Every complaint; without any, how many settings are in effect."""
    names = set(os.environ) | set(_in_file(options))
    known = known_variables(options)
    complaints = [*unknown(names, known), *_unsafe(options), *_database(options)]
    complaints += _unused(options)
    count = sum(name.upper() in known for name in names)
    return complaints or [Complaint(Level.OK, f"{count} are set, and all are known")]


def _in_file(options: Settings) -> Iterable[str]:
    file = options.model_config.get("env_file")
    return dotenv_values(file) if isinstance(file, str | Path) else ()


def known_variables(options: Settings) -> set[str]:
    """The variables that mean something, in capitals."""
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias or PREFIX + name]
        names.update(str(choice).upper() for choice in choices)
    return names | OURS_ALONE | set(wiring.dagster_environment(options, "postgresql://"))


def unknown(names: Collection[str], known: Collection[str]) -> Iterator[Finding]:
    """Variables that look like ours and mean nothing."""
    ours = [name.removeprefix(PREFIX) for name in known]
    for name in sorted(names):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), ours, n=1)
            hint = f": did you mean {PREFIX}{near[0]}?" if near else "; all are in .env.example"
            yield Complaint(Level.WARN, f"{name} is no setting{hint}")


def _unsafe(options: Settings) -> Iterator[Finding]:
    """What crosses the network for anybody to read, or to forge."""
    webhook = options.notify_webhook_url
    plain = {
        "S3_ENDPOINT": (options.s3_endpoint, "recordings and transcripts cross"),
        "NOTIFY_WEBHOOK_URL": (webhook and webhook.get_secret_value(), "notifications cross"),
        "DAGSTER_UI_URL": (options.dagster_ui_url, "what people look at crosses"),
        "SPLIT_URL": (options.split_url, "recordings cross"),
        "TRANSCRIPTION_URL": (options.transcription_url, "recordings cross"),
        "SENTIMENT_URL": (options.sentiment_url, "what is said in calls crosses"),
        "AUTH_URL": (options.auth_url, "a password crosses"),
        "OPENAI_URL": (options.openai_url, "calls cross"),
        "OPENAI_TRANSCRIPTION_URL": (options.openai_transcription_url, "recordings cross"),
        "OPENAI_SENTIMENT_URL": (options.openai_sentiment_url, "what is said in calls crosses"),
    }
    for name, (url, what) in plain.items():
        parts = urlsplit(url or "")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            yield Complaint(
                Level.WARN,
                f"CALLPIPELINE_{name} is http://: {what} the network for anybody to read; use "
                "https://",
            )
    yield from _exposed(options)
    if webhook and not options.notify_webhook_secret:
        yield Complaint(
            Level.WARN,
            "CALLPIPELINE_NOTIFY_WEBHOOK_SECRET is not set: its receiver cannot tell our "
            "notifications from those of others",
        )
    if options.smtp_host and options.smtp_security == "none" and not is_loopback(options.smtp_host):
        yield Complaint(
            Level.WARN,
            "CALLPIPELINE_SMTP_SECURITY is none: mails and the password cross the network for "
            "anybody to read; use starttls or tls",
        )


def _exposed(options: Settings) -> Iterator[Finding]:
    """The web app, where others than this machine reach it."""
    try:
        refuse_unguarded(options)
    except SettingsInvalid as error:
        yield Complaint(Level.BAD, str(error))
    encrypted = options.web_url is not None and options.web_url.startswith("https://")
    if not options.web_on_loopback and not encrypted:
        yield Complaint(
            Level.WARN,
            "CALLPIPELINE_WEB_URL is not https://: passwords, and what is said in calls, cross the "
            "network for anybody to read; put a proxy with TLS before the web app",
        )


def _unused(options: Settings) -> Iterator[Finding]:
    """A server that somebody set up, and forgot to choose: `auto` never takes it."""
    addresses = (options.openai_url, options.openai_transcription_url, options.openai_sentiment_url)
    if any(addresses) and "openai" not in (options.transcriber, options.sentiment):
        yield Complaint(
            Level.WARN,
            "CALLPIPELINE_OPENAI_* name a server that nothing asks: set CALLPIPELINE_TRANSCRIBER "
            "or CALLPIPELINE_SENTIMENT to openai",
        )


def _database(options: Settings) -> Iterator[Finding]:
    if options.database_url is None:
        return
    told = conninfo_to_dict(options.database_url.get_secret_value())
    hosts = str(told.get("hostaddr") or told.get("host") or "").split(",")
    if all(is_loopback(host) for host in hosts):
        return
    mode = str(told.get("sslmode") or os.environ.get("PGSSLMODE", ""))
    if mode not in ENCRYPTED:
        yield Complaint(
            Level.WARN,
            "DATABASE_URL does not insist on encryption: add ?sslmode=require, or better "
            "verify-full with the server's certificate",
        )
    if told.get("password") and is_weak(*(str(told.get(k) or "") for k in ("password", "user"))):
        yield Complaint(
            Level.BAD,
            f"the password in DATABASE_URL is a default one, the user's name, or shorter than "
            f"{SHORTEST_PASSWORD} characters: anybody who reaches {hosts[0]} can read all calls",
        )


def is_weak(password: str, user: str) -> bool:
    """Whether a password is one of the first that are tried."""
    plain = password.casefold()
    return plain in DEFAULT_PASSWORDS | {user.casefold()} or len(password) < SHORTEST_PASSWORD


def is_loopback(host: str) -> bool:
    """Whether a host is this machine; a path, or nothing, is a socket on it."""
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
