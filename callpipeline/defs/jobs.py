"""The job that makes every asset of a call; sensors and the command line launch it."""

import dagster as dg

from callpipeline.defs.selection import JOB
from callpipeline.domain.call import Stage

process_calls_job = dg.define_asset_job(
    JOB,
    # Checks look at the calls of a day, and not with each batch: `defs/checks` runs them.
    selection=dg.AssetSelection.assets(*(stage.value for stage in Stage)).without_checks(),
    executor_def=dg.in_process_executor,
    description="All stages of a batch of calls: from recordings to competitor sentiment.",
)
