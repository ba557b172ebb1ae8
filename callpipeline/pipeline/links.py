"""Addresses of pages that others lead to: the web app's, and those of Dagster's UI."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Links:
    """`app_url` and `dagster_url` are where people reach the web app and Dagster's UI."""

    app_url: str
    dagster_url: str

    def call(self, call_id: str) -> str:
        """The call's page: its state, what to do, its words."""
        return f"{self.app_url}/calls/{call_id}"

    def partition(self, call_id: str, stage: str | None) -> str:
        """The call's partition of the asset that it failed at."""
        asset = "channel_audio" if stage in (None, "run") else stage
        return f"{self.dagster_url}/assets/{asset}?view=partitions&partition={call_id}"

    def run(self, run_id: str) -> str:
        return f"{self.dagster_url}/runs/{run_id}"
