"""Mentions that wait for a person, as the review page shows them."""

from dataclasses import dataclass
from datetime import datetime

from callpipeline.domain.mention import Mention, MentionStatus
from callpipeline.domain.review import Review
from callpipeline.storage.reading.one_call import CallSeen, MentionSeen
from callpipeline.storage.reviews import Unsure


@dataclass(frozen=True, slots=True)
class Waiting:
    """A mention with the words around its name, and the decision that holds, if one was made."""

    call_id: str
    recording: str
    took_place_at: datetime
    agent: str | None
    mention: Mention | MentionSeen
    text: str
    review: Review | None = None
    trouble: str | None = None

    @property
    def before(self) -> str:
        return self.text[: self.mention.char_start]

    @property
    def name(self) -> str:
        return self.text[self.mention.char_start : self.mention.char_end] or self.mention.said

    @property
    def after(self) -> str:
        return self.text[self.mention.char_end :]

    @property
    def is_open(self) -> bool:
        return self.review is None and self.mention.status is MentionStatus.UNSURE

    @property
    def place(self) -> str:
        """What its entry is called in the page: ids of mentions have spaces and more in them."""
        mention = self.mention
        where = (self.call_id, mention.channel, mention.segment_index, mention.char_start)
        return "-".join(map(str, where))


def of_list(one: Unsure, recording: str) -> Waiting:
    return Waiting(
        one.call_id, recording, one.took_place_at, one.agent, one.mention, one.text or ""
    )


def of_call(
    call: CallSeen, mention: MentionSeen, review: Review | None, trouble: str | None
) -> Waiting:
    """The same after a decision."""
    row = call.call
    text = mention.segment_text or ""
    return Waiting(
        row.call_id, row.file_name, row.took_place_at, row.agent, mention, text, review, trouble
    )
