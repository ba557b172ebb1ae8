"""Configured notification channels, and the notification policy."""

from dataclasses import replace
from datetime import time
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.notifications import (
    NotificationChannel,
    NotificationPolicy,
    QuietHours,
    Routing,
)
from callpipeline.errors import SettingsInvalid
from callpipeline.notify.ports import Notifier
from callpipeline.pipeline.notifications.composing import Links
from callpipeline.pipeline.notifications.dispatch import Dispatcher
from callpipeline.storage.notifications import Outbox

REQUIRED_TOGETHER = (
    ("slack_bot_token", "slack_channel"),
    ("slack_channel", "slack_bot_token"),
    ("smtp_host", "email_from"),
    ("smtp_host", "email_to"),
    ("email_to", "smtp_host"),
    ("smtp_username", "smtp_password"),
    ("notify_webhook_secret", "notify_webhook_url"),
)
"""Pairs of settings; the first requires the second."""


def open_dispatcher(settings: Settings, outbox: Outbox, slack: object = None) -> Dispatcher:
    """Build the dispatcher; `slack` is an existing client of Slack's Web API, if any."""
    policy = notification_policy(settings)
    links = open_links(settings)
    notifiers = open_notifiers(settings, slack)
    return Dispatcher(outbox, notifiers, policy, links, policy.zone, quotes=outbox.quotes)


def open_links(settings: Settings) -> Links:
    """Return the base URLs of pages as users reach them.

    Where there is a login, Dagster's UI is behind that of the web app.
    """
    loopback = "http://127.0.0.1"
    app_url = (settings.web_url or f"{loopback}:{settings.web_port}").rstrip("/")
    own_port = f"{loopback}:{settings.port}" if settings.web_is_open else f"{app_url}/dagster"
    return Links(app_url=app_url, dagster_url=(settings.dagster_ui_url or own_port).rstrip("/"))


def page_links(settings: Settings) -> Links:
    """Return the base URLs for links on the pages of the web app itself.

    Behind its login they are relative: users reach the app by addresses that no setting names.
    """
    links = open_links(settings)
    if settings.web_is_open or settings.dagster_ui_url:
        return links
    return replace(links, dagster_url="/dagster")


def open_notifiers(settings: Settings, slack: object = None) -> list[Notifier]:
    """Build a notifier for each configured channel. Raises SettingsInvalid."""
    _require_pairs(settings)
    factories = {
        NotificationChannel.SLACK: lambda: _slack(settings, slack),
        NotificationChannel.EMAIL: lambda: _email(settings),
        NotificationChannel.WEBHOOK: lambda: _webhook(settings),
    }
    return [factories[channel]() for channel in sorted(configured_channels(settings))]


def notification_policy(settings: Settings) -> NotificationPolicy:
    """Return when and where notifications are sent."""
    zone = ZoneInfo(settings.message_zone)
    return NotificationPolicy(
        routing=Routing(configured_channels(settings), settings.notify_rules),
        window_s=settings.notify_window_s,
        quiet=_quiet_hours(settings.notify_quiet_hours, zone),
        digest_at=time.fromisoformat(settings.notify_digest_at)
        if settings.notify_digest_at
        else None,
        zone=zone,
        quote_channels=frozenset(settings.notify_quotes or ()),
    )


def configured_channels(settings: Settings) -> frozenset[NotificationChannel]:
    """Return the configured channels."""
    targets = {
        NotificationChannel.SLACK: settings.slack_bot_token or settings.slack_webhook_url,
        NotificationChannel.EMAIL: settings.smtp_host,
        NotificationChannel.WEBHOOK: settings.notify_webhook_url,
    }
    return frozenset(channel for channel, target in targets.items() if target)


def _require_pairs(settings: Settings) -> None:
    for name, other in REQUIRED_TOGETHER:
        if getattr(settings, name) and not getattr(settings, other):
            raise SettingsInvalid(
                f"CALLPIPELINE_{name.upper()} is set but CALLPIPELINE_{other.upper()} is not: "
                "set both."
            )


def _slack(settings: Settings, client: object) -> Notifier:
    from slack_sdk import WebClient

    from callpipeline.notify.slack import SlackBotNotifier, SlackWebhookNotifier, web_client

    if settings.slack_bot_token:
        token = settings.slack_bot_token.get_secret_value()
        existing = client if isinstance(client, WebClient) else None
        used = existing or web_client(token, settings.slack_api_url)
        return SlackBotNotifier(used, settings.slack_channel or "")
    return SlackWebhookNotifier(_secret(settings.slack_webhook_url))


def _email(settings: Settings) -> Notifier:
    from callpipeline.notify.email import EmailNotifier, SmtpServer

    server = SmtpServer(
        host=settings.smtp_host or "",
        security=settings.smtp_security,
        port=settings.smtp_port,
        username=settings.smtp_username,
        password=_secret(settings.smtp_password) or None,
        ca_file=settings.smtp_ca_file,
    )
    return EmailNotifier(server, settings.email_from or "", settings.email_to or ())


def _webhook(settings: Settings) -> Notifier:
    from callpipeline.notify.webhook import WebhookNotifier, signing_keys

    keys = signing_keys(_secret(settings.notify_webhook_secret))
    return WebhookNotifier(_secret(settings.notify_webhook_url), keys)


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value else ""


def _quiet_hours(text: str | None, zone: ZoneInfo) -> QuietHours | None:
    if not text:
        return None
    begin, end = map(time.fromisoformat, text.split("-"))
    return QuietHours(begin, end, zone)
