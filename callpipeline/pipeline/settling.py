"""Which recordings nobody writes to any more, so that they can be taken."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from callpipeline.domain.call import Recording

EMPTY_SETTLE_S = 60.0
"""Recorders make a file when a call begins, and may write into it when the call has ended."""

MOST_DOUBTFUL = 1000
FORGOTTEN_AFTER = timedelta(days=1)


class Settling:
    """Takes what has lain still, by its store's clock and ours; the rest is found again later.

    A recording is taken when it was not written to for `settle_s`, an empty one for
    EMPTY_SETTLE_S. One that is dated in the future, because the clocks differ or somebody set its
    date, is taken when it was seen unchanged for as long: `doubtful` keeps when that was first.
    """

    def __init__(self, doubtful: Mapping[str, float], settle_s: float, now: datetime) -> None:
        self._settle_s = settle_s
        self._now = now
        forgotten = (now - FORGOTTEN_AFTER).timestamp()
        known = doubtful.items()
        self.doubtful = {id_: seen for id_, seen in known if forgotten < seen <= now.timestamp()}

    def settled(self, recordings: Iterable[Recording]) -> list[Recording]:
        return [recording for recording in recordings if self._has_settled(recording)]

    def _has_settled(self, recording: Recording) -> bool:
        still_s = self._settle_s if recording.size_bytes else max(self._settle_s, EMPTY_SETTLE_S)
        age_s = (self._now - recording.last_modified).total_seconds()
        has = (age_s if age_s >= 0 else self._seen_for_s(recording.call_id)) >= still_s
        if has or age_s >= 0:
            self.doubtful.pop(recording.call_id, None)
        return has

    def _seen_for_s(self, call_id: str) -> float:
        now = self._now.timestamp()
        # None goes to make room for another: each must be remembered until its second look.
        if call_id not in self.doubtful and len(self.doubtful) < MOST_DOUBTFUL:
            self.doubtful[call_id] = now
        return now - self.doubtful.get(call_id, now)
