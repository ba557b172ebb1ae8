"""Weekly reports by email: what they say, that each is sent once, and which words leave."""

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, time, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.calls.saved_views import ReportSchedule, SavedView, ViewPage
from callpipeline.domain.notifications import NotificationChannel, NotificationPolicy, Routing
from callpipeline.errors import UnknownView, ViewRefused
from callpipeline.pipeline.notifications.monitor import PipelineMonitor
from callpipeline.pipeline.notifications.reports import ReportMonitor, load_report
from callpipeline.storage.calls.saved_views import SavedViews
from callpipeline.storage.postgres.database import Database
from callpipeline.wiring import Storage
from tests.fakes.receivers import certificate, mail_server
from tests.integration.calls import run_concurrently
from tests.integration.databases import execute_sql
from tests.integration.notifying import NotificationDesk
from tests.integration.test_alerts import LEAVES, WORDS, Said, sent, talk

EMAIL = NotificationChannel.EMAIL
VIEW = SavedView("Everything", ViewPage.OVERVIEW, days=28, is_shared=True, owner="ann")


@pytest.fixture
def database_url(emptied_url: str) -> str:
    execute_sql(emptied_url, "DELETE FROM saved_views")
    return emptied_url


@pytest.fixture
def desk(storage: Storage) -> NotificationDesk:
    return NotificationDesk(storage)


def save(desk: NotificationDesk, view: SavedView = VIEW, *, has_quotes: bool = False) -> SavedView:
    """Save a view whose report is due today, since midnight."""
    storage = desk.storage
    saved = storage.views.add(view)
    assert saved.view_id
    today = desk.today.isoweekday()
    storage.views.schedule(saved.view_id, "ann", ReportSchedule(today, time(0), has_quotes))
    execute_sql(storage.database.url, "UPDATE weekly_reports SET set_at = now() - interval '9 d'")
    return storage.views.find(saved.view_id, "ann")


def monitor(storage: Storage) -> ReportMonitor:
    return ReportMonitor(
        storage.views, storage.analytics, storage.insights, storage.reviews, storage.day_zone
    )


def mails(desk: NotificationDesk) -> list[str]:
    desk.deliver()
    return [f"{each.title}\n{each.message}" for each in sent(desk, EMAIL)]


def test_a_report_says_what_changed_with_intervals(desk: NotificationDesk) -> None:
    talk(desk, days_ago=10, calls=40, mentioning=4)
    talk(desk, days_ago=10, calls=40, mentioning=30, said=Said("Sky"))
    talk(desk, days_ago=2, calls=40, mentioning=24)
    talk(desk, days_ago=2, calls=40, mentioning=3, said=Said("EE"))
    talk(desk, days_ago=0, calls=9, mentioning=9, said=Said("O2"))
    save(desk)
    today = desk.today
    [title] = monitor(desk.storage).check(desk.now)
    assert title == f"Weekly report: Everything, {today - timedelta(7)} to {today - timedelta(1)}"
    [text] = mails(desk)
    assert "80 completed calls (80 in the week before)." in text
    assert "33.8 calls with a mention per 100 completed calls (95 %: " in text
    assert "42.5 before (34 in 80)." in text
    gaining = text.partition("Gaining by more than chance:\n")[2].partition("\n\n")[0]
    assert gaining.startswith("- Vodafone: 30.0 mentions per 100 completed calls (95 %: ")
    assert "; 24 in 80), 5.0 before (4 in 80)" in gaining
    assert "Losing by more than chance:\n- Sky: 0.0 mentions" in text
    assert "Never heard before:\n- EE: 3.8 mentions" in text
    assert "O2" not in text, "today is not over"
    [view] = desk.storage.views.list("ann")
    assert f"http://app/views/{view.view_id}/report?day={today}" in text


def test_a_report_is_about_its_view_only(desk: NotificationDesk) -> None:
    talk(desk, days_ago=10, calls=40, mentioning=20)
    talk(desk, days_ago=2, calls=40, mentioning=20, said=Said("Sky"))
    talk(desk, days_ago=2, calls=10, mentioning=10, said=replace(LEAVES, competitor="Sky"))
    filters = CallFilters(competitors=("Vodafone",), from_day=date(2020, 1, 1))
    view = save(desk, replace(VIEW, page=ViewPage.MOMENTS, filters=filters, days=None))
    storage, today = desk.storage, desk.today
    report = load_report(storage.analytics, storage.insights, storage.reviews, view, today)
    assert [name for name, _ in report.changes] == ["Vodafone"]
    assert report.naming.before.events == 20 and report.naming.now.events == 0
    assert report.naming.now.of == 50
    assert report.overview.at_risk.count.moments == 0


def test_calls_that_wait_change_no_report(desk: NotificationDesk) -> None:
    talk(desk, days_ago=10, calls=40, mentioning=4)
    talk(desk, days_ago=2, calls=40, mentioning=24)
    view, storage = save(desk), desk.storage
    readers = (storage.analytics, storage.insights, storage.reviews, view, desk.today)
    before = load_report(*readers)
    execute_sql(storage.database.url, "SELECT 1")
    enter_waiting = "INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified) "
    enter_waiting += """SELECT format('2026-01-02-%s', lpad(to_hex(n), 12, '0')), 'b', n || '.w',
                        'e', 1, now() - interval '2 days' FROM generate_series(1, 300) AS n"""
    execute_sql(storage.database.url, enter_waiting)
    assert load_report(*readers) == before


@pytest.mark.parametrize(
    ("has_quotes", "channels", "are_quoted"),
    [(True, {EMAIL}, True), (False, {EMAIL}, False), (True, set(), False)],
)
def test_words_leave_only_if_the_report_and_the_channel_allow_it(
    desk: NotificationDesk,
    has_quotes: bool,
    channels: set[NotificationChannel],
    are_quoted: bool,
) -> None:
    talk(desk, days_ago=2, calls=3, mentioning=1, said=LEAVES)
    save(desk, has_quotes=has_quotes)
    desk.policy = replace(desk.policy, quote_channels=frozenset(channels))
    monitor(desk.storage).check(desk.now)
    stored = execute_sql(desk.storage.database.url, "SELECT outbox::text FROM outbox")
    assert stored and WORDS not in str(stored)
    [text] = mails(desk)
    assert "Customers at risk: 1 moments in 1 calls" in text
    assert (WORDS in text) == are_quoted
    for channel in (NotificationChannel.SLACK, NotificationChannel.WEBHOOK):
        assert sent(desk, channel) == []


def test_a_quote_that_was_erased_meanwhile_is_not_sent(desk: NotificationDesk) -> None:
    talk(desk, days_ago=2, calls=3, mentioning=1, said=LEAVES)
    save(desk, has_quotes=True)
    desk.policy = replace(desk.policy, quote_channels=frozenset({EMAIL}))
    monitor(desk.storage).check(desk.now)
    execute_sql(desk.storage.database.url, "DELETE FROM mentions")
    [text] = mails(desk)
    assert WORDS not in text


# Once


def test_a_report_is_sent_once_however_many_processes_check(
    desk: NotificationDesk, database_url: str
) -> None:
    save(desk)

    def check(_: int) -> list[str]:
        with Database(database_url) as database:
            storage = desk.storage
            views = SavedViews(database)
            checked = ReportMonitor(
                views, storage.analytics, storage.insights, storage.reviews, storage.day_zone
            )
            return checked.check(desk.now)

    titles = [title for found in run_concurrently(6, check) for title in found]
    assert len(titles) == 1
    assert monitor(desk.storage).check(desk.now) == []
    assert len(mails(desk)) == 1
    assert monitor(desk.storage).check(desk.now + timedelta(days=6)) == []
    assert len(monitor(desk.storage).check(desk.now + timedelta(days=7))) == 1


def test_a_report_waits_until_email_is_configured(desk: NotificationDesk) -> None:
    view, storage = save(desk), desk.storage
    checked = PipelineMonitor(storage.database, storage.outbox, None, reports=monitor(storage))
    only_slack = NotificationPolicy(Routing(frozenset({NotificationChannel.SLACK})))
    checked.check(only_slack, desk.now)
    assert execute_sql(storage.database.url, "SELECT count(*) FROM outbox") == [(0,)]
    [found] = storage.views.with_report()
    assert found.report and found.report.reported_on is None
    checked.check(desk.policy, desk.now)
    [found] = storage.views.with_report()
    assert found.report and found.report.reported_on == desk.today
    assert found.view_id == view.view_id and len(mails(desk)) == 1


def test_another_hour_does_not_repeat_a_report(desk: NotificationDesk) -> None:
    view = save(desk)
    assert len(monitor(desk.storage).check(desk.now)) == 1
    again = ReportSchedule(desk.today.isoweekday(), time(0, 0), has_quotes=True)
    desk.storage.views.schedule(view.view_id or 0, "ann", again)
    url = desk.storage.database.url
    execute_sql(url, "UPDATE weekly_reports SET set_at = now() - interval '9 d'")
    assert monitor(desk.storage).check(desk.now) == []
    desk.storage.views.schedule(view.view_id or 0, "ann", None)
    save_again = ReportSchedule(desk.today.isoweekday(), time(0, 0))
    desk.storage.views.schedule(view.view_id or 0, "ann", save_again)
    execute_sql(url, "UPDATE weekly_reports SET set_at = now() - interval '9 d'")
    assert monitor(desk.storage).check(desk.now) == [], "the outbox knows the report, too"


def test_a_view_that_is_not_shared_any_more_sends_nothing(desk: NotificationDesk) -> None:
    view, views = save(desk), desk.storage.views
    assert view.view_id
    views.change(view.view_id, "ann", is_shared=False)
    assert monitor(desk.storage).check(desk.now) == []
    views.change(view.view_id, "ann", is_shared=True)
    assert monitor(desk.storage).check(desk.now) == [], "its schedule is gone"
    private = views.add(replace(VIEW, name="Mine", is_shared=False))
    with pytest.raises(ViewRefused, match="Share the view first"):
        views.schedule(private.view_id or 0, "ann", ReportSchedule(1, time(8)))
    with pytest.raises(UnknownView):
        views.schedule(view.view_id + 1000, "ann", ReportSchedule(1, time(8)))


def run(url: str, settings: str, where: str) -> int:
    command = [sys.executable, "-m", "tests.integration.report_process", url, settings, where]
    return subprocess.run(command, check=False, timeout=600).returncode


@pytest.mark.parametrize(
    "where", ["in_transaction", "before_dispatch", "after_lease", "after_delivery"]
)
def test_a_killed_process_neither_loses_nor_repeats_a_report(
    desk: NotificationDesk, database_url: str, tmp_path: Path, where: str
) -> None:
    save(desk)
    with ExitStack() as stack:
        trust, ca_file = certificate(tmp_path)
        box = stack.enter_context(mail_server(trust))
        settings = json.dumps({
            "home": str(tmp_path),
            "smtp_host": "127.0.0.1",
            "smtp_port": box.port,
            "smtp_username": box.username,
            "smtp_password": box.password,
            "smtp_ca_file": str(ca_file),
            "email_from": "callpipeline@example.com",
            "email_to": "team@example.com",
        })  # fmt: skip
        assert run(database_url, settings, where) == -signal.SIGKILL
        for _ in range(2):
            assert run(database_url, settings, "nowhere") == 0
        subjects = {str(mail["Subject"]) for mail in box.mails}
        assert len(subjects) == 1 and "Weekly report: Everything" in subjects.pop()
        # A server that accepted a mail may get it again: with the same ID, so it is one message.
        assert len({str(mail["Message-ID"]) for mail in box.mails}) == 1
        assert len(box.mails) == (2 if where == "after_delivery" else 1)
        assert all(isinstance(mail, EmailMessage) for mail in box.mails)
