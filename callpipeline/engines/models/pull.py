"""Fetching of Whisper models from the first source that works."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from callpipeline.engines.models.known_models import KnownModel
from callpipeline.engines.models.verify import find_difference
from callpipeline.errors import ModelUnavailable, SettingsInvalid


class DownloadProgress(NamedTuple):
    """Bytes of a model that have arrived from a source; the total may be unknown.

    `failure` is the reason why the source is given up, in its last report.
    """

    source: str
    done_bytes: int
    total_bytes: int | None
    failure: str = ""


ProgressCallback = Callable[[DownloadProgress], None]
ByteCallback = Callable[[int, int | None], None]
"""Called with the bytes that have arrived, and the total if it is known."""


class FetchedModel(NamedTuple):
    """Folder with the files of a model as a source returned them, and their revision if known."""

    folder: Path
    revision: str | None


class ModelSource(Protocol):
    """Place from which models can be fetched; `name` is for operators."""

    @property
    def name(self) -> str: ...

    def fetch(self, staging: Path, report: ByteCallback) -> FetchedModel:
        """Fetch a model into `staging`, continuing with what an interrupted fetch left there.

        Raises ModelUnavailable if that may succeed later, SettingsInvalid if it can't; the message
        is a reason, not a sentence.
        """
        ...


class FailedSource(NamedTuple):
    """Source that didn't provide a model; `is_permanent` if another attempt can't help."""

    name: str
    reason: str
    is_permanent: bool


@dataclass(frozen=True, slots=True)
class ModelDownload:
    """Download of a model to `staging`, where interrupted ones continue."""

    name: str
    hub_id: str
    known: KnownModel | None
    staging: Path
    progress: ProgressCallback

    def run(self, sources: Sequence[ModelSource]) -> tuple[FetchedModel, str]:
        """Return the model from the first source that works, and the source's name.

        Raises SettingsInvalid if no source has it, ModelUnavailable if one may have it later.
        """
        failed: list[FailedSource] = []
        for source in sources:
            try:
                return self._fetch(source), source.name
            except (ModelUnavailable, SettingsInvalid) as error:
                is_permanent = isinstance(error, SettingsInvalid)
                failed.append(FailedSource(source.name, str(error), is_permanent))
                self.progress(DownloadProgress(source.name, 0, None, failure=str(error)))
        raise self._failure(failed)

    def _fetch(self, source: ModelSource) -> FetchedModel:
        folder = self.staging / type(source).__name__
        self.progress(DownloadProgress(source.name, 0, None))
        fetched = source.fetch(folder, self._report_for(source))
        difference = find_difference(fetched.folder, self.known) if self.known else None
        if difference:
            shutil.rmtree(folder)
            raise SettingsInvalid(f"{difference}, so its files were deleted")
        return fetched

    def _report_for(self, source: ModelSource) -> ByteCallback:
        return lambda done_bytes, total_bytes: self.progress(
            DownloadProgress(source.name, done_bytes, total_bytes)
        )

    def _failure(self, failed: Sequence[FailedSource]) -> Exception:
        tried = "; ".join(f"{source.name}: {source.reason}" for source in failed)
        sentence = (
            f"The model {self.name} could not be downloaded ({tried}): check the network and try "
            "again, set HF_ENDPOINT to a mirror, or copy the model's folder from another machine "
            f"with `callpipeline models pull {self.name} --from FOLDER`."
        )
        is_permanent = all(source.is_permanent for source in failed)
        return SettingsInvalid(sentence) if is_permanent else ModelUnavailable(sentence)


def sources_of(hub_id: str, known: KnownModel | None, endpoint: str | None) -> list[ModelSource]:
    """Return the sources of a model in the order in which they are tried.

    `endpoint` replaces the mirror in HF_ENDPOINT and the hub.
    """
    # Imported here: the HTTP client takes a while, and only downloads need it.
    from callpipeline.engines.models.hub_source import HubSource, default_endpoints
    from callpipeline.engines.models.package_source import PackageSource

    endpoints = [("hub", endpoint)] if endpoint else default_endpoints()
    sources: list[ModelSource] = [
        HubSource(address.rstrip("/"), hub_id, known, kind) for kind, address in endpoints
    ]
    if known and known.packages:
        sources.append(PackageSource(known))
    return sources
