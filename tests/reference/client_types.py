"""`python -m reference.client_types` from tests/: the types in the files that Dargah serves, as openapi.yaml has them.

Each file has them between two lines of comment, as its language writes types: TypedDict, JSDoc, or shapes for PHPStan
and Psalm.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(?<=types from openapi\.yaml, by `make docs`\n).*?(?=[^\n]*end of types)", re.DOTALL)
WIDTH = 120
# What the files name a schema; all that these refer to and that is no object is written where it is used.
ENUMS = ("Currency", "Mode", "Status", "EventType")
SHAPES = {
    "Metadata": "Metadata",
    "CreatePayment": "NewPayment",
    "Failure": "Failure",
    "Resolution": "Resolution",
    "Review": "Review",
    "GivenBack": "GivenBack",
    "PaymentFields": "PaymentFields",
    "Payment": "Payment",
    "Check": "Check",
    "CheckedPayment": "CheckedPayment",
    "PaymentEventData": "PaymentEvent",
    "FieldError": "FieldError",
}
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    required: bool


@dataclass(frozen=True)
class Language:
    """`scalars` are string, integer, number, boolean and null; the rest writes what its name says."""

    path: str
    scalars: Mapping[str, str]
    either: Callable[[Iterable[str]], str]
    literal: Callable[[list[str]], str]
    items: str
    values: str
    enum: Callable[[str, str], str]
    shape: Callable[[str, str, list[Field]], str]
    composes: bool  # a shape may be made of another and more fields


def fields(schemas: Mapping[str, Schema], schema: Schema, language: Language, without: str = "") -> Iterator[Field]:
    """The fields of an object, with those of the schemas that it is made of, but for one."""
    for part in schema.get("allOf", []):
        if not without or name_of(part) != without:
            yield from fields(schemas, resolved(schemas, part), language)
    for name, each in schema.get("properties", {}).items():
        yield Field(name, type_of(schemas, each, language), name in schema.get("required", []))


def name_of(schema: Schema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def base_of(schema: Schema, language: Language) -> str:
    """The shape that it is made of, where the language writes that."""
    names = map(name_of, schema.get("allOf", []))
    return next((name for name in names if name in SHAPES), "") if language.composes else ""


def resolved(schemas: Mapping[str, Schema], schema: Schema) -> Schema:
    return schemas[name_of(schema)] if "$ref" in schema else schema


def type_of(schemas: Mapping[str, Schema], schema: Schema, language: Language) -> str:
    name = name_of(schema)
    if name in ENUMS or name in SHAPES:
        return SHAPES.get(name, name)
    schema = resolved(schemas, schema)
    if "anyOf" in schema:
        # An empty list is how PHP writes an empty object.
        known = [each for each in schema["anyOf"] if name_of(each) != "EmptyList"]
        return language.either(type_of(schemas, each, language) for each in known)
    if "enum" in schema:
        return language.literal(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return language.either(kind_of(schemas, kind, schema, language) for kind in kinds)


def kind_of(schemas: Mapping[str, Schema], kind: str, schema: Schema, language: Language) -> str:
    if kind == "array":
        return language.items % type_of(schemas, schema["items"], language)
    if kind == "object":
        return language.values % type_of(schemas, schema["additionalProperties"], language)
    return language.scalars[kind]


def wrapped(text: str, indent: str) -> str:
    """The text on as many lines as it needs, broken at spaces; a name stays by its type, and a type by its null."""
    whole = re.sub("(?<=:) | (?=[|] [nN])|(?<=[|]) (?=[nN])", "\N{NO-BREAK SPACE}", text)
    lines = wrap(whole, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def python_shape(name: str, base: str, its: list[Field]) -> str:
    """In classes where there is a base; what need not be there is in a class of its own, as Python 3.10 wants it."""
    required, optional = ([field for field in its if field.required is wanted] for wanted in (True, False))
    first = f"_{name}" if optional else name
    if base:
        lines = [f"class {first}({base}):", *python_body(required)]
    else:
        inner = ", ".join(f'"{field.name}": {field.type}' for field in required)
        lines = [wrapped(f'{first} = TypedDict("{first}", {{{inner}}})', "    ")]
    if optional:
        lines += [f"class {name}({first}, total=False):", *python_body(optional)]
    return "\n".join(lines)


def python_body(its: list[Field]) -> Iterator[str]:
    """Several fields on each line, for the file's sake."""
    line = ""
    for each in (f"{field.name}: {field.type}" for field in its):
        if line and len(f"    {line}; {each}") > WIDTH:
            yield f"    {line}"
            line = ""
        line = f"{line}; {each}" if line else each
    yield f"    {line}"


def js_shape(name: str, base: str, its: list[Field]) -> str:
    return wrapped(f"/** @typedef {{{base and f'{base} & '}{{{braced(its)}}}}} {name} */", " *   ")


def php_either(types: Iterable[str]) -> str:
    """Without a space, where a line would break: not each reader of PHPDoc goes on there."""
    *some, last = types
    return f"?{some[0]}" if last == "null" and len(some) == 1 and "|" not in some[0] else "|".join([*some, last])


def php_shape(name: str, _base: str, its: list[Field]) -> str:
    return wrapped(f" * @phpstan-type {name} array{{{braced(its)}}}", " *   ")


def braced(its: list[Field]) -> str:
    return ", ".join(f"{field.name}{'' if field.required else '?'}: {field.type}" for field in its)


LANGUAGES = (
    Language(
        "python/dargah_client.py",
        {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"},
        " | ".join,
        lambda values: "Literal[" + ", ".join(f'"{value}"' for value in values) + "]",
        "list[%s]",
        "dict[str, %s]",
        lambda name, text: wrapped(f"{name} = {text}", "    "),
        python_shape,
        composes=True,
    ),
    Language(
        "node/dargah.mjs",
        {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"},
        " | ".join,
        lambda values: " | ".join(f"'{value}'" for value in values),
        "Array<%s>",
        "Record<string, %s>",
        lambda name, text: wrapped(f"/** @typedef {{{text}}} {name} */", " *   "),
        js_shape,
        composes=True,
    ),
    Language(
        "php/Dargah.php",
        {"string": "string", "integer": "int", "number": "int|float", "boolean": "bool", "null": "null"},
        php_either,
        lambda values: "|".join(f"'{value}'" for value in values),
        "list<%s>",
        "array<string, %s>",
        lambda name, text: f" * @phpstan-type {name} {text}",
        php_shape,
        composes=False,
    ),
)


@cache
def api_schemas() -> Mapping[str, Schema]:
    schemas: Mapping[str, Schema] = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))["components"]["schemas"]
    return schemas


def types(language: Language) -> str:
    """The block of types, as it stands in the language's file."""
    schemas = api_schemas()
    lines = [language.enum(name, language.literal(schemas[name]["enum"])) for name in ENUMS]
    for schema_name, name in SHAPES.items():
        if schema_name == "PaymentFields" and not language.composes:
            continue
        schema = schemas[schema_name]
        base = base_of(schema, language)
        its = list(fields(schemas, schema, language, base))
        alone = kind_of(schemas, "object", schema, language) if not its else ""
        lines.append(language.enum(name, alone) if alone else language.shape(name, base, its))
    return "".join(f"{line}\n" for line in lines)


def written(language: Language) -> str:
    """The whole file with its block made anew."""
    text = (ROOT / "proxy" / "reference" / "clients" / language.path).read_text("utf-8")
    assert BLOCK.search(text), f"{language.path} has no block of types"
    return BLOCK.sub(lambda _: types(language), text, count=1)


if __name__ == "__main__":
    for each in LANGUAGES:
        (ROOT / "proxy" / "reference" / "clients" / each.path).write_text(written(each), "utf-8")
