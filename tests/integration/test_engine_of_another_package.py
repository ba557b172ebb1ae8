"""The three steps of docs/engines.md to add an engine work."""

import asyncio
import http.server
import json
import re
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from callpipeline.config import CHECKOUT, Settings
from callpipeline.errors import ServiceUnavailable, SettingsInvalid
from callpipeline.pipeline.quality.engine_check import EngineCheck, check_engines
from callpipeline.wiring import open_engines
from callpipeline.wiring.engines import local_splitting

WORDS = [["Vodafone", 0.4, 1.0], ["is", 1.0, 1.2], ["cheaper", 1.2, 1.9]]


def step(language: str) -> str:
    """Return the code block of the section in a language."""
    document = (CHECKOUT / "docs" / "engines.md").read_text()
    section = document.split("## Add an engine in three steps")[1]
    [block] = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return block


class Acme(http.server.BaseHTTPRequestHandler):
    """Service of the example, which records its requests."""

    paths: list[str] = []  # noqa: RUF012
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.paths.append(self.path)
        assert b"fLaC" in body
        answer = json.dumps({"words": WORDS}).encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Acme]]:
    monkeypatch.setattr(Acme, "paths", [])
    monkeypatch.setattr(Acme, "status", 200)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Acme) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("ACME_URL", f"http://127.0.0.1:{server.server_port}")
        yield Acme
        server.shutdown()
        thread.join()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Take the first two steps as an installer does; the third one is the setting."""
    code = step("python")
    module = re.match(r"# (\w+)\.py\n", code)
    assert module
    (tmp_path / f"{module[1]}.py").write_text(code)
    announced = tomllib.loads(step("toml"))["project"]["entry-points"]
    about = tmp_path / f"{module[1]}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module[1]}\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n{name} = {what}" for group, e in announced.items() for name, what in e.items()
    ]
    (about / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    setting, value = step("sh").strip().split("=")
    yield Settings.model_validate({setting.removeprefix("CALLPIPELINE_").lower(): value})
    sys.modules.pop(module[1], None)


def check(settings: Settings, folder: Path) -> list[EngineCheck]:
    async def check_all() -> list[EngineCheck]:
        with open_engines(settings) as engines:
            return [trial async for trial in check_engines(engines, folder, local_splitting)]

    return asyncio.run(check_all())


def test_an_engine_of_another_package_is_chosen_by_its_name(
    installed: Settings, acme: type[Acme], tmp_path: Path
) -> None:
    _, transcribed, judged = check(installed, tmp_path / "call")
    assert transcribed.engine == "acme 2"
    assert transcribed.error is None
    assert transcribed.details[1].startswith("right: Vodafone is cheaper")
    assert acme.paths == ["/v2/hear", "/v2/hear"]
    assert any(line.startswith("Vodafone: positive") for line in judged.details)


def test_it_gets_retries_and_a_breaker_from_the_http_service(
    installed: Settings, acme: type[Acme], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callpipeline.engines.http.messages.BACKOFF_BASE", 0.0)
    monkeypatch.setattr("callpipeline.engines.http.messages.JITTER_S", 0.0)
    monkeypatch.setattr(acme, "status", 503)
    _, transcribed, _ = check(installed, tmp_path / "call")
    assert isinstance(transcribed.error, ServiceUnavailable)
    assert len(acme.paths) <= 6


def test_without_the_package_its_name_is_unknown() -> None:
    settings = Settings.model_validate({"transcriber": "acme"})
    said = "unknown engine acme; available: auto"
    with pytest.raises(SettingsInvalid, match=said), open_engines(settings):
        pass
