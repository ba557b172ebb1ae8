"""The previous version keeps working while the database is migrated to this one.

Its code is that of the commit before the newest migration, so this needs the history of git.
"""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from callpipeline.config import CHECKOUT
from callpipeline.domain.calls.call import CallState
from callpipeline.storage.postgres.migrations import examine, migrate
from tests.processes import until
from tests.soak.installation import PLAIN, Installation, installed
from tests.soak.script import Script
from tests.soak.tally import tally

pytestmark = pytest.mark.slow

VERSIONS = "callpipeline/storage/postgres/migrations/versions"
CALLS = 50


def git(*words: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(CHECKOUT), *words], capture_output=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def previous_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code before the newest migration."""
    newest = max(path.name for path in (CHECKOUT / VERSIONS).glob("[0-9]*.py"))
    try:
        added = git("log", "--diff-filter=A", "--format=%H", "-1", "--", f"{VERSIONS}/{newest}")
        archive = git(
            "archive", f"{added.decode().strip()}^", "callpipeline", "tests", "dagster.yaml"
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("This is no checkout with the history of git.")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def installation(
    previous_version: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation whose services run the previous code on its schema."""
    own = max(path.name for path in (previous_version / VERSIONS).glob("[0-9]*.py"))
    # Without the working directory, which has the code of today.
    path = {"PYTHONPATH": str(previous_version), "PYTHONSAFEPATH": "1"}
    home = tmp_path_factory.mktemp("upgrade") / "data"
    with installed(home, path, code=PLAIN, schema=own.partition("_")[0]) as installation:
        yield installation


def test_calls_in_flight_survive_a_migration(installation: Installation) -> None:
    before = examine(installation.url)
    assert before.present != before.newest
    keys = [installation.record(Script(n, 2, wait_s=3.0)) for n in range(CALLS)]
    call_ids = installation.register(keys)
    until(lambda: _in_flight(installation, call_ids) >= 10, "ten calls are in flight", 120)
    migrate(installation.url)
    assert _in_flight(installation, call_ids) > 0
    later = installation.register([installation.record(Script(n, 2)) for n in range(60, 70)])
    installation.wait_until_final([*call_ids, *later], 240)
    assert set(installation.states([*call_ids, *later])) == {CallState.COMPLETED}
    result = tally(installation.url, installation.store, [*call_ids, *later])
    print(result)
    assert result.is_clean
    log = installation.services.log("code-server").read_text()
    assert "Traceback" not in log


def _in_flight(installation: Installation, call_ids: list[str]) -> int:
    return installation.states(call_ids).count(CallState.PROCESSING)
