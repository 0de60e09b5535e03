"""The reference as Markdown, for programs and language models that read it, and `llms.txt`, which leads to it."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from proxy.http.problems import problem_kinds
from proxy.reference.document import Group, Operation, document, groups, schema_names, schemas, webhook
from proxy.reference.events import EventKind, event_kinds
from proxy.reference.fields import Field
from proxy.reference.samples import PUBLIC


def models_text() -> str:
    """`llms.txt`, as llmstxt.org has it: a title, a summary, and lists of links."""
    info = document()["info"]
    lines = [
        f"# {info['title']} API {info['version']}",
        "",
        f"> {info['summary']}",
        "",
        info["description"].strip(),
        "",
    ]
    lines += [
        f"This server is {PUBLIC}. A shop sends `Authorization: Bearer` with its token: `DARGAH_TOKEN` in the samples.",
        "",
    ]
    for title, admin in (("For shops", False), ("For operators", True)):
        lines += [f"## {title}", ""]
        lines += [_link(group.slug, group.name, _calls(group)) for group in groups() if group.admin == admin]
        lines.append("")
    lines += ["## Events and errors", ""]
    lines.append(_link("event-types", "event types and webhooks", ", ".join(each.type for each in event_kinds())))
    lines.append(_link("problems", "problem codes", "every error that the API may answer"))
    lines += ["", "## For programs", "", f"- [OpenAPI 3.1]({PUBLIC}/openapi.json): everything that is told here"]
    lines.append(f"- [dargah.http]({PUBLIC}/docs/dargah.http): every operation as a request")
    return "\n".join(lines) + "\n"


def _link(slug: str, name: str, what: str) -> str:
    return f"- [{name}]({PUBLIC}/docs/{slug}.md): {what}"


def _calls(group: Group) -> str:
    return ", ".join(f"`{each.method} {each.path}`" for each in group.operations)


def policy() -> str:
    """What may change in events and their schemas, and what will not."""
    [told] = [tag["description"] for tag in document()["tags"] if tag["name"] == "events"]
    return str(told)


def group_text(group: Group) -> str:
    """A group's page."""
    parts = [f"# {group.name.capitalize()}", group.description.strip()]
    for operation in group.operations:
        parts += _operation(operation)
    parts += _schemas(group.schemas)
    return _joined(parts)


def events_text() -> str:
    """The page of the event types."""
    parts = ["# Event types and webhooks", policy().strip(), *_operation(webhook())]
    for event in event_kinds():
        parts += event_text(event, level=2)
        parts += [f"JSON Schema of the body: `{event.name}` below."]
    return _joined([*parts, *_schemas(schema_names(document()["webhooks"]))])


def event_text(event: EventKind, level: int) -> list[str]:
    """An event type with its example."""
    return [f"{'#' * level} {event.type}", event.sent_when, event.description, _block(event.example)]


def problems_text() -> str:
    """The page of the problem codes."""
    rows = ((f"`{each.code}`", str(each.status), each.title) for each in problem_kinds())
    return _joined(["# Problem codes", _table(("code", "status", "meaning"), rows)])


def _operation(operation: Operation) -> Iterator[str]:
    yield f"## {operation.method} {operation.path}"
    yield operation.summary
    yield operation.description.strip()
    if operation.parameters:
        fields = ((each, each.field) for each in operation.parameters)
        rows = ((f"`{each.name}` in {each.place}", _kinds(field), _meaning(field)) for each, field in fields)
        yield _table(("parameter", "type", "meaning"), rows)
    if operation.body is not None:
        yield f"Body: `{operation.body}`"
    elif operation.body_fields:
        yield "Body:"
        yield _fields(operation.body_fields)
    for sample in operation.samples[:1]:
        yield f"```{'sh' if sample.language == 'curl' else sample.language.lower()}\n{sample.text}\n```"
    answer = operation.example["answer"] or {"body": operation.example["request"]["json"], "status": "sent"}
    if answer["body"] is not None:
        yield f"A real answer, {answer['status']}:" if operation.example["answer"] else "What was really sent:"
        yield answer["body"] if isinstance(answer["body"], str) else _block(answer["body"])
    yield "\n".join(f"- {each.status}: {_line(each.description)}" for each in operation.answers)


def _schemas(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        schema, fields = schemas()[name]
        yield f"## Schema {name}"
        yield str(schema.get("description", "")).strip()
        yield _fields(fields) if fields else _block(schema)


def _fields(fields: Iterable[Field]) -> str:
    return _table(("field", "type", "meaning"), ((f"`{each.name}`", _kinds(each), _meaning(each)) for each in fields))


def _kinds(field: Field) -> str:
    return " or ".join(kind.text for kind in field.kinds) + (", required" if field.required else "")


def _meaning(field: Field) -> str:
    values = f"{'one of' if len(field.values) > 1 else 'always'} {', '.join(field.values)}" if field.values else ""
    default = f"default {field.default}" if field.default is not None else ""
    return "; ".join(part for part in (_line(field.description), values, field.bounds, default) if part)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(_line(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _line(text: str) -> str:
    return " ".join(text.split())


def _block(value: Any) -> str:
    return f"```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
