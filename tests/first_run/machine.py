"""A machine that somebody has just installed: a bare Debian, on this machine's network."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from house.sources import REPOSITORY, Sources
from supply.release import Commit, wheel
from supply.test_release import tree
from support.debian_root import packed, run, unpack

from first_run.terminal import Terminal

# What the pages say a machine has, and the languages of the shops.
PACKAGES: Final = ("python3", "python3-venv", "make", "curl", "ca-certificates", "php-cli", "php-curl", "nodejs")
RELEASES: Final = {"bookworm": "Debian 12, Python 3.11", "trixie": "Debian 13, Python 3.13"}
ENV: Final = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    *("HOME=/root", "LANG=C.UTF-8", "TERM=xterm"),
)
# How pip reaches the registry from here.
OF_THIS_MACHINE: Final = ("etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
# A terminal has namespaces of its own, which end with it.
NAMESPACES: Final = ("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL")
ENTER: Final = """
root=$1 folder=$2; shift 2
mount --rbind /dev "$root/dev"; mount -t proc proc "$root/proc"
exec chroot "$root" env -i --chdir="$folder" "$@"
"""


@dataclass(frozen=True, slots=True)
class Machine:
    root: Path

    def folder(self, name: str) -> Path:
        """A new folder of the person's, as a path of this machine."""
        path = self.root / "root" / name
        path.mkdir()
        return path

    def terminal(self, folder: Path) -> Terminal:
        inside = ("sh", "-euc", ENTER, "terminal", str(self.root), f"/{folder.relative_to(self.root)}")
        return Terminal(*NAMESPACES, *inside, *ENV, env=dict(os.environ), folder=None)


@contextmanager
def installed(codename: str, root: Path) -> Iterator[Machine]:
    unpack(packed(f"{codename}-first-run", codename, PACKAGES), root)
    for name in OF_THIS_MACHINE:
        if Path("/", name).exists():
            shutil.copyfile(Path("/", name), root / name)
    try:
        yield Machine(root)
    finally:
        run("rm", "-rf", root)


def copy_source(folder: Path) -> None:
    """What a clone of this work tree would have."""
    for name in Sources().paths:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name, follow_symlinks=False)


def copy_wheel(folder: Path) -> None:
    """The wheel that `make release` would make of this work tree."""
    name, content = wheel(Commit("0" * 40, 1_700_000_000, tree()))
    (folder / name).write_bytes(content)
