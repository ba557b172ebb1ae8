"""The one partitions definition: a key per call. Keys come from `domain/call.py` only."""

import dagster as dg

calls = dg.DynamicPartitionsDefinition(name="calls")


def knowing(*call_ids: str) -> dg.DagsterInstance:
    """A Dagster without a history that has these calls, for notebooks.

    It loads no partition that it does not have, and the keys of old calls are retired.
    """
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(str(calls.name), call_ids)
    return instance
