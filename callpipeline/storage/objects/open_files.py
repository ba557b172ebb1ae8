"""Finds out whether a file is still being written, although it has not changed for a while.

A copy over a slow line may pause for a minute, and half a recording would become a call. On a local
file system, the kernel knows whether a process has the file open for writing: then it grants no
lease on reading. Elsewhere a WAV file says itself how long it is going to be.
"""

import errno
import fcntl
import os
import signal
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

MAX_PAUSE_S = 3600.0
"""After that, a file counts as complete: a program may never close it."""
MAX_SHORT_S = 300.0
"""For WAV files that are shorter than they say: some phone systems write a wrong length."""

LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "zfs", "overlay"}
"""File systems where a refused lease means a writer; network drives refuse for other reasons."""
_UNKNOWN_LENGTHS = range(0x7FFFFF00, 0x100000000)
_RIFF_HEAD = 8


def is_being_written(file: BinaryIO) -> bool:
    """Return whether an open file is still being written to by another process."""
    about = os.fstat(file.fileno())
    unchanged_s = time.time() - about.st_mtime
    if unchanged_s > MAX_PAUSE_S:
        return False
    has_writer = _has_writer(file.fileno(), about.st_dev)
    if has_writer is None:
        return 0 <= unchanged_s <= MAX_SHORT_S and _is_short(file, about.st_size)
    return has_writer


def _has_writer(descriptor: int, device: int) -> bool | None:
    """Return whether a process has the file open for writing, None if the system can't say."""
    if sys.platform != "linux" or _file_system(device) not in LOCAL:
        return None
    try:
        # A process that opens the file now waits for us a moment. The signal that says so would end
        # this process by default; SIGURG is ignored by default.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        # Others than the owner of a file get no lease.
        return True if error.errno == errno.EAGAIN else None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


@lru_cache(maxsize=64)
def _file_system(device: int) -> str:
    """Return the type of the file system on a device; empty if unknown."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    mounts = (line.partition(" - ") for line in lines if line.split()[2] == number)
    return next((about.split()[0] for _, _, about in mounts), "")


def _is_short(file: BinaryIO, size_bytes: int) -> bool:
    """Return whether a WAV file is shorter than its header says."""
    head = file.read(_RIFF_HEAD)
    if len(head) < _RIFF_HEAD or head[:4] != b"RIFF":
        return False
    length = int.from_bytes(head[4:], "little")
    return length not in _UNKNOWN_LENGTHS and size_bytes < length + _RIFF_HEAD
