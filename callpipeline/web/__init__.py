"""The HTTP API. It never imports Dagster: it reads and writes what Dagster's side does."""
