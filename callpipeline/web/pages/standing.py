"""How a call stands, in words: what is shown of it in lists and at the head of its page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from callpipeline.domain.call import CallState, Stage
from callpipeline.pipeline.links import Links
from callpipeline.storage import keys
from callpipeline.storage.reading.calls import CallRow
from callpipeline.storage.reading.following import FollowedCall
from callpipeline.web.advice import advice
from callpipeline.web.live.pieces import Piece, Pieces, piece
from callpipeline.web.pages.rendering import fragment

WORDS: Mapping[CallState, str] = {
    CallState.PENDING: "Waiting",
    CallState.PROCESSING: "Processing",
    CallState.COMPLETED: "Completed",
    CallState.FAILED: "Failed",
    CallState.DUPLICATE: "Duplicate",
    CallState.ERASED: "Erased",
}
WHEN: Mapping[str, str] = {
    Stage.CHANNEL_AUDIO: "when the recording was taken apart",
    Stage.CALL_METRICS: "when it was measured",
    Stage.TRANSCRIPTS: "when it was transcribed",
    Stage.COMPETITOR_MENTIONS: "when competitors were looked for in it",
    Stage.COMPETITOR_SENTIMENT: "when its sentiment was judged",
    "run": "with the run that worked on it",
}
"""By the stage that the ledger names."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A call as its pieces show it; `call` has all that needs no words.

    `again_at` is when a call that waits is tried again, `queue` its place among those that wait,
    `left` about how long it takes until it is done. None where there is nothing to say.
    """

    call: CallRow
    file_name: str
    folder: str
    word: str
    percentage: int
    step: str
    advice: str | None
    again_at: datetime | None
    queue: str | None
    left: str | None
    run_url: str | None
    partition_url: str

    @property
    def is_open(self) -> bool:
        return not self.call.state.is_final

    @property
    def title(self) -> str:
        return "An erased call" if self.call.state is CallState.ERASED else self.file_name

    @property
    def has_bar(self) -> bool:
        """Whether there is something to be seen of how far it is."""
        return self.is_open and (self.call.state is CallState.PROCESSING or self.percentage > 0)

    @property
    def reason_at(self) -> str:
        """When it went wrong, as the beginning of a sentence that gives the reason."""
        of_last = "It failed" if self.call.state is CallState.FAILED else "The last try failed"
        return f"{of_last} {WHEN.get(self.call.error_stage or '', 'on the way')}:"

    @property
    def may_be_tried(self) -> bool:
        """Whether it makes sense that a person asks for another try."""
        return self.call.state is CallState.FAILED or self.again_at is not None


def standing(followed: FollowedCall, links: Links, now: datetime | None = None) -> Standing:
    """What is to be said of this call."""
    call, now = followed.row, now or datetime.now(UTC)
    is_put_off = call.state is CallState.PENDING and (call.not_before or now) > now
    done, left_s = call.progress, followed.outlook.done_in_s
    return Standing(
        call=call,
        file_name=call.file_name or call.key,
        folder=keys.folder(call.key),
        word=WORDS[call.state],
        percentage=done.percentage,
        step=done.step[:1].upper() + done.step[1:],
        advice=advice(call.error_class) if call.state is CallState.FAILED else None,
        again_at=call.not_before if is_put_off else None,
        queue=_queue(followed.outlook.place),
        left=None if left_s is None else _about(left_s),
        run_url=links.run(followed.run_id) if followed.run_id else None,
        partition_url=links.partition(call.call_id, call.error_stage),
    )


def row_of(standing: Standing) -> Piece:
    """It in a list."""
    return piece(fragment("calls/row.html", it=standing))


def state_of(standing: Standing) -> Piece:
    """It at the head of its page."""
    return piece(fragment("call/standing.html", it=standing))


def pieces_of(standing: Standing) -> Pieces:
    """All pieces of pages that show it."""
    return Pieces(row_of(standing), state_of(standing), standing.call.state.is_final)


def _queue(place: int | None) -> str | None:
    """The place of a call among those that wait; none where its turn is not told by a place."""
    if place is None:
        return None
    return "Next in the queue" if place == 1 else f"No. {place:,} in the queue"


def _about(seconds: float) -> str:
    """Coarse, as what it is founded on: it is not to flicker either."""
    if seconds < 45:
        return "less than a minute"
    minutes = round(seconds / 60)
    if minutes < 55:
        rounded = max(1, minutes if minutes < 10 else round(minutes / 5) * 5)
        return f"about {rounded} {'minute' if rounded == 1 else 'minutes'}"
    hours = round(seconds / 3600)
    return f"about {hours} {'hour' if hours <= 1 else 'hours'}"
