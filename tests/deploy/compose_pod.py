"""Runs docker-compose.yml with podman alone, in one pod without a network to the outside.

Podman starts health checks by systemd timers, which containers and many machines of CI do not have,
so they are run here. Services of a pod share its loopback interface; each name leads there.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

START_S = 900.0
MOST = 16_384
"""Files and processes that a container may have."""
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:?[-?])((?:[^{}]|\{[^{}]*\})*))?\}")


def podman(*words: str, timeout_s: float = 600, check: bool = True) -> str:
    """Run podman and return what it prints."""
    done = subprocess.run(
        ["podman", *words], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"podman {' '.join(words[:2])}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()


def adapt_podman(folder: Path) -> None:
    """Let podman work inside of a container or small virtual machine, which have old cgroups.

    Its defaults there are a runtime that refuses them, and limits above those of this process.
    """
    version = podman("info", "--format", "{{.Host.CgroupsVersion}}", timeout_s=300)
    if version != "v1" or not shutil.which("runc") or "CONTAINERS_CONF" in os.environ:
        return
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    most = {name: _at_most(resource.getrlimit(kind)[1]) for name, kind in limits.items()}
    words = ", ".join(f'"{name}={number}:{number}"' for name, number in most.items())
    settings = folder / "containers.conf"
    settings.write_text(
        f"[containers]\ndefault_ulimits = [{words}]\n"
        '[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\n'
    )
    os.environ["CONTAINERS_CONF"] = str(settings)


def _at_most(limit: int) -> int:
    return MOST if limit == resource.RLIM_INFINITY else min(limit, MOST)


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Replace `${NAME}`, `${NAME:-default}`, `${NAME-default}` and `${NAME:?message}` by values."""

    def value(match: re.Match[str]) -> str:
        name, operator, other = match.groups()
        found = variables.get(name)
        is_missing = not found if (operator or ":").startswith(":") else found is None
        if not is_missing:
            return found or ""
        if operator in (":?", "?"):
            raise KeyError(f"{name}: {other}")
        return interpolate(other or "", variables)

    return _VARIABLE.sub(value, text)


@dataclass
class Pod:
    """The services of a compose file, as containers of one pod."""

    name: str
    compose: Path
    env_file: Path
    variables: Mapping[str, str]
    report: Callable[[str], None] = print
    services: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        document = yaml.safe_load(interpolate(self.compose.read_text(), self.variables))
        self.services = {n: s for n, s in document["services"].items() if "profiles" not in s}

    def up(self) -> None:
        """Create what is missing, in order of dependencies, and wait until all are healthy."""
        # Podman 4.3 leaves names of --add-host out where a pod has no network.
        names = " ".join(["localhost", *self.services])
        self.hosts.write_text(f"127.0.0.1 {names}\n")
        podman("pod", "create", "--name", self.name, "--network", "none")
        waiting = list(self.services)
        while waiting:
            ready = next(n for n in waiting if not self._dependencies(n) & set(waiting))
            waiting.remove(ready)
            self._start(ready)
        for name, service in self.services.items():
            if "healthcheck" in service:
                self.wait_healthy(name)

    def down(self) -> None:
        """Stop and remove the containers as compose does; volumes remain."""
        for name in reversed(list(self.services)):
            grace = self.services[name].get("stop_grace_period", "10s").rstrip("s")
            podman("stop", "-t", grace, self._container(name), check=False)
        podman("pod", "rm", "-f", self.name, check=False)

    @property
    def hosts(self) -> Path:
        return self.env_file.parent / "hosts"

    def restart(self, name: str) -> None:
        grace = self.services[name].get("stop_grace_period", "10s").rstrip("s")
        podman("restart", "-t", grace, self._container(name))
        self.wait_healthy(name)

    def execute(self, name: str, *command: str) -> str:
        return podman("exec", self._container(name), *command)

    def wait_healthy(self, name: str) -> float:
        began, delay_s = time.monotonic(), 1.0
        test = self.services[name].get("healthcheck", {}).get("test")
        while test and not self._is_healthy(name, test[1]):
            if time.monotonic() - began > START_S:
                raise RuntimeError(f"{name} is not healthy:\n{self.log(name)[-3000:]}")
            time.sleep(delay_s)
        took_s = time.monotonic() - began
        self.report(f"{name}: healthy after {took_s:.1f} s")
        return took_s

    def log(self, name: str) -> str:
        done = subprocess.run(
            ["podman", "logs", self._container(name)], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def memory_mb(self, name: str) -> float:
        """Return the resident memory of all processes of a container."""
        sums = "cat /proc/[0-9]*/statm | awk '{s+=$2-$3} END {print s*4096/1e6}'"
        return float(self.execute(name, "sh", "-c", sums) or 0)

    def _is_healthy(self, name: str, test: str) -> bool:
        running = podman("inspect", "-f", "{{.State.Running}}", self._container(name), check=False)
        if running != "true":
            return False
        words = ["podman", "exec", self._container(name), "sh", "-c", test]
        return subprocess.run(words, capture_output=True, timeout=120, check=False).returncode == 0

    def _start(self, name: str) -> None:
        for other, needed in self.services[name].get("depends_on", {}).items():
            if needed["condition"] == "service_healthy":
                self.wait_healthy(other)
            elif needed["condition"] == "service_completed_successfully":
                self._wait_completed(other)
        self.report(f"starting {name}")
        podman("run", "-d", *self._options(name), *self._image(name))

    def _wait_completed(self, name: str) -> None:
        code = podman("wait", self._container(name), timeout_s=START_S)
        if code != "0":
            raise RuntimeError(f"{name} exited with {code}:\n{self.log(name)[-3000:]}")

    def _options(self, name: str) -> Sequence[str]:
        service = self.services[name]
        options = ["--name", self._container(name), "--pod", self.name]
        options += ["--restart", service.get("restart", "no").replace("unless-stopped", "always")]
        options += [f"--memory={service['mem_limit']}"] if "mem_limit" in service else []
        options += ["--read-only"] if service.get("read_only") else []
        options += [f"--tmpfs={path}" for path in service.get("tmpfs", ())]
        options += [f"--cap-drop={capability}" for capability in service.get("cap_drop", ())]
        options += [f"--security-opt={o.split(':')[0]}" for o in service.get("security_opt", ())]
        options += ["--env-file", str(self.env_file)] if "env_file" in service else []
        for variable, value in service.get("environment", {}).items():
            options += ["-e", f"{variable}={value}"]
        options += ["-v", f"{self.hosts}:/etc/hosts:ro"]
        for volume in service.get("volumes", ()):
            options += ["-v", f"{self.name}-{volume}"]
        return options

    def _image(self, name: str) -> Sequence[str]:
        command = self.services[name].get("command", ())
        return [
            self.services[name]["image"],
            *(command.split() if isinstance(command, str) else command),
        ]

    def _dependencies(self, name: str) -> set[str]:
        return set(self.services[name].get("depends_on", {}))

    def _container(self, name: str) -> str:
        return f"{self.name}-{name}"


def volumes_of(prefix: str) -> list[str]:
    listed = json.loads(podman("volume", "ls", "--format", "json") or "[]")
    return [each["Name"] for each in listed if each["Name"].startswith(f"{prefix}-")]
