"""The pipeline: what happens to calls, by ports; it imports neither adapters nor Dagster."""
