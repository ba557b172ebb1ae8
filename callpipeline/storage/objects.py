"""Objects in a local folder or an S3-compatible bucket, through one adapter."""

import contextlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from callpipeline.domain.call import Recording
from callpipeline.errors import MissingObject, SettingsInvalid, StoreUnavailable

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import RetryConfig, S3Config

BLOCK_BYTES = 1024 * 1024
RETRIES: "RetryConfig" = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}
"""obstore's own default goes on for three minutes while a sensor has one."""
CAUSES = {
    "permission denied": "may not be read or written: permission denied",
    "no space left": "is full",
    "nosuchbucket": "does not exist: make the bucket first",
    "accessdenied": "refused access: look at the S3 key and its rights",
    "invalidaccesskeyid": "refused access: the S3 access key is unknown",
    "signaturedoesnotmatch": "refused access: the S3 secret key is wrong",
    "connection refused": "did not answer: connection refused",
    "dns error": "did not answer: its host is unknown",
}


@dataclass(frozen=True, slots=True)
class S3Access:
    """How to reach an S3-compatible server; None leaves it to the AWS environment."""

    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)


class ObjectStore:
    """A bucket: `name` is its part of a recording's identity, keys are paths with `/`."""

    def __init__(self, name: str, store: LocalStore | S3Store) -> None:
        self.name = name
        self._store = store

    def put(self, key: str, content: bytes | Path) -> None:
        """Store an object whole or not at all; a file is streamed."""
        with _translated(self.name):
            obstore.put(self._store, key, content)

    def read(self, key: str) -> bytes:
        """A small object's content. Raises MissingObject."""
        with _translated(self.name):
            return bytes(obstore.get(self._store, key).bytes())

    def fetch(self, key: str, into: Path, etag: str | None = None) -> None:
        """Copy an object to a local file, block by block. Raises MissingObject.

        With `etag`, an object that is not the same any more is missing too.
        """
        with _translated(self.name), into.open("wb") as file:
            found = obstore.get(self._store, key)
            if etag is not None and self._recording(found.meta).etag != etag:
                raise MissingObject(
                    "The recording was replaced by another one after it was registered; the new "
                    "one is a call of its own."
                )
            for block in found.stream(min_chunk_size=BLOCK_BYTES):
                file.write(block)

    def exists(self, key: str) -> bool:
        try:
            with _translated(self.name):
                obstore.head(self._store, key)
        except MissingObject:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is removed already."""
        # TypeError is what obstore says of a name that no object can have.
        with contextlib.suppress(MissingObject, TypeError), _translated(self.name):
            obstore.delete(self._store, key)

    def recording(self, key: str) -> Recording:
        """An object as a recording. Raises MissingObject."""
        with _translated(self.name):
            return self._recording(obstore.head(self._store, key))

    def list(self, prefix: str = "") -> Iterator[Recording]:
        """Every object below a prefix, page by page; a failed listing raises, it is never empty."""
        if isinstance(self._store, LocalStore) and not self._folder.is_dir():
            raise StoreUnavailable(f"The folder {self.name} is not there.")
        with _translated(self.name):
            try:
                for page in obstore.list(self._store, prefix or None):
                    yield from (self._recording(found) for found in page)
            except BaseError:
                if not isinstance(self._store, LocalStore):
                    raise
                yield from self._one_by_one(prefix)

    def _one_by_one(self, prefix: str) -> Iterator[Recording]:
        """Files of a folder except those at which obstore's listing ends as a whole.

        Such are names with a line break or in another encoding than UTF-8, links in a circle and
        folders that cannot be read; files that were listed before it ended come again.
        """
        for path in sorted((self._folder / prefix).rglob("*")):
            key = path.relative_to(self._folder).as_posix()
            if path.is_file() and not re.search(r"#\d+$", key):
                with contextlib.suppress(MissingObject, StoreUnavailable):
                    yield self.recording(key)

    def key_of(self, path: Path) -> str | None:
        """The key of a local file that lies in this store already."""
        if not isinstance(self._store, LocalStore):
            return None
        folder, file = self._folder.resolve(), path.resolve()
        return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else None

    def _etag(self, etag: str) -> str:
        """Of a file its time and size; its inode, which comes first, changes with a restore."""
        return etag.partition("-")[2] if isinstance(self._store, LocalStore) else etag

    @property
    def _folder(self) -> Path:
        return Path(str(self._store.prefix))

    def _recording(self, found: "ObjectMeta") -> Recording:
        return Recording(
            bucket=self.name,
            key=found["path"],
            etag=self._etag((found["e_tag"] or "").strip('"')),
            size_bytes=found["size"],
            last_modified=found["last_modified"],
        )


def open_store(url: str, access: S3Access) -> ObjectStore:
    """The store at `url`: `s3://bucket/prefix`, or a folder, which is made where missing."""
    scheme = urlsplit(url).scheme
    if "://" in url and scheme not in ("s3", "file"):
        raise SettingsInvalid(f"{scheme}:// is no place for objects: use a folder, or s3://bucket.")
    if scheme != "s3":
        folder = Path(url.removeprefix("file://")).expanduser().absolute()
        # A folder's name in the ledger is its last part: a checkout may move on the disk.
        return ObjectStore(folder.name, LocalStore(folder, mkdir=True))
    parts = urlsplit(url)
    if not parts.netloc:
        raise SettingsInvalid(f"{url} names no bucket: write s3://bucket or s3://bucket/prefix.")
    return ObjectStore(url.removesuffix("/"), _bucket(parts.netloc, parts.path, access))


def _bucket(name: str, path: str, access: S3Access) -> S3Store:
    config: S3Config = {}
    if access.endpoint:
        # S3-compatible servers do not look at the region, but the signature needs one.
        config |= {"endpoint": access.endpoint, "region": "us-east-1"}
    if access.region:
        config["region"] = access.region
    if access.access_key_id and access.secret_access_key:
        config["access_key_id"] = access.access_key_id
        config["secret_access_key"] = access.secret_access_key
    plain_http = bool(access.endpoint and access.endpoint.startswith("http://"))
    return S3Store(
        name,
        prefix=path.strip("/") or None,
        config=config,
        client_options={"allow_http": plain_http},
        retry_config=RETRIES,
    )


@contextmanager
def _translated(store: str) -> Iterator[None]:
    """The store's errors as ours. Keys may be personal data, so none is told."""
    try:
        yield
    except FileNotFoundError:
        raise MissingObject(f"{store} does not hold the object any more.") from None
    except ValueError:
        raise MissingObject(f"{store} cannot hold an object of that name.") from None
    except (BaseError, OSError) as error:
        # Not chained: Dagster keeps the whole chain, and its texts hold paths.
        raise StoreUnavailable(f"{store} {_cause(error)}.") from None


def _cause(error: Exception) -> str:
    """What a store's error says, as far as it can be told without the names in it."""
    said = str(error).lower()
    known = (told for words, told in CAUSES.items() if words in said)
    return next(known, f"did not answer ({type(error).__name__})")
