"""What a release is made of: hash-locked, of known licences, listed for scanners, capped where its insides are used."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from house.classes import private_uses
from house.sources import Sources

from supply.licences import ALLOWED, REPOSITORY, Locked, allowed, locked, objections
from supply.sbom import OURSELVES, bill

CLIENTS = Path("tests/clients/families")
OWN_LOCKS = [f"requirements{kind}.txt" for kind in ("", "-demo", "-dev", "-deploy", "-build")]
CLIENT_LOCKS = [f"{CLIENTS}/python{version}.txt" for version in ("3.11", "3.12", "3.13")]
PEERS_LOCK = "bench/peers/requirements.txt"


@pytest.mark.parametrize("name", [*OWN_LOCKS, *CLIENT_LOCKS, PEERS_LOCK])
def test_every_requirement_is_locked_by_its_hashes_and_names_no_registry(name: str) -> None:
    entries = list(locked((REPOSITORY / name).read_text("utf-8")))
    assert entries
    assert not [each.name for each in entries if not each.hashes]
    assert "://" not in (REPOSITORY / name).read_text("utf-8")
    assert len(entries) == len(re.findall(r"^[a-z0-9].*==", (REPOSITORY / name).read_text("utf-8"), re.MULTILINE))


def test_every_package_of_npm_is_locked_by_its_hash_and_names_no_registry() -> None:
    locks = json.loads((REPOSITORY / CLIENTS / "package-lock.json").read_text("utf-8"))["packages"]
    wanted = json.loads((REPOSITORY / CLIENTS / "package.json").read_text("utf-8"))["dependencies"]
    assert locks.pop("")["dependencies"] == wanted
    assert set(wanted.items()) <= {(path.removeprefix("node_modules/"), it["version"]) for path, it in locks.items()}
    assert not [path for path, it in locks.items() if not it["integrity"].startswith("sha512-") or "resolved" in it]


def test_the_locks_agree_with_each_other() -> None:
    run = {each.name: each.version for each in locked()}
    for name in ("requirements-demo.txt", "requirements-dev.txt", "requirements-deploy.txt"):
        there = {each.name: each.version for each in locked((REPOSITORY / name).read_text("utf-8"))}
        assert {library: there.get(library) for library in run} == run, name


def test_the_lock_has_every_dependency_that_the_project_names() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    named = {re.split(r"[><=\[;~! ]", each)[0] for each in project["dependencies"]}
    assert named == {each.name for each in locked() if "dargah" in each.wanted_by}


def test_the_licences_are_allowed_ones() -> None:
    assert list(objections(locked())) == []


def test_a_licence_that_is_not_allowed_is_found() -> None:
    assert allowed("MPL-2.0 AND (Apache-2.0 OR GPL-3.0-only)")
    assert not allowed("MIT AND GPL-3.0-only")
    assert not allowed("AGPL-3.0-only")
    assert not {licence for licence in ALLOWED if "GPL" in licence}
    absent = Locked("no-such-library-here", "1", (), ())
    assert list(objections([absent])) == ["no-such-library-here is not installed, so its licence is not known"]


def test_the_bill_of_materials_is_whole_and_the_same_each_time() -> None:
    made = bill()
    assert made == bill()
    assert {each["name"] for each in made["components"]} == {each.name for each in locked()}
    assert set(_reached(made["dependencies"], OURSELVES)) == {each["bom-ref"] for each in made["components"]}


def _reached(dependencies: list[dict[str, list[str]]], start: str) -> Iterator[str]:
    edges = {str(each["ref"]): each["dependsOn"] for each in dependencies}
    seen, waiting = {start}, [start]
    while waiting:
        for reference in edges[waiting.pop()]:
            if reference not in seen:
                seen.add(reference)
                waiting.append(reference)
                yield reference


def test_the_bill_of_materials_is_valid_by_cyclonedx_own_schema() -> None:
    validation = pytest.importorskip(
        "cyclonedx.validation.json",
        reason="NOT RUN: cyclonedx-python-lib is not installed (`make test-deploy` installs it)",
    )
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bill())) is None
    assert validator.validate_str(json.dumps(bill() | {"components": [{"type": "library"}]})) is not None


def test_a_library_whose_private_attributes_are_used_has_an_upper_bound() -> None:
    used = dict(private_uses_by_library())
    assert "aiohttp" in used
    bounded = {name: requirement for name, requirement in requirements().items() if "<" in requirement}
    assert {library: names for library, names in used.items() if library not in bounded} == {}


def private_uses_by_library() -> Iterator[tuple[str, list[str]]]:
    """Distributions, and the names of theirs that our code uses although an underscore begins them."""
    trees = {module.path: module.tree for module in Sources().modules.values()}
    found: dict[str, set[str]] = {}
    for use in private_uses(Sources()):
        path, _, expression = use.split(":", 2)
        names = set(re.findall(r"\b_\w+", expression))
        for package in imported(trees[path]):
            found.setdefault(package, set()).update(names & words(package))
    distributions = metadata.packages_distributions()
    for package, names in found.items():
        if names:
            yield distributions[package][0].lower(), sorted(names)


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names - sys.stdlib_module_names - {"proxy", ""}


@cache
def words(package: str) -> set[str]:
    """All that stands in the package's sources."""
    spec = find_spec(package)
    assert spec is not None
    sources = [
        path
        for folder in map(Path, spec.submodule_search_locations or ())
        for path in folder.rglob("*")
        if path.suffix in {".py", ".pyi", ".pyx"}
    ]
    return {word for path in sources for word in re.findall(r"\w+", path.read_text("utf-8"))}


def requirements() -> dict[str, str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    every = [*project["dependencies"], *project["optional-dependencies"]["otel"]]
    return {re.split(r"[><=\[;~! ]", each)[0].lower(): each for each in every}
