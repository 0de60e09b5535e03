"""The search of the reference: which operations, event types, schemas and problem codes have all of some words."""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from proxy.http.problems import problem_kinds
from proxy.kernel.frozen import dataclass
from proxy.reference.document import Operation, groups, schemas, webhook
from proxy.reference.events import event_kinds

MAX_QUERY_CHARS: Final = 200
MAX_WORDS: Final = 10
MAX_HITS: Final = 50
EVENTS_PAGE: Final = "event-types"
PROBLEMS_PAGE: Final = "problems"


@dataclass(frozen=True, slots=True)
class Hit:
    """`page` and `anchor` are where it stands."""

    kind: str
    title: str
    summary: str
    page: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Found:
    """The first hits, and how many there are in all. `query` is what was looked for."""

    query: str
    hits: Sequence[Hit]
    count: int

    @property
    def foreign(self) -> bool:
        """Whether it was asked in another script than the reference is written in."""
        return self.count == 0 and any(char.isalpha() and not char.isascii() for char in self.query)


def search(text: str) -> Found:
    """What has all of the words anywhere, those that have them in the title first."""
    query = " ".join("".join(map(_shown, text[:MAX_QUERY_CHARS])).split())
    words = _folded(query).split()[:MAX_WORDS]
    if not words:
        return Found(query, (), 0)
    near, far = list[Hit](), list[Hit]()
    for hit, title, whole in _index():
        if all(word in whole for word in words):
            (near if all(word in title for word in words) else far).append(hit)
    found = [*near, *far]
    return Found(query, found[:MAX_HITS], len(found))


def _shown(char: str) -> str:
    """The character; a space for a control character or half of one, which no page can show."""
    return " " if unicodedata.category(char) in {"Cc", "Cs"} else char


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


@cache
def _index() -> tuple[tuple[Hit, str, str], ...]:
    """Each place with its title and its whole text, folded."""
    return tuple((hit, _folded(f"{hit.title} {hit.summary}"), _folded(text)) for hit, text in _places())


def _places() -> Iterator[tuple[Hit, str]]:
    for group in groups():
        for operation in group.operations:
            yield _operation_place(operation, group.slug, group.name)
    yield _operation_place(webhook(), EVENTS_PAGE, "webhooks")
    for event in event_kinds():
        hit = Hit("event", event.type, event.sent_when, EVENTS_PAGE, f"event-{event.type}")
        yield hit, f"{event.type} {event.sent_when} {event.description} {event.group} event webhook"
    for problem in problem_kinds():
        hit = Hit(
            "problem", problem.code, f"{problem.status} {problem.title}", PROBLEMS_PAGE, f"problem-{problem.code}"
        )
        yield hit, f"{problem.code} {problem.status} {problem.title} problem error code"
    for name, (schema, fields) in schemas().items():
        page = next((group.slug for group in groups() if name in group.schemas), None)
        if page is not None:
            told = " ".join(f"{field.name} {field.description} {' '.join(field.values)}" for field in fields)
            said = str(schema.get("description", ""))
            values = " ".join(map(str, schema.get("enum", ())))
            yield Hit("schema", name, said, page, f"schema-{name}"), f"{name} {said} {values} {told}"


def _operation_place(operation: Operation, page: str, group: str) -> tuple[Hit, str]:
    title = f"{operation.method} {operation.path}"
    fields = [*(each.field for each in operation.parameters), *operation.body_fields]
    told = " ".join(f"{field.name} {field.description}" for field in fields)
    text = f"{title} {operation.id} {operation.summary} {operation.description} {group} {operation.body or ''} {told}"
    return Hit("operation", title, operation.summary, page, operation.id), text
