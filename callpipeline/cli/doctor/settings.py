"""Examine the settings: unknown names and unsafe values.

Only names are read from the environment and `.env`; values come from `config`.
"""

import difflib
import ipaddress
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values
from psycopg.conninfo import conninfo_to_dict
from pydantic import AliasChoices

from callpipeline import wiring
from callpipeline.cli.doctor.findings import DoctorFinding, FindingLevel
from callpipeline.config import Settings, environment
from callpipeline.config.legacy import old_variables
from callpipeline.errors import SettingsInvalid
from callpipeline.web.access.setup import check_settings

PREFIX = "CALLPIPELINE_"
ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
DEFAULT_PASSWORDS = frozenset(
    {"postgres", "password", "passwort", "callpipeline", "dagster", "admin", "root", "secret",
     "changeme", "change-me", "example", "test", "user", "123456", "12345678"}
)  # fmt: skip
SHORTEST_PASSWORD = 8

SettingsFinding = partial(DoctorFinding, "settings")


def examine(options: Settings) -> list[DoctorFinding]:
    """Return the problems found, or how many settings are in effect."""
    names = set(os.environ) | set(_in_file(options))
    known = known_variables(options)
    findings = [*unknown(names, known), *_unsafe(options), *_database(options)]
    findings += _unused(options)
    findings += old_names(environment())
    count = sum(name.upper() in known for name in names)
    return findings or [SettingsFinding(FindingLevel.OK, f"{count} set, no problems")]


def _in_file(options: Settings) -> Iterable[str]:
    file = options.model_config.get("env_file")
    return dotenv_values(file) if isinstance(file, str | Path) else ()


def old_names(variables: Mapping[str, str]) -> Iterator[DoctorFinding]:
    """Report each variable of the old system, with the setting that replaces it."""
    current = {name.upper() for name, value in variables.items() if value}
    for name, field, problem in old_variables(variables):
        ours = f"{PREFIX}{field.upper()}" if field else ""
        if ours in current:
            yield SettingsFinding(FindingLevel.OK, f"{name} is ignored, since {ours} is set")
        elif problem:
            # Commands refuse the old database, so this one is ours.
            level = FindingLevel.OK if name == "DATABASE_URL" else FindingLevel.WARN
            yield SettingsFinding(level, f"{name} (of the old system) {problem}")
        else:
            yield SettingsFinding(
                FindingLevel.OK, f"{name} (of the old system) is read as {ours}: rename it"
            )


def known_variables(options: Settings) -> set[str]:
    """Return the names of all variables that have a meaning, in capitals."""
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias or PREFIX + name]
        names.update(str(choice).upper() for choice in choices)
    return names | set(wiring.dagster_environment(options, "postgresql://"))


def unknown(names: Collection[str], known: Collection[str]) -> Iterator[DoctorFinding]:
    """Report variables with the prefix of callpipeline that are not settings."""
    ours = [name.removeprefix(PREFIX) for name in known]
    for name in sorted(names):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), ours, n=1)
            hint = f": did you mean {PREFIX}{near[0]}?" if near else "; all are in .env.example"
            yield SettingsFinding(FindingLevel.WARN, f"{name} is not a setting{hint}")


def _unsafe(options: Settings) -> Iterator[DoctorFinding]:
    """Report connections over the network that can be read or forged."""
    webhook = options.notify_webhook_url
    plain = {
        "S3_ENDPOINT": (options.s3_endpoint, "recordings and transcripts cross"),
        "NOTIFY_WEBHOOK_URL": (webhook and webhook.get_secret_value(), "notifications cross"),
        "DAGSTER_UI_URL": (options.dagster_ui_url, "pages cross"),
        "SPLIT_URL": (options.split_url, "recordings cross"),
        "TRANSCRIPTION_URL": (options.transcription_url, "recordings cross"),
        "SENTIMENT_URL": (options.sentiment_url, "transcripts cross"),
        "AUTH_URL": (options.auth_url, "a password crosses"),
        "OPENAI_URL": (options.openai_url, "calls cross"),
        "OPENAI_TRANSCRIPTION_URL": (options.openai_transcription_url, "recordings cross"),
        "OPENAI_SENTIMENT_URL": (options.openai_sentiment_url, "transcripts cross"),
    }
    for name, (url, what) in plain.items():
        parts = urlsplit(url or "")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            yield SettingsFinding(
                FindingLevel.WARN,
                f"CALLPIPELINE_{name} is http://: {what} the network unencrypted; use https://",
            )
    yield from _exposed(options)
    if webhook and not options.notify_webhook_secret:
        yield SettingsFinding(
            FindingLevel.WARN,
            "CALLPIPELINE_NOTIFY_WEBHOOK_SECRET is not set: the receiver can't verify who sent "
            "a notification",
        )
    if options.smtp_host and options.smtp_security == "none" and not is_loopback(options.smtp_host):
        yield SettingsFinding(
            FindingLevel.WARN,
            "CALLPIPELINE_SMTP_SECURITY is none: mails and the password cross the network "
            "unencrypted; use starttls or tls",
        )


def _exposed(options: Settings) -> Iterator[DoctorFinding]:
    """Check the web app if it is reachable from other machines."""
    try:
        check_settings(options)
    except SettingsInvalid as error:
        yield SettingsFinding(FindingLevel.BAD, str(error))
    encrypted = options.web_url is not None and options.web_url.startswith("https://")
    if not options.web_on_loopback and not encrypted:
        yield SettingsFinding(
            FindingLevel.WARN,
            "CALLPIPELINE_WEB_URL is not https://: passwords and transcripts cross the network "
            "unencrypted; put a proxy with TLS in front of the web app",
        )


def _unused(options: Settings) -> Iterator[DoctorFinding]:
    """Report an OpenAI server that is configured but not chosen: `auto` never uses it."""
    addresses = (options.openai_url, options.openai_transcription_url, options.openai_sentiment_url)
    if any(addresses) and "openai" not in (options.transcriber, options.sentiment):
        yield SettingsFinding(
            FindingLevel.WARN,
            "CALLPIPELINE_OPENAI_* name a server that isn't used: set CALLPIPELINE_TRANSCRIBER "
            "or CALLPIPELINE_SENTIMENT to openai",
        )


def _database(options: Settings) -> Iterator[DoctorFinding]:
    if options.database_url is None:
        return
    parameters = conninfo_to_dict(options.database_url.get_secret_value())
    hosts = str(parameters.get("hostaddr") or parameters.get("host") or "").split(",")
    if all(is_loopback(host) for host in hosts):
        return
    mode = str(parameters.get("sslmode") or os.environ.get("PGSSLMODE", ""))
    if mode not in ENCRYPTED:
        yield SettingsFinding(
            FindingLevel.WARN,
            "DATABASE_URL does not require encryption: add ?sslmode=require, or better "
            "verify-full with the server's certificate",
        )
    if parameters.get("password") and is_weak(
        *(str(parameters.get(k) or "") for k in ("password", "user"))
    ):
        yield SettingsFinding(
            FindingLevel.BAD,
            f"the password in DATABASE_URL is a default one, the user's name, or shorter than "
            f"{SHORTEST_PASSWORD} characters: anyone who can reach {hosts[0]} can read all calls",
        )


def is_weak(password: str, user: str) -> bool:
    """Return True for a password that is guessed first."""
    plain = password.casefold()
    return plain in DEFAULT_PASSWORDS | {user.casefold()} or len(password) < SHORTEST_PASSWORD


def is_loopback(host: str) -> bool:
    """Return True if a host is this machine; a path or nothing means a local socket."""
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
