"""Objects in a local folder or an S3-compatible bucket, by the URL of the place."""

from pathlib import Path
from urllib.parse import urlsplit

from callpipeline.errors import SettingsInvalid
from callpipeline.storage.bucket import Bucket, S3Access
from callpipeline.storage.folder import Folder
from callpipeline.storage.object_store import ObjectStore

__all__ = ["ObjectStore", "S3Access", "bucket_name", "folder_at", "open_store"]


def open_store(url: str, access: S3Access, name: str | None = None) -> ObjectStore:
    """The store at `url`: `s3://bucket/prefix`, or a folder, which the first write makes.

    Nothing is asked of the place: one that is broken is told of when it is used.
    """
    folder = folder_at(url)
    identity = bucket_name(url, name)
    if folder:
        return Folder(identity, folder)
    parts = urlsplit(url)
    return Bucket(identity, parts.netloc, parts.path.strip("/"), access)


def bucket_name(url: str, name: str | None = None) -> str:
    """The bucket in the identity of recordings: of S3 the URL, of a folder its name or `name`.

    Not the whole path of a folder: a checkout may move on the disk.
    """
    folder = folder_at(url)
    if folder:
        return name or folder.name
    if not urlsplit(url).netloc:
        raise SettingsInvalid(f"{url} names no bucket: write s3://bucket or s3://bucket/prefix.")
    return url.removesuffix("/")


def folder_at(url: str) -> Path | None:
    """The folder that a URL names; None where it names a bucket."""
    scheme = urlsplit(url).scheme
    if "://" in url and scheme not in ("s3", "file"):
        raise SettingsInvalid(f"{scheme}:// is no place for objects: use a folder, or s3://bucket.")
    if scheme == "s3":
        return None
    return Path(url.removeprefix("file://")).expanduser().absolute()
