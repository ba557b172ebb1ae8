"""Fake of the API of Kubernetes on a real socket; the pods of its Jobs are processes here.

A pod runs the command and arguments of its container, with the environment in the manifest and the
one that stands for the ConfigMaps and Secrets that it names. Deleting it sends SIGTERM.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster_k8s.launcher import K8sRunLauncher

from callpipeline.defs.dagster_internals.run_launchers.k8s_runs import pod_launcher

NAMESPACE = "speech"
JOBS = re.compile(r"/apis/batch/v1/namespaces/speech/jobs(?:/([\w-]+))?(/status)?$")
PODS = re.compile(r"/api/v1/namespaces/speech/pods(?:/([\w-]+))?$")
BIN = Path(sys.executable).parent
Answer = tuple[int, dict[str, Any]]


class FakeCluster:
    """A cluster of one namespace. `is_away` makes its API answer with 503."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.environment: Mapping[str, str] = {}
        self.is_away = False
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "FakeCluster":
        handler = type("Handler", (_Handler,), {"cluster": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for pod in self.pods.values():
            if pod.poll() is None:
                pod.terminate()
        for pod in self.pods.values():
            pod.wait(120)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def options(self, described: Mapping[str, Any] | None = None) -> Path:
        """Write a file of launcher options that reach this cluster; return its path."""
        kubeconfig = self._folder / "kubeconfig.yaml"
        cluster = {"server": f"http://127.0.0.1:{self._server.server_port}"}
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "fake",
                    "clusters": [{"name": "fake", "cluster": cluster}],
                    "users": [{"name": "fake", "user": {}}],
                    "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
                }
            )
        )
        path = self._folder / "runs.yaml"
        reached = {"load_incluster_config": False, "kubeconfig_file": str(kubeconfig)}
        path.write_text(yaml.safe_dump({**(described or {}), **reached}))
        return path

    def launcher(self, described: Mapping[str, Any]) -> K8sRunLauncher:
        return pod_launcher(self.options(described))

    def job_of(self, launcher: K8sRunLauncher) -> Any:
        """Return the Job that a launcher makes of a run, without a code location."""
        from dagster_k8s.job import construct_dagster_k8s_job

        context = launcher.get_container_context_for_run(dg.DagsterRun("job", "run"))
        return construct_dagster_k8s_job(
            context.get_k8s_job_config(job_image=None, run_launcher=launcher),
            args=["dagster", "api", "execute_run", "{}"],
            job_name="dagster-run-1",
            component="run_worker",
            user_defined_k8s_config=context.run_k8s_config,
        )

    @staticmethod
    def kill(pod: subprocess.Popen[bytes]) -> None:
        """Kill a pod with all of its processes, as the kernel does when memory is short."""
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                session = int(entry.read_text().rpartition(")")[2].split()[3])
                if session == pod.pid:
                    os.kill(int(entry.parent.name), signal.SIGKILL)
        pod.wait()

    def answer(self, method: str, path: str, query: str, body: Any) -> Answer:
        """Answer a request for Jobs or pods."""
        if self.is_away:
            return 503, {"kind": "Status", "code": 503}
        if found := JOBS.search(path):
            return self._job(method, found[1], body)
        if found := PODS.search(path):
            return self._pod(method, found[1], query)
        return 200, {"kind": "List", "items": []}

    def _job(self, method: str, name: str | None, body: Any) -> Answer:
        if method == "POST":
            name = str(body["metadata"]["name"])
            self.jobs[name] = body
            self.pods[name] = self._start(name, body["spec"]["template"]["spec"])
            return 201, body
        if name not in self.jobs:
            return 404, {"kind": "Status", "code": 404}
        if method == "DELETE":
            return 200, self.jobs.pop(name)
        code = self.pods[name].poll()
        ended = {} if code is None else {"succeeded": 1} if code == 0 else {"failed": 1}
        return 200, {**self.jobs[name], "status": ended or {"active": 1}}

    def _pod(self, method: str, name: str | None, query: str) -> Answer:
        if method == "DELETE" and name in self.pods:
            self.pods[name].send_signal(signal.SIGTERM)
        metadata = [{"metadata": {"name": each}} for each in self.pods if each in query]
        return 200, {"kind": "PodList", "apiVersion": "v1", "items": metadata}

    def _start(self, name: str, pod: Mapping[str, Any]) -> subprocess.Popen[bytes]:
        (container,) = pod["containers"]
        program, *command = [*container["command"], *container["args"]]
        written = {each["name"]: each["value"] for each in container["env"] if each.get("value")}
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [str(BIN / program), *command],
                env={"PATH": os.environ["PATH"], **written, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


class _Handler(BaseHTTPRequestHandler):
    cluster: FakeCluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        body = json.loads(text) if text else None
        status, answer = self.cluster.answer(self.command, path, query, body)
        sent = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: object) -> None:
        pass
