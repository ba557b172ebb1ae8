"""An S3-compatible bucket, or what lies below a prefix in it.

Objects go through obstore. Listing goes through boto3, which costs more but tells keys as they
are: obstore's ends as a whole at one key with `//` or a tab in it, and tells `/a.wav` as `a.wav`
and the folder marker `calls/` as an object `calls`. Keys that obstore cannot say are read through
boto3 too.
"""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.store import S3Store

from callpipeline.domain.call import Recording
from callpipeline.errors import MissingObject, StoreUnavailable
from callpipeline.storage.bucket_listing import is_object, read_contents
from callpipeline.storage.object_store import (
    BLOCK_BYTES,
    REPLACED,
    ObjectStore,
    Page,
    Unreadable,
    cause,
    is_odd,
    translated,
)

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import RetryConfig, S3Config

RETRIES: "RetryConfig" = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}
"""obstore's own default goes on for three minutes while a sensor has one."""


PARTS_AT_ONCE = 3
"""Of a large object, 5 MB each, all of them in memory: obstore's own default is 12."""


@dataclass(frozen=True, slots=True)
class S3Access:
    """How to reach an S3-compatible server; None leaves it to the AWS environment."""

    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)


class Bucket(ObjectStore):
    """The objects of a bucket whose keys begin with `prefix/`, which is no part of our keys."""

    def __init__(self, url: str, bucket: str, prefix: str, access: S3Access) -> None:
        super().__init__(url)
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._access = access
        self._store = _open(bucket, prefix, access)

    def put(self, key: str, content: bytes | Path) -> None:
        with translated(self.name):
            _refuse_odd(key)
            obstore.put(self._store, key, content, max_concurrency=PARTS_AT_ONCE)

    def put_new(self, key: str, content: bytes | Path) -> None:
        # Not atomic, and need not be: the same bytes have the same etag, however often put.
        if not self.exists(key):
            self.put(key, content)

    def read(self, key: str) -> bytes:
        if is_odd(key):
            with self._translated():
                return b"".join(self._oddly(key)["Body"].iter_chunks(BLOCK_BYTES))
        with translated(self.name):
            return bytes(obstore.get(self._store, key).bytes())

    def read_range(self, key: str, start: int, length: int) -> bytes:
        if length == 0:
            self.size(key)
            return b""
        with self._translated():
            try:
                return self._ranged(key, start, length)
            except Exception:
                # Behind the end servers refuse, each in words of its own; what is not there, or
                # does not answer, is told by asking for the size.
                if self.size(key) <= start:
                    return b""
                raise

    def fetch(self, key: str, into: Path, etag: str | None = None) -> None:
        with self._translated(), into.open("wb") as file:
            found, blocks = self._got(key)
            if etag is not None and found != etag:
                raise MissingObject(REPLACED)
            for block in blocks:
                file.write(block)

    def delete(self, key: str) -> None:
        if is_odd(key):
            with self._translated():
                self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
            return
        with contextlib.suppress(MissingObject), translated(self.name):
            obstore.delete(self._store, key)

    def address(self, key: str, for_s: int) -> str | None:
        with translated(self.name):
            _refuse_odd(key)
            return obstore.sign(self._store, "GET", key, timedelta(seconds=for_s))

    def recording(self, key: str) -> Recording:
        if is_odd(key):
            with self._translated():
                found = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
                return self._listed(
                    found | {"Key": self._prefix + key, "Size": found["ContentLength"]}
                )
        with translated(self.name):
            return self._recording(obstore.head(self._store, key))

    def pages(
        self,
        prefix: str = "",
        after: str | None = None,
        unreadable: Unreadable = lambda reason: None,
    ) -> Iterator[list[Recording]]:
        below = self._prefix + (prefix.strip("/") + "/" if prefix.strip("/") else "")
        wanted = {"Bucket": self._bucket, "Prefix": below, "MaxKeys": self.page_size}
        if after is not None and self._prefix + after > below:
            wanted["StartAfter"] = self._prefix + after
        with self._translated():
            for answer in self._client.get_paginator("list_objects_v2").paginate(**wanted):
                # As of the page of a proxy that wants a login, which is no empty bucket.
                if "IsTruncated" not in answer:
                    raise StoreUnavailable(f"{self.name} did not answer with a listing.")
                found = answer.get("Contents", ())
                names = (each["Key"] for each in reversed(found) if "\0" not in each["Key"])
                end = next(names, None)
                yield Page(
                    (self._listed(each) for each in found if is_object(each, unreadable)),
                    end=end.removeprefix(self._prefix) if end else None,
                )

    def _ranged(self, key: str, start: int, length: int) -> bytes:
        if is_odd(key):
            wanted = f"bytes={start}-{start + length - 1}"
            found = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + key, Range=wanted
            )
            return found["Body"].read()
        return bytes(obstore.get_range(self._store, key, start=start, length=length))

    def _got(self, key: str) -> tuple[str, Iterator[bytes]]:
        """An object's etag and content."""
        if is_odd(key):
            found = self._oddly(key)
            return _plain(found["ETag"]), found["Body"].iter_chunks(BLOCK_BYTES)
        got = obstore.get(self._store, key)
        blocks = got.stream(min_chunk_size=BLOCK_BYTES)
        return _plain(got.meta["e_tag"]), (bytes(block) for block in blocks)

    def _oddly(self, key: str) -> dict[str, Any]:
        return self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)

    @cached_property
    def _client(self) -> Any:
        from boto3.session import Session
        from botocore.config import Config

        access = self._access
        client = Session().client(
            "s3",
            endpoint_url=access.endpoint,
            region_name=access.region or ("us-east-1" if access.endpoint else None),
            aws_access_key_id=access.access_key_id,
            aws_secret_access_key=access.secret_access_key,
            config=Config(
                # A page takes half a minute at most, of the one that a sensor has for a tick.
                connect_timeout=5,
                read_timeout=10,
                retries={"mode": "standard", "total_max_attempts": 2},
                # Servers of one's own are not reached as bucket.host.
                s3={"addressing_style": "path" if access.endpoint else "auto"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        client.meta.events.register("before-parse.s3.ListObjectsV2", read_contents)
        return client

    def _listed(self, found: dict[str, Any]) -> Recording:
        key = found["Key"].removeprefix(self._prefix)
        etag = _plain(found.get("ETag"))
        return Recording(self.name, key, etag, found["Size"], found["LastModified"])

    def _recording(self, found: "ObjectMeta") -> Recording:
        etag = _plain(found["e_tag"])
        return Recording(self.name, found["path"], etag, found["size"], found["last_modified"])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Both libraries' errors as ours."""
        from botocore.exceptions import BotoCoreError, ClientError

        with translated(self.name):
            try:
                yield
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey"):
                    raise FileNotFoundError from None
                raise StoreUnavailable(f"{self.name} {cause(error)}.") from None
            except BotoCoreError as error:
                raise StoreUnavailable(f"{self.name} {cause(error)}.") from None


def _open(bucket: str, prefix: str, access: S3Access) -> S3Store:
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
        bucket,
        prefix=prefix or None,
        config=config,
        client_options={"allow_http": plain_http},
        retry_config=RETRIES,
    )


def _refuse_odd(key: str) -> None:
    """obstore takes such a key for something else, or for none at all."""
    if is_odd(key):
        raise ValueError


def _plain(etag: str | None) -> str:
    return (etag or "").strip('"')
