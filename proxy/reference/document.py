"""openapi.yaml as the reference shows it: operations by tag, with their parameters, results and real examples."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

from proxy.reference.samples import Sample, samples_of

_NAMED: Final = "#/components/schemas/"
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
    return ref.removeprefix(_NAMED) if ref.startswith(_NAMED) else None


def fields_of(schema: Mapping[str, Any], resolve: Resolve, depth: int = 0, prefix: str = "") -> tuple[Field, ...]:
    """The members of an object schema, those of unnamed objects in it behind them."""
    rows: list[Field] = []
    required = schema.get("required", ())
    for part in schema.get("allOf", ()):
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
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return tuple(kind for each in schema[several] for kind in kinds_of(each))
    types = schema.get("type", "enum" if "enum" in schema else "any")
    named = types if isinstance(types, list) else [types]
    if "items" in schema and "array" in named:
        return tuple(replace(kind, text=f"list of {kind.text}") for kind in kinds_of(schema["items"]))
    form = f" ({schema['format']})" if "format" in schema else ""
    return tuple(FieldKind("text" + form if each == "string" else each) for each in named)


def _field(name: str, schema: Mapping[str, Any], *, required: bool) -> Field:
    bounds = [words.format(schema[bound]) for bound, words in _BOUNDS if bound in schema and schema[bound] != 1]
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    default = schema.get("default")
    return Field(
        name,
        required,
        kinds_of(schema),
        tuple(map(str, values)),
        ", ".join(bounds),
        schema.get("description", ""),
        None if default is None else str(default),
    )


METHODS: Final = ("get", "post", "put", "patch", "delete")
_CARRIED: Final = frozenset({"X-Request-Id", "traceparent"})  # of every operation, told once


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    place: str
    required: bool
    field: Field


@dataclass(frozen=True, slots=True)
class Answer:
    """`schema` is the name of the schema of its JSON."""

    status: str
    description: str
    schema: str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """`example` is a real request with its answer; `body` is the schema of its JSON, by name or as fields."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    body: str | None
    body_fields: tuple[Field, ...]
    answers: tuple[Answer, ...]
    example: Mapping[str, Any]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    description: str
    operations: tuple[Operation, ...]


def read_json(name: str) -> bytes:
    """A file of this package."""
    return files("proxy.reference").joinpath(name).read_bytes()


@cache
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(read_json("openapi.json"))
    return loaded


@cache
def examples() -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(read_json("examples.json"))
    return loaded


def groups() -> tuple[Group, ...]:
    """The operations by their tags, in the document's order."""
    found = list(_operations())
    return tuple(
        Group(tag["name"], tag.get("description", ""), tuple(each for name, each in found if name == tag["name"]))
        for tag in document()["tags"]
    )


def webhook() -> Operation:
    """The webhook that Dargah sends."""
    operation = document()["webhooks"]["paymentEvent"]["post"]
    return _operation("post", "your endpoint's URL", {}, operation, sent=True)


def schemas() -> dict[str, tuple[Mapping[str, Any], tuple[Field, ...]]]:
    """Each named schema with its fields."""
    named = document()["components"]["schemas"]
    return {name: (schema, fields_of(schema, resolve)) for name, schema in named.items()}


def resolve(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The value after following its `$ref`."""
    found: Any = value
    while "$ref" in found:
        parts = found["$ref"].removeprefix("#/").split("/")
        found = document()
        for part in parts:
            found = found[part.replace("~1", "/").replace("~0", "~")]
    result: Mapping[str, Any] = found
    return result


def _operations() -> Iterator[tuple[str, Operation]]:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield operation["tags"][0], _operation(method, path, item, operation)


def _operation(
    method: str, path: str, item: Mapping[str, Any], operation: Mapping[str, Any], *, sent: bool = False
) -> Operation:
    example = examples()[operation["operationId"]]
    security = operation.get("security", document()["security"])
    scheme = next(iter(security[0])) if security else None
    schema = _schema_of(operation.get("requestBody"))
    given = [*item.get("parameters", ()), *operation.get("parameters", ())]
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=operation.get("description", "") or item.get("description", ""),
        parameters=tuple(_parameter(resolve(each)) for each in given if resolve(each)["name"] not in _CARRIED),
        body=None if schema is None else name_of(schema),
        body_fields=() if schema is None or name_of(schema) else fields_of(schema, resolve),
        answers=tuple(_answer(status, resolve(each)) for status, each in operation["responses"].items()),
        example=example,
        samples=() if sent else samples_of(example["request"], scheme, admin=path.startswith(("/admin/", "/metrics"))),
    )


def _parameter(parameter: Mapping[str, Any]) -> Parameter:
    [field] = fields_of({"properties": {parameter["name"]: parameter["schema"]}}, resolve)
    return Parameter(parameter["name"], parameter["in"], parameter.get("required", False), field.saying(parameter))


def _answer(status: str, response: Mapping[str, Any]) -> Answer:
    schema = _schema_of(response)
    return Answer(status, response["description"], None if schema is None else name_of(schema))


def _schema_of(value: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The schema of the first content that has one."""
    if value is None:
        return None
    return next((each["schema"] for each in resolve(value).get("content", {}).values() if each.get("schema")), None)
