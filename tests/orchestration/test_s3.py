"""A call from a bucket to results, its audio and transcripts in another bucket below a prefix."""

import uuid
from pathlib import Path

import dagster as dg
import httpx
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.calls.call import CallState
from callpipeline.wiring import open_storage
from tests.orchestration.lab import CountingEngines, Lab


def bucket(server: str) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    httpx.put(f"{server}/{name}", timeout=60).raise_for_status()
    return f"s3://{name}"


def test_a_call_goes_from_bucket_to_bucket(
    settings: Settings, database_url: str, s3_server: str, tmp_path: Path
) -> None:
    on_s3 = {
        "recordings": bucket(s3_server),
        "storage": bucket(s3_server) + "/kept/here",
        "s3_endpoint": s3_server,
        "s3_access_key_id": SecretStr("id"),
        "s3_secret_access_key": SecretStr("secret"),
        "database_url": SecretStr(database_url),
    }
    chosen = settings.model_copy(update=on_s3)
    with open_storage(chosen, database_url) as storage, dg.DagsterInstance.ephemeral() as instance:
        lab = Lab(chosen, storage, CountingEngines(), instance, tmp_path)
        call_id = lab.add_call("call")
        assert lab.run([call_id]).success
        assert storage.ledger.find(call_id).state is CallState.COMPLETED
        assert {t.channel for t in storage.results.transcripts(call_id)} == {"left", "right"}
        kept = sorted(found.key for found in storage.store.list())
        assert kept == [
            f"calls/{call_id}/left.flac",
            f"calls/{call_id}/peaks.left.json",
            f"calls/{call_id}/peaks.right.json",
            f"calls/{call_id}/right.flac",
            f"calls/{call_id}/transcript.left.json",
            f"calls/{call_id}/transcript.right.json",
        ]
