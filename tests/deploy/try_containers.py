"""Try the image and docker-compose.yml for real, with podman.

Builds the image, starts every service, drops a recording into the bucket and waits until the web
app shows it as completed and a notification has arrived; then restarts each service in turn, and
takes everything down and up again. Without podman, or as another user than root, it says why not.
`--base-image` is an image with Python. Where no registry can be reached, or with `--substitutes`,
base image, Postgres and store are built of packages of Debian and PyPI (mmdebstrap). Run it with
`python -m tests.deploy.try_containers`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from callpipeline.config import CHECKOUT
from tests.deploy import substitutes
from tests.deploy.compose_pod import Pod, adapt_podman, podman, volumes_of

SERVICES = ("code-server", "daemon", "ui", "web")
BASE_IMAGE = "docker.io/library/python:3.13-slim"
PUT = """
import os, sys, boto3
from botocore.config import Config
s3 = boto3.client(
    "s3", endpoint_url=os.environ["CALLPIPELINE_S3_ENDPOINT"], region_name="us-east-1",
    aws_access_key_id=os.environ["CALLPIPELINE_S3_ACCESS_KEY_ID"],
    aws_secret_access_key=os.environ["CALLPIPELINE_S3_SECRET_ACCESS_KEY"],
    config=Config(request_checksum_calculation="when_required"))
name = sys.argv[1]
import io, numpy, soundfile
sound = io.BytesIO()
noise = numpy.random.default_rng(abs(hash(name)) % 2**32).normal(0, 0.1, (16000, 2))
soundfile.write(sound, noise, 8000, format="WAV")
s3.put_object(Bucket="recordings", Key=f"{name}.transcript.json", Body=sys.argv[2].encode())
s3.put_object(Bucket="recordings", Key=f"{name}.wav", Body=sound.getvalue())
"""
GET = """
import os, sys, urllib.request
key = {"X-API-KEY": os.environ["CALLPIPELINE_API_KEY"]}
request = urllib.request.Request(sys.argv[1], headers=key)
print(urllib.request.urlopen(request, timeout=60).read().decode())
"""
WEBSERVER = """
import os, subprocess, time, urllib.error, urllib.request
workspace = os.environ["DAGSTER_HOME"] + "/workspace.yaml"
command = ["dagster-webserver", "-w", workspace, "-h", "127.0.0.1", "-p", "3001"]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
address = "http://127.0.0.1:3001"
for attempt in range(300):
    try:
        print(urllib.request.urlopen(address + "/server_info", timeout=60).read().decode())
        break
    except urllib.error.URLError:
        time.sleep(1)
try:
    urllib.request.urlopen(address + "/graphql?query={version}", timeout=60)
except urllib.error.HTTPError as refused:
    print(refused.code, refused.read().decode())
server.terminate()
server.wait()
"""
RECEIVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/tmp/received", "ab") as file:
            file.write(body + b"\\n")
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 9911), Handler).serve_forever()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-image", default=BASE_IMAGE)
    parser.add_argument("--image", help="an image that was built already")
    parser.add_argument("--substitutes", action="store_true")
    options = parser.parse_args()
    if reason := _cannot_run():
        print(f"skipped: {reason}")
        return
    with tempfile.TemporaryDirectory() as folder:
        adapt_podman(Path(folder))
        if not options.substitutes and (reason := _cannot_pull(options.base_image)):
            if shutil.which("mmdebstrap") is None:
                print(f"skipped: {reason} Without a registry, this needs mmdebstrap.")
                return
            print(f"{reason} Packages of Debian take its place.")
            options.substitutes = True
        _build_and_try(options)
    print("all of it works")


def _build_and_try(options: argparse.Namespace) -> None:
    arguments = {"BASE_IMAGE": options.base_image}
    others: dict[str, str] = {}
    if options.substitutes:
        base = substitutes.base_image()
        arguments = {"BASE_IMAGE": base, "SSL_CERT_FILE": substitutes.CERTIFICATES}
        others = substitutes.other_images(base)
    tag = "localhost/callpipeline:tried"
    image = options.image or substitutes.build(tag, CHECKOUT / "Dockerfile", CHECKOUT, **arguments)
    size_mb = int(podman("image", "inspect", "-f", "{{.Size}}", image)) / 1e6
    print(f"image: {size_mb:,.0f} MB", flush=True)
    with _deployed(image, others) as pod:
        _try(pod)


def _cannot_run() -> str | None:
    if shutil.which("podman") is None:
        return "podman is not installed."
    if os.geteuid() != 0:
        return "this needs root."
    try:
        trial = podman("pod", "create", "--network", "none", timeout_s=300)
        podman("pod", "rm", "-f", trial, timeout_s=300)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return f"podman does not work here: {error}"
    return None


def _cannot_pull(image: str) -> str | None:
    try:
        podman("pull", "-q", image, timeout_s=300)
    except (RuntimeError, subprocess.TimeoutExpired):
        return f"{image} can't be pulled."
    return None


@contextmanager
def _deployed(image: str, others: dict[str, str]) -> Iterator[Pod]:
    name = f"callpipeline-{uuid.uuid4().hex[:6]}"
    with tempfile.TemporaryDirectory() as folder:
        env = Path(folder) / ".env"
        make = CHECKOUT / "deploy" / "make_secrets.py"
        subprocess.run([sys.executable, str(make), str(env)], check=True, stdout=subprocess.DEVNULL)
        lines = [line for line in env.read_text().splitlines() if "=" in line]
        values = dict(line.split("=", 1) for line in lines)
        values |= {
            "CALLPIPELINE_WEB_USERS": values["CALLPIPELINE_WEB_USERS"].strip("'"),
            "CALLPIPELINE_API_KEY": uuid.uuid4().hex,
            "CALLPIPELINE_SETTLE_S": "1",
            # Transcripts lie beside the recordings, so no recogniser is needed.
            "CALLPIPELINE_TRANSCRIPTION_URL": "http://127.0.0.1:9/transcribe",
            "CALLPIPELINE_NOTIFY_WEBHOOK_URL": "http://127.0.0.1:9911/",
            "CALLPIPELINE_NOTIFY_WEBHOOK_SECRET": "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
            "CALLPIPELINE_NOTIFY_RULES": '{"call_completed": ["webhook"]}',
        }
        env.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        variables = {**values, **others, "APP_IMAGE": image}
        pod = Pod(name, CHECKOUT / "docker-compose.yml", env, variables)
        try:
            yield pod
        except BaseException:
            for service in pod.services:
                print(f"--- {service}\n{pod.log(service)[-1500:]}", flush=True)
            raise
        finally:
            pod.down()
            for volume in volumes_of(name):
                podman("volume", "rm", "-f", volume, check=False)


def _try(pod: Pod) -> None:
    began = time.monotonic()
    pod.up()
    print(f"all services are healthy after {time.monotonic() - began:.0f} s")
    receiver = f"nohup python -c '{RECEIVER}' >/dev/null 2>&1 &"
    pod.execute("daemon", "sh", "-c", receiver)
    _put(pod, "call-1")
    _wait_completed(pod, 1)
    _until(lambda: "call_completed" in _received(pod), "a notification has been received")
    print("a recording in the bucket is completed, and its notification received")
    _check_confinement(pod)
    for name in pod.services:
        if name != "migrate":
            print(f"  {name}: {pod.memory_mb(name):,.0f} MB of memory when idle")
    for number, name in enumerate(("postgres", "s3", *SERVICES), start=2):
        pod.restart(name)
        _put(pod, f"call-{number}")
        _wait_completed(pod, number)
        print(f"{name} restarted: call {number} is completed")
    pod.down()
    pod.up()
    _wait_completed(pod, 7)
    _put(pod, "call-8")
    _wait_completed(pod, 8)
    print("down and up again: everything is there, and another call is completed")
    _check_dagsters_own_commands(pod)
    _print_logs(pod)


def _put(pod: Pod, name: str) -> None:
    segment = {"start": 0.0, "end": 2.0, "text": "I will move to Vodafone", "channel": "right"}
    pod.execute("daemon", "python", "-c", PUT, name, json.dumps({"segments": [segment]}))


def _wait_completed(pod: Pod, count: int) -> None:
    def completed() -> bool:
        try:
            listed = pod.execute("web", "python", "-c", GET, "http://127.0.0.1:8100/jobs?limit=100")
        except RuntimeError:
            return False
        states = [job["status"] for job in json.loads(listed)["jobs"]]
        return states == ["COMPLETED"] * count

    _until(completed, f"{count} calls are completed")


def _received(pod: Pod) -> str:
    return pod.execute("daemon", "sh", "-c", "cat /tmp/received 2>/dev/null || true")


def _check_confinement(pod: Pod) -> None:
    for name in SERVICES:
        assert pod.execute(name, "id", "-u") == "10001", name
        tried = pod.execute(name, "sh", "-c", "touch /opt/callpipeline/x 2>&1 || echo refused")
        assert "refused" in tried, name


def _check_dagsters_own_commands(pod: Pod) -> None:
    """Run Dagster's own commands in the environment of the services, as docs/operations.md does."""
    prepared = 'eval "$(callpipeline env)" && '
    info = pod.execute("code-server", "sh", "-c", f"{prepared} dagster instance info")
    assert "schedule_storage" in info
    served = pod.execute("code-server", "sh", "-c", prepared + 'exec python -c "$0"', WEBSERVER)
    assert "dagster_webserver_version" in served and "403 Log in to the web app" in served, served
    listing = prepared + 'dagster sensor list -w "$DAGSTER_HOME/workspace.yaml"'
    listed = pod.execute("code-server", "sh", "-c", listing)
    assert "waiting_calls" in listed, listed
    print("dagster instance info, sensor list and dagster-webserver work in this environment")


def _print_logs(pod: Pod) -> None:
    for name in SERVICES:
        lines = pod.log(name).splitlines()
        others = [line for line in lines if not line.startswith("{")]
        print(f"  {name}: {len(lines)} lines of log, {len(others)} of them no JSON {others[:3]}")


def _until(condition: Callable[[], bool], description: str, within_s: float = 600.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {within_s:.0f} s: {description}")
        time.sleep(2)


if __name__ == "__main__":
    main()
