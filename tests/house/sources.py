"""The repository's tracked files, the modules of `proxy/` as syntax trees, and who imports whom: circles and chains.

Only static imports are seen; `importlib.import_module` in `proxy/cli/__init__.py` is not.
"""

import ast
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
PACKAGE: Final = "proxy"


@dataclass(frozen=True)
class Module:
    """One Python file of `proxy/`. `path` is relative to the repository, `name` is the dotted name for imports."""

    path: str
    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    @property
    def lines(self) -> int:
        return self.text.count("\n")


@dataclass(frozen=True)
class Sources:
    """The tracked files at `root`. A file that is deleted but still in the index does not count."""

    root: Path = REPOSITORY

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The paths of all tracked and all new files that git does not ignore, in order."""
        return tuple(path for path in self.paths if (self.root / path).is_file())

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The same, with links to folders."""
        listing = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        if (self.root / ".git").exists():
            listed = _git(self.root, *listing)
        else:  # an unpacked sdist: all its files are new to an empty repository
            with TemporaryDirectory() as empty:
                _git(self.root, "init", "--quiet", "--bare", empty)
                listed = _git(self.root, f"--git-dir={empty}", f"--work-tree={self.root}", *listing)
        return tuple(sorted({path for path in listed.split("\0") if path and (self.root / path).exists()}))

    @cached_property
    def modules(self) -> dict[str, Module]:
        """Every module of `proxy/`, by its dotted name."""
        return {module.name: module for module in self._modules()}

    def python(self) -> list[str]:
        return [path for path in self.files if path.endswith(".py")]

    def text(self, path: str) -> str:
        return (self.root / path).read_text("utf-8")

    def _modules(self) -> Iterator[Module]:
        for path in self.python():
            if path.startswith(f"{PACKAGE}/") and not path.startswith(
                f"{PACKAGE}/reference/clients/"
            ):  # which shops run
                name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                yield Module(path, name, self.text(path))


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


Edges = Mapping[str, set[str]]


class When(Enum):
    """When an import runs: with the module, with a call, or only for type checkers."""

    START = "start"
    CALL = "call"
    TYPES = "types"


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    when: When


def imports(sources: Sources) -> list[Import]:
    """Every import of one module of `proxy/` by another."""
    return [each for module in sources.modules.values() for each in _of_module(module, sources.modules)]


def edges(found: Iterable[Import]) -> dict[str, set[str]]:
    made: dict[str, set[str]] = {}
    for each in found:
        made.setdefault(each.importer, set()).add(each.imported)
        made.setdefault(each.imported, set())
    return made


def entries(graph: Edges, folder: str = PACKAGE) -> dict[str, set[str]]:
    """The same graph between the entries of one folder: a package stands for all that is in it."""
    made: dict[str, set[str]] = {}
    for importer, imported in graph.items():
        if (one := _entry(importer, folder)) is not None:
            made.setdefault(one, set()).update(
                other for name in imported if (other := _entry(name, folder)) is not None and other != one
            )
    return made


def circles(graph: Edges) -> list[list[str]]:
    """The strongly connected components of more than one member (Tarjan)."""
    return [sorted(each) for each in _components(graph) if len(each) > 1]


def circles_of_packages(sources: Sources, graph: Edges) -> list[list[str]]:
    """Circles between the entries of one folder, in every folder, where at least one of the entries is a package."""
    packages = {module.name for module in sources.modules.values() if module.is_package}
    found = (circle for folder in sorted(packages) for circle in circles(entries(graph, folder)))
    return [circle for circle in found if packages.intersection(circle)]


def longest_chain(graph: Edges) -> list[str]:
    """The longest walk along imports in which no circle is entered twice: one line for each floor."""
    component = {name: index for index, members in enumerate(_components(graph)) for name in members}
    members = _components(graph)
    below: list[list[str]] = []
    for index, names in enumerate(members):  # Tarjan gives a component after all that it reaches
        others = {component[other] for name in names for other in graph.get(name, ())} - {index}
        floor = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        below.append([floor, *max((below[other] for other in others), key=len, default=[])])
    return max(below, key=len, default=[])


def _entry(name: str, folder: str) -> str | None:
    rest = name.removeprefix(f"{folder}.")
    return None if rest == name else f"{folder}.{rest.partition('.')[0]}"


def _components(graph: Edges) -> list[list[str]]:
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in sorted(graph.get(name, ())):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            place = stack.index(name)
            found.append(stack[place:])
            del stack[place:]

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return found


def _of_module(module: Module, modules: Mapping[str, Module]) -> Iterator[Import]:
    for node, when in _statements(module.tree, When.START):
        for name in imported_names(module, node):
            imported = name if name in modules else name.rpartition(".")[0]
            if imported in modules and imported != module.name:
                yield Import(module.name, imported, when)


def imported_names(module: Module, node: ast.Import | ast.ImportFrom) -> list[str]:
    """The dotted names of a statement, a relative one resolved."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parts = module.name.split(".")
        kept = parts[: len(parts) - node.level + module.is_package]
        base = ".".join([*kept, base] if base else kept)
    return [f"{base}.{alias.name}" for alias in node.names]


def _statements(node: ast.AST, when: When) -> Iterator[tuple[ast.Import | ast.ImportFrom, When]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, when
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from _statements(child, When.TYPES)
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and when is When.START:
            yield from _statements(child, When.CALL)
        else:
            yield from _statements(child, when)
