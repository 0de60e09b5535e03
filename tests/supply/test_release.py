"""`make release`: the same bytes each time, whole, told by hashes and a provenance; and nobody is sent to an index."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from house.sources import Sources

from deploy import tools
from proxy import __version__
from supply.licences import REPOSITORY
from supply.release import Commit, File, ReleaseError, image_context, packed, wheel

NAME = f"dargah-{__version__}"
WHEEL = f"{NAME}-py3-none-any.whl"
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{who}_{what}": "release" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    **{f"GIT_{who}_DATE": "2026-03-04T05:06:07+03:30" for who in ("AUTHOR", "COMMITTER")},
}


def git(folder: Path, *arguments: str | Path) -> str:
    command = ["git", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=os.environ | GIT, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def tree() -> dict[str, File]:
    """What a commit of this folder would have, but for the executable bits."""
    found = {}
    for name in Sources().paths:
        path = REPOSITORY / name
        link = path.is_symlink()
        found[name] = File(bytes(path.readlink()) if link else path.read_bytes(), link=link)
    return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree, committed as it is."""
    folder = tmp_path_factory.mktemp("release") / "clone"
    for name, file in tree().items():
        file.write(folder / name)
        if not file.link:
            shutil.copymode(REPOSITORY / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All")
    return folder


def release(clone: Path, out: Path, umask: int = 0o022, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supply.release", out],
        cwd=clone / "tests",
        env=os.environ | {"PYTHONPATH": str(clone)} | env,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def made(clone: Path, out: Path, umask: int = 0o022, **env: str) -> dict[str, bytes]:
    """The files that the command writes there."""
    done = release(clone, out, umask, **env)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in out.iterdir()}


OTHERS = "mine.txt"


@pytest.fixture(scope="module")
def first(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("first")
    (out / "dargah-0.0.9-py3-none-any.whl").touch()
    (out / OTHERS).touch()
    return made(clone, out)


def test_another_clone_at_another_time_under_another_umask_and_time_zone_gives_the_same_bytes(
    clone: Path, first: Mapping[str, bytes], tmp_path: Path
) -> None:
    other = tmp_path / "a longer name" / "کلون"
    other.parent.mkdir()
    git(tmp_path, "clone", "--quiet", clone, other)
    for path in [*other.rglob("*.py"), *other.rglob("*.html")]:
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o600)
    (tmp_path / ".pydistutils.cfg").write_text("[bdist_wheel]\nbuild_number=7\n")
    settings = {"TZ": "Asia/Tehran", "LC_ALL": "C", "HOME": str(tmp_path), "SOURCE_DATE_EPOCH": "1"}
    again = made(other, tmp_path / "out", umask=0o077, **settings)
    assert {name for name in again if again[name] != first[name]} == set()
    assert set(again) == set(first) - {OTHERS}


def test_an_older_release_in_the_folder_is_replaced_and_other_files_stay(first: Mapping[str, bytes]) -> None:
    assert {OTHERS} == {name for name in first if not name.startswith(NAME)} - {"SHA256SUMS"}
    assert [name for name in first if name.endswith(".whl")] == [WHEEL]


@pytest.mark.parametrize("path", ["README.md", "new.txt"])
def test_a_folder_that_differs_from_its_commit_is_refused_in_a_sentence(clone: Path, tmp_path: Path, path: str) -> None:
    other = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", clone, other)
    (other / path).write_text("changed")
    done = release(other, tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: {path} is not as in the commit: commit or remove what changed\n"
    assert not (tmp_path / "out").exists()


def test_an_unpacked_sdist_is_no_commit_and_says_so(clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "sdist"
    shutil.copytree(clone, other, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    done = release(other, tmp_path / "out", GIT_CEILING_DIRECTORIES=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: a release is made of a commit, and git says: fatal: not a git repository")


def test_another_setuptools_than_the_locked_one_is_refused() -> None:
    lock = File(b"setuptools==1.0 \\\n    --hash=sha256:" + b"0" * 64)
    with pytest.raises(ReleaseError, match=r"requirements-build.txt locks \{'setuptools': '1.0'\}"):
        wheel(Commit("0" * 40, 0, {"requirements-build.txt": lock}))


def test_the_sums_are_those_of_all_other_files(first: Mapping[str, bytes]) -> None:
    others = {name: content for name, content in first.items() if name not in {"SHA256SUMS", OTHERS}}
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in sorted(others.items())]
    assert first["SHA256SUMS"].decode().splitlines() == lines


def contents(archive: bytes) -> dict[str, File]:
    """Its files, without their executable bits."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for each in opened:
            assert (each.uid, each.gid, each.uname, each.gname) == (0, 0, "", "")
            content = None if each.issym() else opened.extractfile(each)
            found[each.name] = File(each.linkname.encode(), link=True) if content is None else File(content.read())
    return found


def test_the_sdist_is_the_whole_commit_and_gives_the_same_wheel(first: Mapping[str, bytes]) -> None:
    files = {name.removeprefix(f"{NAME}/"): content for name, content in contents(first[f"{NAME}.tar.gz"]).items()}
    information = files.pop("PKG-INFO")
    assert f"\nName: dargah\nVersion: {__version__}\n" in information.content.decode()
    assert files == tree()
    seconds = json.loads(first[f"{NAME}.intoto.json"])["predicate"]["buildDefinition"]["internalParameters"]
    commit = Commit("0" * 40, seconds["SOURCE_DATE_EPOCH"], files | {"PKG-INFO": information})
    assert wheel(commit) == (WHEEL, first[WHEEL])


def test_the_wheel_has_every_file_of_the_package(first: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(first[WHEEL])) as archive:
        there = {name for name in archive.namelist() if not name.startswith(f"{NAME}.dist-info/")}
    made_with = {"proxy/http/static/subset.sh"}  # what a developer makes assets with
    assert there == {name for name in Sources().files if name.startswith("proxy/")} - made_with


def test_the_image_s_context_is_what_the_dockerfile_copies(first: Mapping[str, bytes]) -> None:
    sent = contents(first[f"{NAME}-image.tar.gz"])
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", sent["Dockerfile"].content.decode(), re.MULTILINE)
    assert {name.partition("/")[0] for name in sent} == {"Dockerfile", ".dockerignore", *" ".join(copied).split()}
    private = {"proxy/dargah.db": File(b""), "deploy/.env": File(b"")}
    rules = {name: sent[name] for name in ("Dockerfile", ".dockerignore")}
    assert set(contents(image_context(Commit("", 0, private | rules)))) == set(rules)


def test_helm_reads_the_chart(first: Mapping[str, bytes]) -> None:
    with tools.imported("helm_python").Chart.load_archive(first[f"{NAME}-chart.tgz"]) as chart:
        assert (chart.name, chart.version) == ("dargah", __version__)
        assert {"StatefulSet", "Service"} <= set(
            re.findall(r"^kind: (\w+)", "".join(chart.render().values()), re.MULTILINE)
        )


def test_an_archive_says_nothing_of_the_machine_that_made_it() -> None:
    one = packed({"b": File(b"2"), "a": File(b"1", executable=True)}, 86_400)
    assert one == packed({"a": File(b"1", executable=True), "b": File(b"2")}, 86_400)
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        assert [(each.name, each.mode, each.mtime) for each in archive] == [
            ("a", 0o755, 86_400),
            ("b", 0o644, 86_400),
        ]
    assert one[4:8] == b"\0\0\0\0"  # gzip's own time
    assert gzip.decompress(one)


def test_the_provenance_names_each_file_its_source_and_its_locks(clone: Path, first: Mapping[str, bytes]) -> None:
    statement = json.loads(first[f"{NAME}.intoto.json"])
    subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert set(subjects) == set(first) - {"SHA256SUMS", f"{NAME}.intoto.json", OTHERS}
    assert all(hashlib.sha256(first[name]).hexdigest() == digest for name, digest in subjects.items())
    build = statement["predicate"]["buildDefinition"]
    named = {each["name"]: each["digest"] for each in build["resolvedDependencies"]}
    assert named.pop("source") == {"gitCommit": git(clone, "rev-parse", "HEAD").strip()}
    locks = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in clone.glob("requirements*.txt")}
    assert named == {name: {"sha256": digest} for name, digest in locks.items()}


def test_the_provenance_is_an_in_toto_statement_of_slsa_v1_by_their_own_definitions(first: Mapping[str, bytes]) -> None:
    """The protocol buffers of in-toto's attestation framework refuse a field that they do not know."""
    statements = pytest.importorskip(
        "in_toto_attestation.v1.statement",
        reason="NOT RUN: in-toto-attestation is not installed (`make test-deploy` installs it)",
    )
    statement_pb2 = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
    provenance_pb2 = pytest.importorskip("in_toto_attestation.predicates.provenance.v1.provenance_pb2")
    json_format = pytest.importorskip("google.protobuf.json_format")

    told: dict[str, Any] = json.loads(first[f"{NAME}.intoto.json"])
    statement = json_format.ParseDict(told, statement_pb2.Statement())
    statements.Statement.copy_from_pb(statement).validate()
    predicate = json_format.ParseDict(told["predicate"], provenance_pb2.Provenance())
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    # What SLSA requires: https://slsa.dev/spec/v1.0/provenance#buildDefinition and #runDetails.
    assert re.match(r"[a-z]+:", predicate.build_definition.build_type)
    assert predicate.build_definition.external_parameters
    assert re.match(r"[a-z]+:", predicate.run_details.builder.id)
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict(told["predicate"] | {"builder": {}}, provenance_pb2.Provenance())


# The distribution is on no index. Whoever takes the name there first would be installed instead.
_COMMAND = re.compile(r"\b(?:pip3?|pipx|uvx|uv|poetry|pdm|conda)\b[^\n`|;&]*")
_NAME = re.compile(r"dargah(?:\[[\w,-]+\])?(?:[=<>~!@].*)?")


def sends_to_an_index(text: str) -> list[str]:
    """The commands that would look for `dargah` at an index of packages."""
    return [
        command[0]
        for command in _COMMAND.finditer(re.sub(r"\\\n\s*|\"\s*\n\s*f?\"", " ", text))
        if re.search(r"\b(?:install|run|add|uvx|download)\b", command[0])
        and any(_NAME.fullmatch(word.strip("\"'(),.:")) for word in command[0].split())
        and "--spec" not in command[0]
    ]


@pytest.mark.parametrize(
    ("text", "sends"),
    [
        ("pip install dargah", True),
        ("run `pip install 'dargah[otel]'`.", True),
        ("python -m pip install --upgrade \\\n  dargah==0.1.0", True),
        ('"needs: pip install "\n    "\'dargah[demo]\'"', True),
        ("pipx run dargah demo", True),
        ("uv tool install dargah", True),
        ("uvx dargah", True),
        ("pip install ./dist/dargah-0.1.0-py3-none-any.whl", False),
        ("pip install './dargah-0.1.0-py3-none-any.whl[otel]'", False),
        ("pipx run --spec ./dist/dargah-0.1.0-py3-none-any.whl dargah demo", False),
        ("/opt/dargah/bin/pip install --no-deps .", False),
        ("pipx install ./dargah-0.1.0-py3-none-any.whl && dargah up", False),
    ],
)
def test_what_sends_to_an_index_is_known(text: str, sends: bool) -> None:
    assert bool(sends_to_an_index(text)) is sends


def test_nothing_tells_anybody_to_install_dargah_from_an_index() -> None:
    sources = Sources()
    texts = {
        name: (REPOSITORY / name).read_bytes().decode("utf-8", "replace")
        for name in sources.files
        if not name.startswith("requirements") and name != "tests/supply/test_release.py"
    }
    assert {name: found for name, text in texts.items() if (found := sends_to_an_index(text))} == {}
    # The extras by name are a dependency in pyproject.toml alone.
    assert [name for name, text in texts.items() if re.search(r"dargah\[(?:demo|otel|dev|deploy)\b", text)] == [
        "pyproject.toml"
    ]
