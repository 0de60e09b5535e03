"""A protocol of shops on the public listener: its paths, and its errors."""

import re
from collections.abc import Callable
from typing import Final

from aiohttp import web

from proxy.http.problems import InternalError, problem_of
from proxy.kernel.errors import DargahError, GatewayError, RateLimited, Unavailable
from proxy.kernel.frozen import dataclass

# A protocol's paths stand under any prefix, with or without a slash behind them.
ANY_PREFIX: Final = "/{prefix:(?:.*/)?}"
ANY_END: Final = "{end:/?}"
_NOTHING_KNOWN: Final = (RateLimited, GatewayError, Unavailable, InternalError)


@dataclass(frozen=True, slots=True)
class Protocol:
    """`calls` finds the paths of a shop's calls, whose errors have the protocol's form as `error_answer` gives it, and
    `pages` those that customers are sent to. `add_routes` adds both to the public listener's application.
    """

    add_routes: Callable[[web.Application], None]
    calls: re.Pattern[str]
    pages: re.Pattern[str]
    error_answer: Callable[[DargahError], web.Response]

    def error_response(self, error: DargahError) -> web.Response:
        """An error of the tree in the protocol's terms."""
        answer = self.error_answer(error)
        if isinstance(error, RateLimited):
            answer.headers.update(problem_of(error).headers)
        return answer


def unanswered(error: DargahError) -> web.Response | None:
    """The response to a verify or reverse whose error says nothing about the payment; None for another error.

    It is none of the protocol's: some clients take every answer of that but "paid" for a canceled order, and every
    client takes this for a gateway that is down.
    """
    if not isinstance(error, _NOTHING_KNOWN):
        return None
    problem = problem_of(error)
    return web.Response(status=problem.status, headers=problem.headers, text=f"{error.detail}\n")
