"""Each of two worker machines dies while it processes calls, and comes back.

`python -m benchmarks.workers --kill-for 300` kills one every 30 seconds for five minutes.
"""

from collections.abc import Iterator

import pytest

from callpipeline.domain.calls.call import CallState
from tests.integration.databases import execute_sql
from tests.processes import until
from tests.soak.installation import Installation
from tests.soak.script import Script
from tests.soak.tally import tally
from tests.soak.workers import NO_REDIS, REDIS, kill_machine, with_workers

pytestmark = [pytest.mark.slow, pytest.mark.skipif(REDIS is None, reason=NO_REDIS)]

CALLS = 4
WORKERS = ("worker-1", "worker-2")


@pytest.fixture
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with with_workers(tmp_path_factory.mktemp("machines"), runs=1, slots=2) as installation:
        for name in WORKERS:
            installation.start_worker(name)
        yield installation


def test_nothing_is_lost_or_duplicated_when_machines_die(installation: Installation) -> None:
    call_ids: list[str] = []
    runs: set[str] = set()
    for death, name in enumerate(WORKERS):
        scripts = [Script(death * CALLS + n, 2, wait_s=15.0) for n in range(CALLS)]
        call_ids += installation.register([installation.record(each) for each in scripts])
        until(lambda: len(_holders(installation)) == 2, "both machines process calls", 180)
        runs |= _holders(installation)
        kill_machine(installation, name)
        for script in scripts:
            installation.end_wait(script.number)
        installation.start_worker(name)
        installation.wait_until_final(call_ids, 240)
    counted = tally(installation.url, installation.store, call_ids)
    print(f"{len(WORKERS)} machines died: LOST = {len(counted.lost)}, DUP = {len(counted.dup)}")
    assert counted.is_clean
    assert set(installation.states(call_ids)) == {CallState.COMPLETED}
    with installation.instance() as instance:
        ended = [instance.get_run_by_id(run_id) for run_id in runs]
    assert sum(run is not None and not run.is_success for run in ended) == len(WORKERS)


def _holders(installation: Installation) -> set[str]:
    """Return the runs that process calls."""
    held = "SELECT DISTINCT claimed_by FROM calls WHERE state = 'PROCESSING' AND attempts > 0"
    return {run_id for (run_id,) in execute_sql(installation.url, held) if run_id}
