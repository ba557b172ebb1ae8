"""The clock is set back and forth by an hour while calls are processed."""

from collections.abc import Iterator

import pytest

from callpipeline.domain.calls.call import CallState
from tests.integration.databases import execute_sql, move_clock
from tests.processes import until
from tests.soak.installation import Installation, installed
from tests.soak.script import Script
from tests.soak.tally import tally

pytestmark = pytest.mark.slow

HOUR_S = 3600.0
CALLS = 3


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("clock") / "data", daemons=0) as installation:
        installation.start_daemon_as_up_does()
        yield installation


@pytest.mark.parametrize("seconds", [-HOUR_S, HOUR_S], ids=["back", "forth"])
def test_no_call_is_lost_and_no_claim_stolen(installation: Installation, seconds: float) -> None:
    """Calls that are being processed go on; those that come after are processed at once."""
    first = 100 if seconds > 0 else 200
    working = _enter(installation, first, wait_s=30.0)
    until(lambda: _attempts(installation, working) == {1}, "all are being processed", 90)
    until(lambda: _has_looked(installation), "the reconciler has looked", 90)
    move_clock(installation.url, seconds)
    later = _enter(installation, first + 10, wait_s=0.0)
    call_ids = working + later
    waited_s = installation.wait_until_final(call_ids, 180)
    assert waited_s < HOUR_S / 2
    assert set(installation.states(call_ids)) == {CallState.COMPLETED}
    counted = tally(installation.url, installation.store, call_ids)
    print(f"clock {seconds:+.0f} s: LOST = {len(counted.lost)}, DUP = {len(counted.dup)}")
    assert counted.is_clean
    runs = {stage[0] for stage in _runs_of(installation, working)}
    assert len(runs) == 1, "the run kept its calls"


def _enter(installation: Installation, first: int, *, wait_s: float) -> list[str]:
    scripts = [Script(first + n, 2, wait_s=wait_s) for n in range(CALLS)]
    return installation.register([installation.record(each) for each in scripts])


def _attempts(installation: Installation, call_ids: list[str]) -> set[int]:
    calls = installation.storage.ledger.calls(call_ids=call_ids)
    held = execute_sql(
        installation.url, "SELECT call_id, attempts FROM calls WHERE claimed_by IS NOT NULL"
    )
    attempts = dict(held)
    return {attempts.get(call.call_id, 0) for call in calls}


def _has_looked(installation: Installation) -> bool:
    looked = execute_sql(
        installation.url, "SELECT seen_at > now() - interval '30 seconds' FROM clock"
    )
    return looked == [(True,)]


def _runs_of(installation: Installation, call_ids: list[str]) -> list[tuple[str]]:
    some = ", ".join(f"'{call_id}'" for call_id in call_ids)
    return execute_sql(
        installation.url, f"SELECT DISTINCT run_id FROM call_stages WHERE call_id IN ({some})"
    )
