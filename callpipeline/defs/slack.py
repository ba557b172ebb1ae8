"""Slack's resource: dagster-slack's own, for our messages and for whoever adds assets here."""

import dagster as dg
from dagster_slack import SlackResource
from slack_sdk import WebClient

from callpipeline.config import Settings
from callpipeline.notify.slack import web_client


class SlackBot(SlackResource):
    """dagster-slack's resource, whose client tries once and can be pointed at another API.

    The token is named by its variable: Dagster keeps the values of fields in its database.
    """

    api_url: str | None = None

    def get_client(self) -> WebClient:
        """A client of Slack's Web API."""
        return web_client(self.token, self.api_url)


def slack_resources(options: Settings) -> dict[str, SlackBot]:
    """The resource `slack`, where a bot's token is set."""
    if options.slack_bot_token is None:
        return {}
    token = dg.EnvVar("CALLPIPELINE_SLACK_BOT_TOKEN")
    return {"slack": SlackBot(token=token, api_url=options.slack_api_url)}
