"""RangeFile: reads like the object, and caches blocks."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.errors import MissingObject, StoreUnavailable
from callpipeline.storage.objects.ports import MAX_CACHED_BLOCKS, RangeFile
from tests.fakes.storage import InMemoryRecordings

CONTENT = bytes(range(251)) * 40


class CountingStore(InMemoryRecordings):
    """Records the ranges that were read, and fails on request."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []
        self.is_unavailable = False
        self.put("a", CONTENT)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        if self.is_unavailable:
            raise StoreUnavailable("recordings did not respond.")
        self.reads.append(start)
        return super().read_range(key, start, length)


def opened(store: CountingStore, block_bytes: int = 100) -> RangeFile:
    return RangeFile(store, "a", block_bytes=block_bytes)  # pyright: ignore[reportArgumentType]


steps = st.lists(
    st.tuples(st.sampled_from([0, 1, 2]), st.integers(-50, 11_000), st.integers(0, 999))
)


@given(steps=steps, block_bytes=st.integers(1, 700))
def test_a_range_file_reads_like_the_object(
    steps: list[tuple[int, int, int]], block_bytes: int
) -> None:
    file, plain = opened(CountingStore(), block_bytes), io.BytesIO(CONTENT)
    for whence, offset, length in steps:
        position = {0: 0, 1: plain.tell(), 2: len(CONTENT)}[whence] + offset
        plain.seek(max(0, position))
        assert file.seek(offset, whence) == plain.tell() == file.tell()
        assert file.read(length) == plain.read(length)


def test_the_last_blocks_are_cached() -> None:
    store = CountingStore()
    file = opened(store)
    for _ in range(3):
        file.seek(150)
        assert file.read(100) == CONTENT[150:250]
    assert store.reads == [100, 200]
    file.seek(1000)
    file.read(100 * MAX_CACHED_BLOCKS)
    file.seek(150)
    file.read(1)
    assert store.reads[2:] == [*range(1000, 1000 + 100 * MAX_CACHED_BLOCKS, 100), 100]


def test_a_missing_object_raises_at_once() -> None:
    with pytest.raises(MissingObject):
        RangeFile(InMemoryRecordings(), "a")  # pyright: ignore[reportArgumentType]


def test_an_error_of_the_store_is_raised_by_check() -> None:
    store = CountingStore()
    file = opened(store)
    assert file.read(10) == CONTENT[:10]
    file.check()
    store.is_unavailable = True
    file.seek(500)
    assert file.read(10) == b""
    store.is_unavailable = False
    assert file.read(10) == b""
    with pytest.raises(StoreUnavailable):
        file.check()
