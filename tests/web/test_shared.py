"""`/storage`: documents, and transcripts of calls."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import Stage
from callpipeline.errors import PathRefused
from callpipeline.http_server.security import Signer, installation_secret
from callpipeline.pipeline.shared_documents import SharedDocuments
from callpipeline.storage.reading.call_detail import StoredTranscripts
from callpipeline.wiring import Storage
from tests.builders import a_transcript, a_write
from tests.integration.calls import enter
from tests.web.served import Served, served
from tests.web.uploads import WITH_KEY, Sender, sending, sending_to

DOCUMENT = {"text": "Grüße", "segments": [{"start": 0.5, "end": None}]}


@pytest.fixture(scope="module", params=["folder", "s3"])
def app(
    request: pytest.FixtureRequest, module_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    where = {} if request.param == "folder" else in_bucket(request.getfixturevalue("s3_server"))
    with served(tmp_path_factory.mktemp("app"), module_url, **where, **WITH_KEY) as app:
        yield app


def in_bucket(endpoint: str) -> dict[str, Any]:
    """Return the settings of a store in a new bucket."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket="shared")
    return {
        "storage": "s3://shared/results",
        "s3_endpoint": endpoint,
        "s3_access_key_id": SecretStr("x"),
        "s3_secret_access_key": SecretStr("y"),
    }


@pytest.fixture
def options(app: Served) -> Settings:
    return app.settings


@pytest.fixture
def kept(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def sender(empty_app: Served) -> Iterator[Sender]:
    with sending_to(empty_app) as sender:
        yield sender


@pytest.fixture
def client(sender: Sender) -> httpx.Client:
    return sender.client


def keep(client: httpx.Client, path: str, data: object = DOCUMENT) -> httpx.Response:
    return client.post("/storage/upload", json={"object_path": path, "data": data})


def a_transcribed_call(storage: Storage) -> tuple[str, str]:
    """Create a call; return its id and the path of its left transcript."""
    [call_id] = enter(storage, "mine.wav")
    storage.claims.claim([call_id], "run-1")
    write = a_write(call_id, Stage.TRANSCRIPTS, run_id="run-1")
    storage.results.save_transcripts(write, [a_transcript("secret words", channel=Channel.LEFT)])
    [row] = storage.database.rows("reading/is_transcript", {"call_id": call_id, "key": "x"})
    assert row["is_transcript"] is False
    return call_id, f"calls/{call_id}/transcript.left.json"


def test_a_document_exists_until_it_is_deleted(client: httpx.Client, kept: Storage) -> None:
    path = "transcripts/2026/Anna Müller #1.json"
    assert client.get(f"/storage/exists/{quote(path)}").json()["exists"] is False
    assert keep(client, path).json()["object_path"] == path
    assert client.get(f"/storage/exists/{quote(path)}").json()["exists"] is True
    reply = client.get(f"/storage/download/{quote(path)}")
    assert (reply.json(), reply.headers["Content-Type"]) == (DOCUMENT, "application/json")
    keep(client, path, ["other"])
    assert client.get(f"/storage/download/{quote(path)}").json() == ["other"]
    assert kept.store.exists(f"shared/{path}")
    assert client.delete(f"/storage/delete/{quote(path)}").status_code == 200
    for reply in (
        client.get(f"/storage/download/{quote(path)}"),
        client.delete(f"/storage/delete/{quote(path)}"),
        client.get(f"/storage/presigned-url/{quote(path)}"),
    ):
        assert reply.status_code == 404
    assert list(kept.store.list()) == []


def test_deleting_one_of_several_documents(client: httpx.Client) -> None:
    for path in ("a/1.json", "a/2.json"):
        keep(client, path)
    assert client.delete("/storage/delete/a/1.json").status_code == 200
    listed = client.get("/storage/list").json()["objects"]
    assert [each["object_path"] for each in listed] == ["a/2.json"]


def test_documents_are_listed_by_prefix_in_pages(client: httpx.Client) -> None:
    paths = ["a/1.json", "a/10.json", "a/2.json", "ab.json", "b/c/d.json"]
    for path in paths:
        keep(client, path)

    def listed(**asked: object) -> list[str]:
        document = client.get("/storage/list", params=asked).json()  # type: ignore[arg-type]
        assert document["count"] == len(document["objects"])
        return [each["object_path"] for each in document["objects"]]

    assert listed() == paths
    assert listed(prefix="a/") == paths[:3]
    assert listed(prefix="a") == paths[:4]
    assert listed(prefix="a/1") == paths[:2]
    assert listed(prefix="a/1.json") == ["a/1.json"]
    assert listed(prefix="c") == []
    first = client.get("/storage/list", params={"limit": 2}).json()
    assert first["next"] == "a/10.json"
    assert listed(limit=2, after=first["next"]) == paths[2:4]
    assert listed(prefix="a/", limit=2, after=first["next"]) == ["a/2.json"]


def test_a_presigned_url_works_until_it_expires(sender: Sender) -> None:
    keep(sender.client, "a b.json")
    document = sender.client.get("/storage/presigned-url/a b.json?expires=60").json()
    assert document["expires"] == 60
    assert httpx.get(document["url"], timeout=60).json() == DOCUMENT  # without a key
    for expires in (59, 604_801, "soon"):
        reply = sender.client.get(f"/storage/presigned-url/a b.json?expires={expires}")
        assert reply.status_code == 422


def test_forged_and_expired_urls_are_refused(settings: Settings, storage: Storage) -> None:
    with sending(settings, storage) as sender:
        keep(sender.client, "a.json")
        url = sender.client.get("/storage/presigned-url/a.json").json()["url"]
        assert httpx.get(url, timeout=60).status_code == 200
        assert httpx.get(url + "x", timeout=60).status_code == 404
        signer = Signer(installation_secret(settings.home))
        old = signer.sign("storage", "a.json", for_s=-1)
        assert sender.client.get(f"/storage/signed/{old}").status_code == 410
        other = signer.sign("something else", "a.json", for_s=60)
        assert sender.client.get(f"/storage/signed/{other}").status_code == 404
    with sending(settings, storage) as again:  # after a restart
        assert httpx.get(
            str(again.client.base_url.copy_with(path=httpx.URL(url).path)), timeout=60
        ).is_success


def test_transcripts_are_readable_by_the_paths_of_jobs(client: httpx.Client, kept: Storage) -> None:
    call_id, path = a_transcribed_call(kept)
    document = client.get(f"/storage/download/{path}").json()
    assert "secret words" in json.dumps(document)
    assert client.get(f"/storage/exists/{path}").json()["exists"] is True
    assert client.get(f"/storage/presigned-url/{path}").status_code == 200
    kept.erasures.begin([call_id], keep_recording=True)
    assert client.get(f"/storage/download/{path}").status_code == 404
    assert client.get(f"/storage/exists/{path}").json()["exists"] is False


def test_objects_of_calls_cannot_be_written_or_deleted(client: httpx.Client, kept: Storage) -> None:
    _, path = a_transcribed_call(kept)
    before = kept.store.read(path)
    for reply in (keep(client, path), client.delete(f"/storage/delete/{path}")):
        assert reply.status_code == 422
        assert "read-only" in reply.json()["detail"]
    assert kept.store.read(path) == before


HOSTILE = [
    "../calls/x.json",
    "..%2Fcalls%2Fx.json",
    "a/../../x",
    "a//b",
    "/etc/passwd",
    "%2Fetc%2Fpasswd",
    "a%00b",
    "a%0Ab",
    ".hidden",
    "a/.callpipeline-1",
    "x" * 241,
    "a/",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_paths_cannot_escape_the_prefix(client: httpx.Client, kept: Storage, path: str) -> None:
    [call_id] = enter(kept, "mine.wav")
    kept.store.put(f"calls/{call_id}/left.flac", b"sound")
    plain = path.replace("%2F", "/").replace("%00", "\0").replace("%0A", "\n")
    assert keep(client, plain).status_code == 422
    for method, action in (("GET", "download"), ("GET", "exists"), ("DELETE", "delete")):
        raw = httpx.URL(str(client.base_url)).copy_with(
            raw_path=f"/storage/{action}/{path}".encode()
        )
        assert client.request(method, raw).status_code in (404, 405, 422)
    for other in (f"calls/{call_id}/left.flac", f"calls/{call_id}/../../x", "calls/x", "calls/"):
        reply = client.get(f"/storage/download/{quote(other, safe='')}")
        assert reply.status_code == 404
    assert [found.key for found in kept.store.list()] == [f"calls/{call_id}/left.flac"]


def test_an_object_cannot_be_below_another(client: httpx.Client, options: Settings) -> None:
    keep(client, "a")
    reply = keep(client, "a/b")
    if options.storage:  # to S3 these are two names
        assert reply.status_code == 200
    else:
        assert reply.status_code == 422
        assert "another path" in reply.json()["detail"]
        assert keep(client, "c/d").status_code == 200
        assert keep(client, "c").status_code == 422


def test_invalid_or_too_large_documents_are_refused(client: httpx.Client) -> None:
    head = {"Content-Type": "application/json"}
    for data, status in (
        ("NaN", 422),
        ('"\\ud800"', 422),
        ("[" * 100_000 + "]" * 100_000, 400),
        ("1", 200),
        ("null", 200),
        ('"' + "x" * 2_000_000 + '"', 200),
        ('"' + "x" * 16_000_001 + '"', 413),
    ):
        body = f'{{"object_path": "a.json", "data": {data}}}'
        reply = client.post("/storage/upload", content=body, headers=head)
        assert reply.status_code == status, data[:20]


def test_a_wrong_key_is_refused(sender: Sender) -> None:
    with httpx.Client(
        base_url=sender.client.base_url, headers={"X-API-KEY": "no"}, timeout=60
    ) as nobody:
        assert keep(nobody, "a.json").status_code == 401
        assert nobody.get("/storage/list").status_code == 401
        assert nobody.get("/storage/download/a.json").status_code == 401
        assert nobody.get("/storage/signed/abc.def").status_code == 404


@effort(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(
    path=st.text(min_size=1, max_size=30)
    | st.lists(
        st.sampled_from(["..", ".", "a", "calls", "é", "%2e", "\\", " ", "shared"]), min_size=1
    ).map("/".join)
)
def test_any_path_stays_below_the_prefix_or_is_refused(
    settings: Settings, storage: Storage, path: str
) -> None:
    shared = SharedDocuments(storage.store, StoredTranscripts(storage.database))
    try:
        shared.put(path, b"1")
    except PathRefused:
        return
    assert shared.read(path) == b"1"
    assert [each.path for each in shared.list_below(path, None, 2)] == [path]
    root = Path(settings.storage_url)
    assert all(p.is_relative_to(root / "shared") for p in root.rglob("*") if p.is_file())
    shared.delete(path)
    assert not shared.exists(path)
