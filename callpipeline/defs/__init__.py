"""Dagster's side: partitions, assets, IO managers, resources, jobs and sensors."""
