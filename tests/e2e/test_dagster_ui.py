"""Dagster's UI in a browser: assets, partitions, runs and checks.

Screenshots go to tests/screenshots.
"""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from callpipeline.pipeline.quality.checks import CHECKS
from tests.e2e.installation import ROOT, Up
from tests.processes import until

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SCREENSHOTS = ROOT / "tests" / "screenshots"
OPTIONS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
]
GROUPS = ("audio", "transcription", "competitors")
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
CHECKED = """
query Checked($id: ID!) {
  runOrError(runId: $id) { ... on Run { status eventConnection(limit: 1000) {
    events { ... on AssetCheckEvaluationEvent { evaluation { checkName success } } }
  } } }
  schedulesOrError(repositorySelector: {
    repositoryName: "__repository__", repositoryLocationName: "callpipeline"
  }) { ... on Schedules { results { name scheduleState { status } } } }
}
"""
RUNS = "{ runsOrError { ... on Runs { results { runId status jobName } } } }"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of Debian's Chromium, since no browser can be downloaded."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    SCREENSHOTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def expect_visible(page: Page, *texts: str) -> None:
    for text in texts:
        expect(page.get_by_text(text).locator("visible=true").first).to_be_visible()


def test_the_asset_graph_shows_groups_and_descriptions(page: Page, up: Up) -> None:
    groups = ",".join(f"global@global:{name}" for name in GROUPS)
    page.goto(f"{up.ui}/asset-groups/?expanded={groups}")
    expect_visible(page, *GROUPS)
    expect_visible(page, "recordings", "channel_audio", "call_metrics", "transcripts")
    expect_visible(page, "_mentions", "_sentiment")
    page.locator("foreignObject").get_by_text("transcripts", exact=True).first.click()
    expect_visible(page, "Speech of each speaker, as words with times and confidence.")
    page.screenshot(path=SCREENSHOTS / "asset-graph.png")


def test_the_lineage_of_a_mart_shows_the_assets_of_a_call(page: Page, up: Up) -> None:
    page.goto(f"{up.ui}/assets/daily_competitors?view=lineage&lineageScope=upstream")
    expect_visible(page, "daily_competitors", "_mentions", "_sentiment", "recordings")
    page.screenshot(path=SCREENSHOTS / "lineage-of-a-mart.png")


def test_the_partitions_of_transcripts_are_the_calls(page: Page, up: Up) -> None:
    page.goto(f"{up.ui}/assets/transcripts?view=partitions")
    expect_visible(
        page,
        up.call("good.wav")["call_id"],
        up.call("bad.mp3")["call_id"],
        "Failed (1)",
        "Materialized (2)",
    )
    page.screenshot(path=SCREENSHOTS / "partitions-of-transcripts.png")


def test_a_run_with_a_failed_call_shows_which_and_why(page: Page, up: Up) -> None:
    runs = up.graphql(RUNS)["runsOrError"]["results"]
    batch = next(run for run in reversed(runs) if run["jobName"] == "process_waiting_calls")
    assert batch["status"] == "FAILURE"
    page.set_viewport_size({"width": 1500, "height": 1900})
    page.goto(f"{up.ui}/runs/{batch['runId']}")
    expect_visible(page, "ASSET_MATERIALIZATION", "STEP_FAILURE")
    expect_visible(page, "1 of 3 calls failed")
    page.screenshot(path=SCREENSHOTS / "run-with-one-failed-call.png")


def test_asset_checks_show_their_findings(page: Page, up: Up) -> None:
    repository = {"repositoryName": "__repository__", "repositoryLocationName": "callpipeline"}
    params = {"selector": repository | {"jobName": "check_calls"}, "mode": "default"}
    launched = up.graphql(LAUNCH, {"params": params})["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = {"id": launched["run"]["runId"]}

    def has_ended() -> bool:
        return up.graphql(CHECKED, run_id)["runOrError"]["status"] in ("SUCCESS", "FAILURE")

    until(has_ended, "the end of the checks", 90, every_s=0.5)
    found = up.graphql(CHECKED, run_id)
    schedules = {each["name"]: each for each in found["schedulesOrError"]["results"]}
    assert schedules.keys() == {"check_calls", "evaluate_quality", "purge_dagster", "purge_calls"}
    assert {each["scheduleState"]["status"] for each in schedules.values()} == {"RUNNING"}
    events = found["runOrError"]["eventConnection"]["events"]
    results = [event["evaluation"] for event in events if event.get("evaluation")]
    assert {result["checkName"] for result in results} == {check.name for check in CHECKS}
    assert [r["checkName"] for r in results if not r["success"]] == ["few_calls_fail"]
    page.set_viewport_size({"width": 1500, "height": 950})
    page.goto(f"{up.ui}/assets/recordings?view=checks&checkDetail=few_calls_fail")
    expect_visible(page, "few_calls_fail", "live_calls_do_not_wait")
    expect_visible(page, "1 of 3 calls that ended in the last 24 hours failed")
    expect_visible(page, "1 UnsupportedAudio at channel_audio")
    page.screenshot(path=SCREENSHOTS / "checks.png")
    page.get_by_role("row", name="newest").get_by_text("Show Markdown").click()
    bad = up.call("bad.mp3")["call_id"]
    expect(page.get_by_role("link", name=bad)).to_have_attribute(
        "href", f"/assets/channel_audio?view=partitions&partition={bad}"
    )
    page.screenshot(path=SCREENSHOTS / "calls-of-a-check.png")
