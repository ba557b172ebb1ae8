"""The partitions definition of calls, and the names of jobs, ops and run tags."""

from collections.abc import Sequence

import dagster as dg

from callpipeline.defs.dagster_internals.tables import PRIORITY_TAG

PARTITIONS_NAME = "calls"
"""Name under which Dagster stores the keys."""
calls = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)


def instance_for(*call_ids: str) -> dg.DagsterInstance:
    """Return an ephemeral instance that has these calls as partitions, for notebooks.

    Loading a partition requires its key, and the keys of old calls are retired.
    """
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(PARTITIONS_NAME, call_ids)
    return instance


def restore_keys(call_ids: Sequence[str]) -> list[str]:
    """Add the keys of these calls that were retired, and return them.

    A person can then materialize old calls in Dagster's UI.
    """
    if not call_ids:
        return []
    with dg.DagsterInstance.get() as instance:
        existing = set(instance.get_dynamic_partitions(PARTITIONS_NAME))
        retired = [call_id for call_id in call_ids if call_id not in existing]
        if retired:
            instance.add_dynamic_partitions(PARTITIONS_NAME, retired)
    return retired


PROCESS_CALLS_OP = "process_calls"
PROCESS_CALLS_JOB = "process_waiting_calls"
"""Differs from the op: Dagster rejects a job and an op with the same name."""
REMATCH_OP = "rematch"
REMATCH_JOB = "rematch_calls"
BATCH_TAG = "callpipeline/batch"
LANE_TAG = "callpipeline/lane"
"""dagster.yaml limits the concurrent runs of the bulk lane by this tag."""
UPKEEP_TAG = "callpipeline/upkeep"
"""dagster.yaml allows one run with this tag at a time."""
UPKEEP_TAGS = {UPKEEP_TAG: "true", PRIORITY_TAG: "-10"}
"""Tags of maintenance jobs, which run after calls."""
