"""Follows the Dockerfile's own steps in empty Debian roots, where there is no engine to do it.

The base image is Debian's own Python with pip in /usr/local, as the official image has it. Needs root, mmdebstrap and
the package registries; what was fetched is kept outside the repository, so that a second build takes seconds.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from deploy.context import DOCKERIGNORE, files, patterns
from deploy.dockerfile import DOCKERFILE, REPOSITORY, Instruction, Stage, fill, stages

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dargah-image"
WHEELHOUSE = CACHE / "wheels"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
PIP_AS_IN_THE_BASE = '--customize-hook=chroot "$1" python3 -m venv /usr/local'
WHEELS = "mnt"  # where a build sees the wheels that the locks name; a run does not
# What the base image gives: the search path of Debian's root.
BASE_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"/{WHEELS}", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> str:
    """What it prints; fails with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def base_tar(codename: str) -> Path:
    """A Debian root with Python, packed; made once. The archive is the one that apt here is set up for."""
    tar = CACHE / f"{codename}.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        listed = run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages")
        [archive, *_] = [site for site, release in map(str.split, listed.splitlines()) if release == codename]
        half = tar.with_suffix(".half.tar")
        run(
            "mmdebstrap",
            "--variant=minbase",
            "--mode=root",
            f"--include={BASE_PACKAGES}",
            PIP_AS_IN_THE_BASE,
            codename,
            half,
            archive,
        )
        half.rename(tar)
    return tar


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
        path.mkdir(parents=True)
        run("tar", "-C", path, "-xf", tar)
        for name in ("resolv.conf", "hosts"):
            shutil.copyfile(f"/etc/{name}", path / "etc" / name)
        return cls(path)

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
                shutil.copyfile(REPOSITORY / name, place)


def build(folder: Path) -> tuple[Stage, Root]:
    """The last stage, and its root with every step of every stage done."""
    built: dict[str, Root] = {}
    plan = stages(DOCKERFILE.read_text("utf-8"))
    fetch_wheels()
    for number, stage in enumerate(plan):
        tar = base_tar(stage.base.rpartition("-")[2])
        root = Root.empty(folder / str(number), tar)
        for step in stage.instructions:
            follow(root, step, built)
        built[stage.name] = root
    return plan[-1], root


def fetch() -> None:
    """All that a build takes from registries, but for tini."""
    for stage in stages(DOCKERFILE.read_text("utf-8")):
        base_tar(stage.base.rpartition("-")[2])
    fetch_wheels()


if __name__ == "__main__":
    fetch()
