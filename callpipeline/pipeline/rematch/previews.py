"""Previews: the effect that applying a catalog would have on completed calls."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any

from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.find_mentions import Answers
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Decision, Mention, MentionStatus
from callpipeline.errors import MissingObject, TranscriptInvalid
from callpipeline.pipeline.rematch.changes import CallChanges, find_changes
from callpipeline.pipeline.rematch.planning import plan_rematch
from callpipeline.pipeline.rematch.spoken_names import NameTally, SpokenName
from callpipeline.storage.ports.rematch import RematchInput, RematchPlans, RematchResults

MAX_QUOTES = 5
"""Quotes of each competitor that a preview shows."""
QUOTE_CHARS = 60
"""Characters of a quote on either side of the name."""
FEW_SECONDS = 10.0
SECONDS_A_CALL = 0.02
"""10,000 calls took 195 s in benchmarks/rematch.py; starts of runs and remote judges add to it."""


@dataclass(frozen=True, slots=True)
class MentionQuote:
    """A mention that comes, goes or is decided otherwise, with the words around it."""

    call_id: str
    mention_id: str
    comes: bool
    status: MentionStatus
    before: str
    text: str
    after: str
    start_s: float


@dataclass(slots=True)
class CompetitorEffect:
    """The effect of a catalog on one competitor; counts are of mentions."""

    name: str
    counted_before: int = 0
    counted_after: int = 0
    to_review_before: int = 0
    to_review_after: int = 0
    calls: int = 0
    quotes: list[MentionQuote] = field(default_factory=list[MentionQuote])

    @property
    def counted(self) -> int:
        """Return by how many the counted mentions change."""
        return self.counted_after - self.counted_before

    @property
    def to_review(self) -> int:
        """Return by how many the mentions that wait for review change."""
        return self.to_review_after - self.to_review_before


@dataclass(frozen=True, slots=True)
class CatalogPreview:
    """The effect of a catalog if it were applied now; nothing is changed by a preview.

    `affected` calls hold a changed name, and `examined` ones of these were computed. A limited
    preview stops early, with the newest calls; `skipped` older ones were not even searched.
    """

    catalog: Catalog
    completed: int
    skipped: int
    affected: int
    examined: int
    changed_calls: tuple[str, ...]
    effects: tuple[CompetitorEffect, ...]
    names: tuple[SpokenName, ...]
    unreadable: int
    to_judge: int
    seconds: float

    @property
    def is_complete(self) -> bool:
        return self.examined == self.affected and not self.skipped

    @property
    def counted(self) -> int:
        """Return by how many the counted mentions change."""
        return sum(effect.counted for effect in self.effects)

    @property
    def to_review(self) -> int:
        """Return by how many the mentions that wait for review change."""
        return sum(effect.to_review for effect in self.effects)

    def describe_time(self) -> str:
        """Return how long applying takes, as "about 40 s" or "about 5 minutes"."""
        seconds = self.seconds
        if seconds < FEW_SECONDS:
            return "a few seconds"
        return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} minutes"

    def as_jsonable(self) -> dict[str, Any]:
        """Return the preview as plain types, with the version of the catalog in its place."""
        plain: dict[str, Any] = asdict(self)
        plain |= {"catalog": self.catalog.version, "is_complete": self.is_complete}
        for effect, made in zip(plain["effects"], self.effects, strict=True):
            effect |= {"counted": made.counted, "to_review": made.to_review}
        for name, spoken in zip(plain["names"], self.names, strict=True):
            name |= {"looks_ordinary": spoken.looks_ordinary}
        return plain


@dataclass(frozen=True, slots=True)
class PreviewLimits:
    """Limits of a preview that a person waits for; None is no limit.

    Of each version in use, the newest `searched` calls are searched. Of the calls with a changed
    name, the newest `calls` are computed, for at most `seconds`.
    """

    searched: int | None = None
    calls: int | None = None
    seconds: float | None = None


class Previewer:
    """Computes previews of catalogs."""

    def __init__(
        self,
        plans: RematchPlans,
        results: RematchResults,
        open_matcher: Callable[[Catalog], Matcher],
    ) -> None:
        self._plans = plans
        self._results = results
        self._open_matcher = open_matcher

    def preview(
        self,
        catalog: Catalog,
        *,
        limits: PreviewLimits | None = None,
        on_call: Callable[[int, int], None] = lambda done, total: None,
    ) -> CatalogPreview:
        """Compute what a catalog would change, as applying it would."""
        limits, began = limits or PreviewLimits(), monotonic()
        plan = plan_rematch(self._plans, catalog, newest=limits.searched)
        calls = plan.affected[::-1][: limits.calls]
        tally, examined, planned = _Tally(catalog), 0, monotonic()
        answers, matcher = self._results.answers(catalog), self._open_matcher(catalog)
        for examined, call_id in enumerate(calls, start=1):
            self._examine(call_id, matcher, answers, tally)
            on_call(examined, len(calls))
            if limits.seconds is not None and monotonic() - planned > limits.seconds:
                break
        per_call = max((monotonic() - began) / max(examined, 1), SECONDS_A_CALL)
        return CatalogPreview(
            catalog=catalog,
            completed=sum(group.calls for group in self._plans.versions_in_use()),
            skipped=plan.skipped,
            affected=len(plan.affected),
            examined=examined,
            changed_calls=tuple(sorted(tally.changed_calls)),
            effects=tuple(tally.effects()),
            names=tuple(tally.names.spoken()),
            unreadable=tally.unreadable,
            to_judge=tally.to_judge,
            seconds=per_call * len(plan.affected),
        )

    def _examine(self, call_id: str, matcher: Matcher, answers: Answers, tally: "_Tally") -> None:
        try:
            stored = self._results.load(call_id)
        except (MissingObject, TranscriptInvalid):
            tally.unreadable += 1
            return
        if stored is not None:
            tally.add(stored, find_changes(stored, matcher, answers))


class _Tally:
    """Counts the changes of calls."""

    def __init__(self, catalog: Catalog) -> None:
        self._effects: dict[str, CompetitorEffect] = {}
        self.names = NameTally(catalog)
        self.changed_calls: list[str] = []
        self.unreadable = 0
        self.to_judge = 0

    def add(self, stored: RematchInput, changes: CallChanges) -> None:
        for mention in changes.found:
            text = _segment_text(stored, mention)
            self.names.add(mention, text, counts=mention.mention_id in changes.counted)
        if not changes.is_changed:
            return
        self.to_judge += len(changes.judged_in)
        if changes.changed or changes.gone:
            self.changed_calls.append(stored.call_id)
        self._compare(stored, changes)

    def _compare(self, stored: RematchInput, changes: CallChanges) -> None:
        before = {mention.mention_id: mention for mention in stored.mentions}
        after = {mention.mention_id: mention for mention in changes.found}
        named: set[str] = set()
        for id_ in sorted(before.keys() | after.keys()):
            old, new = before.get(id_), after.get(id_)
            if old == new:
                continue
            mention = new or old
            assert mention
            effect = self._effects.setdefault(
                mention.competitor, CompetitorEffect(mention.competitor)
            )
            named.add(mention.competitor)
            effect.counted_before += id_ in stored.counted
            effect.counted_after += id_ in changes.counted
            effect.to_review_before += _waits(old, stored)
            effect.to_review_after += _waits(new, stored)
            is_same = old is not None and new is not None and old.status is new.status
            if len(effect.quotes) < MAX_QUOTES and not is_same:
                effect.quotes.append(_quote(stored, mention, comes=new is not None))
        for name in named:
            self._effects[name].calls += 1

    def effects(self) -> Iterator[CompetitorEffect]:
        """Yield the effects, largest first."""
        yield from sorted(
            self._effects.values(), key=lambda each: (-abs(each.counted), -each.calls, each.name)
        )


def _waits(mention: Mention | None, stored: RematchInput) -> bool:
    """Return whether a mention waits for review: by the rules, and no person has decided."""
    return (
        mention is not None
        and mention.status is MentionStatus.NEEDS_REVIEW
        and stored.decisions.get(mention.mention_id, (Decision.RESET, 0.0))[0] is Decision.RESET
    )


def _quote(stored: RematchInput, mention: Mention, *, comes: bool) -> MentionQuote:
    text = _segment_text(stored, mention)
    return MentionQuote(
        stored.call_id,
        mention.mention_id,
        comes,
        mention.status,
        text[max(mention.char_start - QUOTE_CHARS, 0) : mention.char_start],
        mention.text,
        text[mention.char_end : mention.char_end + QUOTE_CHARS],
        mention.start_s,
    )


def _segment_text(stored: RematchInput, mention: Mention) -> str:
    texts = (
        segment.text
        for transcript in stored.transcripts
        for segment in transcript.segments
        if (segment.channel, segment.index) == (mention.channel, mention.segment_index)
    )
    return next(texts, "")
