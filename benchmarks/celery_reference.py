# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "celery[redis]==5.5.3", "httpx==0.28.1", "psycopg[binary]==3.2.10", "psycopg-pool==3.2.6",
#     "python-multipart==0.0.20", "starlette==0.48.0", "uvicorn==0.37.0",
# ]
# ///
"""The same work as a Celery task: a yardstick for `benchmarks.remote`, not a product.

One process stores uploads and queues a task for each; two prefork workers call the services in
turn, look for the competitors, and write each step to Postgres. There is no retry, no claim, no
lineage and no duplicate check. `uv run` reads the requirements above.
"""

import json
import os
import re
import sys
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import celery  # pyright: ignore[reportMissingImports]
import httpx
import psycopg_pool
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

COMPETITORS = ("Vodafone", "Three", "Sky", "Virgin Media", "O2", "EE", "giffgaff", "Lebara")
NAMES = re.compile(rf"\b({'|'.join(COMPETITORS)})\b", re.IGNORECASE)
TABLES = """
    CREATE TABLE IF NOT EXISTS jobs (
        job_id text PRIMARY KEY, name text, status text, progress int DEFAULT 0,
        created_at timestamptz DEFAULT now(), completed_at timestamptz
    );
    CREATE TABLE IF NOT EXISTS results (job_id text, competitor text, channel text, body jsonb);
"""

broker = os.environ.get("REDIS_URL", "")
app = celery.Celery("reference", broker=broker)
app.conf.update(worker_prefetch_multiplier=1, task_acks_late=True)


@cache
def pool() -> psycopg_pool.ConnectionPool:
    return psycopg_pool.ConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=4)


@cache
def client() -> httpx.Client:
    return httpx.Client(timeout=60)


def execute(query: str, parameters: tuple[Any, ...]) -> None:
    with pool().connection() as connection:
        connection.execute(query.encode(), parameters)


def service(name: str) -> str:
    return os.environ[f"CALLPIPELINE_{name}_URL"]


def step(job_id: str, status: str, progress: int) -> None:
    execute(
        "UPDATE jobs SET status = %s, progress = %s WHERE job_id = %s", (status, progress, job_id)
    )


@app.task(name="reference.process")
def process(job_id: str, path: str) -> None:
    step(job_id, "splitting", 10)
    sides = split(Path(path))
    transcripts = {}
    for number, (side, content) in enumerate(sides.items()):
        step(job_id, f"transcribing {side}", 25 + 25 * number)
        transcripts[side] = transcribe(side, content)
        Path(f"{path}.{side}.json").write_text(json.dumps(transcripts[side]))
    step(job_id, "analysing", 75)
    for side, transcript in transcripts.items():
        found = {name.casefold() for name in NAMES.findall(transcript["text"])}
        for competitor in (each for each in COMPETITORS if each.casefold() in found):
            body = analyse(competitor, transcript)
            row = (job_id, competitor, side, json.dumps(body))
            execute("INSERT INTO results VALUES (%s, %s, %s, %s)", row)
    execute(
        "UPDATE jobs SET status = 'completed', progress = 100, completed_at = now() "
        "WHERE job_id = %s",
        (job_id,),
    )


def split(path: Path) -> dict[str, bytes]:
    file = (path.name, path.read_bytes(), "audio/wav")
    reply = client().post(f"{service('SPLIT')}/split", files={"file": file}).raise_for_status()
    urls = reply.json()
    return {
        side: client().get(httpx.URL(service("SPLIT")).join(urls[f"{side}_channel_url"])).content
        for side in ("left", "right")
    }


def transcribe(side: str, content: bytes) -> dict[str, Any]:
    login = {"username": "benchmark", "password": "benchmark"}
    url = f"{service('AUTH')}/api/v1/login/access-token"
    token = client().post(url, data=login).raise_for_status().json()["access_token"]
    reply = client().post(
        f"{service('TRANSCRIPTION')}/api/v1/transcriptions/",
        headers={"Authorization": f"Bearer {token}"},
        files={"audio_file": (f"{side}.flac", content, "audio/flac")},
        data={"language": "en", "word_timestamps": "true"},
    )
    return reply.raise_for_status().json()["data"]


def analyse(competitor: str, transcript: dict[str, Any]) -> Any:
    document = {"metadata": {}, "text": transcript["text"], "segments": transcript["segments"]}
    reply = client().post(
        f"{service('SENTIMENT')}/analyze/contextual/file",
        files={"file": ("transcript.json", json.dumps(document).encode(), "application/json")},
        data={"context": competitor},
    )
    return reply.raise_for_status().json()


async def upload(request: Request) -> JSONResponse:
    form = await request.form()
    file: Any = form["file"]
    job_id = str(uuid.uuid4())
    path = Path(os.environ["UPLOADS"]) / f"{job_id}.wav"
    path.write_bytes(await file.read())
    row = (job_id, file.filename, "pending")
    execute("INSERT INTO jobs (job_id, name, status) VALUES (%s, %s, %s)", row)
    app.send_task("reference.process", (job_id, str(path)))
    return JSONResponse({"job_id": job_id, "message": "queued", "status": "pending"})


def main() -> None:
    """Serve uploads on the port of the first argument, or work if there is none."""
    if len(sys.argv) > 1:
        with pool().connection() as connection:
            connection.execute(TABLES)
        routes = [Route("/upload", upload, methods=["POST"])]
        uvicorn.run(Starlette(routes=routes), port=int(sys.argv[1]), log_level="warning")
    else:
        app.worker_main(["worker", "--concurrency=2", "--loglevel=warning", "--without-gossip"])


if __name__ == "__main__":
    main()
