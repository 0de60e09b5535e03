"""The event catalogue: what each event type tells, its JSON Schema and an example. openapi.yaml is where they stand."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from proxy.kernel.clock import rfc3339
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import ENDPOINT, Ids
from proxy.merchants.merchant import Mode
from proxy.payments.serializers import ping_data, sample_data
from proxy.reference.document import document
from proxy.reference.fields import name_of
from proxy.webhooks.event import EventType

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
# openapi.yaml closes every object, so that the tests find a member that it does not name. A receiver must take one.
_CLOSING: Final = frozenset({"additionalProperties", "unevaluatedProperties"})
_AT: Final = 1_795_514_400_000  # 2026-11-24T10:00:00Z
_MERCHANT_ID: Final = "mer_8Hk2Lm0Q"
_SHOWN: Final = {"order_id": "17", "description": "یک بسته چای"}


@dataclass(frozen=True, slots=True)
class EventKind:
    """`name` is the component schema of the body, of which `schema` is the standalone form."""

    type: str
    name: str
    group: str
    sent_when: str
    description: str
    schema: Mapping[str, Any]
    example: Mapping[str, Any]

    def shown(self) -> dict[str, Any]:
        """As `GET /v1/event-types` has it."""
        members = ("type", "group", "sent_when", "description", "schema", "example")
        return {member: getattr(self, member) for member in members}


@cache
def event_kinds() -> tuple[EventKind, ...]:
    """Every event type, in the order of openapi.yaml."""
    return tuple(_kinds())


def _kinds() -> Iterator[EventKind]:
    named = document()["components"]["schemas"]
    for number, each in enumerate(named["WebhookMessage"]["oneOf"], start=41):
        name = str(name_of(each))
        schema = named[name]
        kind = schema["title"]
        yield EventKind(
            kind,
            name,
            schema["x-group"],
            schema["x-sent-when"],
            schema["description"].strip(),
            standalone(name),
            _example(EventType(kind), number),
        )


def standalone(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a component schema: open to new members, with what it refers to under `$defs`."""
    named = document()["components"]["schemas"]
    found: dict[str, Any] = {}

    def opened(value: Any) -> Any:
        if isinstance(value, list):
            return [opened(each) for each in value]
        if not isinstance(value, dict):
            return value
        own = {key: opened(each) for key, each in value.items() if not _is_ours(key, each)}
        if (target := name_of(value)) is not None:
            if target not in found:
                found[target] = {}  # before its members, which may name it again
                found[target] = opened(named[target])
            own["$ref"] = f"#/$defs/{target}"
        return own

    body = opened(named[name])
    return {"$schema": DIALECT, "$id": f"urn:dargah:event:{named[name]['title']}", **body, "$defs": found}


def _is_ours(key: str, value: Any) -> bool:
    """Whether a member is of openapi.yaml alone."""
    return key.startswith("x-") or (key in _CLOSING and value is False)


def _example(kind: EventType, sequence: int) -> dict[str, Any]:
    """A real message of this type, the same on every call."""
    ids = Ids(_repeatable())
    if kind == EventType.PING:
        data = ping_data(Mode.LIVE, "main") | {"endpoint_id": ids.record(ENDPOINT, _MERCHANT_ID, _AT)}
        return {"type": kind.value, "timestamp": rfc3339(_AT), "data": data | {"sequence": 0}}
    data = sample_data(kind, _MERCHANT_ID, "main", Mode.LIVE, _AT, ids) | {"test": False}
    data |= {"description": "the shop's old server"} if kind == EventType.ENDPOINT_DISABLED else _SHOWN
    return {"type": kind.value, "timestamp": rfc3339(_AT), "data": data | {"sequence": sequence}}


def _repeatable() -> Callable[[int], bytes]:
    """Bytes that look random and are the same each time: an example is no secret."""
    drawn = itertools.count()
    return lambda count: hashlib.shake_128(str(next(drawn)).encode()).digest(count)
