"""An object as a file that is read where it is wanted, without being fetched whole."""

import io
from collections import OrderedDict
from typing import TYPE_CHECKING

from callpipeline.errors import CallpipelineError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from callpipeline.storage.object_store import ObjectStore

BLOCK_BYTES = 128 * 1024
"""What is asked for at once: a decoder that seeks looks at several places, and at each a little."""
BLOCKS_KEPT = 8


class RangeFile(io.RawIOBase):
    """Seekable and read only, over range reads of `BLOCK_BYTES`, of which the last are kept.

    Libraries in C that read it drop what it raises. So `failed` has the first error of the store,
    after which it reads nothing more: whoever used such a library asks `check` afterwards.
    """

    def __init__(self, store: "ObjectStore", key: str, *, block_bytes: int = BLOCK_BYTES) -> None:
        """Raises MissingObject, or StoreUnavailable, at once."""
        super().__init__()
        self._store, self._key, self._block_bytes = store, key, block_bytes
        self._size = store.size(key)
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.failed: CallpipelineError | None = None

    def check(self) -> None:
        """Raise what the store answered when it failed, if it did."""
        if self.failed is not None:
            raise self.failed

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        into = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(into) and self._at < self._size and self.failed is None:
            number, offset = divmod(self._at, self._block_bytes)
            piece = self._block(number)[offset : offset + len(into) - filled]
            if not piece:
                break
            into[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._at += len(piece)
        return filled

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        try:
            start = number * self._block_bytes
            block = self._store.read_range(self._key, start, self._block_bytes)
        except CallpipelineError as error:
            self.failed = error
            return b""
        self._blocks[number] = block
        if len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return block
