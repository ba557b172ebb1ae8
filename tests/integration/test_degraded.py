"""What is broken is named, and the rest works."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from callpipeline.cli.doctor import stores
from callpipeline.cli.doctor.findings import FindingLevel
from callpipeline.cli.installation.up import _catalog_problem  # pyright: ignore[reportPrivateUsage]
from callpipeline.config import Settings
from callpipeline.definitions import build
from callpipeline.wiring import Storage, load_catalog
from tests.web.app_server import app_client


@pytest.fixture
def with_bad_source(settings: Settings, tmp_path: Path) -> Settings:
    file = tmp_path / "sources.yaml"
    file.write_text(
        "sources:\n"
        f"  - {{name: good, url: {tmp_path}/good}}\n"
        f"  - {{name: bad, url: {tmp_path}/bad, filename: '(?P<agent>'}}\n"
    )
    return settings.model_copy(update={"sources": file})


def test_up_starts_with_a_broken_list_and_says_so(settings: Settings, storage: Storage):
    settings.home.mkdir(exist_ok=True)
    settings.catalog_path.write_text("competitors: [")
    [problem] = _catalog_problem(settings, storage)
    assert "competitors.yaml" in problem
    assert "Calls wait for a valid list." in problem
    settings.catalog_path.write_text("competitors: [Vodafone]")
    assert _catalog_problem(settings, storage) == []
    in_force = load_catalog(settings, storage.catalogs).version
    for broken in ("competitors: [", ""):
        settings.catalog_path.write_text(broken)
        assert _catalog_problem(settings, storage) == []
        assert load_catalog(settings, storage.catalogs).version == in_force
    settings.catalog_path.unlink()
    assert _catalog_problem(settings, storage) == []


def test_dagster_loads_the_valid_sources(with_bad_source: Settings):
    names = {sensor.name for sensor in build(with_bad_source).sensors or ()}
    assert "good" in " ".join(names)
    assert "bad" not in " ".join(names)


def test_health_and_doctor_name_the_bad_source(with_bad_source: Settings, database_url: str):
    found = {each.name: each for each in stores.recordings(with_bad_source)}
    assert found["sources"].level is FindingLevel.BAD
    assert "source 2 (bad)" in found["sources"].detail
    known = with_bad_source.model_copy(update={"database_url": SecretStr(database_url)})
    with app_client(known) as client:
        health = client.get("/health")
        assert health.status_code == 503
        assert "source 2 (bad)" in health.json()["dependencies"]["sources"]["detail"]
        assert client.get("/health/ready").status_code == 204
        assert client.get("/calls").status_code == 200
        sound = b"RIFF\xff\xff\xff\xffWAVE" + bytes(100)
        assert client.put("/upload/a.wav", content=sound).status_code == 200


def test_pages_are_served_while_the_store_is_unreachable(settings: Settings, database_url: str):
    known = settings.model_copy(
        update={
            "database_url": SecretStr(database_url),
            "storage": "s3://nowhere",
            "s3_endpoint": "http://127.0.0.1:9",
            "s3_access_key_id": SecretStr("x"),
            "s3_secret_access_key": SecretStr("y"),
        }
    )
    with app_client(known) as client:
        assert client.get("/health").json()["dependencies"]["results"]["state"] == "down"
        for path in ("/", "/calls", "/competitors", "/analytics"):
            assert client.get(path).status_code == 200
