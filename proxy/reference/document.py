"""openapi.yaml as the reference shows it: operations by tag, with their parameters, results and real examples."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

from proxy.kernel.frozen import dataclass
from proxy.reference.client_samples import client_samples
from proxy.reference.fields import NAMED, Field, fields_of, name_of
from proxy.reference.samples import ADMIN, PUBLIC, VARIABLES, Sample, samples_of

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
    """`example` is a real request with its answer; `body` is the schema of its JSON, by name or as fields.

    `variable` is the environment variable with its kind of token, None where it needs none; `admin` is whether it is of
    the operator's listener.
    """

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
    variable: str | None
    admin: bool


@dataclass(frozen=True, slots=True)
class Group:
    """One tag's operations. `schemas` names every schema that they lead to; `slug` is its page's name in an address."""

    name: str
    slug: str
    description: str
    operations: tuple[Operation, ...]
    schemas: tuple[str, ...]
    admin: bool


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


@cache
def groups() -> tuple[Group, ...]:
    """The operations by their tags, in the document's order."""
    return tuple(_group(tag["name"], tag.get("description", "")) for tag in document()["tags"])


def _group(name: str, description: str) -> Group:
    found = [each for each in _operations() if each[2]["tags"][0] == name]
    operations = tuple(_operation(method, path, item, operation) for method, path, operation, item in found)
    names = schema_names([[item.get("parameters", ()), operation] for _, _, operation, item in found])
    admin = all(path.startswith("/admin/") for _, path, _, _ in found)
    return Group(name, name.replace(" ", "-"), description, operations, names, admin)


def schema_names(value: Any) -> tuple[str, ...]:
    """The component schemas that a part of the document leads to, in the document's order."""
    followed: set[str] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            ref = each.get("$ref")
            if isinstance(ref, str) and ref not in followed:
                followed.add(ref)
                waiting.append(resolve(each))
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
    return tuple(name for name in document()["components"]["schemas"] if NAMED + name in followed)


@cache
def webhook() -> Operation:
    """The webhook that Dargah sends."""
    operation = document()["webhooks"]["paymentEvent"]["post"]
    return _operation("post", "your endpoint's URL", {}, operation, sent=True)


@cache
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


def _operations() -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Method, path, operation and path item of each."""
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield method, path, operation, item


def _operation(
    method: str, path: str, item: Mapping[str, Any], operation: Mapping[str, Any], *, sent: bool = False
) -> Operation:
    example = examples()[operation["operationId"]]
    security = operation.get("security", document()["security"])
    variable = VARIABLES[next(iter(security[0]))] if security else None
    admin = path.startswith(("/admin/", "/metrics"))
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
        samples=_samples(operation["operationId"], example["request"], variable, ADMIN if admin else PUBLIC, sent=sent),
        variable=variable,
        admin=admin,
    )


def _samples(
    operation_id: str, request: Mapping[str, Any], variable: str | None, base_url: str, *, sent: bool
) -> tuple[Sample, ...]:
    """By a client where the clients have the call, else by HTTP; what Dargah sends nobody asks for."""
    by_client = client_samples(operation_id, request)
    if sent:
        return tuple(by_client.values())
    return tuple(by_client.get(each.language, each) for each in samples_of(request, variable, base_url))


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
