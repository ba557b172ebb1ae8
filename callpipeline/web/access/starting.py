"""What must be set before anybody is let in, and how the server of the app must be run."""

from typing import Any

from callpipeline.config import Settings
from callpipeline.errors import SettingsInvalid
from callpipeline.web.heads import LimitedHeads

SERVER: dict[str, Any] = {
    "proxy_headers": False,
    "server_header": False,
    "access_log": False,
    "http": LimitedHeads,
    "ws": "none",
}
"""For uvicorn. It would believe X-Forwarded-For of every program on this machine, write addresses,
with what people search for, to its log, wait for ever for the head of a request, and answer
websockets, of which there are none, itself."""


def refuse_unguarded(options: Settings) -> None:
    """Raises SettingsInvalid where others than this machine would be let in without a login, or
    where settings of logins contradict each other."""
    if options.web_proxy_header and not options.web_trusted_proxies:
        raise SettingsInvalid(
            "CALLPIPELINE_WEB_PROXY_HEADER is believed of proxies that are known: set "
            "CALLPIPELINE_WEB_TRUSTED_PROXIES to their addresses."
        )
    if options.web_is_open and not options.web_on_loopback:
        where = options.web_url or options.web_host
        raise SettingsInvalid(
            f"The web app is for others than this machine ({where}) only where it knows them: "
            "set CALLPIPELINE_WEB_USERS, or CALLPIPELINE_WEB_PROXY_HEADER where a reverse proxy "
            "logs them in (docs/web-access.md)."
        )
    _refuse_unknown_names(options)


def _refuse_unknown_names(options: Settings) -> None:
    """A proxy may name anybody; of our own users a name that nobody has is a slip."""
    if options.web_proxy_header:
        return
    named = {"ADMINS": options.web_admins, "READERS": options.web_readers}
    for setting, names in named.items():
        strangers = [name for name in names or () if name not in options.web_users]
        if strangers:
            raise SettingsInvalid(
                f"CALLPIPELINE_WEB_{setting} names {strangers[0]}, who is not in "
                "CALLPIPELINE_WEB_USERS."
            )
