"""Download of models from the Hugging Face Hub or a mirror of it.

huggingface_hub 2 starts a file again after its process died, and retries an unreachable hub for
minutes. Therefore only its address, token and offline switch are used, and files are requested
here: with ranges, so a download continues, and after one probe with a deadline.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from callpipeline.engines.http.messages import connection_error
from callpipeline.engines.models.known_models import KnownModel
from callpipeline.engines.models.pull import ByteCallback, FetchedModel
from callpipeline.engines.models.verify import MODEL_FILES
from callpipeline.errors import ModelUnavailable, SettingsInvalid

PROBE_DEADLINE_S = 8.0
"""Longest wait for the first answer, including DNS, whose own timeouts add up to a minute."""
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
ATTEMPTS = 5
RETRY_WAIT_S = 1.0
COMMIT = re.compile(r"[0-9a-f]{40}")
MISSING = frozenset({401, 403, 404})
PARTIAL_CONTENT, RANGE_REFUSED = 206, 416


def default_endpoints() -> list[tuple[str, str]]:
    """Return kind and address of the mirror in HF_ENDPOINT, if set, and of the hub."""
    from huggingface_hub import constants

    hub = str(getattr(constants, "_HF_DEFAULT_ENDPOINT", constants.ENDPOINT))
    mirror = [("mirror", constants.ENDPOINT)] if hub != constants.ENDPOINT else []
    return [*mirror, ("hub", hub)]


@dataclass(frozen=True, slots=True)
class HubSource:
    """Model `hub_id` on a hub; of a known model the pinned revision, else the newest."""

    endpoint: str
    hub_id: str
    known: KnownModel | None = None
    kind: str = "hub"

    @property
    def name(self) -> str:
        return f"{self.kind} {self.endpoint}"

    def fetch(self, staging: Path, report: ByteCallback) -> FetchedModel:
        """See `ModelSource`."""
        from huggingface_hub import constants
        from huggingface_hub.utils import build_hf_headers

        if constants.HF_HUB_OFFLINE:
            raise ModelUnavailable("HF_HUB_OFFLINE is set")
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}  # sizes as stored
        try:
            with httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers=headers) as client:
                return self._fetch(client, staging, report)
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status in MISSING:
                reason = f"it has no model {self.hub_id}, or requires a token for it (HF_TOKEN)"
                raise SettingsInvalid(reason) from error
            raise ModelUnavailable(f"it answered with status {status}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ModelUnavailable(str(connection_error(error))) from error

    def _fetch(self, client: httpx.Client, staging: Path, report: ByteCallback) -> FetchedModel:
        revision, sizes = self._list_files(client)
        folder = staging / revision
        folder.mkdir(parents=True, exist_ok=True)
        total_bytes = sum(sizes.values()) if all(sizes.values()) else None
        for name in sizes:
            if not (folder / name).exists():
                url = f"{self.endpoint}/{self.hub_id}/resolve/{revision}/{name}"
                _download(client, url, folder / name, lambda: report(_size(folder), total_bytes))
        return FetchedModel(folder, revision)

    def _list_files(self, client: httpx.Client) -> tuple[str, Mapping[str, int]]:
        """Return the revision, and the sizes of the model's files (0 if unknown)."""
        if self.known:
            first = f"{self.endpoint}/{self.hub_id}/resolve/{self.known.revision}/config.json"
            _within_deadline(lambda: client.head(first)).raise_for_status()
            sizes = {name: file.size_bytes for name, file in self.known.files.items()}
            return self.known.revision, sizes
        url = f"{self.endpoint}/api/models/{self.hub_id}/revision/main"
        answer = _within_deadline(lambda: client.get(url, params={"blobs": "true"}))
        answer.raise_for_status()
        try:
            document: dict[str, Any] = answer.json()
            found = {f["rfilename"]: int(f.get("size") or 0) for f in document["siblings"]}
            revision = str(document["sha"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelUnavailable("it answered with something else than a hub") from error
        if not COMMIT.fullmatch(revision):
            raise ModelUnavailable("it answered with something else than a hub")
        return revision, {name: found[name] for name in MODEL_FILES if name in found}


def _within_deadline(request: Callable[[], httpx.Response]) -> httpx.Response:
    """Make the first request to a host. Raises ModelUnavailable after the deadline."""
    outcomes: list[httpx.Response | Exception] = []

    def probe() -> None:
        try:
            outcomes.append(request())
        except Exception as error:
            outcomes.append(error)

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_DEADLINE_S)
    if not outcomes:
        raise ModelUnavailable(f"it did not answer within {PROBE_DEADLINE_S:.0f} seconds")
    if isinstance(outcomes[0], Exception):
        raise outcomes[0]
    return outcomes[0]


def _download(client: httpx.Client, url: str, path: Path, report: Callable[[], None]) -> None:
    """Download a file, continuing with its part from an earlier attempt or process."""
    partial = path.with_name(f"{path.name}.part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _append(client, url, partial, report)
            break
        except httpx.TransportError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(RETRY_WAIT_S)
    partial.rename(path)


def _append(client: httpx.Client, url: str, partial: Path, report: Callable[[], None]) -> None:
    present_bytes = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={present_bytes}-"} if present_bytes else {}
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == RANGE_REFUSED:
            if answer.headers.get("Content-Range") == f"bytes */{present_bytes}":
                return  # complete: the process died before it renamed the file
            partial.unlink()
            raise httpx.RemoteProtocolError("the part is longer than the file")
        answer.raise_for_status()
        mode = "ab" if answer.status_code == PARTIAL_CONTENT else "wb"
        with partial.open(mode, buffering=0) as file:
            for chunk in answer.iter_raw():
                file.write(chunk)
                report()


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
