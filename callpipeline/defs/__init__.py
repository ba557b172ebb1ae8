"""Dagster definitions: assets, checks, jobs, sensors, resources and I/O managers."""
