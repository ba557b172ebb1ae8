"""How far a call is, and when it may be done."""

from itertools import pairwise, permutations

import pytest

from callpipeline.domain.call import CallState, Stage
from callpipeline.domain.standing import WEIGHTS, Pace, estimate_s, progress

S = CallState
BOTH = ("left", "right")
STAGES = list(Stage)


@pytest.mark.parametrize("order", list(permutations(Stage)))
def test_progress_never_goes_back_in_whatever_order_stages_are_stored(order: tuple[Stage, ...]):
    seen = [progress(S.PROCESSING, order[:n]).percentage for n in range(len(order) + 1)]
    assert seen[0] == 0
    assert all(before < after for before, after in pairwise(seen))
    assert seen[-1] == 99 < progress(S.COMPLETED, order).percentage == 100


@pytest.mark.parametrize("stored", [STAGES[:n] for n in range(6)])
def test_a_try_that_fails_or_waits_for_another_keeps_what_is_stored(stored: list[Stage]):
    under_way = progress(S.PROCESSING, stored).percentage
    assert progress(S.PENDING, stored).percentage == under_way
    assert progress(S.FAILED, stored, error_stage="transcripts").percentage == under_way


def test_a_complete_call_stays_so_when_retention_deleted_what_it_was_made_of():
    assert progress(S.COMPLETED, [Stage.CALL_METRICS]).percentage == 100


def test_only_a_complete_call_is_at_a_hundred():
    assert sum(WEIGHTS.values()) == 99
    assert set(WEIGHTS) == set(Stage)


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
def test_steps_are_called_as_the_api_calls_them(stored: int, step: str):
    named = ("EE", "Sky", "O2")
    found = progress(
        S.PROCESSING, STAGES[:stored], channels=BOTH, competitors=named, judged=1
    )  # fmt: skip
    assert found.step == step


def test_what_is_said_where_less_is_known():
    four = STAGES[:4]
    assert progress(S.PROCESSING, STAGES[:1], channels=("mixed",)).step == "transcribing"
    assert progress(S.PROCESSING, STAGES[:1], channels=("right",)).step == "transcribing right"
    assert progress(S.PROCESSING, four).step == "sentiment"
    assert progress(S.PROCESSING, four, competitors=("EE",), judged=1).step == (
        "sentiment for EE (1/1)"
    )
    assert progress(S.PENDING, ()).step == "waiting"
    assert progress(S.PENDING, STAGES[:3]).step == "waiting, then analysing for competitors"
    assert progress(S.FAILED, (), error_stage="channel_audio").step == "failed at split"
    assert progress(S.FAILED, (), error_stage="run").step == "failed at run"
    assert progress(S.FAILED, ()).step == "failed at an unknown stage"
    assert progress(S.DUPLICATE, ()).step == "the same recording as another call"
    assert progress(S.ERASED, ()).step == "erased"


PACE = Pace(60, {Stage.CHANNEL_AUDIO: 2.0, Stage.TRANSCRIPTS: 88.0})


def test_a_call_that_is_worked_on_takes_what_its_stages_take():
    assert estimate_s(S.PROCESSING, (), PACE) == 90
    assert estimate_s(S.PROCESSING, [Stage.CHANNEL_AUDIO], PACE) == 88


def test_a_call_that_waits_is_behind_those_that_are_taken_before_it():
    assert estimate_s(S.PENDING, (), PACE, ahead=10) == 10 * 60 + 90


def test_a_quiet_hour_does_not_make_waiting_longer_than_one_by_one():
    quiet = Pace(2, PACE.took_s)
    assert estimate_s(S.PENDING, (), quiet, ahead=10) == 10 * 90 + 90
    assert estimate_s(S.PENDING, (), Pace(0, PACE.took_s), ahead=1) == 90 + 90


def test_a_call_that_is_not_to_be_tried_yet_waits_at_least_so_long():
    assert estimate_s(S.PENDING, (), PACE, ahead=1, waits_s=300) == 300 + 90
    assert estimate_s(S.PENDING, (), PACE, ahead=10, waits_s=300) == 600 + 90


def test_nothing_is_told_where_nothing_tells():
    assert estimate_s(S.PENDING, (), Pace(0, {})) is None
    assert estimate_s(S.COMPLETED, (), PACE) is None
    assert estimate_s(S.FAILED, (), PACE) is None
