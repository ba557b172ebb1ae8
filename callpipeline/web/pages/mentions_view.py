"""Mentions of a call: the list beside the transcript, and their markup inside its lines."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from markupsafe import Markup, escape

from callpipeline.domain.competitors.mentions import MentionStatus, Review
from callpipeline.domain.sentiment import CallStance, Sentiment, call_stance
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.domain.transcripts import Segment, speaker_label
from callpipeline.storage.ports.results import MentionDetail
from callpipeline.web.pages.rendering import SENTIMENT_LABELS, clock, timestamp

SPEAKER_LABELS = {"agent": "Agent", "customer": "Customer", "unknown": "Speaker"}
CONTEXT_CHARS = 70
"""Characters on each side of a name, where no quote is stored."""

SWITCHING_LABELS = {
    SwitchingIntent.LEAVING_TO: "Leaving for it",
    SwitchingIntent.COMING_FROM: "Coming from it",
    SwitchingIntent.CONSIDERING: "Considering it",
    SwitchingIntent.STAYING: "Staying with it",
}
KIND_LABELS = {**SENTIMENT_LABELS, "review": "Needs review", "dismissed": "Dismissed"}
REASON_LABELS = {
    MentionStatus.COUNTED: "Why it counts",
    MentionStatus.NEEDS_REVIEW: "Why it needs review",
    MentionStatus.DISMISSED: "Why it doesn't count",
}
NO_REVIEWS: Mapping[str, Review] = {}


@dataclass(frozen=True)
class MentionView:
    """A mention, its number in the call by time, and the review in force."""

    number: int
    detail: MentionDetail
    review: Review | None = None

    @property
    def mention_id(self) -> str:
        return self.detail.mention_id

    @property
    def competitor(self) -> str:
        return self.detail.mention.competitor

    @property
    def speaker(self) -> str:
        return str(self.detail.mention.speaker)

    @property
    def start_s(self) -> float:
        return self.detail.mention.start_s

    @cached_property
    def kind(self) -> str:
        """Return the sentiment, or the status of a mention that doesn't count (yet)."""
        match self.detail.mention.status:
            case MentionStatus.NEEDS_REVIEW:
                return "review"
            case MentionStatus.DISMISSED:
                return "dismissed"
            case MentionStatus.COUNTED:
                return str(self.detail.sentiment or "unjudged")

    @property
    def label(self) -> str:
        return KIND_LABELS[self.kind]

    @property
    def description(self) -> str:
        """Return a one-line summary for screen readers."""
        speaker = SPEAKER_LABELS[self.speaker].lower()
        return f"{self.competitor}, {self.label.lower()}, {speaker}, {clock(self.start_s)}"

    @property
    def quote(self) -> str:
        """Return the evidence for the sentiment, else the text around the name."""
        return self.detail.quote or _context(self.detail) or self.detail.mention.text

    @property
    def reasons(self) -> Sequence[tuple[str, object]]:
        return list(_reasons(self.detail))

    @property
    def actions(self) -> Sequence[tuple[str, str]]:
        """Return the form value and the button label of each possible decision."""
        if self.review:
            return (("undo", "Undo"),)
        match self.detail.mention.status:
            case MentionStatus.NEEDS_REVIEW:
                return (("confirm", "Confirm"), ("dismiss", "Dismiss"))
            case MentionStatus.COUNTED:
                return (("dismiss", "Dismiss"),)
            case MentionStatus.DISMISSED:
                return (("confirm", "Confirm"),)

    @property
    def status(self) -> str:
        return str(self.detail.mention.status)

    @property
    def corrections(self) -> Sequence[tuple[str, str]]:
        """Return the form value and the label of each sentiment that this one can become."""
        if not self.detail.mention.counts or not self.detail.sentiment:
            return ()
        others = [
            (str(s), SENTIMENT_LABELS[s]) for s in Sentiment if s is not self.detail.sentiment
        ]
        judged = self.detail.judged_sentiment
        back = [("judge", f"Judge's: {SENTIMENT_LABELS[judged].lower()}")] if judged else []
        return [*others, *back]

    @property
    def review_note(self) -> str:
        """Return the decision and who made it, such as "Confirmed by anna"."""
        if self.review is None:
            return ""
        by = f" by {self.review.decided_by}" if self.review.decided_by else ""
        return f"{self.review.decision.capitalize()}{by}"


@dataclass(frozen=True, slots=True)
class CompetitorGroup:
    """Counted mentions of one competitor, and the overall sentiment towards it."""

    competitor: str
    mentions: Sequence[MentionView]

    @property
    def kind(self) -> str:
        return str(self._stance.main or "unjudged")

    @property
    def label(self) -> str:
        label = KIND_LABELS[self.kind]
        return f"{label} (agent only)" if self._is_agents and self._stance.agent else label

    @property
    def agent_kind(self) -> str | None:
        """Return the agent's view, to be shown beside the customer's."""
        return None if self._is_agents else self._stance.agent

    @property
    def agent_label(self) -> str:
        return f"Agent: {KIND_LABELS[self.agent_kind].lower()}" if self.agent_kind else ""

    @property
    def _is_agents(self) -> bool:
        return self._stance.customer is None

    @property
    def _stance(self) -> CallStance:
        return call_stance(
            (each.detail.mention.speaker, each.detail.sentiment)
            for each in self.mentions
            if each.detail.sentiment
        )


@dataclass(frozen=True, slots=True)
class MentionList:
    """Mentions of a call, grouped by status."""

    all: Sequence[MentionView]

    @property
    def to_review(self) -> Sequence[MentionView]:
        return [each for each in self.all if each.kind == "review"]

    @property
    def dismissed(self) -> Sequence[MentionView]:
        return [each for each in self.all if each.kind == "dismissed"]

    @property
    def groups(self) -> Sequence[CompetitorGroup]:
        """Return the counted mentions by competitor, most mentioned first."""
        counted = sorted(
            (m for m in self.all if m.detail.mention.counts), key=lambda m: m.competitor
        )
        groups = [
            CompetitorGroup(name, list(mentions))
            for name, mentions in groupby(counted, key=lambda m: m.competitor)
        ]
        return sorted(groups, key=lambda group: -len(group.mentions))


def mention_list(
    mentions: Iterable[MentionDetail], reviews: Mapping[str, Review] = NO_REVIEWS
) -> MentionList:
    """Number the mentions of a call by time; `reviews` is keyed by mention ID."""
    return MentionList(
        [
            MentionView(number, detail, reviews.get(detail.mention_id))
            for number, detail in enumerate(mentions, start=1)
        ]
    )


def _context(detail: MentionDetail) -> str:
    text = detail.segment_text or ""
    start, end = (
        max(0, detail.mention.char_start - CONTEXT_CHARS),
        detail.mention.char_end + CONTEXT_CHARS,
    )
    before = "…" if start else ""
    after = "…" if end < len(text) else ""
    return f"{before}{text[start:end].strip()}{after}" if text else ""


def _reasons(detail: MentionDetail) -> Iterator[tuple[str, object]]:
    yield REASON_LABELS[detail.mention.status], detail.mention.reason
    if detail.sentiment:
        yield "Sentiment", f"{SENTIMENT_LABELS[detail.sentiment]} ({detail.score:+.2f})"
        if detail.judged_sentiment:
            yield "Before the correction", SENTIMENT_LABELS[detail.judged_sentiment]
        if detail.sentiment_confidence is not None:
            yield "Confidence", f"{detail.sentiment_confidence:.0%}"
        yield "Rule", detail.rule
        yield "Judged by", detail.engine
    if detail.switching:
        yield SWITCHING_LABELS[detail.switching], detail.switching_quote
    if detail.not_judged_because:
        again = detail.next_attempt_at
        yield "Not judged yet", detail.not_judged_because
        yield "Next attempt", timestamp(again) if again else "No more automatic retries"
    if detail.mention.text.casefold() != detail.mention.competitor.casefold():
        yield "Transcribed as", detail.mention.text
    if detail.mention.confidence is not None:
        yield "Transcript confidence", f"{detail.mention.confidence:.0%}"


TextPart = tuple[str, MentionView | None]
"""Text, and the mention it belongs to."""


def transcript_lines(segments: Iterable[Segment], mentions: Iterable[MentionView]) -> Markup:
    """Render a list item per segment; the speaker is shown where it changes.

    Built without a template, which would take ten times as long for a call of two hours. Scripts
    identify a segment by `data-c` and `data-i` and read its start and end from `data-t` and
    `data-e`.
    """
    by_segment: dict[tuple[str, int], list[MentionView]] = defaultdict(list)
    for mention in mentions:
        by_segment[mention.detail.mention.channel, mention.detail.mention.segment_index].append(
            mention
        )
    items: list[str] = []
    previous = None
    for segment in segments:
        inside = by_segment.get((segment.channel, segment.index), ())
        label = speaker_label(segment) or SPEAKER_LABELS[segment.speaker]
        items.append(_line(segment, inside, speaker="" if label == previous else label))
        previous = label
    return Markup("\n".join(items))


def _line(segment: Segment, mentions: Sequence[MentionView], *, speaker: str) -> str:
    start_s, end_s = round(segment.start_s, 3), round(segment.end_s, 3)
    name = f"<b>{speaker}</b>" if speaker else ""
    parts = split_at_mentions(segment.text, mentions)
    text = "".join(_text_part(part, mention) for part, mention in parts)
    return (
        f'<li class="{segment.speaker}{" first" if speaker else ""}" data-t="{start_s}" '
        f'data-e="{end_s}" data-c="{segment.channel}" data-i="{segment.index}">'
        f'<a href="?t={start_s}">{clock(start_s)}</a>{name}<p>{text}</p></li>'
    )


def _text_part(text: str, mention: MentionView | None) -> str:
    if mention is None:
        return str(escape(text))
    return (
        f'<a class="mention {mention.kind}" href="?t={mention.start_s}" '
        f'data-m="{mention.number}">{escape(text)}</a>'
    )


def split_at_mentions(text: str, mentions: Iterable[MentionView]) -> Iterator[TextPart]:
    """Split the text at mentions; of two that overlap, only the first is marked."""
    at = 0
    for mention in sorted(mentions, key=lambda m: m.detail.mention.char_start):
        start, end = (
            mention.detail.mention.char_start,
            min(mention.detail.mention.char_end, len(text)),
        )
        if start < at or start >= end:
            continue
        if start > at:
            yield text[at:start], None
        yield text[start:end], mention
        at = end
    if at < len(text):
        yield text[at:], None
