"""The job that makes every asset of a call; sensors and the command line launch it."""

import dagster as dg
from dagster._core.storage.tags import PRIORITY_TAG

from callpipeline.defs.selection import JOB
from callpipeline.domain.call import Stage

UPKEEP_TAG = "callpipeline/upkeep"
"""dagster.yaml lets one run with it go at a time."""
UPKEEP = {UPKEEP_TAG: "true", PRIORITY_TAG: "-10"}
"""Of jobs that keep the house: they can wait, and calls go first."""

process_calls_job = dg.define_asset_job(
    JOB,
    # Checks look at the calls of a day, and not with each batch: `defs/checks` runs them.
    selection=dg.AssetSelection.assets(*(stage.value for stage in Stage)).without_checks(),
    executor_def=dg.in_process_executor,
    description="All stages of a batch of calls: from recordings to competitor sentiment.",
)
