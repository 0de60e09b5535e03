"""`make release`: the files of a release. The same commit gives the same bytes, wherever and whenever they are made.

Made from the commit, not from the folder: the wheel, the sdist, the image's build context, the chart, the lock of
what runs and its bill of materials; then their provenance and SHA256SUMS. In tests/: `python -m supply.release FOLDER`.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, Final

from deploy.image import ignored, patterns

from .licences import REPOSITORY, locked
from .sbom import bill

BUILD_SECONDS: Final = 120
LOCK: Final = "requirements.txt"
CHARTS: Final = "deploy/helm/"
# Modes of what is built follow the umask.
BUILD_WHEEL: Final = """
import os, sys
os.umask(0o022)
from setuptools import build_meta
build_meta.build_wheel(sys.argv[1])
"""


class ReleaseError(Exception):
    """Why no release is made, in a sentence."""


@dataclass(frozen=True, slots=True)
class File:
    """A file, or a symbolic link, whose content is where it leads to."""

    content: bytes
    executable: bool = False
    link: bool = False

    @property
    def mode(self) -> int:
        return 0o777 if self.link else 0o755 if self.executable else 0o644

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.link:
            path.symlink_to(self.content.decode())
        else:
            path.write_bytes(self.content)
            path.chmod(self.mode)

    def entry(self, name: str, seconds: int) -> tarfile.TarInfo:
        made = tarfile.TarInfo(name)
        made.mode, made.mtime = self.mode, seconds
        if self.link:
            made.type, made.linkname = tarfile.SYMTYPE, self.content.decode()
        else:
            made.size = len(self.content)
        return made


@dataclass(frozen=True, slots=True)
class Commit:
    """What HEAD holds. `seconds` is its committer's time since 1970, `files` are by path in the repository."""

    id: str
    seconds: int
    files: dict[str, File]

    def text(self, path: str) -> str:
        return self.files[path].content.decode()


def committed(repository: Path) -> Commit:
    """Raises ReleaseError when the folder has changes that HEAD has not."""
    changed = [line[3:] for line in _git(repository, "status", "--porcelain").decode().splitlines()]
    if changed:
        more = f" (and {len(changed) - 1} more)" if changed[1:] else ""
        raise ReleaseError(f"{changed[0]}{more} is not as in the commit: commit or remove what changed")
    commit, seconds = _git(repository, "show", "--no-patch", "--format=%H %ct", "HEAD").decode().split()
    packed = _git(repository, "-c", "core.autocrlf=false", "archive", "--format=tar", commit)
    files = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for each in archive:
            if each.issym():
                files[each.name] = File(each.linkname.encode(), link=True)
            elif (content := archive.extractfile(each)) is not None:
                files[each.name] = File(content.read(), bool(each.mode & 0o100))
    return Commit(commit, int(seconds), files)


def _git(repository: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607  the path's git
            cwd=repository,
            capture_output=True,
            check=True,
            timeout=BUILD_SECONDS,
        )
    except FileNotFoundError:
        raise ReleaseError("a release is made of a commit: install git") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise ReleaseError(f"a release is made of a commit, and git says: {said}") from None
    return done.stdout


def packed(files: Mapping[str, File], seconds: int) -> bytes:
    """A tar.gz in which nothing but names, contents and the executable bit differ from file to file."""
    out = io.BytesIO()
    with gzip.GzipFile("", "wb", fileobj=out, mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for name, file in sorted(files.items()):
            archive.addfile(file.entry(name, seconds), io.BytesIO(file.content))
    return out.getvalue()


def wheel(commit: Commit) -> tuple[str, bytes]:
    """The wheel's file name and content, built by the locked setuptools from nothing but the commit.

    Raises ReleaseError.
    """
    wanted = {each.name: each.version for each in locked(commit.text("requirements-build.txt"))}
    present = {name: metadata.version(name) for name in wanted}
    if present != wanted:
        raise ReleaseError(f"requirements-build.txt locks {wanted}, and here is {present}: install what it locks")
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "source", Path(folder) / "out"
        for name, file in commit.files.items():
            file.write(source / name)
        out.mkdir()
        env = {"PATH": os.defpath, "HOME": folder, "SOURCE_DATE_EPOCH": str(commit.seconds), "LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-I", "-c", BUILD_WHEEL, str(out)]
        done = subprocess.run(command, cwd=source, env=env, timeout=BUILD_SECONDS, capture_output=True, check=False)
        if done.returncode:
            raise ReleaseError(f"the wheel was not built:\n{done.stderr.decode(errors='replace')}")
        [made] = out.iterdir()
        return made.name, made.read_bytes()


def sdist(commit: Commit, name: str, built: bytes) -> bytes:
    """The whole commit, and PKG-INFO, which are the wheel's metadata."""
    with zipfile.ZipFile(io.BytesIO(built)) as archive:
        information = archive.read(f"{name}.dist-info/METADATA")
    files = {f"{name}/{path}": file for path, file in commit.files.items()}
    return packed(files | {f"{name}/PKG-INFO": File(information)}, commit.seconds)


def image_context(commit: Commit) -> bytes:
    """What `docker build - < FILE` needs: the Dockerfile, and what .dockerignore lets through."""
    rules = patterns(commit.text(".dockerignore"))
    sent = {path: file for path, file in commit.files.items() if not ignored(PurePosixPath(path), rules)}
    itself = {path: commit.files[path] for path in ("Dockerfile", ".dockerignore")}
    return packed(sent | itself, commit.seconds)


def chart(commit: Commit) -> bytes:
    """The Helm chart as `helm package` packs one, whose archives have times and owners of the machine."""
    files = {path.removeprefix(CHARTS): file for path, file in commit.files.items() if path.startswith(CHARTS)}
    return packed(files, commit.seconds)


def provenance(commit: Commit, version: str, made: Mapping[str, bytes]) -> dict[str, Any]:
    """An in-toto Statement v1 of SLSA Provenance v1, not signed. It tells no time, so it is the same each time.

    Sources: in-toto/attestation, spec/v1/statement.md; slsa.dev/spec/v1.0/provenance.
    """
    locks = {path: file for path, file in commit.files.items() if path.startswith("requirements")}
    tools = {each.name: each.version for each in locked(commit.text("requirements-build.txt"))}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": sha256(content)}} for name, content in sorted(made.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:dargah:make-release:1",
                "externalParameters": {"version": version},
                "internalParameters": {"SOURCE_DATE_EPOCH": commit.seconds},
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": commit.id}},
                    *(
                        {"name": path, "digest": {"sha256": sha256(file.content)}}
                        for path, file in sorted(locks.items())
                    ),
                ],
            },
            "runDetails": {
                "builder": {
                    "id": "urn:dargah:make-release",
                    "version": {"python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION, **tools},
                }
            },
        },
    }


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def release(repository: Path) -> dict[str, bytes]:
    """Every file of the release by its name. Raises ReleaseError."""
    commit = committed(repository)
    version = tomllib.loads(commit.text("pyproject.toml"))["project"]["version"]
    name = f"dargah-{version}"
    wheel_name, built = wheel(commit)
    made = {
        wheel_name: built,
        f"{name}.tar.gz": sdist(commit, name, built),
        f"{name}-image.tar.gz": image_context(commit),
        f"{name}-chart.tgz": chart(commit),
        f"{name}-{LOCK}": commit.files[LOCK].content,
        f"{name}.cdx.json": written(bill()),
    }
    made[f"{name}.intoto.json"] = written(provenance(commit, version, made))
    sums = "".join(f"{sha256(content)}  {each}\n" for each, content in sorted(made.items()))
    return made | {"SHA256SUMS": sums.encode()}


def written(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    try:
        made = release(REPOSITORY)
    except ReleaseError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201  a command's output
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("dargah-*"):  # of a release before, whose wheel `pip install dist/*.whl` would find too
        old.unlink()
    for name, content in made.items():
        (folder / name).write_bytes(content)
    print(made["SHA256SUMS"].decode(), end="")  # noqa: T201  a command's output
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
