"""docs/engines.md tells how to add an engine in three steps: they are taken here."""

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
from callpipeline.errors import EngineAway, SettingsInvalid
from callpipeline.pipeline.trial import Trial, try_engines
from callpipeline.wiring import open_engines

WORDS = [["Vodafone", 0.4, 1.0], ["is", 1.0, 1.2], ["cheaper", 1.2, 1.9]]


def step(language: str) -> str:
    """The block of the section in that language."""
    document = (CHECKOUT / "docs" / "engines.md").read_text()
    section = document.split("## Add an engine in three steps")[1]
    [block] = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return block


class Acme(http.server.BaseHTTPRequestHandler):
    """The service of the example; counts what it is asked."""

    asked: list[str] = []  # noqa: RUF012
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.asked.append(self.path)
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
    monkeypatch.setattr(Acme, "asked", [])
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
    """The first two steps as an installer takes them; the third is the setting."""
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


def tried(settings: Settings, folder: Path) -> list[Trial]:
    async def all_of_them() -> list[Trial]:
        with open_engines(settings) as engines:
            return [trial async for trial in try_engines(engines, folder)]

    return asyncio.run(all_of_them())


def test_an_engine_of_another_package_is_chosen_by_its_name(
    installed: Settings, acme: type[Acme], tmp_path: Path
) -> None:
    _, heard, judged = tried(installed, tmp_path / "call")
    assert heard.engine == "acme 2"
    assert heard.error is None
    assert heard.came[1].startswith("right: Vodafone is cheaper")
    assert acme.asked == ["/v2/hear", "/v2/hear"]
    assert any(line.startswith("Vodafone: positive") for line in judged.came)


def test_it_gets_retries_and_breaker_with_the_services_of_its_parts(
    installed: Settings, acme: type[Acme], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callpipeline.engines.http.attempts.WAIT_BASE", 0.0)
    monkeypatch.setattr("callpipeline.engines.http.attempts.JITTER_S", 0.0)
    monkeypatch.setattr(acme, "status", 503)
    _, heard, _ = tried(installed, tmp_path / "call")
    assert isinstance(heard.error, EngineAway)
    assert len(acme.asked) <= 6


def test_without_the_package_its_name_is_unknown() -> None:
    settings = Settings.model_validate({"transcriber": "acme"})
    said = "there is no acme; there are auto"
    with pytest.raises(SettingsInvalid, match=said), open_engines(settings):
        pass
