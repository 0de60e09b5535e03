"""The classes of `proxy/`: Protocols with one implementation, names that stand twice; libraries' private attributes.

What a library calls private may change with any of its releases. An override of a library's private method is not seen.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from .sources import PACKAGE, Module, Sources, imported_names

Key = tuple[str, str]
"""A class by its module's name and its own."""

# A Protocol with only this member is a signature: functions and lambdas implement it, and no class need to.
CALL: Final = frozenset({"__call__"})
PROTOCOL: Final = "typing.Protocol"


@dataclass(frozen=True)
class Method:
    """How a method can be called: at least with `needed` arguments, at most with `taken`, and whether it is awaited."""

    needed: int
    taken: float
    is_async: bool

    def fits(self, asked: "Method") -> bool:
        return self.needed <= asked.taken and asked.needed <= self.taken and self.is_async >= asked.is_async


@dataclass(frozen=True)
class Class:
    """A class of `proxy/`. `members` are its own methods, and its attributes as None; `bases` are dotted names."""

    key: Key
    members: dict[str, Method | None]
    bases: tuple[str, ...]

    @property
    def is_protocol(self) -> bool:
        return PROTOCOL in self.bases


class Classes:
    """All classes of `proxy/`, with their bases resolved through the imports of their module."""

    def __init__(self, sources: Sources) -> None:
        self._names = {module.name: dict(_imported(module)) for module in sources.modules.values()}
        self.all = [
            self._class(module, node)
            for module in sources.modules.values()
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
        ]
        self._by_name = {".".join(each.key): each for each in self.all}

    @cached_property
    def protocols_with_one_implementation(self) -> list[str]:
        """Each Protocol that at most one class of `proxy/` implements, with that class."""
        return list(self._lonely())

    def names_twice(self) -> list[str]:
        counted = Counter(each.key[1] for each in self.all)
        return [
            f"{name}: {', '.join(each.key[0] for each in self.all if each.key[1] == name)}"
            for name, count in sorted(counted.items())
            if count > 1
        ]

    def _lonely(self) -> Iterator[str]:
        for protocol in self.all:
            members = self.members(protocol)
            if not protocol.is_protocol or members.keys() <= CALL:
                continue
            found = [each for each in self.all if self._implements(each, protocol, members)]
            if len(found) <= 1:
                yield f"{'.'.join(protocol.key)}: {'.'.join(found[0].key) if found else 'none in proxy/'}"

    def _implements(self, each: Class, protocol: Class, members: dict[str, Method | None]) -> bool:
        """By name or by structure. A class that only inherits an implementation is not another one."""
        if each.is_protocol or not self._fits(each, protocol, members):
            return False
        inherited = any(self._fits(base, protocol, members) for base in self.ancestors(each) if not base.is_protocol)
        return not inherited or bool(each.members.keys() & members.keys())

    def _fits(self, each: Class, protocol: Class, members: dict[str, Method | None]) -> bool:
        if protocol in self.ancestors(each):
            return True
        own = self.members(each)
        return all(name in own and _compatible(own[name], asked) for name, asked in members.items())

    def members(self, each: Class) -> dict[str, Method | None]:
        """Its members and those of its ancestors."""
        made: dict[str, Method | None] = {}
        for one in (each, *self.ancestors(each)):
            made = one.members | made
        return made

    def ancestors(self, each: Class) -> list[Class]:
        """Its bases in `proxy/` and theirs."""
        bases = [base for name in each.bases if (base := self._find(name)) is not None]
        return [*bases, *(above for base in bases for above in self.ancestors(base))]

    def _find(self, name: str) -> Class | None:
        """The class of a dotted name, also where a package only passes it on."""
        for _ in range(3):
            if name in self._by_name:
                return self._by_name[name]
            module, _, attribute = name.rpartition(".")
            name = self._names.get(module, {}).get(attribute, "")
        return None

    def _class(self, module: Module, node: ast.ClassDef) -> Class:
        bases = tuple(self._base(module, base) for base in node.bases)
        return Class((module.name, node.name), dict(_members(node)), bases)

    def _base(self, module: Module, base: ast.expr) -> str:
        written = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
        first, dot, rest = written.partition(".")
        return self._names[module.name].get(first, f"{module.name}.{first}") + dot + rest


def _compatible(own: Method | None, asked: Method | None) -> bool:
    return asked is None or (own is not None and own.fits(asked))


def _members(node: ast.ClassDef) -> Iterator[tuple[str, Method | None]]:
    for statement in node.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from ((name, None) for name in _assigned(statement))
            yield statement.name, _method(statement)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, None
        elif isinstance(statement, ast.Assign):
            yield from ((target.id, None) for target in statement.targets if isinstance(target, ast.Name))


def _method(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Method | None:
    """None for a property, which is used as an attribute."""
    if any("property" in ast.unparse(decorator) for decorator in node.decorator_list):
        return None
    said = node.args
    positional, keywords = len(said.posonlyargs) + len(said.args), len(said.kwonlyargs)
    needed = positional - len(said.defaults) + sum(default is None for default in said.kw_defaults)
    open_ended = said.vararg is not None or said.kwarg is not None
    is_async = isinstance(node, ast.AsyncFunctionDef)
    return Method(needed, float("inf") if open_ended else positional + keywords, is_async)


def _assigned(method: ast.AST) -> Iterator[str]:
    """The attributes that a method assigns to `self`."""
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def _imported(module: Module) -> Iterator[tuple[str, str]]:
    """The imported names of a module, each with the dotted name that it stands for."""
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias, name in zip(node.names, imported_names(module, node), strict=True):
                first = alias.name.partition(".")[0]
                whole = isinstance(node, ast.ImportFrom) or alias.asname
                yield (alias.asname or alias.name, name) if whole else (first, first)


# Public in spite of their names: documented by Python for named tuples, and so for urllib's results, and for enums.
PUBLIC: Final = frozenset({"_asdict", "_field_defaults", "_fields", "_make", "_replace", "_value_"})
OURS: Final = frozenset({"self", "cls"})
BY_NAME: Final = frozenset({"delattr", "getattr", "hasattr", "setattr"})


def private_uses(sources: Sources) -> list[str]:
    """Each use as path:line: name. An attribute of another object is the library's unless the same file defines it, one
    of `self` unless any file does, and one of `super()` unless two classes do.
    """
    defined = Counter(name for module in sources.modules.values() for name in _defined(module))
    return [
        f"{module.path}:{line}: {name}" for module in sources.modules.values() for line, name in _uses(module, defined)
    ]


def files_of(uses: list[str]) -> list[str]:
    return sorted({use.partition(":")[0] for use in uses})


def _uses(module: Module, defined: Counter[str]) -> Iterator[tuple[int, str]]:
    here = set(_defined(module))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            owner = ast.unparse(node.value)
            own = defined[node.attr] > 0 if owner in OURS else node.attr in here
            if owner == "super()":
                own = defined[node.attr] > 1
            if not own:
                yield node.lineno, f"{owner}.{node.attr}"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((node.lineno, name) for name in imported_names(module, node) if _is_private_import(name))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in BY_NAME and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant) and _is_private(str(name.value)) and name.value not in here:
                yield node.lineno, ast.unparse(node)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def _is_private_import(name: str) -> bool:
    first, *rest = name.split(".")
    return first != PACKAGE and any(_is_private(part) for part in (first, *rest))


def _defined(module: Module) -> Iterator[str]:
    """The private names that a file defines: functions, classes, variables, and attributes that it assigns to self."""
    for node in ast.walk(module.tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store(), value=ast.Name(id="self" | "cls")):
                yield name
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=ast.Tuple(elts=elements)):
                yield from (str(element.value) for element in elements if isinstance(element, ast.Constant))
            case _:
                pass
