"""The commands below `users`, as a person runs them."""

from pathlib import Path

import pytest

from callpipeline.domain.access import AuditAction, matches_password
from callpipeline.wiring import Storage
from tests.integration.command_line import Installation


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def installation(tmp_path: Path, database_url: str) -> Installation:
    made = Installation(tmp_path / "data", database_url)
    made.environment["CALLPIPELINE_WEB_USERS"] = '{"ann": "a password of mine"}'
    return made


def test_a_user_is_added_changed_and_removed(installation: Installation, storage: Storage) -> None:
    password = installation.run("users", "add", "zoe", "--role", "reader").stdout.strip()
    found = storage.users.find("zoe")
    assert found and matches_password(password, found[1])
    assert password not in installation.run("users", "list").stdout
    installation.run("users", "role", "zoe", "--role", "admin")
    new = installation.run("users", "password", "zoe").stdout.strip()
    installation.run("users", "disable", "zoe")
    listed = {each["name"]: each for each in installation.json("users", "list")}
    assert listed["ann"]["managed_in"] == "settings"
    assert listed["zoe"] == {
        "name": "zoe", "role": "admin", "is_enabled": False, "managed_in": "app"
    }  # fmt: skip
    found = storage.users.find("zoe")
    assert found and matches_password(new, found[1]) and not matches_password(password, found[1])
    installation.run("users", "enable", "zoe")
    installation.run("users", "remove", "zoe")
    assert storage.users.all() == []
    whats = {each.what for each in storage.audit.page(action=AuditAction.CHANGED)}
    changes = ("add zoe reader", "role zoe admin", "password zoe", "disable zoe", "enable zoe")
    assert whats == {f"callpipeline users {each}" for each in (*changes, "remove zoe")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "ann"), "is a user of the settings"),
        (("add", "a,b"), "no comma"),
        (("role", "zoe", "--role", "admin"), "no user zoe"),
        (("remove", "ann"), "is a user of the settings"),
    ],
)
def test_what_the_pages_refuse_is_refused_here(
    installation: Installation, storage: Storage, words: tuple[str, ...], said: str
) -> None:
    assert said in installation.run("users", *words, exit_code=1).stderr
    assert storage.users.all() == []


def test_the_last_admin_stays(installation: Installation, storage: Storage) -> None:
    installation.environment["CALLPIPELINE_WEB_READERS"] = "ann"
    installation.run("users", "add", "zoe", "--role", "admin")
    for words in (("remove", "zoe"), ("disable", "zoe"), ("role", "zoe", "--role", "user")):
        assert "last admin" in installation.run("users", *words, exit_code=1).stderr
    refused = {each.what for each in storage.audit.page(action=AuditAction.CHANGED)}
    assert "callpipeline users role zoe user (stopped)" in refused
    [zoe] = storage.users.all()
    assert (zoe.role, zoe.is_enabled) == ("admin", True)


def test_without_a_login_users_are_not_added(installation: Installation, storage: Storage) -> None:
    installation.environment["CALLPIPELINE_WEB_USERS"] = "{}"
    assert "Without a login" in installation.run("users", "add", "zoe", exit_code=1).stderr
    assert storage.users.all() == []
