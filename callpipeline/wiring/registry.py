"""Registry of engines by name: built-in ones, and those of other packages by entry points.

docs/engines.md describes how to add one.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from callpipeline.config import Settings
from callpipeline.domain.calls.call import Lane
from callpipeline.errors import SettingsInvalid

if TYPE_CHECKING:
    from callpipeline.engines.http.breaker import OutageStore
    from callpipeline.engines.http.service import HttpClient
    from callpipeline.engines.http.tokens import LoginTokens

Engine = TypeVar("Engine")
AUTO = "auto"


class EngineRole(StrEnum):
    """The role of an engine, named like the setting that chooses it."""

    SPLITTER = "splitter"
    TRANSCRIBER = "transcriber"
    SENTIMENT = "sentiment"

    @property
    def entry_point_group(self) -> str:
        """Return the entry point group in which other packages register engines of this role."""
        return f"callpipeline.{self}"


@dataclass
class EngineContext:
    """Resources for engine factories; `exit_stack` closes resources when the run ends.

    `hints` are words to bias recognisers towards. `outages` is shared by all runs. `requested_by`
    describes the engine being built, for error messages.
    """

    settings: Settings
    exit_stack: ExitStack
    lane: Lane = Lane.LIVE
    hints: Sequence[str] = field(default_factory=tuple)
    outages: "OutageStore | None" = None
    requested_by: str = "the chosen engine"

    @cached_property
    def http(self) -> "HttpClient":
        """Return the HTTP client that all services of the run share."""
        from callpipeline.engines.http.breaker import InMemoryOutages
        from callpipeline.engines.http.connections import HttpLimits
        from callpipeline.engines.http.service import HttpClient

        limits = HttpLimits(
            connect_s=self.settings.connect_timeout_s,
            read_s=self.settings.read_timeout_s,
            request_s=self.settings.request_timeout_s,
        )
        return self.exit_stack.enter_context(
            closing(HttpClient(limits, self.outages or InMemoryOutages()))
        )

    @cached_property
    def tokens(self) -> "LoginTokens":
        """Return the login that all services of the run share. Raises SettingsInvalid."""
        from callpipeline.engines.http.tokens import CHECK_CREDENTIALS, LoginTokens

        options = self.settings
        auth = self.http.service(
            "auth",
            self.require("auth_url"),
            failures_are_outages=True,
            unauthorized_hint=CHECK_CREDENTIALS,
        )
        username, password = self.require("auth_username"), self.require("auth_password")
        return LoginTokens(
            auth, username, password.get_secret_value(), fresh=options.auth_fresh_tokens
        )

    @property
    def language(self) -> str:
        """Return the spoken language. Raises SettingsInvalid for `auto`."""
        if (language := self.language_or_none) is None:
            raise SettingsInvalid(
                "CALLPIPELINE_LANGUAGE is auto, but the chosen recogniser can't detect it: "
                "set the language, as in CALLPIPELINE_LANGUAGE=en."
            )
        return language

    @property
    def language_or_none(self) -> str | None:
        """Return the spoken language; None if the engine should detect it."""
        return recogniser_language(self.settings)

    def require(self, setting: str) -> Any:
        """Return the value of a setting. Raises SettingsInvalid if it isn't set."""
        value = getattr(self.settings, setting)
        if value is None:
            raise SettingsInvalid(
                f"Set CALLPIPELINE_{setting.upper()}: {self.requested_by} needs it."
            )
        return value


def recogniser_language(settings: Settings) -> str | None:
    """Return the recogniser's language (ISO 639); None if it detects the language."""
    return None if settings.language == AUTO else settings.language


EngineFactory = Callable[[EngineContext], Any]


def refuse_two_credentials(setting: str, url: str, other: str) -> None:
    """Raise SettingsInvalid for a URL with credentials if a token is configured as well."""
    if urlsplit(url).username is not None:
        raise SettingsInvalid(
            f"CALLPIPELINE_{setting.upper()} contains a user name and password, and {other} is "
            "set: remove one of them."
        )


def build_engine(
    role: EngineRole, name: str, own: Mapping[str, EngineFactory], context: EngineContext
) -> Any:
    """Build the engine of that name. Raises SettingsInvalid."""
    context.requested_by = f"the engine {name} (CALLPIPELINE_{role.upper()})"
    if name in own:
        return own[name](context)
    # Reads the metadata of every installed package.
    others = {point.name: point for point in entry_points(group=role.entry_point_group)}
    if name in others:
        return others[name].load()(context)
    available = ", ".join(sorted({AUTO, *own, *others}))
    raise SettingsInvalid(
        f"CALLPIPELINE_{role.upper()}: unknown engine {name}; available: {available}."
    )
