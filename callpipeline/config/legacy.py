"""Environment names of the system that callpipeline replaces, and their meaning here.

An old `.env` keeps working as far as its names have one meaning. Names such as API_KEY may belong
to any program: they count only beside one of `MARKS`, which only the old system has.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

PREFIX = "CALLPIPELINE_"
MIN_KEY_CHARS = 16

Environment = Mapping[str, str]
"""Values by name, in lower case."""

FALSE = frozenset({"0", "false", "no", "off", "f", "n"})


def _is_false(environment: Environment, name: str) -> bool:
    return environment.get(name, "").strip().lower() in FALSE


def _always(environment: Environment) -> str | None:
    return None


def _if_email(environment: Environment) -> str | None:
    """Return why mail settings are left alone, or None if they are complete."""
    if _is_false(environment, "enable_email"):
        return "ENABLE_EMAIL is false"
    for name in ("smtp_host", "smtp_from_email", "notification_emails"):
        if not environment.get(name):
            return f"{name.upper()} is not set"
    return None


def _if_login(environment: Environment) -> str | None:
    if reason := _if_email(environment):
        return reason
    has_both = environment.get("smtp_username") and environment.get("smtp_password")
    return None if has_both else "a mail login needs SMTP_USERNAME and SMTP_PASSWORD"


def _if_slack(environment: Environment) -> str | None:
    return "ENABLE_SLACK is false" if _is_false(environment, "enable_slack") else None


def _if_webhook(environment: Environment) -> str | None:
    return "ENABLE_WEBHOOK is false" if _is_false(environment, "enable_webhook") else None


def _if_long(environment: Environment) -> str | None:
    is_long = len(environment.get("api_key", "")) >= MIN_KEY_CHARS
    return None if is_long else f"it has fewer than {MIN_KEY_CHARS} characters: choose a new key"


def _as_security(text: str) -> str:
    return "none" if text.strip().lower() in FALSE else "starttls"


def _as_addresses(text: str) -> str:
    """Accept JSON lists and semicolons, too."""
    return text.strip().strip("[]").replace('"', "").replace("'", "").replace(";", ",")


@dataclass(frozen=True, slots=True)
class OldName:
    """An old name that is understood as the setting `field`, unless `refuse` says why not."""

    field: str
    refuse: Callable[[Environment], str | None] = _always
    convert: Callable[[str], str] = str.strip


UNDERSTOOD: Mapping[str, OldName] = {
    "auth_url": OldName("auth_url"),
    "auth_username": OldName("auth_username"),
    "auth_password": OldName("auth_password"),
    "split_url": OldName("split_url"),
    "transcription_url": OldName("transcription_url"),
    "sentiment_url": OldName("sentiment_url"),
    "api_key": OldName("api_key", _if_long),
    "smtp_host": OldName("smtp_host", _if_email),
    "smtp_port": OldName("smtp_port", _if_email),
    "smtp_username": OldName("smtp_username", _if_login),
    "smtp_password": OldName("smtp_password", _if_login),
    "smtp_from_email": OldName("email_from", _if_email),
    "smtp_use_tls": OldName("smtp_security", _if_email, _as_security),
    "notification_emails": OldName("email_to", _if_email, _as_addresses),
    "slack_webhook_url": OldName("slack_webhook_url", _if_slack),
    "webhook_url": OldName("notify_webhook_url", _if_webhook),
}

NOT_UNDERSTOOD: Mapping[str, str] = {
    "database_url": (
        "is read as ours as well: callpipeline needs a database of its own, and `callpipeline "
        "import-legacy` reads the old one (docs/migrating.md)"
    ),
    "redis_url": "has no counterpart: callpipeline needs no Redis; the queue is in Postgres",
    "minio_endpoint": "has no effect: set CALLPIPELINE_S3_ENDPOINT, with http:// or https://",
    "minio_access_key": "has no effect: set CALLPIPELINE_S3_ACCESS_KEY_ID",
    "minio_secret_key": "has no effect: set CALLPIPELINE_S3_SECRET_ACCESS_KEY",
    "minio_bucket": "has no effect: set CALLPIPELINE_STORAGE=s3:// and the name of a bucket",
    "minio_secure": "has no effect: CALLPIPELINE_S3_ENDPOINT says http:// or https://",
    "analysis_url": "has no counterpart: callpipeline finds competitors itself",
    "storage_url": "has no counterpart: callpipeline writes to its object store itself",
    "notification_url": "has no counterpart: callpipeline sends notifications itself",
    "frontend_url": (
        "has no effect: set CALLPIPELINE_WEB_CORS_ORIGINS to the old client's address, and "
        "CALLPIPELINE_WEB_API=legacy, to keep using it"
    ),
    "smtp_from_name": "has no effect: write CALLPIPELINE_EMAIL_FROM as Name <address>",
    "webhook_secret": (
        "has no effect: CALLPIPELINE_NOTIFY_WEBHOOK_SECRET signs in another way "
        "(docs/notifications.md)"
    ),
    "enable_email": "is not a setting: a channel is on when its settings are there",
    "enable_webhook": "is not a setting: a channel is on when its settings are there",
    "enable_slack": "is not a setting: a channel is on when its settings are there",
    "notify_on_job_failure": "has no effect: set `call_failed` in CALLPIPELINE_NOTIFY_RULES",
    "notify_on_job_success": "has no effect: set `call_completed` in CALLPIPELINE_NOTIFY_RULES",
    "notify_on_task_failure": "has no effect: set `run_failed` in CALLPIPELINE_NOTIFY_RULES",
    "notify_on_system_error": (
        "has no effect: set `engine_down`, `sensor_failing` and `check_failed` in "
        "CALLPIPELINE_NOTIFY_RULES"
    ),
}
"""Advice for names that have no setting of the same meaning."""

MARKS = frozenset(
    {"split_url", "transcription_url", "sentiment_url", "analysis_url", "storage_url"}
    | {"notification_url"}
    | {name for name in NOT_UNDERSTOOD if name.startswith("notify_on_")}
)


class OldVariable(NamedTuple):
    """A variable of the old system that is set. `field` is the setting that it stands for.

    `problem` says why it has no effect, or what to do about it; None if it is understood.
    """

    name: str
    field: str | None
    problem: str | None


def old_variables(environment: Environment) -> Iterator[OldVariable]:
    """Yield the variables of the old system; none without one of `MARKS`."""
    set_names = {name.lower(): value for name, value in environment.items() if value}
    if not MARKS & set_names.keys():
        return
    for name in sorted(set_names.keys() & (UNDERSTOOD.keys() | NOT_UNDERSTOOD.keys())):
        if old := UNDERSTOOD.get(name):
            reason, ours = old.refuse(set_names), f"{PREFIX}{old.field.upper()}"
            problem = f"has no effect: {reason}; see {ours}" if reason else None
            yield OldVariable(name.upper(), old.field, problem)
        else:
            field = name if name == "database_url" else None
            yield OldVariable(name.upper(), field, NOT_UNDERSTOOD[name])


def variable_of(field: str, environment: Environment) -> str:
    """Return the name by which the environment sets a field: the old one, if only that is set."""
    ours = f"{PREFIX}{field.upper()}"
    names = {name.lower() for name, value in environment.items() if value}
    old = (name for name, each in UNDERSTOOD.items() if each.field == field and name in names)
    return ours if ours.lower() in names else next(old, ours).upper()


def minio_access(environment: Environment) -> tuple[str, str, str] | None:
    """Return the URL, key and secret of the old system's object store, if all are set."""
    found = {name.lower(): value for name, value in environment.items() if value}
    names = ("minio_endpoint", "minio_access_key", "minio_secret_key")
    if not all(name in found for name in names):
        return None
    endpoint, key, secret = (found[name].strip() for name in names)
    is_secure = found.get("minio_secure", "false").strip().lower() not in FALSE
    scheme = "https" if is_secure else "http"
    return (endpoint if "://" in endpoint else f"{scheme}://{endpoint}"), key, secret


class OldNamesSource(PydanticBaseSettingsSource):
    """Reads settings by their old names; every other source takes precedence."""

    def __init__(
        self, settings_class: type[BaseSettings], sources: Collection[PydanticBaseSettingsSource]
    ) -> None:
        super().__init__(settings_class)
        self._environment: dict[str, str] = {}
        for source in sources:
            variables = source.env_vars if isinstance(source, EnvSettingsSource) else {}
            found = {name.lower(): value for name, value in variables.items() if value}
            self._environment = found | self._environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """See the base class, which calls it for none of our sources."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return {
            UNDERSTOOD[each.name.lower()].field: UNDERSTOOD[each.name.lower()].convert(
                self._environment[each.name.lower()]
            )
            for each in old_variables(self._environment)
            if each.field and not each.problem
        }
