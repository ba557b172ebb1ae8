"""Erased calls, and calls whose retention period has ended."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from callpipeline.domain.calls.call import RetentionClass


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erased call with objects, events or logs that may still exist.

    `bucket`, `key` and `etag` identify its recording, None once deleted. If it `is_unread`, the
    content hash is unknown: the recording is read before it is deleted. `is_under_way` if the run
    that had claimed the call may still write; `age_s` counts from the start of the erasure.
    """

    call_id: str
    keep_recording: bool
    by_retention: bool
    bucket: str | None
    key: str | None
    etag: str | None
    is_unread: bool
    trouble: str | None
    asked_at: datetime
    age_s: float
    is_under_way: bool


class DueCall(NamedTuple):
    """A call with objects whose retention period has ended, and the bucket of its recording."""

    call_id: str
    bucket: str


class ErasureStore(Protocol):
    """Tombstones of erased calls, and the progress of each erasure."""

    def returned(self) -> list[str]:
        """Return calls whose content was erased before and has been imported again."""
        ...

    def begin(
        self,
        call_ids: Collection[str],
        *,
        keep_recording: bool,
        because: str = "",
        ended_before: datetime | None = None,
    ) -> list[str]:
        """Delete the rows of calls and leave tombstones; return the calls newly erased."""
        ...

    def open(self, call_ids: Collection[str] | None = None, *, limit: int = ...) -> list[Erasure]:
        """Return unfinished erasures."""
        ...

    def delete_events(self, erasures: Sequence[Erasure]) -> int: ...

    def is_shared_object(self, bucket: str, key: str, call_id: str) -> bool: ...

    def reset_discovery(self) -> None: ...

    def record_content(self, call_id: str, sha256: str) -> None: ...

    def record_attempt(
        self, call_id: str, *, trouble: str | None, objects_gone: bool, finished: bool
    ) -> None: ...


class ExpiryStore(Protocol):
    """Calls and notifications by age."""

    def due(self, data_class: RetentionClass, older_than: datetime) -> Iterator[DueCall]: ...

    def delete(
        self,
        data_class: RetentionClass,
        call_id: str,
        older_than: datetime,
        remove: Callable[[dict[str, Any]], int],
    ) -> bool:
        """Call `remove` with the call's row and record the deletion; False if claimed again."""
        ...

    def due_notifications(self, older_than: datetime) -> int: ...

    def delete_notifications(self, older_than: datetime) -> int: ...

    def due_audit(self, older_than: datetime) -> int: ...

    def delete_audit(self, older_than: datetime) -> int: ...
