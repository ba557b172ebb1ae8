"""Object stores by URL: a local folder, or an S3-compatible bucket."""

from pathlib import Path
from urllib.parse import urlsplit

from callpipeline.errors import SettingsInvalid
from callpipeline.storage.objects.folder import FolderStore
from callpipeline.storage.objects.ports import ObjectStore
from callpipeline.storage.objects.s3 import BucketStore, S3Access

__all__ = ["ObjectStore", "S3Access", "bucket_name", "local_folder", "open_store"]


def open_store(url: str, access: S3Access, name: str | None = None) -> ObjectStore:
    """Open the store at `url`: `s3://bucket/prefix`, or a folder, created by the first write.

    Nothing is accessed yet: errors show when the store is used.
    """
    folder = local_folder(url)
    identity = bucket_name(url, name)
    if folder:
        return FolderStore(identity, folder)
    parts = urlsplit(url)
    return BucketStore(identity, parts.netloc, parts.path.strip("/"), access)


def bucket_name(url: str, name: str | None = None) -> str:
    """Return the bucket in the identity of recordings: the URL, or a folder's name or `name`.

    A folder's path is not part of it, since a checkout may be moved.
    """
    folder = local_folder(url)
    if folder:
        return name or folder.name
    if not urlsplit(url).netloc:
        raise SettingsInvalid(f"{url} has no bucket: use s3://bucket or s3://bucket/prefix.")
    return url.removesuffix("/")


def local_folder(url: str) -> Path | None:
    """Return the folder of a URL, None for a bucket. Raises SettingsInvalid."""
    scheme = urlsplit(url).scheme
    if "://" in url and scheme not in ("s3", "file"):
        raise SettingsInvalid(f"{scheme}:// is not supported: use a folder, or s3://bucket.")
    if scheme == "s3":
        return None
    return Path(url.removeprefix("file://")).expanduser().absolute()
