"""Engines by name: our own, and those of other packages, which announce theirs as entry points.

How to add one is told in docs/engines.md, in three steps.
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
from callpipeline.domain.call import Lane
from callpipeline.errors import SettingsInvalid

if TYPE_CHECKING:
    from callpipeline.engines.http.breaker import Outages
    from callpipeline.engines.http.client import Http
    from callpipeline.engines.http.token import LoginTokens

Engine = TypeVar("Engine")
AUTO = "auto"


class Role(StrEnum):
    """What an engine does; each is the name of the setting that chooses it."""

    SPLITTER = "splitter"
    TRANSCRIBER = "transcriber"
    SENTIMENT = "sentiment"

    @property
    def entry_points(self) -> str:
        """The group in which other packages announce engines of this role."""
        return f"callpipeline.{self}"


@dataclass
class Parts:
    """What an engine may be made of. `opened` closes what it is given when the run is over.

    `hints` are words that are likely to be said; `outages` what runs know of services, together;
    `wanted_by` is the engine that is being made, for people.
    """

    settings: Settings
    opened: ExitStack
    lane: Lane = Lane.LIVE
    hints: Sequence[str] = field(default_factory=tuple)
    outages: "Outages | None" = None
    wanted_by: str = "the chosen engine"

    @cached_property
    def http(self) -> "Http":
        """The client that all services of the run share."""
        from callpipeline.engines.http.breaker import OwnOutages
        from callpipeline.engines.http.client import Http, Limits

        limits = Limits(
            connect_s=self.settings.connect_timeout_s,
            read_s=self.settings.read_timeout_s,
            request_s=self.settings.request_timeout_s,
        )
        return self.opened.enter_context(closing(Http(limits, self.outages or OwnOutages())))

    @cached_property
    def tokens(self) -> "LoginTokens":
        """The login that all services of the run share. Raises SettingsInvalid."""
        from callpipeline.engines.http.token import CHECK, LoginTokens

        options = self.settings
        auth = self.http.service(
            "auth", self.needed("auth_url"), serves_no_call=True, if_unknown=CHECK
        )
        username, password = self.needed("auth_username"), self.needed("auth_password")
        return LoginTokens(
            auth, username, password.get_secret_value(), fresh=options.auth_fresh_tokens
        )

    @property
    def language(self) -> str:
        """What is spoken, for an engine that must know. Raises SettingsInvalid for `auto`."""
        spoken = language_heard(self.settings)
        if spoken is None:
            raise SettingsInvalid(
                "CALLPIPELINE_LANGUAGE is auto, and the chosen recogniser does not find out itself "
                "what is spoken: name the language, as in CALLPIPELINE_LANGUAGE=en."
            )
        return spoken

    @property
    def language_or_none(self) -> str | None:
        """What is spoken; None where the engine is to find out."""
        return language_heard(self.settings)

    def needed(self, setting: str) -> Any:
        """The value of a setting. Raises SettingsInvalid where it has none."""
        value = getattr(self.settings, setting)
        if value is None:
            raise SettingsInvalid(f"Set CALLPIPELINE_{setting.upper()}: {self.wanted_by} needs it.")
        return value


def language_heard(settings: Settings) -> str | None:
    """Which language the recogniser hears, as in ISO 639; None where it finds out by itself."""
    return None if settings.language == AUTO else settings.language


Build = Callable[[Parts], Any]


def refuse_two_logins(setting: str, url: str, other: str) -> None:
    """Raises SettingsInvalid for an address with a name and password where a token goes along."""
    if urlsplit(url).username is not None:
        raise SettingsInvalid(
            f"CALLPIPELINE_{setting.upper()} has a name and password in it, and {other} is set: a "
            "request has room for one of the two."
        )


def build(role: Role, name: str, own: Mapping[str, Build], parts: Parts) -> Any:
    """The engine of that name. Raises SettingsInvalid where there is none, or it cannot be made."""
    others = {point.name: point for point in entry_points(group=role.entry_points)}
    parts.wanted_by = f"the engine {name} (CALLPIPELINE_{role.upper()})"
    if name in own:
        return own[name](parts)
    if name in others:
        return others[name].load()(parts)
    known = ", ".join(sorted({AUTO, *own, *others}))
    raise SettingsInvalid(f"CALLPIPELINE_{role.upper()}: there is no {name}; there are {known}.")
