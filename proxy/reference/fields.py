"""A schema's members in words, as the reference's tables have them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from proxy.kernel.frozen import dataclass

NAMED: Final = "#/components/schemas/"
_DEEPEST: Final = 4
# The bounds that are worth telling, in words.
_BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "{} characters or more"),
    ("maxLength", "at most {} characters"),
    ("minItems", "{} or more"),
    ("maxItems", "at most {}"),
    ("pattern", "as {}"),
)
Resolve = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class FieldKind:
    """A type in words; `link` is the named schema that it is of."""

    text: str
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One member; one of a nested object is named with dots, in a list with []."""

    name: str
    required: bool
    kinds: tuple[FieldKind, ...]
    values: tuple[str, ...]
    bounds: str
    description: str
    default: str | None

    def saying(self, parameter: Mapping[str, Any]) -> "Field":
        """The same with the parameter's own words."""
        return replace(self, description=parameter.get("description", self.description))


def name_of(schema: Mapping[str, Any]) -> str | None:
    """The component that a schema refers to."""
    ref = schema.get("$ref", "")
    return ref.removeprefix(NAMED) if ref.startswith(NAMED) else None


def fields_of(schema: Mapping[str, Any], resolve: Resolve, depth: int = 0, prefix: str = "") -> tuple[Field, ...]:
    """The members of an object schema, those of unnamed objects in it behind them. A named one has a section itself."""
    rows: list[Field] = []
    required = schema.get("required", ())
    for part in schema.get("allOf", ()):
        if depth == 0 or name_of(part) is None:
            rows += fields_of(resolve(part), resolve, depth, prefix)
    for name, member in schema.get("properties", {}).items():
        rows.append(_field(prefix + name, member, required=name in required))
        inner, mark = (member["items"], "[]") if "items" in member else (member, "")
        if depth < _DEEPEST and name_of(inner) is None:
            rows += fields_of(inner, resolve, depth + 1, f"{prefix}{name}{mark}.")
    return tuple(rows)


def kinds_of(schema: Mapping[str, Any]) -> tuple[FieldKind, ...]:
    """The types of a value; several when it may have several."""
    if (name := name_of(schema)) is not None:
        return (FieldKind(name, name),)
    if "allOf" in schema:  # what only narrows a named one is told by its members
        named_parts = [each for each in schema["allOf"] if name_of(each) is not None]
        return tuple(kind for each in named_parts or schema["allOf"] for kind in kinds_of(each))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return tuple(kind for each in schema[several] for kind in kinds_of(each))
    types = schema.get("type", _kind_of_values(schema))
    named = types if isinstance(types, list) else [types]
    if "items" in schema and "array" in named:
        return tuple(replace(kind, text=f"list of {kind.text}") for kind in kinds_of(schema["items"]))
    form = f" ({schema['format']})" if "format" in schema else ""
    return tuple(FieldKind("text" + form if each == "string" else each) for each in named)


def _kind_of_values(schema: Mapping[str, Any]) -> str:
    """Where only the values are named: what they are."""
    if isinstance(schema.get("const"), str):
        return "string"
    return "enum" if "enum" in schema else "any"


def _field(name: str, schema: Mapping[str, Any], *, required: bool) -> Field:
    bounds = [words.format(schema[bound]) for bound, words in _BOUNDS if bound in schema and schema[bound] != 1]
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    default = schema.get("default")
    return Field(
        name,
        required,
        kinds_of(schema),
        tuple(map(_written, values)),
        ", ".join(bounds),
        schema.get("description", ""),
        None if default is None else _written(default),
    )


def _written(value: Any) -> str:
    """A value as JSON has it, a text without its marks."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
