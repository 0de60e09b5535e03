"""Empty Debian roots, made by mmdebstrap as root and kept packed outside the repository."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dargah-image"


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> str:
    """What it prints; fails with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def packed(name: str, codename: str, packages: Iterable[str], *hooks: str) -> Path:
    """A minimal root of that release with these packages, as `name`.tar; made once.

    The archive is the one that apt here is set up for, of whichever release this machine is.
    """
    tar = CACHE / f"{name}.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        listed = run("apt-get", "indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages")
        sites = dict(map(str.split, reversed(listed.splitlines())))
        archive = sites.get(codename) or next(site for site in sites.values() if site.endswith("/debian"))
        half = tar.with_suffix(".half.tar")
        made = ("mmdebstrap", "--variant=minbase", "--mode=root", f"--include={','.join(packages)}", *hooks)
        run(*made, codename, half, archive)
        half.rename(tar)
    return tar


def unpack(tar: Path, path: Path) -> Path:
    """The root of `tar` at `path`, which resolves names as this machine does."""
    path.mkdir(parents=True)
    run("tar", "-C", path, "-xf", tar)
    for name in ("resolv.conf", "hosts"):
        shutil.copyfile(f"/etc/{name}", path / "etc" / name)
    return path
