"""A real PgBouncer before a server of the tests, where Debian's is installed."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.eventually import listening
from support.ports import free_port

from . import serving

PROGRAM: Final = shutil.which("pgbouncer") or ("/usr/sbin/pgbouncer" if Path("/usr/sbin/pgbouncer").exists() else None)
READY_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class Bouncer:
    port: int
    process: subprocess.Popen[bytes]

    def url(self, database: str, more: str = "sslmode=disable") -> str:
        return f"postgresql://dargah@127.0.0.1:{self.port}/{database}?{more}"


def missing() -> str:
    """Why there can be none here, or nothing."""
    return "" if PROGRAM else "PgBouncer is not installed"


@asynccontextmanager
async def bouncer(
    server: str, *, port: int | None = None, files: Mapping[str, bytes] | None = None, **settings: str | int
) -> AsyncIterator[Bouncer]:
    """One before the server at `server`, as in its configuration's `host=… port=…`; in transaction mode unless said
    otherwise. `files` lie beside its configuration, and `{folder}` in a setting is where.
    """
    assert PROGRAM is not None, "pgbouncer is not installed"
    folder, as_user = Path(tempfile.mkdtemp(prefix="dargah-bouncer-")), serving.unprivileged()
    port = port or free_port()
    usual: dict[str, str | int] = {"pool_mode": "transaction", "default_pool_size": 4, "max_client_conn": 100}
    said = {name: str(value).format(folder=folder) for name, value in (usual | settings).items()}
    lines = [
        "[databases]",
        f"* = {server}",
        "[pgbouncer]",
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust",
        f"auth_file = {folder}/users",
        *(f"{name} = {value}" for name, value in said.items()),
    ]
    written = {"bouncer.ini": "\n".join(lines).encode(), "users": b'"dargah" ""\n', **(files or {})}
    for name, content in written.items():
        (folder / name).write_bytes(content)
        if as_user:
            os.chown(folder / name, as_user["user"], as_user["group"])
    folder.chmod(0o755)
    process = _start(folder, as_user)
    try:
        await _ready(folder, port, process)
        yield Bouncer(port, process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        await asyncio.to_thread(process.wait)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, as_user: Mapping[str, object]) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        made: subprocess.Popen[bytes] = subprocess.Popen(
            [PROGRAM, folder / "bouncer.ini"],  # type: ignore[call-overload]  # looked at before
            stdout=log,
            stderr=log,
            **as_user,
        )
        return made


async def _ready(folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    await listening(port, lambda: process.poll() is None, folder / "log", READY_SECONDS)
