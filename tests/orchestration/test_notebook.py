"""docs/notebook.md: its five lines work as they stand there."""

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from callpipeline.config import CHECKOUT, Settings
from callpipeline.storage.migrations import migrate
from callpipeline.wiring import open_database_url, open_storage
from tests.e2e.installation import environment
from tests.orchestration.known_calls import Known, Named, enter
from tests.orchestration.lab import Lab
from tests.orchestration.test_marts import refresh, rows

PAGE = (CHECKOUT / "docs" / "notebook.md").read_text()
[BLOCK] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CALL = Known(1, datetime(2026, 3, 2, 12, tzinfo=UTC), named=[Named("Vodafone")])


def as_for(call_id: str, day: date) -> str:
    """The lines for another call and another day than those on the page."""
    return re.sub(
        r'"\d{4}-\d\d-\d\d"', f'"{day}"', re.sub(r'"[\d-]{11}[0-9a-f]{12}"', f'"{call_id}"', BLOCK)
    )


def test_they_are_five_lines() -> None:
    assert len([line for line in BLOCK.splitlines() if line]) == 5
    assert as_for("x", date(2026, 3, 2)).count('"x"') == 1


def test_they_load_a_call_and_a_day(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a call that Dagster knows nothing of: an ephemeral instance has no partition."""
    call_id = lab.add_call("call")
    lab.run([call_id])
    [found] = rows(lab, "SELECT day FROM analytics.calls")
    assert refresh(lab, found["day"]).success
    monkeypatch.setattr("callpipeline.definitions.defs", lab.definitions)
    loaded: dict[str, object] = {}
    exec(as_for(call_id, found["day"]), loaded)
    assert loaded["named"]["competitor"].tolist() == ["Vodafone"]  # pyright: ignore
    assert loaded["day"]["mentions"].tolist() == [1]  # pyright: ignore


@pytest.mark.parametrize("is_up", [True, False])
def test_they_start_the_embedded_database_or_share_it(tmp_path: Path, is_up: bool) -> None:
    settings = Settings(home=tmp_path, _env_file=None)  # pyright: ignore[reportCallIssue]
    told = "\nprint(named.to_json(orient='records'), len(day))"

    def ask() -> str:
        command = [sys.executable, "-W", "error", "-c", as_for(CALL.call_id, CALL.at.date()) + told]
        ours = environment(tmp_path)
        return subprocess.run(
            command, env=ours, cwd=CHECKOUT, capture_output=True, text=True, check=True
        ).stdout

    with open_database_url(settings) as url:
        migrate(url)
        with open_storage(settings, url) as storage:
            enter(storage.database, [CALL])
        said = ask() if is_up else ""
    said = said or ask()
    mentions, days = said.rsplit(maxsplit=1)
    assert [m["competitor"] for m in json.loads(mentions)] == ["Vodafone"]
    assert days == "0"
