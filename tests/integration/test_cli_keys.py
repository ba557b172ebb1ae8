"""The commands below `keys`, as a person runs them."""

import json
from pathlib import Path

import pytest

from callpipeline.domain.access import ApiKey, Scope
from callpipeline.storage.access import ApiKeys
from callpipeline.storage.postgres.database import Database
from tests.integration.command_line import Installation


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def installation(tmp_path: Path, database_url: str) -> Installation:
    return Installation(tmp_path / "data", database_url)


def test_a_key_is_shown_once_and_can_be_revoked(
    installation: Installation, database: Database
) -> None:
    assert "No keys yet" in installation.run("keys", "list").stdout
    words = ("--scope", "read", "--scope", "upload", "--expires", "90d")
    made = installation.run("keys", "create", "the crm", *words)
    key = ApiKey.parse(made.stdout.strip())
    assert key and key.secret not in made.stderr
    found = ApiKeys(database).find(key.key_id)
    assert found and found[1] == key.digest
    assert found[0].scopes == (Scope.READ, Scope.UPLOAD)
    assert found[0].expires_at and 89 <= (found[0].expires_at - found[0].created_at).days <= 90
    listed = installation.run("keys", "list").stdout
    assert key.key_id in listed and "the crm" in listed and "valid" in listed
    assert key.secret not in listed
    gone = installation.run("keys", "revoke", key.to_text())
    assert key.secret not in gone.stdout + gone.stderr
    [row] = json.loads(installation.run("keys", "list", "--json").stdout)
    assert row["holds"] is False and row["revoked_by"] == row["created_by"]
    assert "secret" not in str(row) and key.digest.hex() not in str(row)


def test_a_name_that_two_keys_have_is_not_enough(installation: Installation) -> None:
    ids = []
    for _ in range(2):
        made = installation.run("keys", "create", "twin", "--scope", "read").stdout
        key = ApiKey.parse(made.strip())
        assert key
        ids.append(key.key_id)
    refused = installation.run("keys", "revoke", "twin", exit_code=1)
    assert "2 keys have that name" in refused.stderr
    installation.run("keys", "revoke", ids[0])
    installation.run("keys", "revoke", "twin")
    again = installation.run("keys", "revoke", "twin", exit_code=1)
    assert "Key not found" in again.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("crm",), "scope"),
        (("crm", "--scope", "everything"), "everything"),
        (("  ", "--scope", "read"), "1 to 100"),
        (("crm", "--scope", "read", "--expires", "2020-01-01"), "in the past"),
        (("crm", "--scope", "read", "--expires", "soon"), "no lifetime"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(
    installation: Installation, words: tuple[str, ...], said: str
) -> None:
    assert said in installation.run("keys", "create", *words, exit_code=2).stderr
