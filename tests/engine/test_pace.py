"""How much of waiting prompts a step takes on: by what steps were measured to take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.pace import FIRST_SLICE, LITTLE, LONGEST, ROWS, SHARE, SMALLEST, Pace, filling

STEP, ROW = 0.03, 0.005


def measured(*, threads: int = 2, slower: float = 1.0) -> Pace:
    pace = Pace(512)
    pace.measured(threads, 1, 0, STEP * slower)
    pace.measured(threads, 0, 100, 100 * ROW * slower)
    pace.measured(threads, 1, 7, (STEP + 7 * ROW) * slower)
    return pace


def test_before_anything_is_measured() -> None:
    assert Pace(512).budget(2, 0, 1, 900) == FIRST_SLICE
    assert Pace(512).budget(2, 1, 1, 900) == SMALLEST
    assert Pace(32).budget(2, 0, 1, 900) == 32


def test_beside_a_stream_a_slice_takes_a_share_of_its_step() -> None:
    budget = measured().budget(2, 1, 1, 900)
    assert budget == 7
    assert budget * ROW <= SHARE * STEP < (budget + ROWS) * ROW


def test_few_rows_are_measured_apart_from_many() -> None:
    pace = Pace(512)
    pace.measured(2, 1, 0, STEP)
    pace.measured(2, 0, 100, 100 * ROW)
    assert pace.budget(2, 1, 1, 900) == 3, "one of few is taken for dearer"
    assert pace.budget(2, 1, 4, 900) == 15
    pace.measured(2, 1, 3, STEP + 3 * ROW)
    assert pace.budget(2, 1, 1, 900) == 7, "until it is measured"
    assert pace.budget(2, 0, 1, 900) == 300
    assert pace.budget(2, 1, 4, 900) == 27


def test_a_step_that_others_held_up_says_little() -> None:
    pace = measured()
    for _ in range(3):
        pace.measured(2, 1, 0, 100 * STEP)
    assert pace.budget(2, 1, 1, 900) == 7
    pace = measured()
    pace.measured(2, 1, 7, 100 * STEP)
    assert pace.budget(2, 1, 1, 900) >= SMALLEST
    for _ in range(30):
        pace.measured(2, 1, 0, 100 * STEP)
    assert pace.budget(2, 1, 1, 900) > 100, "a machine that has become slow is believed"


def test_alone_a_slice_may_take_long() -> None:
    assert measured().budget(2, 0, 1, 900) == 300, "in three of one length, not in two of 400 and one of 100"
    assert measured().budget(2, 0, 1, 276) == 276


def test_who_waits_counts() -> None:
    pace = measured()
    assert pace.budget(2, 1, 4, 900) == 27
    assert pace.budget(2, 1, 50, 900) == int(LONGEST / ROW) - 1


def test_little_for_several_is_done_at_once() -> None:
    pace = measured()
    assert pace.budget(2, 1, 2, 100) == 103, "all of it, and what makes the batch whole"
    assert pace.budget(2, 1, 2, 300) == 151, "in two halves, not in one of 200 and many short ones"
    assert pace.budget(2, 1, 1, 100) == 7, "one who waits stops no stream"
    assert pace.budget(2, 1, 2, int(LITTLE / ROW) + 1) == 15, "nor do two with much"


def test_fewer_threads_are_measured_apart() -> None:
    pace = measured()
    assert pace.budget(1, 1, 1, 900) == SMALLEST, "nothing is known of one thread"
    pace.measured(1, 1, 0, 4 * STEP)
    pace.measured(1, 1, 10, 4 * STEP + 10 * 8 * ROW)
    assert pace.budget(1, 1, 1, 900) == 3
    assert pace.budget(2, 1, 1, 900) == 7


def test_the_streams_own_time_is_not_the_slices() -> None:
    pace = Pace(512)
    pace.measured(2, 1, 0, STEP)
    pace.measured(2, 1, 8, STEP + 8 * ROW)
    assert pace.budget(2, 1, 1, 900) == 7


def test_another_number_of_streams_is_judged_by_the_nearest() -> None:
    pace = measured()
    pace.measured(2, 8, 0, 4 * STEP)
    assert pace.budget(2, 9, 1, 900) > pace.budget(2, 2, 1, 900)


@given(st.integers(0, 128), st.integers(0, 128), st.floats(1e-6, 10), st.floats(1e-6, 10))
def test_a_batch_is_never_too_long_and_someone_always_goes_on(
    streams: int, behind: int, step: float, row: float
) -> None:
    pace = Pace(512)
    pace.measured(1, max(1, streams), 0, step)
    pace.measured(1, 0, 512, 512 * row)
    budget = pace.budget(1, streams, behind, 20 * behind)
    assert SMALLEST <= budget <= 512
    if streams and budget < 512:
        assert not (streams + budget) % ROWS


@given(st.integers(1, 512))
def test_what_fills_a_batch_makes_it_whole(rows: int) -> None:
    assert 0 <= filling(rows) < ROWS
    assert (rows + filling(rows)) % ROWS == 0
