"""JSON responses of both APIs, and pages of lists with opaque cursors, bound to their merchant and filters."""

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from operator import attrgetter
from typing import Any, Final, TypeVar, overload

import orjson
from aiohttp import web
from multidict import CIMultiDict

from proxy.http.headers import SECURITY_HEADERS
from proxy.http.problems import PROBLEM_TYPE
from proxy.kernel.errors import InvalidInput, invalid
from proxy.payments.change import Reply

JSON_TYPE: Final = "application/json"
_JSON_HEADERS: Final = CIMultiDict({**SECURITY_HEADERS, "Content-Type": JSON_TYPE})
_PROBLEM_HEADERS: Final = CIMultiDict({**SECURITY_HEADERS, "Content-Type": PROBLEM_TYPE})


def json_answer(value: Any, status: int = 200) -> web.Response:
    return json_bytes_answer(orjson.dumps(value), status)


def json_bytes_answer(body: bytes, status: int = 200) -> web.Response:
    """JSON that is written already."""
    return web.Response(status=status, body=body, headers=_JSON_HEADERS)


def reply_answer(reply: Reply) -> web.Response:
    """A stored reply, byte for byte."""
    headers = _JSON_HEADERS if reply.status < 400 else _PROBLEM_HEADERS  # noqa: PLR2004  the HTTP class
    return web.Response(status=reply.status, body=reply.body, headers=headers)


def page_answer(request: web.Request, rows: Sequence[Any], next_cursor: str | None, **more: Any) -> web.Response:
    """One page of a list, with its next cursor in the body and in `Link`; `more` is added to the body."""
    answer = json_answer({"data": rows, "next_cursor": next_cursor, **more})
    if next_cursor is not None:
        # Relative: Dargah does not know by which name the caller reached it.
        following = request.rel_url.update_query(cursor=next_cursor)
        answer.headers["Link"] = f'<{following}>; rel="next"'
    return answer


async def csv_answer(request: web.Request, name: str, chunks: AsyncGenerator[bytes]) -> web.StreamResponse:
    """A file that is sent as it is written. A client that goes away ends the writing, and a slow one slows it."""
    answer = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )
    async with aclosing(chunks):
        # What fails before the first line is an answer of its own.
        first = await anext(chunks)
        with suppress(ConnectionError):  # nobody is there any more to be told
            await answer.prepare(request)
            await answer.write(first)
            async for chunk in chunks:
                await answer.write(chunk)
            await answer.write_eof()
    return answer


CHECK_BYTES: Final = 9
# A sequence that fits 64 bits, an id, of which a merchant's is the short one, or a place among all merchants' payments.
# The installation has a chain of audit entries.
_ROW: Final = re.compile(r"[0-9]{1,18}|installation|mer_[0-9A-Za-z]{8}|[a-z]{2,4}_[0-9A-Za-z]{26}|[0-9A-Za-z]{17,18}~?")

Scope = Sequence[str | None]
Row = TypeVar("Row")


def first_page(
    rows: Sequence[Row], limit: int, id_of: Callable[[Row], str] = attrgetter("id")
) -> tuple[Sequence[Row], str | None]:
    """At most `limit` of the rows, of which one more was read, and the id of the last one if the list continues."""
    return rows[:limit], id_of(rows[limit - 1]) if len(rows) > limit else None


@overload
def write_cursor(after: str, scope: Scope) -> str: ...


@overload
def write_cursor(after: str | None, scope: Scope) -> str | None: ...


def write_cursor(after: str | None, scope: Scope) -> str | None:
    """The cursor of the rows after `after`; `scope` is the list, the merchant and the filters. None at the end."""
    if after is None:
        return None
    return base64.urlsafe_b64encode(_check(after, scope) + after.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, scope: Scope) -> str | None:
    """The row after which to go on; None at the beginning. Raises InvalidInput when it is not this list's cursor."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        after = raw[CHECK_BYTES:].decode()
    except (binascii.Error, ValueError):
        raise _invalid_cursor() from None
    if raw[:CHECK_BYTES] != _check(after, scope) or not _ROW.fullmatch(after):
        raise _invalid_cursor()
    return after


def read_number(cursor: str, scope: Scope) -> int:
    """The same for a list that is ordered by a number."""
    after = read_cursor(cursor, scope)
    if after is None or not after.isdigit():
        raise _invalid_cursor()
    return int(after)


def _check(after: str, scope: Scope) -> bytes:
    bound = "\n".join((after, *("" if part is None else f"={part}" for part in scope)))
    return hashlib.sha256(bound.encode()).digest()[:CHECK_BYTES]


def _invalid_cursor() -> InvalidInput:
    return invalid(
        "cursor",
        "cursor_invalid",
        "is not a cursor of this list; take the `next_cursor` of the page before, with the same filters",
        "نشانگر این فهرست نیست؛ `next_cursor` صفحهٔ پیشین را با همان صافی‌ها بفرستید",
    )
