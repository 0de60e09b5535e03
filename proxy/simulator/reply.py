"""What goes on the wire for an answer, spoiled by a fault or not. Pure: a transport plays it."""

from dataclasses import dataclass, replace

import orjson

from proxy.simulator.faults import Fault, Kind
from proxy.simulator.ledger import Answer

JSON = "application/json"
HTML = "text/html"
HUGE_BYTES = 10_000_000
_ERROR_PAGE = "<!DOCTYPE html><html><head><title>خطا</title></head><body><h1>{title}</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer on the wire.

    `reset` closes the connection with no answer; `delay_seconds` passes before the first byte, `drip_seconds`
    before each further one.
    """

    body: bytes = b""
    status: int = 200
    content_type: str = JSON
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    reset: bool = False


def plain(answer: Answer) -> Reply:
    """The answer as the protocol says."""
    return Reply(orjson.dumps(answer))


def spoiled(answer: Answer, fault: Fault) -> Reply:
    """The answer as the fault leaves it. Faults about money change the answer itself and are not known here."""
    if fault.kind in _FIXED:
        return _FIXED[fault.kind]
    reply = plain(answer)
    match fault.kind:
        case Kind.DELAY:
            return replace(reply, delay_seconds=fault.seconds)
        case Kind.DRIP:
            return replace(reply, drip_seconds=fault.seconds)
        case Kind.WRONG_TYPE:
            return replace(reply, content_type=HTML)
        case Kind.STRINGS:
            return plain({name: str(value) for name, value in answer.items()})
        case _:
            return replace(reply, body=_mangled(reply.body, fault.kind))


def _mangled(body: bytes, kind: Kind) -> bytes:
    if kind is Kind.TRUNCATED:
        return body[: len(body) // 2]
    return b" " * HUGE_BYTES + body if kind is Kind.HUGE else body


def _page(title: str, status: int) -> Reply:
    return Reply(_ERROR_PAGE.format(title=title).encode(), status, HTML)


_FIXED = {
    Kind.LOST: Reply(reset=True),
    Kind.RESET: Reply(reset=True),
    Kind.HTTP_500: _page("Internal Server Error", 500),
    Kind.HTTP_502: _page("Bad Gateway", 502),
    Kind.HTML: _page("در حال به‌روزرسانی هستیم", 200),
    Kind.FOREIGN: Reply(b'{"ok":true,"result":{"message":"pong"}}'),
}
