"""A file over range reads: the same bytes as the object, and no more of it fetched than needed."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.errors import MissingObject, StoreUnavailable
from callpipeline.storage.range_file import BLOCKS_KEPT, RangeFile
from tests.fakes.storage import InMemoryRecordings

CONTENT = bytes(range(251)) * 40


class Counting(InMemoryRecordings):
    """Says which ranges were asked for, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.is_away = False
        self.put("a", CONTENT)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        if self.is_away:
            raise StoreUnavailable("recordings did not answer.")
        self.asked.append(start)
        return super().read_range(key, start, length)


def opened(store: Counting, block_bytes: int = 100) -> RangeFile:
    return RangeFile(store, "a", block_bytes=block_bytes)  # pyright: ignore[reportArgumentType]


steps = st.lists(
    st.tuples(st.sampled_from([0, 1, 2]), st.integers(-50, 11_000), st.integers(0, 999))
)


@given(steps=steps, block_bytes=st.integers(1, 700))
def test_it_reads_as_the_object_does(steps: list[tuple[int, int, int]], block_bytes: int) -> None:
    file, plain = opened(Counting(), block_bytes), io.BytesIO(CONTENT)
    for whence, offset, length in steps:
        place = {0: 0, 1: plain.tell(), 2: len(CONTENT)}[whence] + offset
        plain.seek(max(0, place))
        assert file.seek(offset, whence) == plain.tell() == file.tell()
        assert file.read(length) == plain.read(length)


def test_a_block_is_asked_for_once_while_it_is_among_the_last() -> None:
    store = Counting()
    file = opened(store)
    for _ in range(3):
        file.seek(150)
        assert file.read(100) == CONTENT[150:250]
    assert store.asked == [100, 200]
    file.seek(1000)
    file.read(100 * BLOCKS_KEPT)
    file.seek(150)
    file.read(1)
    assert store.asked[2:] == [*range(1000, 1000 + 100 * BLOCKS_KEPT, 100), 100]


def test_what_is_not_there_is_missing_at_once() -> None:
    with pytest.raises(MissingObject):
        RangeFile(InMemoryRecordings(), "a")  # pyright: ignore[reportArgumentType]


def test_a_store_that_fails_is_told_afterwards_and_asked_no_more() -> None:
    store = Counting()
    file = opened(store)
    assert file.read(10) == CONTENT[:10]
    file.check()
    store.is_away = True
    file.seek(500)
    assert file.read(10) == b""
    store.is_away = False
    assert file.read(10) == b""
    with pytest.raises(StoreUnavailable):
        file.check()
