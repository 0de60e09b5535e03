"""A built root, run as an engine would: read-only, as its user, without capabilities, the entry point its process 1."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from deploy.dockerfile import Stage
from deploy.image import Root

START_SECONDS = 30
COMMAND_SECONDS = 30

# Everything is mounted in a namespace of its own, which ends with its first process.
MOUNTS = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
mount --bind "$2" "$1/data"
mount --bind -o ro "$3" "$1/etc/dargah"
mount -t tmpfs -o mode=1777,nosuid,nodev,size=16m tmpfs "$1/tmp"
mount -t proc proc "$1/proc"
root=$1; shift 3
exec chroot "$root" "$@"
"""


@dataclass(slots=True)
class Container:
    stage: Stage
    root: Root
    process: asyncio.subprocess.Process
    env: Mapping[str, str]

    @property
    def first_pid(self) -> int:
        """This machine's number of the process that is 1 inside."""
        [child] = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(child)

    async def exec(self, *command: str, stdin: str = "") -> tuple[int, str]:
        """The exit code of a command inside, as its user, and all that it printed."""
        process = await asyncio.create_subprocess_exec(
            *("nsenter", "--target", str(self.first_pid), "--mount", "--pid", "--root"),
            *_as_user(self.root, self.env, *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(COMMAND_SECONDS):
            out, _ = await process.communicate(stdin.encode())
        return process.returncode or 0, out.decode()

    async def dargah(self, *arguments: str, stdin: str = "") -> Any:
        """What the command says inside, parsed."""
        code, said = await self.exec("dargah", *arguments, "--json", stdin=stdin)
        assert code == 0, said
        return orjson.loads(said)

    async def stop(self) -> int:
        """Sends STOPSIGNAL to the first process, as an engine does, and gives its exit code."""
        os.kill(self.first_pid, signal.Signals[self.stage.last("STOPSIGNAL").text])
        return await self.process.wait()


@asynccontextmanager
async def running(
    stage: Stage, root: Root, data: Path, secrets: Path, **more: str
) -> AsyncIterator[tuple[Container, asyncio.StreamReader]]:
    """The entry point with its command, and what it prints; killed at the end if it still runs."""
    env = root.env | more
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "--pid", "--fork", "sh", "-ec", MOUNTS, "container"),
        *(
            *map(str, (root.path, data, secrets)),
            *_as_user(root, env, *stage.last("ENTRYPOINT").words, *stage.last("CMD").words),
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    made = Container(stage, root, process, env)
    try:
        yield made, process.stdout
    finally:
        if process.returncode is None:
            os.kill(made.first_pid, signal.SIGKILL)  # the namespace ends with it; killing unshare would leave it
            await process.wait()


def _as_user(root: Root, env: Mapping[str, str], *command: str) -> list[str]:
    user, _, group = root.user.partition(":")
    privileges = ("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
    settings = [f"{name}={value}" for name, value in env.items()]
    return [
        *("setpriv", f"--reuid={user}", f"--regid={group}", *privileges),
        *("env", "-i", f"--chdir={root.workdir}", *settings, *command),
    ]
