"""`python -m tests.house.measures`: the measures of the code's structure, with their limits. Part of `make check`.

A measure may not get worse than its ceiling. A change that makes one better lowers its ceiling, as its line then says.
`--places` prints what was counted. Words after it choose the measures whose names contain one of them.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Final

from .classes import Classes, files_of, private_uses
from .sources import PACKAGE, Sources, When, circles, circles_of_packages, edges, entries, imports, longest_chain

SHORT_FILE: Final = 40
LONG_FUNCTION: Final = 50
CODE: Final = ("proxy/", "tests/", "bench/")

# `metadata` stands for a payment's field that the API takes, the store keeps and webhooks tell: it is optional, and no
# state depends on it. 301 (the gateway cannot reach its bank) stands for a gateway's code: client, drop-in, doctor and
# simulator know it. A place is a line of code, a query, a template or openapi.yaml that has the name or the number. Not
# counted are prose, files that `make docs` writes, and uses of a column's number (`row[9]`) or a code's meaning.
FIELD: Final = re.compile(r"\bmetadata\b")
GATEWAY_CODE: Final = 301
CODE_IN_TEXT: Final = re.compile(rf"(?<![\w.-]){GATEWAY_CODE}(?![\w.-])")
WRITTEN: Final = re.compile(r"^(?:proxy/(?!reference/clients/).*\.(?:py|sql|html)|openapi\.yaml)$")
PROSE: Final = re.compile(r"(?:--|\s#|\bdescription: ).*")
# The addresses that the SSRF guard refuses, and a field of ZarinPal's own.
OTHER_METADATA: Final = re.compile(r'/(?:32|128)", "metadata"|return {"metadata": told}|fields.get\("metadata"\)')


@dataclass(frozen=True)
class Measured:
    """The tree, and what several measures share of it."""

    sources: Sources

    @cached_property
    def graph(self) -> dict[str, set[str]]:
        return edges(imports(self.sources))

    @cached_property
    def start_graph(self) -> dict[str, set[str]]:
        """Without imports in functions and those for type checkers only."""
        return edges(each for each in imports(self.sources) if each.when is When.START)

    @cached_property
    def classes(self) -> Classes:
        return Classes(self.sources)

    @cached_property
    def privates(self) -> list[str]:
        return private_uses(self.sources)

    @cached_property
    def field_places(self) -> list[str]:
        return list(places(self.sources, lambda node: any(map(FIELD.search, _words(node))), FIELD))

    def lines(self, path: str) -> int:
        return self.sources.text(path).count("\n")

    @cached_property
    def code_places(self) -> list[str]:
        return list(places(self.sources, _is_code, CODE_IN_TEXT))


@dataclass(frozen=True)
class Measure:
    """`take` gives what is counted, one entry for each, or a count where entries would say nothing."""

    name: str
    wanted: int | None
    ceiling: int
    take: Callable[[Measured], Sequence[str | list[str]] | int]


MEASURES: Final = (
    Measure("entries at the top of proxy", 24, 24, lambda it: top_level(it.sources)),
    Measure("circles of packages", 0, 0, lambda it: circles_of_packages(it.sources, it.graph)),
    Measure(
        "entries in circles of packages", 0, 0, lambda it: sorted(chain(*circles_of_packages(it.sources, it.graph)))
    ),
    Measure("circles of packages, imports at start", 0, 0, lambda it: circles_of_packages(it.sources, it.start_graph)),
    Measure("circles of files", 0, 0, lambda it: circles(it.graph)),
    Measure("circles of files, imports at start", 0, 0, lambda it: circles(it.start_graph)),
    Measure("floors of imports at the top", 10, 14, lambda it: longest_chain(entries(it.graph))),
    Measure("floors of imports of files", None, 32, lambda it: longest_chain(it.graph)),
    Measure("lines for a payment field", 12, 12, lambda it: it.field_places),
    Measure("files for a payment field", 8, 8, lambda it: files_of(it.field_places)),
    Measure("files for a gateway code", 2, 2, lambda it: files_of(it.code_places)),
    Measure("private attributes of libraries", 8, 5, lambda it: it.privates),
    Measure("files that use them", 2, 2, lambda it: files_of(it.privates)),
    Measure("Protocols with one implementation", 6, 4, lambda it: it.classes.protocols_with_one_implementation),
    Measure("files under 40 lines", 12, 1, lambda it: list(short_files(it.sources))),
    Measure("functions over 50 lines", 0, 0, lambda it: list(long_functions(it.sources))),
    Measure("class names that stand twice", 5, 3, lambda it: it.classes.names_twice()),
    Measure("Python files", 480, 806, lambda it: python(it.sources)),
    Measure(
        "Python lines",
        64_000,
        147_600,
        lambda it: sum(it.sources.text(path).count("\n") for path in python(it.sources)),
    ),
)


def top_level(sources: Sources) -> list[str]:
    return sorted({path.split("/")[1] for path in sources.files if path.startswith(f"{PACKAGE}/")})


def short_files(sources: Sources) -> Iterator[str]:
    for module in sources.modules.values():
        if module.lines < SHORT_FILE and not module.is_package:
            yield f"{module.path}: {module.lines}"


def long_functions(sources: Sources) -> Iterator[str]:
    for module in sources.modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONG_FUNCTION:
                    yield f"{module.path}:{node.lineno}: {node.name}, {lines}"


def python(sources: Sources) -> list[str]:
    return [path for path in sources.python() if path.startswith(CODE)]


def places(sources: Sources, in_code: Callable[[ast.AST], bool], in_text: re.Pattern[str]) -> Iterator[str]:
    """Each line that has a name or number, as path:line."""
    by_path = {module.path: module for module in sources.modules.values()}
    for path in filter(WRITTEN.match, sources.files):
        lines = sources.text(path).splitlines()
        if path in by_path:
            found = _lines_of_code(by_path[path].tree, in_code)
        else:
            found = {number for number, line in enumerate(lines, 1) if in_text.search(PROSE.sub("", line))}
        yield from (f"{path}:{number}" for number in sorted(found) if not OTHER_METADATA.search(lines[number - 1]))


def _lines_of_code(tree: ast.Module, wanted: Callable[[ast.AST], bool]) -> set[int]:
    statements = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    prose = {id(value) for value in statements if isinstance(value, ast.Constant)}
    return {getattr(node, "lineno", 0) for node in ast.walk(tree) if id(node) not in prose and wanted(node)}


def _words(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.Constant(value=str(text)):
            yield text


def _is_code(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value == GATEWAY_CODE


def report(measured: Measured, measures: Sequence[Measure], *, in_full: bool) -> tuple[list[str], bool]:
    """The table as lines, with the places of each measure that got worse, or of all; and whether one got worse."""
    lines, any_worse = [f"{'measure':40}{'now':>8}{'ceiling':>9}{'wanted':>8}"], False
    for measure in measures:
        found = measure.take(measured)
        count = found if isinstance(found, int) else len(found)
        worse = count > measure.ceiling
        remark = "  WORSE" if worse else f"  the ceiling can be {count:,}" if count < measure.ceiling else ""
        wanted = "" if measure.wanted is None else f"{measure.wanted:,}"
        lines.append(f"{measure.name:40}{count:8,}{measure.ceiling:9,}{wanted:>8}{remark}")
        if (worse or in_full) and not isinstance(found, int):
            lines += (f"    {each if isinstance(each, str) else ', '.join(each)}" for each in found)
        any_worse |= worse
    return lines, any_worse


def main(arguments: Sequence[str]) -> int:
    names = [each for each in arguments if each != "--places"]
    chosen = [measure for measure in MEASURES if not names or any(name in measure.name for name in names)]
    lines, worse = report(Measured(Sources()), chosen, in_full="--places" in arguments)
    print("\n".join(lines))  # noqa: T201  a command's output
    return int(worse)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
