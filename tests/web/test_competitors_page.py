"""The page Competitors, as HTML: what it shows, what readers may, and forms without scripts."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from callpipeline.domain.access import ApiKey, Scope
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.engines.encoder.network import UtteranceEncoder
from callpipeline.pipeline.rematch import previews
from callpipeline.pipeline.rematch.planning import continue_rematch
from callpipeline.storage.access import ApiKeys
from callpipeline.storage.catalog.files import catalog_to_yaml
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.web.pages.competitors_view import SPARKLINE_SIZE, sparkline
from callpipeline.web.services.catalog import PREVIEW_LIMITS
from callpipeline.wiring import Storage, engines, load_catalog
from tests.integration.rematching import COMMAND, fill, in_force, rematch
from tests.web.processed_calls import SKY, ProcessedCall
from tests.web.served import Served, served
from tests.web.uploads import WITH_KEY

BASE = Catalog(
    (
        Competitor("Vodafone", ("voda phone",)),
        Competitor("Sky", ambiguous=True),
        Competitor('<b>"Riverside"</b>', own=True),
    )
)
HTML = {"Accept": "text/html"}
EDITOR = "the editor"


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), module_url, **WITH_KEY) as app:
        yield app


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    """Five completed calls, with the results of the list BASE."""
    fill(empty_app.storage)
    empty_app.storage.catalogs.apply(BASE, COMMAND)
    rematch(empty_app.storage)
    return empty_app.storage


def client_with(app: Served, scope: Scope) -> httpx.Client:
    key = ApiKey.generate()
    ApiKeys(app.storage.database).add(key, EDITOR, [scope], by="a test")
    headers = HTML | {"X-API-KEY": key.to_text()}
    return httpx.Client(base_url=app.address, headers=headers, timeout=300)


@pytest.fixture
def client(empty_app: Served, storage: Storage) -> Iterator[httpx.Client]:
    with client_with(empty_app, Scope.ADMIN) as client:
        yield client


@pytest.fixture
def reader(empty_app: Served, storage: Storage) -> Iterator[httpx.Client]:
    with client_with(empty_app, Scope.READ) as client:
        yield client


def base_in(page: str) -> str:
    """Return the version that a form was made from."""
    [base] = re.findall(r'name="base" value="(\w+)"', page)
    return base


def apply(client: httpx.Client, **form: str) -> str:
    """Apply a change, and return where the browser is sent."""
    reply = client.post("/competitors/apply", data=form)
    assert reply.status_code == 303, reply.text
    return reply.headers["location"]


def refusal(client: httpx.Client, expected: int, **form: str) -> str:
    """Return the page that says why a change is not applied."""
    reply = client.post("/competitors/apply", data=form)
    assert reply.status_code == expected, reply.text
    return reply.text


def test_the_list_shows_names_numbers_and_where_it_comes_from(client: httpx.Client) -> None:
    page = client.get("/competitors").text
    assert "also <bdi>voda phone</bdi>" in page
    assert '<a href="/moments?competitor=Vodafone" title="2 calls">2</a>' in page
    assert "Ambiguous</span>" in page
    assert "<bdi>&lt;b&gt;&#34;Riverside&#34;&lt;/b&gt;</bdi>" in page
    assert "0 found</td>" in page
    assert BASE.version in page and "(Command line)" in page
    assert "so it can differ from <code>competitors.yaml</code>" in page
    assert 'aria-current="page">Competitors' in page


def test_readers_see_the_list_and_can_not_change_it(reader: httpx.Client, storage: Storage) -> None:
    page = reader.get("/competitors").text
    assert "Vodafone" in page
    assert not re.search(r"/competitors/(edit|remove|text)", page)
    history = reader.get("/competitors/history").text
    assert BASE.version in history and "/competitors/restore" not in history
    paths = ("edit", "edit?name=Sky", "remove?name=Sky", "text", f"restore?version={BASE.version}")
    for path in paths:
        refused = reader.get(f"/competitors/{path}")
        assert refused.status_code == 403
        assert "You don&#39;t have permission to change the competitor list." in refused.text
    for path in ("preview", "apply", "rematch"):
        assert reader.post(f"/competitors/{path}", data={"name": "EE"}).status_code == 403
    assert in_force(storage).version == BASE.version


def test_an_edit_is_previewed_and_applied_without_scripts(
    client: httpx.Client, storage: Storage
) -> None:
    form = {"base": base_in(client.get("/competitors/edit").text), "name": "Three"}
    preview = client.post("/competitors/preview", data=form)
    assert "<html" in preview.text
    assert "<strong>3 of 5 calls would change.</strong>" in preview.text
    assert "Three is also an ordinary word" in preview.text
    assert "Said in these calls: <bdi>Three</bdi> 3×." in preview.text
    assert in_force(storage).version == BASE.version
    sent = form | {"note": "new", "aliases": "3 mobile\r\nthree uk\r\n", "ambiguous": "no"}
    assert apply(client, **sent) == "/competitors"
    newest = storage.catalogs.history(1)[0]
    assert (newest.origin, newest.made_by, newest.note) == (ChangeOrigin.PAGE, EDITOR, "new")
    assert in_force(storage).competitors[-1] == Competitor("Three", ("3 mobile", "three uk"))
    page = client.get("/competitors").text
    assert "5 of 5 calls are on an older list." in page
    assert "Past calls will be searched" in page
    assert "Numbers on this page mix versions" in client.get("/analytics").text
    assert "Numbers on this page mix versions" in client.get("/calls").text


def test_all_fields_of_an_entry_are_edited(client: httpx.Client, storage: Storage) -> None:
    form = client.get("/competitors/edit", params={"name": "Sky"}).text
    assert 'name="replaces" value="Sky"' in form
    assert '<option value="yes" selected>' in form
    everything = {"evidence": "broadband\nroaming", "own": "true", "sells": "tv", "name": "Sky TV"}
    everything |= {"sounds_like": "skye tee vee", "ambiguous": "yes"}
    apply(client, replaces="Sky", base=base_in(form), **everything)
    assert in_force(storage).competitors[1] == Competitor(
        "Sky TV",
        ambiguous=True,
        evidence=("broadband", "roaming"),
        own=True,
        sells="tv",
        sounds_like=("skye tee vee",),
    )
    assert "misheard as <bdi>skye tee vee</bdi>" in client.get("/competitors").text
    shown = client.get("/competitors/edit", params={"name": "Sky TV"}).text
    assert "broadband\nroaming</textarea>" in shown and 'value="true" checked' in shown
    assert "skye tee vee</textarea>" in shown


def test_a_problem_is_shown_at_its_field_and_nothing_is_applied(
    client: httpx.Client, storage: Storage
) -> None:
    refused = refusal(client, 422, name="Voxi", aliases="vodafone")
    assert re.search(r'id="aliases-remarks"[^>]*><span class="error">vodafone sounds', refused)
    assert 'aria-describedby="aliases-remarks" aria-invalid="true"' in refused
    assert 'value="Voxi"' in refused
    text = refusal(client, 422, kind="text", text="competitors:\n- nmae: Sky\n")
    assert "line 2: unknown key nmae: did you mean name?" in text
    assert in_force(storage).version == BASE.version


def test_scripts_get_the_effect_and_the_remarks_only(client: httpx.Client) -> None:
    form = {"name": "Vodafone"}
    part = client.post("/competitors/preview", data=form, headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert '<hx-partial hx-target="#name-remarks" hx-swap="innerHTML">' in part
    assert "Vodafone is on the list already." in part


def test_a_competitor_is_removed(client: httpx.Client, storage: Storage) -> None:
    page = client.get("/competitors/remove", params={"name": "Vodafone"}).text
    assert "- Vodafone" in page and "2 → <strong>0</strong>" in page
    apply(client, kind="remove", replaces="Vodafone", base=base_in(page))
    assert in_force(storage).competitors[0].name == "Sky"
    assert client.get("/competitors/edit", params={"name": "Vodafone"}).status_code == 404
    gone = client.get("/competitors/remove", params={"name": "Vodafone"}).text
    assert "Vodafone is no longer on the list: it was removed or renamed meanwhile." in gone


def test_the_whole_list_is_edited_as_text(client: httpx.Client, storage: Storage) -> None:
    page = client.get("/competitors/text").text
    assert f"# version {BASE.version}" in page
    form = {"kind": "text", "text": catalog_to_yaml(BASE) + "- Bill\n- Orange\n"}
    preview = client.post("/competitors/preview", data=form).text
    assert "Orange is also an ordinary word" in preview, "with its line, as in a file"
    apply(client, kind="text", text=catalog_to_yaml(BASE) + "- Voxi\r\n- Smarty\r\n")
    assert [each.name for each in in_force(storage).competitors][3:] == ["Voxi", "Smarty"]
    late = refusal(client, 409, kind="text", text=catalog_to_yaml(BASE) + "- Lebara\n")
    assert f"The list was changed meanwhile by {EDITOR}" in late
    long = Catalog(tuple(Competitor(f"Competitor number {n:06}") for n in range(1500)))
    storage.catalogs.apply(long, COMMAND)
    too_long = client.get("/competitors/text")
    assert (too_long.status_code, "too long for a form" in too_long.text) == (413, True)


def test_a_change_made_meanwhile_is_shown_before_it_is_overwritten(
    client: httpx.Client, storage: Storage
) -> None:
    base = base_in(client.get("/competitors/edit").text)
    storage.catalogs.apply(Catalog((Competitor("EE"),)), COMMAND)
    late = refusal(client, 409, name="Voxi", base=base)
    assert "The list was changed meanwhile" in late
    assert base_in(late) == in_force(storage).version
    apply(client, name="Voxi", base=base_in(late))
    assert [each.name for each in in_force(storage).competitors] == ["EE", "Voxi"]


def test_two_editors_of_one_competitor_keep_what_both_wrote(
    client: httpx.Client, storage: Storage
) -> None:
    mine = {"replaces": "Vodafone", "name": "Vodafone", "sells": "SIM plans"}
    mine |= {"aliases": "voda phone\nvodaphone", "ambiguous": "no", "base": BASE.version}
    theirs = Competitor("Vodafone", ("voda",), own=True)
    storage.catalogs.apply(Catalog((theirs, *BASE.competitors[1:])), COMMAND)
    preview = client.post("/competitors/preview", data=mine, headers={"HX-Request": "true"}).text
    assert "<bdi>~ Vodafone: + alias vodaphone, sells SIM plans</bdi>" in preview
    assert "The list was changed meanwhile" in preview
    late = refusal(client, 409, **mine)
    assert "This form has both changes now" in late and "Reload" not in late
    assert ">voda\nvodaphone</textarea>" in late
    apply(client, **mine | {"aliases": "voda\nvodaphone", "own": "true", "base": base_in(late)})
    merged = in_force(storage).competitors[0]
    assert merged == Competitor("Vodafone", ("voda", "vodaphone"), own=True, sells="SIM plans")


def test_two_editors_of_the_text_keep_what_both_wrote(
    client: httpx.Client, storage: Storage
) -> None:
    added = (*BASE.competitors, Competitor("Smarty"))
    storage.catalogs.apply(Catalog(added), NewChange(ChangeOrigin.PAGE, "ben"))
    mine = catalog_to_yaml(BASE) + "- Voxi\n"
    late = refusal(client, 409, kind="text", text=mine, base=BASE.version)
    assert "The list was changed meanwhile by ben" in late
    assert "<bdi>+ Voxi</bdi>" in late and "- Smarty" not in late.partition('id="effect"')[2]
    text = unescape(re.findall(r"(?s)<textarea name=.text.[^>]*>(.*?)</textarea>", late)[0])
    assert text == catalog_to_yaml(in_force(storage)) + "- Voxi\n"
    same = catalog_to_yaml(BASE) + "- name: Other\n  aliases: [smarty]\n"
    late = refusal(client, 409, kind="text", text=same, base=BASE.version)
    assert "Your change is still here" in late, "they cannot be merged"
    assert "<bdi>- Smarty</bdi>" in late


def test_the_first_preview_is_not_cut_short_by_the_start_of_the_network(
    client: httpx.Client, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, load = [0.0], UtteranceEncoder._load  # pyright: ignore[reportPrivateUsage]
    engines._utterance_encoder.cache_clear()  # pyright: ignore[reportPrivateUsage]

    def slow_start(encoder: UtteranceEncoder) -> None:
        if encoder._session is None:  # pyright: ignore[reportPrivateUsage]
            clock[0] += 2 * (PREVIEW_LIMITS.seconds or 0)
        load(encoder)

    monkeypatch.setattr(UtteranceEncoder, "_load", slow_start)
    monkeypatch.setattr(previews, "monotonic", lambda: clock[0])
    form = {"name": "Three", "base": BASE.version}
    page = client.post("/competitors/preview", data=form).text
    assert "3 of 5 calls would change" in page
    assert "as far as examined" not in page and "Applying takes a few seconds" in page


def test_history_shows_changes_and_undoes_them(client: httpx.Client, storage: Storage) -> None:
    apply(client, name="Voxi", note="<i>why</i>")
    page = client.get("/competitors/history").text
    assert "&lt;i&gt;why&lt;/i&gt;" in page
    assert "<bdi>+ Voxi</bdi>" in page
    assert f'<a href="/competitors/restore?version={BASE.version}">Undo</a>' in page
    shown = client.get("/competitors/restore", params={"version": BASE.version}).text
    assert "<bdi>- Voxi</bdi>" in shown
    apply(client, kind="restore", version=BASE.version, base=base_in(shown))
    newest = storage.catalogs.history(1)[0]
    assert (newest.version, newest.origin) == (BASE.version, ChangeOrigin.REVERT)
    unknown = client.get("/competitors/restore", params={"version": "abc"})
    assert (unknown.status_code, "is no version" in unknown.text) == (404, True)
    same = client.get("/competitors/restore", params={"version": BASE.version}).text
    assert "This is the list in force" in same
    one = client.get("/competitors/history", params={"limit": 1}).text
    assert one.count("<li>\n<p class=") == 1
    assert "/competitors/history?limit=10" in one


def test_the_banner_follows_the_rematch(
    client: httpx.Client, reader: httpx.Client, storage: Storage
) -> None:
    assert "<p" not in client.get("/competitors/status").text
    assert client.post("/competitors/rematch", data={"action": "nothing"}).status_code == 422
    apply(client, name="Three")
    continue_rematch(storage.rematches, in_force(storage))
    shown = client.get("/competitors").text
    assert "0 of 3 calls rematched, 2 unaffected." in shown
    assert 'value="cancel"' in shown
    assert 'value="cancel"' not in reader.get("/competitors").text
    stopped = client.post("/competitors/rematch", data={"action": "cancel"})
    assert stopped.status_code == 303
    shown = client.get("/competitors").text
    assert f"stopped by <bdi>{EDITOR}</bdi>" in shown and 'value="resume"' in shown
    part = client.post(
        "/competitors/rematch", data={"action": "resume"}, headers={"HX-Request": "true"}
    )
    assert part.text.strip().startswith("<section") and "being searched" in part.text
    rematch(storage)


def test_failed_calls_can_be_retried(client: httpx.Client, storage: Storage) -> None:
    apply(client, name="Three")
    rematching = continue_rematch(storage.rematches, in_force(storage))
    assert rematching
    for call in storage.rematches.todo(rematching.rematch_id, 10):
        storage.rematches.save_failure(call.call_id, rematching.rematch_id, "why")
    storage.rematches.finish()
    page = client.get("/competitors").text
    assert "Some calls stay on an older list." in page
    assert "<code>callpipeline catalog resume</code> retries them." in page
    assert ">Retry failed calls</button>" in page
    client.post("/competitors/rematch", data={"action": "resume"})
    assert "Past calls will be searched" in client.get("/competitors").text


def test_a_rematch_that_does_not_start_is_explained(client: httpx.Client, storage: Storage) -> None:
    apply(client, name="Three")
    with storage.database.transaction() as connection:
        connection.execute("UPDATE catalog_changes SET made_at = made_at - interval '2 minutes'")
    assert "<code>callpipeline up</code> starts it" in client.get("/competitors").text


def test_the_page_of_a_call_names_its_list(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    with storage.database.transaction() as connection:
        connection.execute(
            "UPDATE call_stages SET catalog_version = %(version)s "
            "WHERE call_id = %(call_id)s AND stage = 'competitor_mentions'",
            {"call_id": call_id, "version": BASE.version},
        )
    page = client.get(f"/calls/{call_id}").text
    assert f"<dt>Competitor list</dt><dd>version {BASE.version}</dd>" in page
    assert "These are from an older" not in page
    apply(client, name="Three")
    assert "These are from an older" in client.get(f"/calls/{call_id}").text
    decided = client.post(
        f"/calls/{call_id}/review",
        data={"mention_id": SKY.mention_id, "decision": "confirm"},
        headers={"HX-Request": "true"},
    )
    assert "These are from an older" in decided.text


def test_pages_are_informed_of_the_end_once(client: httpx.Client) -> None:
    path = "/competitors/status"
    ended = client.get(path, params={"was": "running", "view": "numbers"})
    assert ended.headers["hx-trigger"] == "rematched"
    assert "Reload</a> to see their numbers" in ended.text
    assert "hx-trigger" not in client.get(path, params={"was": "current"}).headers
    assert client.get(path, params={"was": "never"}).status_code == 422


def test_a_refused_file_is_shown_and_does_not_undo_an_edit(
    client: httpx.Client, empty_app: Served, storage: Storage
) -> None:
    path = empty_app.settings.catalog_path
    path.write_text("competitors: [Vodafone]\n")
    storage.catalogs.take_file(path, COMMAND)
    apply(client, name="Voxi")
    made = in_force(storage).version
    assert load_catalog(empty_app.settings, storage.catalogs).version == made
    path.write_text("competitors: [Lebara]\n")
    page = client.get("/competitors").text
    assert "<bdi>competitors.yaml</bdi> was refused.</strong>" in page
    assert "the list was edited elsewhere" in page
    assert in_force(storage).version == made
    path.unlink()


def test_the_first_competitor_can_be_added(empty_app: Served) -> None:
    empty_app.settings.catalog_path.write_text("competitors: {")
    with client_with(empty_app, Scope.ADMIN) as client:
        page = client.get("/competitors").text
        assert "There is no competitor list yet." in page and "invalid YAML" in page
        assert "There is no competitor list yet." in client.get("/competitors/history").text
        assert "competitors:\n- </textarea>" in client.get("/competitors/text").text
        apply(client, name="Vodafone", base=base_in(client.get("/competitors/edit").text))
    assert [each.name for each in in_force(empty_app.storage).competitors] == ["Vodafone"]
    empty_app.settings.catalog_path.unlink()


def test_a_sparkline_fits_its_box() -> None:
    width, height = SPARKLINE_SIZE
    assert sparkline((0, 5, 10)) == f"0.0,{height - 2}.0 48.0,12.0 {width}.0,2.0"
    assert sparkline((0, 0)) == f"0.0,{height - 2}.0 {width}.0,{height - 2}.0"
    assert sparkline(()) == ""


def named(page: str) -> list[str]:
    """Return the names of the list in the order of the page."""
    return re.findall(r'<span class="name">(?:<a[^>]*>)?<bdi>(.*?)</bdi>', page)


def test_the_list_is_sorted_by_its_columns(client: httpx.Client) -> None:
    plain = client.get("/competitors").text
    assert len(named(plain)) == 3
    assert "aria-sort" not in plain
    [link] = re.findall(r'href="([^"]*sort=mentions[^"]*)"', plain)
    most_first = client.get(unescape(link)).text
    counts = re.findall(r'data-label="Mentions"[^>]*>(?:<a[^>]*>)?(\d+)', most_first)
    assert [*map(int, counts[:2])] == sorted(map(int, counts[:2]), reverse=True)
    assert int(counts[0]) > int(counts[1])
    assert named(most_first)[-1] == named(plain)[2], "own names have no mentions that count"
    assert most_first.count('aria-sort="descending"') == 1
    [turned] = re.findall(r'href="([^"]*sort=mentions[^"]*)"', most_first)
    least_first = client.get(unescape(turned)).text
    assert named(least_first)[:2] == named(most_first)[1::-1]
    assert 'aria-sort="ascending"' in least_first
    assert named(client.get("/competitors?sort=competitor&order=up").text)[1:] == [
        "Sky",
        "Vodafone",
    ]
    assert client.get("/competitors?sort=nothing").status_code == 422
