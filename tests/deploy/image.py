"""The Dockerfile, read, and its own steps followed in empty Debian roots, where there is no engine to do it.

The base image is Debian's own Python with pip in /usr/local, as the official image has it. Needs root, mmdebstrap and
the package registries; what was fetched is kept outside the repository, so that a second build takes seconds.
A built root runs as in an engine: read-only, as its user, without capabilities, the entry point its process 1.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import orjson
from support.debian_root import CACHE, packed, run, unpack

from deploy.tools import REPOSITORY

DOCKERFILE = REPOSITORY / "Dockerfile"

KNOWN = frozenset({"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "VOLUME", "EXPOSE"}) | frozenset(
    {"STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
)
_NAME = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_PAIR = re.compile(r'(\S+?)=("(?:[^"\\]|\\.)*"|\S+)')


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments of a JSON form, or those between white space."""
        found: list[str] = json.loads(self.text) if self.text.startswith("[") else self.text.split()
        return found

    @property
    def pairs(self) -> dict[str, str]:
        """What ENV and LABEL set."""
        return {name: value.strip('"') for name, value in _PAIR.findall(self.text)}


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [each for each in self.instructions if each.word == word]

    def last(self, word: str) -> Instruction:
        """The one that counts, of those that each replace the one before."""
        return self.all(word)[-1]

    @property
    def healthcheck(self) -> list[str]:
        """The command of HEALTHCHECK, without its options."""
        return Instruction("CMD", self.last("HEALTHCHECK").text.partition("CMD ")[2]).words


def fill(text: str, names: Mapping[str, str]) -> str:
    return _NAME.sub(lambda match: names[match[1] or match[2]], text)


def instructions(text: str) -> list[Instruction]:
    """Whole instructions; lines that go on are joined, and comments between them left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word not in KNOWN:
            raise ValueError(f"the tests cannot follow {word}; teach tests/deploy/image.py what it does")
        found.append(Instruction(word, rest.strip()))
    return found


def stages(text: str) -> list[Stage]:
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for each in instructions(text):
        if each.word == "ARG" and not found:
            name, _, value = each.text.partition("=")
            arguments[name] = value
        elif each.word == "FROM":
            base, _, name = fill(each.text, arguments).partition(" AS ")
            found.append(Stage(name, base))
        else:
            found[-1].instructions.append(each)
    return found


DOCKERIGNORE = REPOSITORY / ".dockerignore"


def patterns(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def ignored(path: PurePosixPath, rules: list[str]) -> bool:
    """Whether the last rule that fits `path`, or a folder that it is in, leaves it out."""
    out = False
    for rule in rules:
        keep, pattern = rule.startswith("!"), rule.lstrip("!")
        if any(_fits(part, pattern) for part in (path, *path.parents) if part.name):
            out = not keep
    return out


def _fits(path: PurePosixPath, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch(path.name, pattern.removeprefix("**/"))
    return len(path.parts) == len(PurePosixPath(pattern).parts) and fnmatch(str(path), pattern)


def files(root: Path, rules: list[str]) -> list[PurePosixPath]:
    """The files below `root` that are sent, relative to it."""
    found = []
    for top in sorted(root.iterdir()):
        if ignored(PurePosixPath(top.name), rules):
            continue
        below = [top] if top.is_file() else sorted(top.rglob("*"))
        names = [PurePosixPath(each.relative_to(root)) for each in below if each.is_file() or each.is_symlink()]
        found += [name for name in names if not ignored(name, rules)]
    return found


WHEELHOUSE = CACHE / "wheels"
BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
PIP_AS_IN_THE_BASE = '--customize-hook=chroot "$1" python3 -m venv /usr/local'
WHEELS = "mnt"  # where a build sees the wheels that the locks name; a run does not
# What the base image gives: the search path of Debian's root.
BASE_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"/{WHEELS}", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}


def base_tar(codename: str) -> Path:
    """A Debian root with Python, packed."""
    return packed(codename, codename, BASE_PACKAGES, PIP_AS_IN_THE_BASE)


def fetch_wheels() -> None:
    """The wheels that the image's locks name, with their hashes checked."""
    for lock in ("requirements.txt", "requirements-build.txt"):
        run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--require-hashes"),
            *("--dest", WHEELHOUSE, "-r", REPOSITORY / lock),
        )


@dataclass(slots=True)
class Root:
    """A stage's root file system, and what its instructions have set so far."""

    path: Path
    env: dict[str, str] = field(default_factory=lambda: dict(BASE_ENV))
    workdir: str = "/"
    user: str = "0:0"

    @classmethod
    def empty(cls, path: Path, tar: Path) -> "Root":
        return cls(unpack(tar, path))

    def inside(self, name: str) -> Path:
        """Where the path `name` of the image is on this machine."""
        return self.path / str(PurePosixPath(self.workdir) / name).lstrip("/")

    def run(self, command: Sequence[str]) -> None:
        """A step as root, with /proc and the wheels mounted for it alone."""
        mounts = f'mount -t proc proc "{self.path}/proc" && mount --bind -o ro "{WHEELHOUSE}" "{self.path}/{WHEELS}"'
        env = [f"{name}={value}" for name, value in (OFFLINE | self.env).items()]
        run(
            *("unshare", "--mount", "sh", "-ec", f'{mounts} && exec chroot "$@"', "step", self.path),
            *("env", "-i", f"--chdir={self.workdir}", *env, *command),
        )


def follow(root: Root, step: Instruction, built: Mapping[str, Root]) -> None:
    """One instruction; those that only tell the engine something are read by the tests."""
    match step.word:
        case "RUN":
            root.run(["sh", "-ec", step.text])
        case "COPY":
            copy(root, step.words, built)
        case "ENV":
            root.env |= {name: fill(value, root.env) for name, value in step.pairs.items()}
        case "WORKDIR":
            root.workdir = step.text
            root.inside(".").mkdir(parents=True, exist_ok=True)
        case "USER":
            root.user = step.text


def copy(root: Root, words: list[str], built: Mapping[str, Root]) -> None:
    if words[0].startswith("--from="):
        _, source, target = words
        run("cp", "-a", "-T", built[words[0].removeprefix("--from=")].inside(source), root.inside(target))
        return
    *sources, target = words
    sent = files(REPOSITORY, patterns(DOCKERIGNORE.read_text("utf-8")))
    for source in sources:
        for name in sent:
            if name == PurePosixPath(source) or PurePosixPath(source) in name.parents:
                whole = REPOSITORY / source
                place = root.inside(target) / (name.relative_to(source) if whole.is_dir() else name)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(REPOSITORY / name, place, follow_symlinks=False)


def build(folder: Path) -> tuple[Stage, Root]:
    """The last stage, and its root with every step of every stage done."""
    built: dict[str, Root] = {}
    plan = stages(DOCKERFILE.read_text("utf-8"))
    fetch_wheels()
    for number, stage in enumerate(plan):
        tar = base_tar(stage.base.partition("@")[0].rpartition("-")[2])
        root = Root.empty(folder / str(number), tar)
        for step in stage.instructions:
            follow(root, step, built)
        built[stage.name] = root
    return plan[-1], root


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


def fetch() -> None:
    """All that a build takes from registries, but for tini."""
    for stage in stages(DOCKERFILE.read_text("utf-8")):
        base_tar(stage.base.partition("@")[0].rpartition("-")[2])
    fetch_wheels()


if __name__ == "__main__":
    fetch()
