"""`/catalog`: the competitor list by API, from a check to an undo."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from callpipeline.domain.access import ApiKey, Scope
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.pipeline.rematch.planning import continue_rematch
from callpipeline.storage.access import ApiKeys
from callpipeline.storage.catalog.files import catalog_to_yaml
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.wiring import Storage, load_catalog
from tests.integration.rematching import COMMAND, fill, in_force, rematch
from tests.web.served import Served, served
from tests.web.uploads import WITH_KEY

BASE = Catalog((Competitor("Vodafone"), Competitor("Sky", ambiguous=True)))
ADD_THREE = {"edits": [{"competitor": {"name": "Three", "aliases": ["3 mobile"]}}]}


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


def client_with(app: Served, *scopes: Scope) -> httpx.Client:
    key = ApiKey.generate()
    ApiKeys(app.storage.database).add(key, "the editor", scopes, by="a test")
    return httpx.Client(base_url=app.address, headers={"X-API-KEY": key.to_text()}, timeout=300)


@pytest.fixture
def client(empty_app: Served, storage: Storage) -> Iterator[httpx.Client]:
    with client_with(empty_app, Scope.ADMIN) as client:
        yield client


@pytest.fixture
def reader(empty_app: Served, storage: Storage) -> Iterator[httpx.Client]:
    with client_with(empty_app, Scope.READ) as client:
        yield client


def sent(client: httpx.Client, path: str, body: dict[str, Any], status: int = 200) -> Any:
    reply = client.post(f"/catalog/{path}", json=body)
    assert reply.status_code == status, reply.text
    return reply.json()


def test_the_list_in_force_has_numbers(reader: httpx.Client, storage: Storage) -> None:
    reply = reader.get("/catalog")
    found = reply.json()
    assert (found["version"], found["rule_version"]) == (BASE.version, RULE_VERSION)
    assert (found["in_force"]["origin"], found["rematch"]["phase"]) == ("command", "current")
    vodafone, sky = found["competitors"]
    assert (vodafone["name"], vodafone["mentions"], vodafone["calls"]) == ("Vodafone", 2, 2)
    assert (sky["ambiguous"], sky["own"], sky["precision"]) == (True, False, None)
    assert len(vodafone["trend"]) == len(found["weeks"]) == 12
    again = reader.get("/catalog", headers={"If-None-Match": reply.headers["etag"]})
    assert again.status_code == 304


def test_a_list_is_checked_without_using_it(reader: httpx.Client, storage: Storage) -> None:
    wrong = sent(reader, "check", {"text": "competitors:\n  - nmae: Sky\n"})
    assert (wrong["is_valid"], wrong["version"]) == (False, None)
    assert "line 2: unknown key nmae: did you mean name?" in wrong["problem"]
    right = sent(reader, "check", {"text": "Vodafone\nsky\nORANGE\n", "format": "txt"})
    assert (right["is_valid"], right["competitors"]) == (True, 3)
    assert "ORANGE is also an ordinary word" in right["warnings"][-1]
    kinds = {each["name"]: each["kind"] for each in right["changes"]}
    assert kinds == {"ORANGE": "added", "Sky": "removed", "sky": "added"}
    assert len(storage.catalogs.history()) == 2


def test_a_preview_says_what_comes_and_goes(reader: httpx.Client, storage: Storage) -> None:
    wanted = {"edits": [*ADD_THREE["edits"], {"replaces": "Vodafone"}]}
    found = sent(reader, "preview", wanted)
    effects = {each["name"]: each for each in found["effects"]}
    assert effects["Vodafone"]["counted"] == -2
    assert effects["Three"]["counted"] + effects["Three"]["to_review"] > 0
    quote = effects["Vodafone"]["quotes"][0]
    assert (quote["comes"], quote["text"]) == (False, "Vodafone")
    assert (found["completed"], found["is_complete"], found["skipped"]) == (5, True, 0)
    assert found["seconds"] > 0
    assert [each["description"] for each in found["changes"]] == [
        "+ Three (also 3 mobile; ambiguous)",
        "- Vodafone",
    ]
    assert in_force(storage).version == BASE.version
    assert reader.get("/catalog/rematch").json()["stale"] == 0


def test_an_applied_edit_waits_for_the_rematch_and_changes_the_numbers(
    client: httpx.Client, storage: Storage
) -> None:
    made = sent(client, "apply", ADD_THREE | {"note": "new rival", "base": BASE.version})
    change = made["change"]
    assert (made["is_changed"], change["parent"]) == (True, BASE.version)
    assert (change["origin"], change["made_by"], change["note"]) == (
        "api",
        "the editor",
        "new rival",
    )
    status = client.get("/catalog/rematch").json()
    assert (status["phase"], status["stale"], status["waiting"]) == ("waiting", 5, 5)
    assert status["message"] == "5 of 5 calls are on an older list."
    rematch(storage)
    assert client.get("/catalog/rematch").json()["phase"] == "current"
    [three] = [c for c in client.get("/catalog").json()["competitors"] if c["name"] == "Three"]
    assert three["mentions"] + three["to_review"] > 0
    again = sent(client, "apply", {"document": {"text": catalog_to_yaml(in_force(storage))}})
    assert again["is_changed"] is False


def test_an_undo_restores_the_version(client: httpx.Client, storage: Storage) -> None:
    sent(client, "apply", ADD_THREE)
    made = sent(client, "revert", {"version": BASE.version[:6], "note": "a mistake"})
    assert (made["change"]["version"], made["change"]["origin"]) == (BASE.version, "revert")
    listed = client.get("/catalog/versions", params={"limit": 2}).json()["changes"]
    assert [each["note"] for each in listed] == ["a mistake", ""]
    assert sent(client, "revert", {"version": "abc"}, 404)["error"] == "UnknownCatalog"


def test_two_editors_do_not_overwrite_each_other(client: httpx.Client, storage: Storage) -> None:
    seen = client.get("/catalog").json()["version"]
    storage.catalogs.apply(Catalog((Competitor("EE"),)), NewChange(ChangeOrigin.PAGE, "anna"))
    for wanted in (
        ADD_THREE | {"base": seen},
        {"document": {"text": f"# version {seen}\ncompetitors: [O2]\n"}},
    ):
        refused = sent(client, "apply", wanted, 409)
        assert refused["error"] == "CatalogConflict"
        assert "The list was changed meanwhile" in refused["detail"]
    refused = sent(client, "revert", {"version": BASE.version, "base": seen}, 409)
    assert "by anna" in refused["detail"]
    assert [each.name for each in in_force(storage).competitors] == ["EE"]


def test_a_repeated_request_has_one_effect(client: httpx.Client, storage: Storage) -> None:
    def send(body: dict[str, Any]) -> httpx.Response:
        return client.post("/catalog/apply", json=body, headers={"Idempotency-Key": "1"})

    first = send(ADD_THREE)
    storage.catalogs.apply(BASE, COMMAND)
    second = send(ADD_THREE)
    assert second.json() == first.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert in_force(storage).version == BASE.version
    assert send({"edits": [{"replaces": "Sky"}]}).status_code == 422


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "either"),
        ({"edits": [{}]}, "name the entry"),
        (ADD_THREE | {"document": {"text": "Sky"}}, "either"),
        ({"edits": [{"competitor": {"name": "vodafone"}}]}, "Vodafone is on the list already."),
        ({"edits": [{"replaces": "O2"}]}, "O2 is no longer on the list"),
        ({"edits": [{"competitor": {"name": "a\0b"}}]}, "a character that is no text"),
        ({"document": {"text": "competitors: []"}}, "the list is empty"),
        ({"document": {"text": "competitors: [Sky, 12:30]"}}, "line 1"),
        ({"document": {"text": "Sky", "format": "doc"}}, "format"),
    ],
)
def test_an_invalid_list_is_refused_with_the_reason(
    client: httpx.Client, storage: Storage, body: dict[str, Any], problem: str
) -> None:
    for path in ("preview", "apply"):
        assert problem in sent(client, path, body, 422)["detail"]
    assert in_force(storage).version == BASE.version


def test_versions_are_shown_and_compared(reader: httpx.Client, storage: Storage) -> None:
    shown = reader.get(f"/catalog/versions/{BASE.version[:5]}").json()
    assert (shown["version"], shown["is_in_force"]) == (BASE.version, True)
    assert [each["name"] for each in shown["competitors"]] == ["Vodafone", "Sky"]
    first = storage.catalogs.history()[-1]
    path = f"/catalog/versions/{first.change_id}/changes"
    compared = reader.get(path).json()
    assert [each["description"] for each in compared["changes"]] == ["+ Sky (ambiguous)"]
    assert reader.get(path, params={"to": first.version}).json()["changes"] == []
    for unknown in ("/catalog/versions/x%00y", f"{path}?to=nothing"):
        assert reader.get(unknown).status_code == 404


def test_an_export_can_be_applied_as_the_file(
    client: httpx.Client, empty_app: Served, storage: Storage
) -> None:
    """The file is the one that `up` watches: it does not undo the edit, and takes it over."""
    settings = empty_app.settings
    settings.catalog_path.write_text("competitors: [Vodafone, Lebara]\n")
    storage.catalogs.take_file(settings.catalog_path, COMMAND)
    made = sent(client, "apply", ADD_THREE)["change"]["version"]
    assert load_catalog(settings, storage.catalogs).version == made, "the file is unchanged"
    settings.catalog_path.write_text("competitors: [Lebara]\n")
    assert load_catalog(settings, storage.catalogs).version == made, "it was not made from this"
    [file] = client.get("/catalog").json()["files"]
    assert (file["name"], "edited elsewhere" in file["problem"]) == ("competitors.yaml", True)
    reply = client.get("/catalog/competitors.yaml")
    assert reply.headers["content-type"].startswith("application/yaml")
    assert reply.text.startswith(f"# version {made}\n")
    settings.catalog_path.write_text(f"{reply.text}- Smarty\n")
    assert "Smarty" in client.get("/catalog/competitors.yaml").text
    old = client.get("/catalog/competitors.yaml", params={"version": BASE.version}).text
    assert "Lebara" not in old
    settings.catalog_path.unlink()


def test_a_rematch_is_stopped_and_resumed(client: httpx.Client, storage: Storage) -> None:
    sent(client, "apply", ADD_THREE)
    continue_rematch(storage.rematches, in_force(storage))
    running = client.get("/catalog/rematch").json()
    assert (running["phase"], running["rematch"]["waiting"]) == ("running", 3)
    stopped = sent(client, "rematch/cancel", {})
    assert (stopped["phase"], stopped["rematch"]["paused_by"]) == ("stopped", "the editor")
    assert "stopped" in stopped["message"]
    assert sent(client, "rematch/resume", {})["phase"] == "running"
    rematch(storage)
    assert sent(client, "rematch/cancel", {})["phase"] == "current"


def test_only_admins_change_the_list(reader: httpx.Client, storage: Storage) -> None:
    for path, body in (
        ("apply", ADD_THREE),
        ("revert", {"version": BASE.version}),
        ("rematch/cancel", {}),
        ("rematch/resume", {}),
    ):
        refused = sent(reader, path, body, 403)
        assert refused["detail"].startswith("You don't have permission to change the competitor")
    assert in_force(storage).version == BASE.version


def test_uploaders_see_nothing_of_it(empty_app: Served, storage: Storage) -> None:
    with client_with(empty_app, Scope.UPLOAD) as uploader:
        for path in ("", "/versions", f"/versions/{BASE.version}", "/competitors.yaml", "/rematch"):
            assert uploader.get(f"/catalog{path}").status_code == 403
        for path in ("check", "preview"):
            sent(uploader, path, {"text": "Sky"}, 403)


def test_the_first_list_can_be_made_by_edits(empty_app: Served) -> None:
    empty_app.settings.catalog_path.write_text("competitors: {")
    with client_with(empty_app, Scope.ADMIN) as client:
        assert client.get("/catalog").json()["competitors"] == []
        assert client.get("/catalog").json()["in_force"] is None
        assert client.get("/catalog/rematch").json()["message"] == "There is no list yet."
        sent(client, "apply", ADD_THREE)
        assert [c["name"] for c in client.get("/catalog").json()["competitors"]] == ["Three"]
    empty_app.settings.catalog_path.unlink()
