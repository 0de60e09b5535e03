"""openapi.yaml as the reference shows it: operations by tag, with what they take, give and really answered."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

from proxy.reference.fields import Field, fields_of, name_of
from proxy.reference.samples import Sample, samples_of

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
    """`schema` is the name of what JSON it is."""

    status: str
    description: str
    schema: str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """`example` is what was really asked and answered; `body` is the schema of its JSON, by name or as fields."""

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
    """What Dargah sends."""
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
