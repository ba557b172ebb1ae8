"""Agents and teams compared, the page of an agent, and that of a customer."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import expect

from callpipeline.storage.postgres.sql import SCHEMA, query
from tests.integration.databases import execute_sql
from tests.web.browsing import chromium, watched
from tests.web.served import Served, served

TEAMS = "agent,team\nAnn Abbot,Retention\nben,Retention\ncarla,Sales\n"
AT = datetime.now(UTC) - timedelta(days=3)
OLD = AT - timedelta(days=100)


def a_call(number: int, agent: str | None, state: str = "COMPLETED", at: datetime = AT) -> str:
    """Return statements that store a call of a customer, in which the agent talks for 30 of 40 s.

    The customer names EE; the agent answers in even calls, and names Sky in each third one.
    """
    call = f"2026-01-01-{number:012x}"
    known = f'"agent": "{agent}", ' if agent else ""
    mentions = [("customer", "EE", 0), *([("agent", "Sky", 1)] if number % 3 == 0 else [])]
    said = "but we do have a better offer" if number % 2 == 0 else "no"
    lines = [
        f"""INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, started_at,
                               state, metadata)
            VALUES ('{call}', 'b', '{number}.wav', 'e', 1, '{at}', '{at}', '{state}',
                    '{{{known}"customer": "Mr Smith & Sons"}}')""",
        f"""INSERT INTO recordings (call_id, container, codec, sample_rate_hz, channel_count,
                                    duration_s, bad_packets, flags)
            VALUES ('{call}', 'wav', 'pcm_s16le', 8000, 2, 60, 0, '[]')""",
        f"""INSERT INTO transcripts
            VALUES ('{call}', 'right', 'customer', 'by hand', 'en', 6, 0.9, true, 'k'),
                   ('{call}', 'left', 'agent', 'by hand', 'en', 7, 0.9, true, 'k')""",
        f"INSERT INTO call_metrics VALUES ('{call}', 60, 30, 10, 0, 20, 1, 0, 'by hand')",
        f"""INSERT INTO segments (call_id, channel, segment_index, speaker, start_s, end_s, text)
            VALUES ('{call}', 'right', 0, 'customer', 1, 3, 'EE is cheaper than you are'),
                   ('{call}', 'left', 1, 'agent', 4, 6, '{said}')""",
    ]
    lines += [
        f"""INSERT INTO mentions VALUES ('{call}', 'm{n}', '{name}', 'a', '{name}',
            '{"left" if who == "agent" else "right"}', '{who}', {n}, 0, 2, 1, 2, 0.9,
            'counted', 'r')"""
        for who, name, n in mentions
    ]
    return ";\n".join(lines)


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Six calls of Ann, four of Ben, two of Carla, one of nobody; others that count in nothing."""
    home = tmp_path_factory.mktemp("app")
    (home / "teams.csv").write_text(TEAMS)
    calls = [a_call(n, "Ann Abbot") for n in range(1, 7)]
    calls += [a_call(n, "Ben") for n in range(11, 15)]
    calls += [a_call(n, "Carla") for n in range(21, 23)]
    calls += [a_call(31, None), a_call(41, "Ann Abbot", "PENDING"), a_call(42, "Dan", at=OLD)]
    calls += [a_call(48, "Jo Groß", at=OLD)]
    execute_sql(module_url, ";\n".join(calls))
    with served(home, module_url, teams=home / "teams.csv") as app:
        yield app


def read(app: Served, path: str, status: int = 200) -> str:
    reply = httpx.get(f"{app.address}{path}", headers={"Accept": "text/html"}, timeout=60)
    assert reply.status_code == status, reply.text
    return reply.text


def row(html: str, name: str, table: str = "agents") -> list[str]:
    """Return the texts of the cells beside a name."""
    within = html.partition(f'id="{table}"')[2].partition("</table>")[0]
    found = within.partition(f"<bdi>{name}</bdi>")[2].partition("</tr>")[0]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", found, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", "", cell).split()) for cell in cells]


def test_agents_are_compared_by_completed_calls_of_four_weeks(app: Served) -> None:
    html = read(app, "/agents")
    team, calls, talk, raised, asked, answered = row(html, "Ann Abbot")
    assert (team, calls, talk) == ("Retention", "6", "75%")
    assert raised.startswith("33 (")  # in two of six calls
    assert asked.startswith("100 (") and answered == "50% of 6"
    assert row(html, "Ben")[1] == "4"
    assert "Dan" not in html.partition('id="agents"')[2].partition("</table>")[0]
    assert ">Unknown agent</a>" in html
    old = read(app, f"/agents?from={OLD.date()}&to={OLD.date()}")
    assert row(old, "Dan")[0] == "1", "no team has calls, so there is no such column"


def test_teams_add_up_their_agents(app: Served) -> None:
    html = read(app, "/agents")
    agents, calls, talk, raised, asked, answered = row(html, "Retention", "teams")
    assert (agents, calls, talk) == ("2", "10", "75%")
    assert raised.startswith("30 (") and asked.startswith("100 (") and answered == "50% of 10"
    assert row(html, "Sales", "teams")[:2] == ["1", "2"]
    everything = html.partition("<tfoot>")[2]
    assert '<td class="number">13</td>' in everything


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("", "Ann Abbot"),
        ("?sort=name&order=desc", "Carla"),
        ("?sort=completed&order=asc", "Unknown agent"),
        ("?sort=team&order=desc", "Carla"),
        ("?sort=raised", "Carla"),
    ],
)
def test_the_table_is_sorted_by_its_columns(app: Served, query: str, first: str) -> None:
    table = read(app, f"/agents{query}").partition('id="agents"')[2].partition("</table>")[0]
    names = re.findall(r'<th scope="row"><a [^>]*>(?:<bdi>)?([^<]+)', table)
    assert names[0] == first
    assert len(re.findall("aria-sort", table)) == 1


def test_an_unknown_column_is_refused(app: Served) -> None:
    read(app, "/agents?sort=charm", 422)


def test_an_agent_is_compared_with_the_team_and_all(app: Served) -> None:
    html = read(app, "/agent?name=ANN+abbot")
    assert "Team <bdi>Retention</bdi>" in html
    compared = html.partition('id="compared"')[2].partition("</table>")[0]
    assert re.findall(r'<td class="number">(\d+)</td>', compared) == ["6", "10", "13"]
    assert html.count("data-clip") >= 2
    answers = html.partition('id="answers"')[2]
    assert answers.count("but we do have a better offer") == 3
    unknown = read(app, "/agent?name=(unknown)")
    assert "<h1><bdi>Unknown agent</bdi></h1>" in unknown
    read(app, "/agent?name=nobody", 404)


def test_an_agent_without_calls_in_the_period_is_shown_as_such(app: Served) -> None:
    html = read(app, "/agent?name=Dan")
    assert "0 completed calls" in html
    assert "The agent named no competitor." in html


@pytest.mark.parametrize("name", ["Jo Groß", "jo groß", "JO GROSS"])
def test_the_case_of_an_agents_name_does_not_matter(app: Served, name: str) -> None:
    assert "0 completed calls" in read(app, f"/agent?name={name}")
    html = read(app, f"/agent?name={name}&from={OLD.date()}&to={OLD.date()}")
    assert "1 completed call" in html and "<h1><bdi>Jo Groß</bdi></h1>" in html
    assert html.count("data-clip") >= 1


def test_days_on_which_every_call_has_an_agent_have_no_unknown_one(app: Served) -> None:
    html = read(app, f"/agent?name=(unknown)&from={OLD.date()}&to={OLD.date()}")
    assert "<h1><bdi>Unknown agent</bdi></h1>" in html and "0 completed calls" in html


def test_numbers_lead_to_their_moments(app: Served) -> None:
    html = read(app, "/agents")
    line = html.partition("<bdi>Ann Abbot</bdi>")[2].partition("</tr>")[0]
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="(/moments[^"]*)"', line)]
    counts = [re.search(r"<strong>(\d+)</strong> moment", read(app, link)) for link in links]
    assert [found and found[1] for found in counts] == ["2", "6"]


def test_a_customer_has_a_page_with_all_calls(app: Served) -> None:
    html = read(app, "/customer?name=mr+smith+%26+sons")
    assert "16 calls of this customer" in html
    assert "<h1><bdi>Mr Smith &amp; Sons</bdi></h1>" in html
    assert html.index("1.wav") < html.index("42.wav"), "newest first"
    read(app, "/customer?name=Mr+Smith", 404)
    call = read(app, "/calls/2026-01-01-000000000001")
    assert 'href="/customer?name=Mr+Smith+%26+Sons"' in call
    assert 'href="/agent?name=Ann+Abbot"' in call


def test_calls_of_a_customer_are_found_by_an_index(app: Served) -> None:
    statement = "EXPLAIN " + query("insights/calls_of_customer")
    options = f"-c search_path={SCHEMA} -c enable_seqscan=off"
    with psycopg.connect(app.storage.database.url, options=options) as connection:
        plan = connection.execute(statement, {"customer": "x", "limit": 9}).fetchall()
    assert "calls_by_customer" in str(plan)


def test_the_api_has_the_same_numbers(app: Served) -> None:
    found = httpx.get(f"{app.address}/analytics/agents?from={AT.date()}", timeout=60).json()
    ann = next(each for each in found["agents"] if each["agent"] == "Ann Abbot")
    assert (ann["team"], ann["completed_calls"], ann["talk_share"]) == ("Retention", 6, 0.75)
    assert (ann["raised"]["events"], ann["asked"]["events"]) == (2, 6)
    assert ann["raised"]["low"] < ann["raised"]["per_100"] < ann["raised"]["high"]
    assert ann["answered_share"] == 0.5
    assert [each["team"] for each in found["teams"]] == ["Retention", "Sales"]
    assert found["teams"][0]["completed_calls"] == 10 and found["all"]["completed_calls"] == 13
    assert next(each for each in found["agents"] if each["agent"] is None)["completed_calls"] == 1


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_the_pages_are_accessible_and_fit(app: Served, scheme: Any, width: int) -> None:
    options: dict[str, Any] = {"viewport": {"width": width, "height": 1200}}
    pages = {
        "agents": "/agents",
        "agent": "/agent?name=Ann+Abbot",
        "customer": "/customer?name=Mr+Smith+%26+Sons",
    }
    with chromium() as browser:
        for name, path in pages.items():
            with watched(browser, app.address, color_scheme=scheme, **options) as watch:
                watch.page.goto(path)
                expect(watch.page.get_by_role("heading", level=1)).to_be_visible()
                watch.screenshot(f"{name}-{scheme}-{width}")
                assert watch.page.evaluate("document.documentElement.scrollWidth") <= width, name
                watch.check()
                assert watch.accessibility_issues() == [], name
