"""docs/notebook.md: its five lines work unchanged."""

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from callpipeline.config import CHECKOUT, Settings
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.wiring import open_database_url, open_storage
from tests.e2e.installation import environment
from tests.orchestration.lab import Lab
from tests.orchestration.sample_calls import SampleCall, SampleMention, insert_calls
from tests.orchestration.test_marts import refresh, rows

PAGE = (CHECKOUT / "docs" / "notebook.md").read_text()
[BLOCK] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CALL = SampleCall(1, datetime(2026, 3, 2, 12, tzinfo=UTC), mentions=[SampleMention("Vodafone")])


def lines_for(call_id: str, day: date) -> str:
    """Return the lines with another call and day than those on the page."""
    return re.sub(
        r'"\d{4}-\d\d-\d\d"', f'"{day}"', re.sub(r'"[\d-]{11}[0-9a-f]{12}"', f'"{call_id}"', BLOCK)
    )


def test_they_are_five_lines() -> None:
    assert len([line for line in BLOCK.splitlines() if line]) == 5
    assert lines_for("x", date(2026, 3, 2)).count('"x"') == 1


def test_they_load_a_call_and_a_day(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ephemeral instance has no partition of the call."""
    call_id = lab.add_call("call")
    lab.run([call_id])
    [found] = rows(lab, "SELECT day FROM analytics.calls")
    assert refresh(lab, found["day"]).success
    monkeypatch.setattr("callpipeline.definitions.defs", lab.definitions)
    loaded: dict[str, object] = {}
    exec(lines_for(call_id, found["day"]), loaded)
    assert loaded["df"]["competitor"].tolist() == ["Vodafone"]  # pyright: ignore
    assert loaded["day"]["mentions"].tolist() == [1]  # pyright: ignore


@pytest.mark.parametrize("is_up", [True, False])
def test_they_start_the_embedded_database_or_share_it(tmp_path: Path, is_up: bool) -> None:
    settings = Settings(home=tmp_path, _env_file=None)  # pyright: ignore[reportCallIssue]
    output = "\nprint(df.to_json(orient='records'), len(day))"

    def run() -> str:
        command = [
            sys.executable,
            "-W",
            "error",
            "-c",
            lines_for(CALL.call_id, CALL.at.date()) + output,
        ]
        ours = environment(tmp_path)
        return subprocess.run(
            command, env=ours, cwd=CHECKOUT, capture_output=True, text=True, check=True
        ).stdout

    with open_database_url(settings) as url:
        migrate(url)
        with open_storage(settings, url) as storage:
            insert_calls(storage.database, [CALL])
        printed = run() if is_up else ""
    printed = printed or run()
    mentions, days = printed.rsplit(maxsplit=1)
    assert [m["competitor"] for m in json.loads(mentions)] == ["Vodafone"]
    assert days == "0"
