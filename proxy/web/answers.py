"""JSON answers of the APIs, and pages of lists."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from aiohttp import web
from multidict import CIMultiDict

from proxy.records import Reply
from proxy.web.headers import SECURITY_HEADERS
from proxy.web.problems import PROBLEM_TYPE
from proxy.web.whole import WholeResponse

JSON_TYPE: Final = "application/json"
_JSON_HEADERS: Final = CIMultiDict({**SECURITY_HEADERS, "Content-Type": JSON_TYPE})
_PROBLEM_HEADERS: Final = CIMultiDict({**SECURITY_HEADERS, "Content-Type": PROBLEM_TYPE})


def json_answer(value: Any, status: int = 200) -> web.Response:
    return WholeResponse(status=status, body=orjson.dumps(value), headers=_JSON_HEADERS)


def reply_answer(reply: Reply) -> web.Response:
    """A stored reply, byte for byte."""
    headers = _JSON_HEADERS if reply.status < 400 else _PROBLEM_HEADERS  # noqa: PLR2004  the HTTP class
    return WholeResponse(status=reply.status, body=reply.body, headers=headers)


def page_answer(request: web.Request, rows: Sequence[Any], next_cursor: str | None, **more: Any) -> web.Response:
    """One page of a list, with where it goes on in the body and in `Link`; `more` stands beside them."""
    answer = json_answer({"data": rows, "next_cursor": next_cursor, **more})
    if next_cursor is not None:
        # Relative: Dargah does not know by which name the caller reached it.
        following = request.rel_url.update_query(cursor=next_cursor)
        answer.headers["Link"] = f'<{following}>; rel="next"'
    return answer
