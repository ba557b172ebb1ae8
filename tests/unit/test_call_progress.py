"""Progress of a call, and the estimated time left."""

from itertools import pairwise, permutations

import pytest

from callpipeline.domain.calls.call import (
    STAGE_WEIGHTS,
    CallState,
    Stage,
    Throughput,
    call_progress,
    estimate_remaining_s,
)

S = CallState
BOTH = ("left", "right")
STAGES = list(Stage)


@pytest.mark.parametrize("order", list(permutations(Stage)))
def test_progress_never_goes_back_in_whatever_order_stages_are_stored(order: tuple[Stage, ...]):
    seen = [call_progress(S.PROCESSING, order[:n]).percentage for n in range(len(order) + 1)]
    assert seen[0] == 0
    assert all(before < after for before, after in pairwise(seen))
    assert seen[-1] == 99 < call_progress(S.COMPLETED, order).percentage == 100


@pytest.mark.parametrize("stored", [STAGES[:n] for n in range(6)])
def test_failed_and_waiting_calls_keep_the_progress_of_stored_stages(stored: list[Stage]):
    under_way = call_progress(S.PROCESSING, stored).percentage
    assert call_progress(S.PENDING, stored).percentage == under_way
    assert call_progress(S.FAILED, stored, error_stage="transcripts").percentage == under_way


def test_a_completed_call_stays_at_100_after_retention():
    assert call_progress(S.COMPLETED, [Stage.CALL_METRICS]).percentage == 100


def test_only_a_completed_call_is_at_100():
    assert sum(STAGE_WEIGHTS.values()) == 99
    assert set(STAGE_WEIGHTS) == set(Stage)


@pytest.mark.parametrize(
    ("stored", "step"),
    [
        (0, "split"),
        (1, "transcribing left and right"),
        (2, "transcribing left and right"),
        (3, "analysing for competitors"),
        (4, "sentiment for Sky (2/3)"),
        (5, "finalising"),
    ],
)
def test_steps_are_worded_as_in_the_api(stored: int, step: str):
    named = ("EE", "Sky", "O2")
    found = call_progress(
        S.PROCESSING, STAGES[:stored], channels=BOTH, competitors=named, judged=1
    )  # fmt: skip
    assert found.step == step


def test_steps_with_missing_details():
    four = STAGES[:4]
    assert call_progress(S.PROCESSING, STAGES[:1], channels=("mixed",)).step == "transcribing"
    assert call_progress(S.PROCESSING, STAGES[:1], channels=("right",)).step == "transcribing right"
    assert call_progress(S.PROCESSING, four).step == "sentiment"
    assert call_progress(S.PROCESSING, four, competitors=("EE",), judged=1).step == (
        "sentiment for EE (1/1)"
    )
    assert call_progress(S.PENDING, ()).step == "waiting"
    assert call_progress(S.PENDING, STAGES[:3]).step == "waiting, then analysing for competitors"
    assert call_progress(S.FAILED, (), error_stage="channel_audio").step == "failed at split"
    assert call_progress(S.FAILED, (), error_stage="run").step == "failed at run"
    assert call_progress(S.FAILED, ()).step == "failed at an unknown stage"
    assert call_progress(S.DUPLICATE, ()).step == "the same recording as another call"
    assert call_progress(S.ERASED, ()).step == "erased"


RECENT = Throughput(60, {Stage.CHANNEL_AUDIO: 2.0, Stage.TRANSCRIPTS: 88.0})


def test_a_call_in_processing_needs_its_remaining_stages():
    assert estimate_remaining_s(S.PROCESSING, (), RECENT) == 90
    assert estimate_remaining_s(S.PROCESSING, [Stage.CHANNEL_AUDIO], RECENT) == 88


def test_a_queued_call_waits_for_those_ahead():
    assert estimate_remaining_s(S.PENDING, (), RECENT, ahead=10) == 10 * 60 + 90


def test_a_quiet_hour_does_not_exceed_sequential_processing():
    quiet = Throughput(2, RECENT.stage_durations_s)
    assert estimate_remaining_s(S.PENDING, (), quiet, ahead=10) == 10 * 90 + 90
    assert (
        estimate_remaining_s(S.PENDING, (), Throughput(0, RECENT.stage_durations_s), ahead=1)
        == 90 + 90
    )


def test_a_delayed_call_waits_at_least_its_delay():
    assert estimate_remaining_s(S.PENDING, (), RECENT, ahead=1, waits_s=300) == 300 + 90
    assert estimate_remaining_s(S.PENDING, (), RECENT, ahead=10, waits_s=300) == 600 + 90


def test_no_estimate_without_recent_calls():
    assert estimate_remaining_s(S.PENDING, (), Throughput(0, {})) is None
    assert estimate_remaining_s(S.COMPLETED, (), RECENT) is None
    assert estimate_remaining_s(S.FAILED, (), RECENT) is None
