"""Mentions as the call page and the review page show them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from callpipeline.domain.mention import MentionStatus
from callpipeline.domain.review import Review
from callpipeline.domain.sentiment import Sentiment, overall
from callpipeline.storage.reading.one_call import MentionSeen
from callpipeline.web.pages.rendering import clock, moment

SPEAKERS = {"agent": "Agent", "customer": "Customer", "unknown": "Speaker"}
AROUND = 70
"""Characters of a segment on each side of a name, where no quote is stored."""

Facts = Sequence[tuple[str, object]]
NOBODY: Mapping[str, Review] = {}


@dataclass(frozen=True)
class ShownMention:
    """A mention, and its `number` in the call by time, which is its name in the page.

    `review` is the decision of a person that holds.
    """

    number: int
    seen: MentionSeen
    review: Review | None = None

    @property
    def mention_id(self) -> str:
        return self.seen.mention_id

    @property
    def competitor(self) -> str:
        return self.seen.competitor

    @property
    def speaker(self) -> str:
        return str(self.seen.speaker)

    @property
    def start_s(self) -> float:
        return self.seen.start_s

    @cached_property
    def look(self) -> str:
        """The class that its colour and its shape come from."""
        match self.seen.status:
            case MentionStatus.UNSURE:
                return "review"
            case MentionStatus.REJECTED:
                return "rejected"
            case MentionStatus.ACCEPTED:
                return str(self.seen.sentiment or "unjudged")

    @property
    def word(self) -> str:
        """The same in words: nothing is told by colour alone."""
        return WORDS[self.look]

    @property
    def label(self) -> str:
        """The whole of it in one line, for those who hear the page."""
        who = SPEAKERS[self.speaker].lower()
        return f"{self.competitor}, {self.word}, {who}, {clock(self.start_s)}"

    @property
    def quote(self) -> str:
        """The words that its sentiment rests on, else those around the name."""
        return self.seen.quote or _around(self.seen) or self.seen.said

    @property
    def facts(self) -> Facts:
        """What decided that it counts, and how it was judged."""
        return list(_facts(self.seen))

    @property
    def decisions(self) -> Sequence[tuple[str, str]]:
        """What a person may decide of it, as the form sends it and as the button says."""
        if self.review:
            return (("undo", "Undo"),)
        if self.seen.status is MentionStatus.UNSURE:
            return (("accept", "Accept"), ("refuse", "Refuse"))
        return ()

    @property
    def decided(self) -> str:
        """Who decided what, if somebody did."""
        if self.review is None:
            return ""
        by = f" by {self.review.decided_by}" if self.review.decided_by else ""
        return f"{self.review.decision.capitalize()}{by}"


WORDS = {
    "positive": "positive",
    "neutral": "neutral",
    "negative": "negative",
    "unsure": "unsure",
    "unjudged": "not judged",
    "review": "to review",
    "rejected": "not counted",
}


@dataclass(frozen=True, slots=True)
class CompetitorGroup:
    """The mentions of one competitor that count, and how the call speaks of it."""

    competitor: str
    mentions: Sequence[ShownMention]

    @property
    def look(self) -> str:
        known = [m.seen.sentiment for m in self.mentions if m.seen.sentiment]
        return str(overall(Sentiment(each) for each in known)) if known else "unjudged"

    @property
    def word(self) -> str:
        return WORDS[self.look]


@dataclass(frozen=True, slots=True)
class MentionList:
    """The mentions of a call by what there is to do about them."""

    all: Sequence[ShownMention]

    @property
    def to_review(self) -> Sequence[ShownMention]:
        return [one for one in self.all if one.look == "review"]

    @property
    def rejected(self) -> Sequence[ShownMention]:
        return [one for one in self.all if one.look == "rejected"]

    @property
    def groups(self) -> Sequence[CompetitorGroup]:
        """Those that count by competitor, most named first."""
        counted = sorted((m for m in self.all if m.seen.counts), key=lambda m: m.competitor)
        groups = [
            CompetitorGroup(name, list(mentions))
            for name, mentions in groupby(counted, key=lambda m: m.competitor)
        ]
        return sorted(groups, key=lambda group: -len(group.mentions))


def shown_mentions(
    mentions: Iterable[MentionSeen], decided: Mapping[str, Review] = NOBODY
) -> MentionList:
    """The mentions of one call, numbered in order of time; `decided` is by mention."""
    return MentionList(
        [
            ShownMention(number, seen, decided.get(seen.mention_id))
            for number, seen in enumerate(mentions, start=1)
        ]
    )


def _around(seen: MentionSeen) -> str:
    text = seen.segment_text or ""
    start, end = max(0, seen.char_start - AROUND), seen.char_end + AROUND
    before = "…" if start else ""
    after = "…" if end < len(text) else ""
    return f"{before}{text[start:end].strip()}{after}" if text else ""


def _facts(seen: MentionSeen) -> Iterator[tuple[str, object]]:
    counts = {"accepted": "Counts", "unsure": "Unsure", "rejected": "Does not count"}
    yield counts[seen.status], seen.reason
    if seen.sentiment:
        yield "Sentiment", f"{seen.sentiment} ({seen.score:+.2f})"
        yield "Rule", seen.rule
        yield "Judged by", seen.engine
    if seen.not_judged_because:
        again = seen.judged_again_at
        yield "Not judged", seen.not_judged_because
        yield "Next try", moment(again) if again else "not by itself any more"
    if seen.said.casefold() != seen.competitor.casefold():
        yield "Said", seen.said
    if seen.confidence is not None:
        yield "Heard with", f"{seen.confidence:.0%} confidence"
