"""The web app: HTTP API and pages. It never imports Dagster."""
