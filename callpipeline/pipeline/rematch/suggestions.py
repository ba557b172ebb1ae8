"""Suggestions of sounds-like aliases: what recognisers wrote in stored calls instead of a name.

The stored segments are read twice, some calls at a time. The first pass collects the runs of words
that sound like a name, up to a limit for each name. The second one counts where they are said.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.misheard import (
    MAX_QUESTIONS,
    HeardCandidate,
    NameUse,
    RunText,
    ScoredAlias,
    SpeechRead,
    Tier,
    WordRun,
    add_context,
    alias_letters,
    score_candidate,
)
from callpipeline.domain.competitors.spellings import Spelling, is_phrase, spellings
from callpipeline.engines.ports import SoundFinder
from callpipeline.storage.ports.suggestions import SpokenCalls, SpokenSegment

MAX_QUOTES = 3
QUOTE_CHARS = 50
"""Characters of a quote on either side of the alias."""
BATCH_CALLS = 25
MAX_CANDIDATES = 60
"""Runs of words that are counted for each name: those that sound most like it."""
MAX_SEEN_RUNS = 1_000_000
MAX_FORMS = 4
MIN_NAME_LETTERS = 4


@dataclass(frozen=True, slots=True)
class AliasQuote:
    """A place where a suggested alias is said, with the words around it."""

    call_id: str
    start_s: float
    before: str
    text: str
    after: str


@dataclass(frozen=True, slots=True)
class AliasSuggestion:
    """An alias to accept or refuse; `new_mentions` counts those that it would add."""

    competitor: str
    alias: str
    tier: Tier
    score: float
    evidence: tuple[str, ...]
    occurrences: int
    calls: int
    new_mentions: int
    quotes: tuple[AliasQuote, ...]


@dataclass(frozen=True, slots=True)
class SuggestionReport:
    """Suggestions, best first for each name, and the part of the stored calls that was read.

    `sounds` names what knows the sounds of words.
    """

    suggestions: tuple[AliasSuggestion, ...]
    sounds: str
    calls_read: int
    calls_stored: int
    words_read: int


FinderFactory = Callable[[Mapping[str, Sequence[str]]], SoundFinder]


class AliasMiner:
    """Mines sounds-like aliases from stored speech."""

    def __init__(self, calls: SpokenCalls, open_finder: FinderFactory) -> None:
        self._calls = calls
        self._open_finder = open_finder

    def mine(
        self,
        catalog: Catalog,
        *,
        only: str | None = None,
        max_calls: int,
        on_call: Callable[[int, int], None] = lambda done, total: None,
    ) -> SuggestionReport:
        """Suggest aliases of all competitors, or of one, from the newest calls."""
        listed = [each for each in catalog.competitors if only in (None, each.name)]
        finder = self._open_finder({each.name: list(_forms(each)) for each in listed})
        call_ids = self._calls.newest(max_calls)
        pool = _Pool(catalog, listed, self._calls.refused())
        total, done = 2 * len(call_ids), 0
        for segments in self._batches(call_ids):
            pool.add(segments, finder)
            done += BATCH_CALLS
            on_call(min(done, len(call_ids)), total)
        tally = _SpokenTally(catalog, pool.candidates())
        done = len(call_ids)
        for segments in self._batches(call_ids):
            for segment in segments:
                tally.add(segment)
            done += BATCH_CALLS
            on_call(min(done, total), total)
        return SuggestionReport(
            tuple(tally.suggestions()),
            finder.name,
            len(call_ids),
            self._calls.count(),
            tally.words_read,
        )

    def _batches(self, call_ids: Sequence[str]) -> Iterator[Sequence[SpokenSegment]]:
        for start in range(0, len(call_ids), BATCH_CALLS):
            yield self._calls.segments(call_ids[start : start + BATCH_CALLS])


def _forms(competitor: Competitor) -> Iterator[str]:
    """Yield the forms of names that a recogniser may mishear; not those of ordinary words."""
    for name in (competitor.name, *competitor.aliases):
        if competitor.ambiguous and not is_phrase(name):
            continue
        exact = [form for form, kind in spellings(name).items() if kind is Spelling.EXACT]
        for form in exact[:MAX_FORMS]:
            if len(alias_letters(form)) >= MIN_NAME_LETTERS:
                yield form


class _Pool:
    """The runs of words that sound most like each name."""

    def __init__(
        self,
        catalog: Catalog,
        listed: Sequence[Competitor],
        refused: Collection[tuple[str, str]],
    ) -> None:
        self._refused = refused
        self._known = {form.form.replace(" ", "") for form in catalog.forms}
        self._own_words = {
            each.name: {word for form in _forms(each) for word in form.split()} for each in listed
        }
        self._seen: set[str] = set()
        self._similar: dict[str, dict[str, float]] = defaultdict(dict)

    def add(self, segments: Sequence[SpokenSegment], finder: SoundFinder) -> None:
        new: dict[str, tuple[str, ...]] = {}
        for segment in segments:
            for key, words in RunText(segment.text).lettered():
                if key not in self._seen:
                    new[key] = words
        if len(self._seen) > MAX_SEEN_RUNS:
            self._seen.clear()
        self._seen.update(new)
        keys = [key for key in new if key not in self._known]
        for match in finder.find([new[key] for key in keys]):
            key = keys[match.run]
            if self._own_words[match.name].issuperset(new[key]):
                continue
            of_name = self._similar[match.name]
            of_name[key] = max(match.similarity, of_name.get(key, 0.0))
            if len(of_name) > 2 * MAX_CANDIDATES:
                self._similar[match.name] = _best(of_name)

    def candidates(self) -> Iterator[HeardCandidate]:
        for name, similar in self._similar.items():
            for key, similarity in _best(similar).items():
                # Refused ones are counted too: what overlaps them is no other alias.
                is_refused = (name, key) in self._refused
                yield HeardCandidate(name, key, similarity, is_refused=is_refused)


def _best(similar: Mapping[str, float]) -> dict[str, float]:
    ordered = sorted(similar.items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered[:MAX_CANDIDATES])


class _Place(NamedTuple):
    """An occurrence of a candidate in a segment."""

    candidate: HeardCandidate
    run: WordRun


class _SpokenTally:
    """Counts where candidates, and the names themselves, are said."""

    def __init__(self, catalog: Catalog, candidates: Iterator[HeardCandidate]) -> None:
        self._order = [each.name for each in catalog.competitors]
        self._matcher = Matcher(catalog)
        self._by_key: dict[str, list[HeardCandidate]] = defaultdict(list)
        for candidate in candidates:
            self._by_key[candidate.key].append(candidate)
        self._uses: dict[str, NameUse] = defaultdict(NameUse)
        self._quotes: dict[tuple[str, str], _Quotes] = defaultdict(_Quotes)
        self._calls: set[str] = set()
        self._segments = self._cased = 0
        self.words_read = 0

    def add(self, segment: SpokenSegment) -> None:
        text = RunText(segment.text)
        self.words_read += len(text.words)
        self._calls.add(segment.call_id)
        self._segments += 1
        self._cased += not segment.text.islower()
        covered = list[tuple[int, int]]()
        for match in self._matcher.find(segment.text):
            covered.append((match.char_start, match.char_end))
            use = self._uses[match.competitor.name]
            use.calls.add(segment.call_id)
            add_context(use.context, text.neighbours(match.char_start, match.char_end))
        for candidate, run in self._places(text):
            is_new = not any(
                run.char_start < end and run.char_end > start for start, end in covered
            )
            candidate.add(segment.call_id, text, run, is_new=is_new)
            if is_new:
                self._quotes[candidate.competitor, candidate.key].add(segment, run)

    def _places(self, text: RunText) -> Iterator[_Place]:
        """Yield the occurrences in a text; of those that overlap the one most like the name."""
        found = [
            _Place(candidate, run)
            for run in text.runs(self._by_key)
            for candidate in self._by_key[run.key]
        ]
        found.sort(key=lambda place: (-place.candidate.similarity, len(place.run.words)))
        taken: dict[str, set[int]] = defaultdict(set)
        for place in found:
            words = range(place.run.first, place.run.first + len(place.run.words))
            if taken[place.candidate.competitor].isdisjoint(words):
                taken[place.candidate.competitor].update(words)
                yield place

    def suggestions(self) -> Iterator[AliasSuggestion]:
        """Yield the suggestions by name in catalog order, each run for one name only."""
        by_name: dict[str, list[ScoredAlias]] = defaultdict(list)
        for candidates in self._by_key.values():
            scored = [self._score(each) for each in candidates if each.is_open]
            if scored:
                best = max(scored, key=lambda each: (each.score, each.candidate.competitor))
                by_name[best.candidate.competitor].append(best)
        for name in self._order:
            ordered = sorted(by_name[name], key=lambda each: (-each.score, each.candidate.key))
            asked = [each for each in ordered if each.tier is Tier.TO_DECIDE][:MAX_QUESTIONS]
            automatic = [each for each in ordered if each.tier is Tier.AUTOMATIC]
            yield from map(self._suggestion, (*automatic, *asked))

    def _score(self, candidate: HeardCandidate) -> ScoredAlias:
        is_cased = self._cased > self._segments / 2
        read = SpeechRead(len(self._calls), self.words_read, is_cased)
        return score_candidate(candidate, self._uses[candidate.competitor], read)

    def _suggestion(self, scored: ScoredAlias) -> AliasSuggestion:
        candidate = scored.candidate
        assert scored.tier
        return AliasSuggestion(
            candidate.competitor,
            candidate.alias,
            scored.tier,
            scored.score,
            scored.evidence,
            candidate.occurrences,
            len(candidate.calls),
            candidate.new_mentions,
            tuple(self._quotes[candidate.competitor, candidate.key].chosen()),
        )


@dataclass(slots=True)
class _Quotes:
    """Quotes of an alias, from different calls where there are several."""

    first: list[AliasQuote] = field(default_factory=list[AliasQuote])
    spare: list[AliasQuote] = field(default_factory=list[AliasQuote])

    def add(self, segment: SpokenSegment, run: WordRun) -> None:
        is_other_call = all(quote.call_id != segment.call_id for quote in self.first)
        among = self.first if is_other_call else self.spare
        if len(among) < MAX_QUOTES:
            among.append(_quote(segment, run))

    def chosen(self) -> list[AliasQuote]:
        return [*self.first, *self.spare][:MAX_QUOTES]


def _quote(segment: SpokenSegment, run: WordRun) -> AliasQuote:
    text, duration_s = segment.text, segment.end_s - segment.start_s
    start, end = run.char_start, run.char_end
    return AliasQuote(
        segment.call_id,
        round(segment.start_s + duration_s * start / len(text), 1),
        text[max(start - QUOTE_CHARS, 0) : start],
        text[start:end],
        text[end : end + QUOTE_CHARS],
    )
