"""Analytics and search pages, and the analytics API: numbers link to the calls behind them."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callpipeline.config import Settings
from callpipeline.web.pages.rendering import signed
from tests.integration.databases import execute_sql
from tests.web.synthetic_app import serve, synthetic_database

LINK = re.compile(
    r'<a href="(/(?:calls|moments)[^"]*)" data-counts="(\w+)"(?: data-count="(\d+)")?>([^<]*)</a>'
)
TILE = re.compile(
    r'<li><a href="(/(?:calls|moments)[^"]*)"><strong>([\d,.]+)%?</strong> <span>([^<]*)</span>'
)
EVIL = "\"><script>alert('x')</script></script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def database(postgres: str, template: str) -> Iterator[str]:
    with synthetic_database(postgres, template) as url:
        yield url


@pytest.fixture(scope="module")
def client(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        serve(database, tmp_path_factory.mktemp("home")) as address,
        httpx.Client(base_url=address, timeout=300) as client,
    ):
        yield client


def page(client: httpx.Client, path: str, status: int = 200) -> str:
    reply = client.get(path, headers={"Accept": "text/html"})
    assert reply.status_code == status, (path, reply.text)
    return reply.text


def count_rows(client: httpx.Client, table: str, link: str) -> int:
    """Count the rows of the export with the link's filters."""
    query = unescape(link).partition("?")[2]
    reply = client.get(f"/export/{table}.csv?{query}")
    assert reply.status_code == 200, reply.text
    return len(list(csv.reader(io.StringIO(reply.text)))) - 1


@pytest.mark.parametrize(
    "path",
    [
        "/analytics",
        "/analytics?from=2026-02-01&to=2026-03-20&competitor=EE&competitor=sky&speaker=customer",
        "/analytics?agent=%28unknown%29",
        "/analytics?sentiment=negative&from=2026-02-15&source=recordings",
    ],
)
def test_every_number_links_to_as_many_calls_or_mentions(client: httpx.Client, path: str) -> None:
    html = page(client, path)
    links = LINK.findall(html)
    assert len(links) > 20
    wanted = {(link, of): int(count or text.replace(",", "")) for link, of, count, text in links}
    some = dict(list(wanted.items())[:: max(len(wanted) // 50, 1)])
    found = {(link, of): count_rows(client, of, link) for link, of in some}
    assert found == some


def test_tiles_link_to_the_calls_they_count(client: httpx.Client) -> None:
    tiles = {label: (link, text) for link, text, label in TILE.findall(page(client, "/analytics"))}
    for label in ("Calls", "Completed", "Failed"):
        link, text = tiles[label]
        assert count_rows(client, "calls", link) == int(text.replace(",", ""))
    share = next(label for label in tiles if "mention a competitor" in label)
    [count] = re.findall(r"\((\d+)\)", share)
    assert count_rows(client, "calls", tiles[share][0]) == int(count)
    assert count_rows(client, "mentions", tiles["Mentions"][0]) == int(tiles["Mentions"][1])


def test_the_form_shows_the_filters_and_links_keep_them(client: httpx.Client) -> None:
    html = page(client, "/analytics?agent=ann+abbot&competitor=ee&state=COMPLETED&from=2026-01-01")
    assert '<option value="Ann Abbot" selected>' in html
    assert 'name="competitor" value="EE" checked' in html
    assert '<input type="hidden" name="state" value="COMPLETED">' in html
    sorting = re.findall(r'href="(/analytics[^"]*sort=[^"]*)"', html)
    assert sorting
    assert all("agent=ann+abbot" in link and "from=2026-01-01" in link for link in sorting)


def test_agents_are_sorted_by_the_query(client: httpx.Client) -> None:
    table = page(client, "/analytics?sort=agent&order=up").partition('id="agents"')[2]
    names = re.findall(r'<th scope="row"><a [^>]*>(?:<bdi>)?([^<]*)', table)
    assert names == ["Unknown agent", "Ann Abbot", "Ben Abbot", "Cara Abbot", "Dev Abbot"]
    assert 'aria-sort="ascending"' in table


def competitors_in_order(html: str) -> list[str]:
    table = html.partition('id="competitors"')[2].partition("</table>")[0]
    return re.findall(r'<th scope="row"><a [^>]*><bdi>([^<]*)', table)


def test_competitors_are_sorted_by_the_query(client: httpx.Client) -> None:
    by_name = page(client, "/analytics?by=competitor&by_order=up")
    names = competitors_in_order(by_name)
    assert names == sorted(names, key=str.casefold)
    assert len(names) == 9
    assert 'aria-sort="ascending"' in by_name
    found = client.get("/analytics/competitors/list").json()["competitors"]
    most_first = competitors_in_order(page(client, "/analytics"))
    assert most_first == [each["name"] for each in found]
    [link] = re.findall(
        r'href="([^"]*by=mentions[^"]*by_order=up[^"]*)"', page(client, "/analytics")
    )
    counts = {each["name"]: each["mention_count"] for each in found}
    least_first = competitors_in_order(page(client, unescape(link).partition("#")[0]))
    assert [counts[name] for name in least_first] == sorted(counts.values())
    for key in ("calls", "by_agent", "negative", "customer_score", "agent_score", "change"):
        html = page(client, f"/analytics?by={key}&from=2026-03-01&to=2026-03-31")
        assert len(competitors_in_order(html)) > 5, key
    assert client.get("/analytics?by=nonsense").status_code == 422


def charted(html: str) -> list[str]:
    island = re.findall(r'application/json">(.*?)</script>', html, re.DOTALL)[0]
    return [line["name"] for line in json.loads(island)["lines"]]


def test_the_chart_has_the_top_five_and_those_picked(client: httpx.Client) -> None:
    html = page(client, "/analytics")
    names = competitors_in_order(html)
    assert charted(html) == [*names[:5], "All others"]
    assert f"<option>{names[7]}</option>" in html
    picked = page(client, f"/analytics?line={quote(names[7])}&line=nonsense")
    assert charted(picked) == [*names[:5], names[7], "All others"]
    sorting = re.findall(r'href="(/analytics[^"]*by=calls[^"]*)"', picked)
    assert all("line=" in link for link in sorting)


def test_reversed_dates_can_be_swapped(client: httpx.Client) -> None:
    html = page(
        client, "/analytics?from=2026-03-31&to=2026-03-01&competitor=EE&competitor=Sky", 422
    )
    [link] = re.findall(r'href="([^"]*)">Swap the dates', html)
    swapped = page(client, unescape(link))
    assert 'value="2026-03-01"' in swapped
    assert 'name="competitor" value="EE" checked' in swapped
    assert 'name="competitor" value="Sky" checked' in swapped


def test_head_is_answered_like_get(client: httpx.Client) -> None:
    for path in ("/analytics", "/", "/jobs", "/export/calls.csv", "/static/icon.svg", "/health"):
        head, got = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-type"] == got.headers["content-type"], path
    assert client.head("/nowhere").status_code == 404
    assert client.head("/upload/a.wav").status_code == 405


def test_the_share_of_one_competitor_is_of_all_mentions(client: httpx.Client) -> None:
    everything = client.get("/analytics/competitors/list").json()["competitors"]
    total = sum(each["mention_count"] for each in everything)
    count = next(each["mention_count"] for each in everything if each["name"] == "EE")
    html = page(client, "/analytics?competitor=EE")
    assert f'<td class="number">{count / total:.0%}</td>' in html
    found = client.get("/analytics/share-of-voice", params={"competitor": "EE"}).json()
    assert [each["name"] for each in found["competitors"]] == ["EE"]
    assert sum(each["mentions"] for each in found["stretches"]) == total


def test_empty_installations_and_filters_have_an_empty_state(
    client: httpx.Client, settings: Settings, database_url: str
) -> None:
    assert "No calls match these filters" in page(client, "/analytics?agent=nobody")
    assert "No results. Try fewer words." in page(client, "/search?words=zzzzz")
    with (
        serve(database_url, settings.home) as empty,
        httpx.Client(base_url=empty, timeout=300) as other,
    ):
        assert "No calls yet" in page(other, "/analytics")
        assert "No calls yet" in page(other, "/search")
        assert other.get("/analytics/overview").json()["total_jobs"] == 0


def test_search_pages_have_every_result_once(client: httpx.Client) -> None:
    total = int(
        re.findall(r"<strong>(\d+)</strong> results", page(client, "/search?words=price"))[0]
    )
    link, seen = "/search?words=price", list[str]()
    while link:
        html = page(client, link)
        seen += re.findall(r'href="(/calls/[^"]*\?t=[^"]*)"', html)
        more = re.findall(r'<li class="more"><a [^>]*href="([^"]*)"', html)
        link = unescape(more[0]) if more else ""
    assert len(seen) == total == count_rows(client, "segments", "?words=price&state=counted")
    assert set(Counter(seen).values()) == {1}


def test_words_that_are_too_common_are_rejected(client: httpx.Client) -> None:
    assert "too common to search for" in page(client, "/search?words=the+to")
    assert client.get("/search/segments", params={"words": "the to"}).status_code == 422


def test_the_words_are_marked(client: httpx.Client) -> None:
    assert "<mark>price</mark>" in page(client, "/search?words=price")
    [found] = client.get("/search/segments", params={"words": "price", "limit": 1}).json()[
        "segments"
    ]
    assert "⟦price⟧" in found["marked"]


def test_results_link_to_their_recording(client: httpx.Client) -> None:
    """Search results also link to the competitors of the call."""
    for path, start, link in (
        (
            "/search?words=price&competitor=EE",
            '<ol class="quotes"',
            r'([\w-]+)"><bdi>([^<]+)</bdi></a>',
        ),
        (
            "/analytics?competitor=EE",
            '<ol class="moments"',
            r"([\w-]+)\?t=[^<]+in <bdi>([^<]+)</bdi>",
        ),
    ):
        first = page(client, path).partition(start)[2].partition("</li>")[0]
        call_id, name = re.findall(f'<a href="/calls/{link}', first)[0]
        assert f'href="/calls/{call_id}?t=' in first
        assert client.get(f"/jobs/{call_id}").json()["filename"] == name
    hits = page(client, "/search?words=price&competitor=EE").partition('id="hits"')[2]
    assert 'href="/calls?competitor=EE"' in hits.partition("</li>")[0]


@pytest.mark.parametrize(
    ("score", "shown"), [(None, "–"), (0.254, "+0.25"), (-0.25, "−0.25"), (-0.004, "0.00")]
)
def test_scores_have_a_sign_unless_they_round_to_zero(score: float, shown: str) -> None:
    assert signed(score) == shown


def test_api_replies_have_the_fields_of_the_contract(client: httpx.Client) -> None:
    overview = client.get("/analytics/overview").json()
    assert set(overview) >= {
        *("total_jobs", "total_competitors", "top_competitors", "sentiment_distribution")
    }
    assert set(overview["top_competitors"][0]) == {"name", "count"}
    assert set(overview["sentiment_distribution"][0]) == {"sentiment", "count"}
    one = client.get("/analytics/competitor/vodafone").json()
    assert one["competitor_name"] == "Vodafone"
    assert one["total_mentions"] == overview["top_competitors"][0]["count"]
    assert set(one["sentiment_breakdown"][0]) == {"sentiment", "count", "percentage"}
    assert sum(each["percentage"] for each in one["sentiment_breakdown"]) == pytest.approx(100, 0.1)
    assert one["segments"][0].keys() >= {
        *("segment_text", "sentiment", "start_time", "end_time", "segment_id", "job_id"),
        *("detection_method", "detection_details", "context", "competitor_name", "id"),
    }
    trends = client.get("/analytics/sentiment-trends?competitor_name=Vodafone").json()["trends"]
    assert set(trends[0]) == {"date", "sentiment", "count"}
    assert sum(each["count"] for each in trends) == one["total_mentions"]


def test_a_competitor_has_every_mention_once(client: httpx.Client) -> None:
    path = "/analytics/competitor/Vodafone"
    first = client.get(path, params={"limit": 40}).json()
    ids, cursor = [each["id"] for each in first["segments"]], first["next_cursor"]
    while cursor:
        page_of = client.get(path, params={"limit": 40, "after": cursor}).json()
        ids, cursor = ids + [each["id"] for each in page_of["segments"]], page_of["next_cursor"]
    assert len(set(ids)) == len(ids) == first["total_mentions"]


def test_an_unknown_competitor_is_not_found_but_one_without_mentions_is(
    client: httpx.Client,
) -> None:
    reply = client.get("/analytics/competitor/Nobody")
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")
    none = client.get("/analytics/competitor/EE?to=1999-01-01").json()
    assert (none["competitor_name"], none["total_mentions"], none["segments"]) == ("EE", 0, [])


def test_unchanged_replies_are_not_sent_again(client: httpx.Client) -> None:
    for path in ("overview", "competitors/list", "competitor/EE", "sentiment-trends"):
        first = client.get(f"/analytics/{path}")
        again = client.get(f"/analytics/{path}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = client.get(f"/analytics/{path}?speaker=agent", headers={"If-None-Match": "W/no"})
        assert other.headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/analytics?from=2026-03-02&to=2026-03-01", "The start date must be before the end date."),
        ("/analytics?from=yesterday", "use a date like 2026-03-31"),
        ("/analytics?sentiment=angry", "sentiment: input should be"),
        ("/analytics?competitor=EE&after=nonsense", "The cursor is invalid for this list"),
        ("/search?words=price&after=nonsense", "The cursor is invalid for this list"),
        ("/export/calls.csv?state=gone", "state"),
    ],
)
def test_invalid_queries_are_explained(client: httpx.Client, path: str, said: str) -> None:
    assert said in unescape(page(client, path, 422))


NAMES = "from to agent competitor sentiment speaker source state named name words after sort order"
VALUES = st.one_of(
    st.sampled_from(
        [
            *("2026-03-01", "9999-12-31", "0001-01-01", "1970-01-01", "2199-12-31", "EE", "agent"),
            *("negative", "counted", "(unknown)", "COMPLETED", "yes", "-", "%", "\\", '"', "a or"),
        ]
    ),
    st.text(max_size=12),
)


@given(
    path=st.sampled_from(
        [
            *("/analytics", "/search", "/search/segments", "/analytics/overview"),
            *("/analytics/share-of-voice", "/analytics/sentiment-trends", "/export/mentions.json"),
        ]
    ),
    query=st.lists(st.tuples(st.sampled_from(NAMES.split()), VALUES), max_size=5),
)
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_query_breaks_the_app(
    client: httpx.Client, path: str, query: list[tuple[str, str]]
) -> None:
    sent = "&".join(f"{name}={quote(text, errors='surrogatepass')}" for name, text in query)
    assert client.get(f"{path}?{sent}").status_code in {200, 422}


@pytest.mark.parametrize(
    "text",
    ["%00", "%FF%FE", "%ED%A0%80", "%E2%80%AE", "a" * 201, "%F0%9F%98%80", "x%0d%0aSet-Cookie:"],
)
def test_unusual_bytes_match_nothing(client: httpx.Client, text: str) -> None:
    for name in ("agent", "competitor", "source", "name", "words"):
        for path in ("/analytics", "/search", "/search/segments", "/export/segments.csv"):
            reply = client.get(f"{path}?words=price&{name}={text}")
            assert reply.status_code in {200, 422}
            assert "set-cookie" not in reply.headers


def test_transcripts_and_names_are_escaped(
    postgres: str, template: str, settings: Settings
) -> None:
    quoted = EVIL.replace("'", "''")
    with synthetic_database(postgres, template) as url:
        execute_sql(url, f"UPDATE calls SET metadata = jsonb_build_object('agent', '{quoted}')")
        execute_sql(url, f"UPDATE mentions SET competitor = '{quoted}', text = '{quoted}'")
        execute_sql(url, f"UPDATE segments SET text = 'price {quoted} price ⟦'")
        execute_sql(url, f"UPDATE sentiment SET quote = '{quoted}'")
        with (
            serve(url, settings.home) as address,
            httpx.Client(base_url=address, timeout=300) as client,
        ):
            pages = [
                page(client, "/analytics"),
                page(client, f"/analytics?competitor={quote(EVIL)}&agent={quote(EVIL)}"),
                page(client, "/search?words=price"),
                page(client, f"/search?words={quote(EVIL)}&source={quote(EVIL)}"),
                page(client, f"/moments?competitor={quote(EVIL)}"),
                page(client, f"/competitor?name={quote(EVIL)}&from=2026-01-01&to=2026-04-30"),
            ]
            one = client.get(f"/analytics/competitor/{quote(EVIL, safe='')}").json()
    assert one["competitor_name"] == EVIL
    for html in pages:
        assert "&lt;img src=x" in html
        assert "<img" not in html
        assert "<script>" not in html
        for island in re.findall(r'application/json">(.*?)</script>', html, re.DOTALL):
            json.loads(island)
