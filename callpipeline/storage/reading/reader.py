"""Everything that is read, on one object: what an app opens once and hands to its pages."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date

from callpipeline.domain.filters import Filters
from callpipeline.storage import search as said
from callpipeline.storage.database import Database
from callpipeline.storage.export import Table, What, opened
from callpipeline.storage.reading import calls as listed
from callpipeline.storage.reading import contract, numbers, together, waiting
from callpipeline.storage.reading import one_call as single

ALL = Filters()


class Reading:
    """Reads of calls, numbers and words. None of them writes; pages raise CursorInvalid."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Calls

    def calls(
        self, filters: Filters = ALL, *, limit: int = 50, after: str | None = None, skip: int = 0
    ) -> listed.CallPage:
        """A page of calls, newest first."""
        return listed.page(self._database, filters, limit=limit, after=after, skip=skip)

    def count(self, filters: Filters = ALL) -> int:
        """How many calls there are."""
        return listed.count(self._database, filters)

    def rows(self, call_ids: Iterable[str]) -> tuple[listed.CallRow, ...]:
        """These calls as lists show them, for what changes while somebody looks."""
        return listed.of_ids(self._database, call_ids)

    def call(self, call_id: str) -> single.CallSeen | None:
        """All of one call but the words of its transcripts."""
        return single.one_call(self._database, call_id)

    def sentiment_results(
        self, call_ids: Sequence[str]
    ) -> dict[str, tuple[single.SentimentResult, ...]]:
        """`sentiment_results[]` of some calls, by call."""
        return single.sentiment_results(self._database, call_ids)

    def outlooks(self, of: Iterable[listed.CallRow]) -> Mapping[str, waiting.Outlook]:
        """Place in the queue and estimate of those calls that have not ended."""
        return waiting.outlooks(self._database, of)

    # Numbers

    def analytics(
        self,
        filters: Filters = ALL,
        *,
        earlier: Filters | None = None,
        days: tuple[date, date] | None = None,
    ) -> together.Analytics:
        """All of the four below at once, for a page that shows them."""
        return together.analytics(self._database, filters, earlier=earlier, days=days)

    def totals(self, filters: Filters = ALL) -> numbers.Totals:
        return numbers.totals(self._database, filters)

    def by_competitor(self, filters: Filters = ALL) -> tuple[numbers.OfCompetitor, ...]:
        return numbers.by_competitor(self._database, filters)

    def by_agent(self, filters: Filters = ALL) -> tuple[numbers.OfAgent, ...]:
        return numbers.by_agent(self._database, filters)

    def over_time(self, filters: Filters = ALL) -> numbers.OverTime:
        return numbers.over_time(self._database, filters)

    def choices(self) -> numbers.Choices:
        return numbers.choices(self._database)

    def mentions(
        self, filters: Filters = ALL, *, limit: int = 100, after: str | None = None
    ) -> contract.MentionPage:
        return contract.mentions(self._database, filters, limit=limit, after=after)

    # The API's analytics routes

    def overview(self, filters: Filters = ALL) -> contract.Overview:
        return contract.overview(self._database, filters)

    def competitor(
        self, name: str, filters: Filters = ALL, *, limit: int = 100, after: str | None = None
    ) -> contract.CompetitorDetail | None:
        return contract.competitor(self._database, name, filters, limit=limit, after=after)

    def competitor_list(self, filters: Filters = ALL) -> tuple[contract.NameCount, ...]:
        return contract.competitor_list(self._database, filters)

    def sentiment_trends(self, filters: Filters = ALL) -> tuple[contract.TrendCount, ...]:
        return contract.sentiment_trends(self._database, filters)

    # Words

    def search(
        self, words: str, filters: Filters = ALL, *, limit: int = 20, after: str | None = None
    ) -> said.HitPage:
        """Where words were said, newest call first."""
        return said.page(self._database, words, filters, limit=limit, after=after)

    def count_hits(self, words: str, filters: Filters = ALL) -> said.HitCount:
        """In how many segments they were said, or more than how many."""
        return said.count(self._database, words, filters)

    def is_too_common(self, words: str) -> bool:
        """Whether the words are all ones that are not looked for, such as `the`."""
        return said.is_too_common(self._database, words)

    # Files

    @contextmanager
    def table(
        self, what: What, filters: Filters = ALL, *, words: str | None = None
    ) -> Iterator[Table]:
        """What a list or a search shows, as rows that `export.write` makes a file of."""
        with opened(self._database, what, filters=filters, words=words) as table:
            yield table
