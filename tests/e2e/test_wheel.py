"""The wheel, installed in a fresh environment, runs the demo from an empty folder."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.installation import recogniser_settings
from tests.models import find_model

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
PACKAGED = (
    "py.typed",
    "packaged/dagster.yaml",
    "packaged/workspace.yaml",
    "packaged/samples/competitors.yaml",
    "packaged/samples/05-cheaper-at-vodafone.wav",
    "storage/postgres/schema.sql",
    "web/static/vendor/htmx.min.js",
    "web/templates/layout.html",
)

pytestmark = pytest.mark.slow


def uv(*arguments: object) -> None:
    """Run uv; if it fails, again with the system's certificates, which a proxy may need."""
    for more in ([], ["--system-certs"]):
        command = [UV, "-q", *map(str, arguments), *more]
        ran = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
        if ran.returncode == 0:
            return
    raise AssertionError(ran.stderr)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--wheel", "--out-dir", folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel in a fresh environment; return its bin folder."""
    environment = tmp_path_factory.mktemp("fresh") / "venv"
    uv("venv", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    # Without a model, pocketsphinx transcribes.
    what = wheel if find_model("base") else f"{wheel}[pocketsphinx]"
    uv("pip", "install", "--python", python, "-c", ROOT / "requirements-dev.lock", what)
    return environment / "bin"


@pytest.fixture
def clean(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return environment variables with a home of their own, and without settings."""
    home = tmp_path / "home"
    home.mkdir()
    yield {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    assert list(home.rglob("*")) == []


def test_the_wheel_has_what_it_needs_at_run_time(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"callpipeline/{name}" for name in PACKAGED} - names == set()


def test_the_demo_runs_from_an_empty_folder(
    installed: Path, clean: dict[str, str], tmp_path: Path
) -> None:
    site = installed.parent / "lib"
    before = written(site)
    folder = tmp_path / "empty"
    folder.mkdir()
    command = [installed / "callpipeline", "demo"]
    settings = clean | recogniser_settings() | {"CALLPIPELINE_MODEL_DOWNLOAD": "off"}
    ran = subprocess.run(
        command, check=False, cwd=folder, env=settings, capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    figures = re.search(r"recall (\d\.\d+)\s+precision (\d\.\d+)", ran.stdout)
    assert figures, ran.stdout
    recall, precision = map(float, figures.groups())
    has_whisper = find_model("base") is not None
    assert recall >= (0.95 if has_whisper else 0.9), ran.stdout
    assert precision >= (1.0 if has_whisper else 0.9), ran.stdout
    assert "16 sample calls, 16 of them new" in ran.stdout
    assert [path.name for path in folder.iterdir()] == ["data"]
    assert (folder / "data" / "dagster" / "dagster.yaml").exists()
    assert written(site) - before == set()


def written(folder: Path) -> set[Path]:
    """Return the files below a folder, except compiled bytecode."""
    return {path for path in folder.rglob("*") if path.suffix != ".pyc" and path.is_file()}
