"""Answers as they go out on the wire, and what a fault makes of one. No I/O."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from proxy.gateways.simulation.faults import Fault, FaultKind
from proxy.kernel.frozen import dataclass

JSON = "application/json"
HTML = "text/html"
HUGE_BYTES = 10_000_000
_ERROR_PAGE = "<!DOCTYPE html><html><head><title>خطا</title></head><body><h1>{title}</h1></body></html>"


@dataclass(frozen=True, slots=True)
class WireReply:
    """One answer on the wire.

    `reset` closes the connection with no answer; `delay_seconds` passes before the first byte, `drip_seconds`
    before each further one. `code` is what the answer says, by which answers are counted.
    """

    body: bytes = b""
    status: int = 200
    content_type: str = JSON
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    reset: bool = False
    code: str = "none"


def plain(answer: Mapping[str, Any], code: object = "none", status: int = 200) -> WireReply:
    """A JSON answer as the protocol says."""
    return WireReply(orjson.dumps(answer), status, code=str(code))


def spoiled(reply: WireReply, fault: Fault) -> WireReply:
    """The answer as the fault leaves it. Faults about money change the answer itself and are not known here."""
    if fault.kind in _FIXED:
        return replace(_FIXED[fault.kind], code=reply.code)
    match fault.kind:
        case FaultKind.DELAY:
            return replace(reply, delay_seconds=fault.seconds)
        case FaultKind.DRIP:
            return replace(reply, drip_seconds=fault.seconds)
        case FaultKind.WRONG_TYPE:
            return replace(reply, content_type=HTML)
        case kind if kind in _MANGLED:
            return replace(reply, body=_MANGLED[kind](reply.body))
        case _:
            return reply


def _in_strings(body: bytes) -> bytes:
    try:
        return orjson.dumps(_as_string(orjson.loads(body)))
    except orjson.JSONDecodeError:
        return body


def _as_string(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_string(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_string(each) for each in value]
    return str(value) if type(value) in {int, float} else value


_MANGLED: Mapping[FaultKind, Callable[[bytes], bytes]] = {
    FaultKind.TRUNCATED: lambda body: body[: len(body) // 2],
    FaultKind.HUGE: lambda body: b" " * HUGE_BYTES + body,
    FaultKind.STRINGS: _in_strings,
}


def _page(title: str, status: int) -> WireReply:
    return WireReply(_ERROR_PAGE.format(title=title).encode(), status, HTML)


_FIXED = {
    FaultKind.LOST: WireReply(reset=True),
    FaultKind.RESET: WireReply(reset=True),
    FaultKind.HTTP_500: _page("Internal Server Error", 500),
    FaultKind.HTTP_502: _page("Bad Gateway", 502),
    FaultKind.HTML: _page("در حال به‌روزرسانی هستیم", 200),
    FaultKind.FOREIGN: WireReply(b'{"ok":true,"result":{"message":"pong"}}'),
}
