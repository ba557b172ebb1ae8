"""Alerts on what is said in calls: rules are checked, and what they find goes to the outbox.

Events hold numbers and the ids of mentions, no words: those are read when a message is sent, so
that nothing of an erased call or a dismissed mention leaves the installation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from urllib.parse import urlencode

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment, MomentId
from callpipeline.domain.calls.rates import Rate, RateChange
from callpipeline.domain.notifications import AlertKind, AlertRule, EventKind, Severity
from callpipeline.domain.notifications import NotificationEvent as Event
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.pipeline.reading.analytics import previous_period
from callpipeline.pipeline.reading.overview import changes_of
from callpipeline.storage.ports.analytics import AnalyticsReader, InsightReader, ListedMention
from callpipeline.storage.ports.notifications import AlertRuleStore

EVERY_S = 600.0
MAX_QUOTES = 3
MAX_LEAVING = 50
"""Newest calls of customers who leave that one check reports."""


@dataclass(frozen=True, slots=True)
class AlertMonitor:
    """Checks the alert rules, each every ten minutes; `today` returns the day of a time."""

    rules: AlertRuleStore
    analytics: AnalyticsReader
    insights: InsightReader
    today: Callable[[datetime], date] = lambda now: now.date()

    def check(self, now: datetime) -> list[str]:
        """Check the rules that are due; return the titles of new alerts."""
        titles: list[str] = []
        for rule in self.rules.due(now, EVERY_S):
            for event in self.find(rule, self.today(now)):
                if self.rules.report(rule, event, now):
                    titles.append(event.title)
        return titles

    def find(self, rule: AlertRule, today: date) -> Iterator[Event]:
        """Yield what a rule finds, whether or not it was reported before."""
        period = CallFilters(
            states=(CallState.COMPLETED,),
            competitors=(rule.competitor,) if rule.competitor else (),
            from_day=today - timedelta(days=rule.days - 1),
            to_day=today,
        )
        match rule.kind:
            case AlertKind.SPIKE:
                yield from self._rises(rule, period, today, "mentions")
            case AlertKind.SENTIMENT:
                against = replace(
                    period, sentiment=MentionSentiment.NEGATIVE, speaker=Speaker.CUSTOMER
                )
                yield from self._rises(rule, against, today, "negative mentions by customers")
            case AlertKind.LEAVING:
                yield from self._leaving(rule, period)
            case AlertKind.NEW_COMPETITOR:
                yield from self._first_heard(rule, period, today)

    def _changes(self, period: CallFilters, today: date) -> dict[str, RateChange]:
        earlier = previous_period(period, today) or period
        return changes_of(self.analytics.rates(period), self.analytics.rates(earlier))

    def _rises(
        self, rule: AlertRule, period: CallFilters, today: date, what: str
    ) -> Iterator[Event]:
        """Yield the competitors whose rate rose by the threshold, and by more than chance."""
        for name, change in self._changes(period, today).items():
            if min(change.now.of, change.before.of) < rule.min_calls or not change.is_clear:
                continue
            now, before = change.now.per_100 or 0.0, change.before.per_100 or 0.0
            if now > before and now - before >= rule.threshold:
                of = f"{change.before.events:,} in {change.before.of:,}"
                yield self._event(
                    rule,
                    f"{name}: more {what}",
                    f"{_stated(change.now, what, rule)}, {before:.1f} before ({of}).",
                    subject=name,
                    filters=period.with_competitor(name).mentioning_any(),
                )

    def _leaving(self, rule: AlertRule, period: CallFilters) -> Iterator[Event]:
        """Yield each call in which a customer says that they leave for a competitor."""
        leaving = replace(period, switching=(SwitchingIntent.LEAVING_TO,))
        rates = self.analytics.rates(leaving)
        events = sum(each.all.events for each in rates.by_competitor.values())
        rate = Rate(events, rates.with_mention, rates.completed)
        if rate.of < rule.min_calls or not events or (rate.per_100 or 0.0) < rule.threshold:
            return
        newest = self.analytics.mentions(leaving, limit=MAX_LEAVING).mentions
        stated = _stated(rate, "customers who leave for a competitor", rule)
        for mention in {each.call_id: each for each in reversed(newest)}.values():
            name = mention.mention.competitor
            title = f"A customer says that they leave for {name}"
            moment = replace(period, moments=(_moment(mention),), from_day=None, to_day=None)
            event = self._event(rule, title, f"{stated}.", subject=mention.call_id, filters=moment)
            yield replace(event, call_id=mention.call_id)

    def _first_heard(self, rule: AlertRule, period: CallFilters, today: date) -> Iterator[Event]:
        """Yield competitors that no call before the period mentions."""
        changes = self._changes(period, today)
        new = [name for name, change in changes.items() if change.is_new]
        for name in sorted(self.insights.first_heard(new, period.from_day or today)):
            rate = changes[name].now
            if rate.of >= rule.min_calls and (rate.per_100 or 0.0) >= rule.threshold:
                yield self._event(
                    rule,
                    f"{name} is mentioned for the first time",
                    f"{_stated(rate, 'mentions', rule)}, none ever before.",
                    subject=name,
                    filters=period.with_competitor(name).mentioning_any(),
                )

    def _event(
        self, rule: AlertRule, title: str, message: str, *, subject: str, filters: CallFilters
    ) -> Event:
        """Return the event of a finding; `subject` is what the rule is not to repeat."""
        group = f"{EventKind.CONTENT_ALERT}:{rule.rule_id}"
        moments: list[str] = []
        if rule.has_quotes:
            found = self.analytics.mentions(filters, limit=MAX_QUOTES).mentions
            moments = [str(_moment(each)) for each in found]
        return Event(
            EventKind.CONTENT_ALERT,
            Severity.WARNING,
            title,
            message,
            group_key=group,
            subject=f"{rule.kind}:{subject}",
            metadata={"path": alert_page(filters), "moments": moments},
            channels=rule.channels or None,
        )


def _stated(rate: Rate, what: str, rule: AlertRule) -> str:
    low, high = rate.interval or (0.0, 0.0)
    days = "the last day" if rule.days == 1 else f"the last {rule.days} days"
    return (
        f"{rate.per_100 or 0.0:.1f} {what} per 100 completed calls in {days} "
        f"({rate.events:,} in {rate.of:,}; 95 %: {low:.1f} to {high:.1f})"
    )


def _moment(mention: ListedMention) -> MomentId:
    return MomentId(mention.call_id, mention.detail.mention_id)


def alert_page(filters: CallFilters) -> str:
    """Return the path of the page of the moments that an alert is about."""
    chosen: list[tuple[str, str]] = [("moment", str(each)) for each in filters.moments]
    if not chosen:
        chosen += [("competitor", name) for name in filters.competitors]
        days = (("from", filters.from_day), ("to", filters.to_day))
        chosen += [(name, day.isoformat()) for name, day in days if day]
        if filters.sentiment:
            chosen += [("sentiment", str(filters.sentiment))]
        if filters.speaker:
            chosen += [("speaker", str(filters.speaker))]
    return f"/moments?{urlencode(chosen)}"
