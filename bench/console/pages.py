"""Every page of the console and every kind of search, asked for one after the other by an operator who is signed in."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import perf_counter
from typing import Final
from urllib.parse import quote

import aiohttp

from bench.console.history import Place
from bench.console.installation import Installation
from bench.load import Connection, NotAnsweredError
from proxy.console.routes import ROUTES
from proxy.kernel.clock import SECOND
from proxy.kernel.ids import base62
from proxy.locale.day_ranges import tehran_day

_NO_PAGES: Final = frozenset(
    {
        "/payments.csv",
        "/settlement.csv",
        "/merchants/{merchant_id}/logo",
        # These ask of what a form has decided, or of a second factor that is there.
        "/payments/{payment_id}/resolve",
        "/operators/{operator_id}/remove-second-factor",
        "/second-factor/end",
        "/second-factor/recovery-codes",
    }
)
_IDS: Final = frozenset(
    {"payment_id", "endpoint_id", "delivery_id", "merchant_id", "terminal_id", "token_id", "operator_id"}
)
PATHS: Final = [route.path for route in ROUTES if route.method == "GET"]
VISITED: Final = [path for path in PATHS if path not in _NO_PAGES and set(re.findall(r"{(\w+)}", path)) <= _IDS]
"""The pages that are looked at: those of a job, or of what else the month has none of, are not."""
_GOOD: Final = frozenset({b"200", b"303"})
_UNDER_WAY: Final = b'http-equiv="refresh"'
_LOOK_SECONDS: Final = 0.2


@dataclass(slots=True)
class Visits:
    """Of one page: milliseconds of each visit until its answer was there, and of CPU on the average, of Dargah and of
    the database's server.
    """

    name: str
    path: str
    waits_ms: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0
    server_cpu_ms: float = 0.0
    longest_ms: Sequence[float] = ()


class Operator:
    """One operator's browser on one connection."""

    def __init__(self, connection: Connection, cookie: str) -> None:
        self._connection = connection
        self.cookie = cookie

    @classmethod
    async def sign_in(cls, url: str, token: str) -> "Operator":
        """By the form of the console."""
        async with aiohttp.ClientSession() as session:
            form = {"token": token}
            headers = {"Origin": url}
            async with session.post(
                f"{url}/console/login", data=form, headers=headers, allow_redirects=False
            ) as answer:
                cookies = {name: cookie.value for name, cookie in answer.cookies.items()}
        if not cookies:
            raise NotAnsweredError(f"the console answered the login with {answer.status}")
        return cls(await Connection.open(url), "; ".join(f"{name}={value}" for name, value in cookies.items()))

    def request(self, path: str) -> bytes:
        return f"GET /console{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {self.cookie}\r\n\r\n".encode()

    async def look(self, path: str) -> float:
        """The seconds until the whole page was there. Returns when the job that it began is over."""
        began = perf_counter()
        head, _ = await self._asked(path)
        taken = perf_counter() - began
        job = head.partition(b"\r\nLocation: /console")[2].partition(b"\r\n")[0].decode()
        while job.startswith("/jobs/"):
            await asyncio.sleep(_LOOK_SECONDS)
            if _UNDER_WAY not in (await self._asked(job))[1]:
                break
        return taken

    async def _asked(self, path: str) -> tuple[bytes, bytes]:
        head, body = await self._connection.ask_whole(self.request(path))
        if head[9:12] not in _GOOD:
            raise NotAnsweredError(f"{path} was answered {head[9:12].decode()}: not a measurement")
        return head, body

    def close(self) -> None:
        self._connection.close()


def pages_of(place: Place, operator_id: str, now: int) -> list[tuple[str, str]]:
    """The names and addresses of every page of the routes' table, and of the lists by each of their filters. Those that
    begin a job come last.
    """
    values = {name: operator_id if name == "operator_id" else getattr(place, name) for name in _IDS}
    found = [(path, path.format_map(values)) for path in VISITED]
    found.remove(("/search", "/search"))
    found += [(f"{path} by {name}", f"{path}?{query}") for path, name, query in _filtered(place, now)]
    return sorted(found, key=lambda page: begins_job(page[1]))


def begins_job(path: str) -> bool:
    return path.startswith(("/payments/totals", "/settlement?"))


def _filtered(place: Place, now: int) -> list[tuple[str, str, str]]:
    today = tehran_day(now)
    week, month = today - timedelta(days=7), today - timedelta(days=25)
    middle = base62(now - 15 * 86_400 * SECOND, 8) + "0" * 10
    return [
        ("/payments", "place", f"before={middle}"),
        ("/payments", "status", "status=needs_review"),
        ("/payments", "merchant", f"merchant={place.merchant_id}"),
        ("/payments", "order", f"order={place.order_id}"),
        ("/payments", "bank code", f"bank_code={place.bank_code}"),
        ("/payments", "amount", "min=100001&max=100002"),
        ("/payments", "storefront", "storefront=second"),
        ("/payments", "tests", "mode=test"),
        ("/payments", "terminal", f"terminal={place.terminal_id}"),
        ("/payments", "gateway", "gateway=zibal"),
        ("/payments", "day", f"from={week}&to={week}"),
        ("/payments", "time of payment", f"paid_from={week}&paid_to={week}"),
        ("/payments", "oldest", "sort=oldest"),
        ("/payments/totals", "merchant", f"merchant={place.merchant_id}"),
        ("/settlement", "days", f"from={month}&to={today}"),
        ("/settlement", "merchant", f"from={month}&to={today}&merchant={place.merchant_id}"),
        ("/deliveries", "status", "status=failed"),
        ("/deliveries", "type", "type=payment.canceled"),
        ("/deliveries", "merchant", f"merchant={place.merchant_id}"),
        ("/deliveries", "number", f"number={place.order_id}"),
        ("/deliveries", "day", f"from={week}&to={week}"),
        ("/attempts", "outcome", "outcome=failed"),
        ("/attempts", "endpoint", f"endpoint={place.endpoint_id}"),
        ("/resend", "hours", "hours=24"),
        ("/audit", "merchant", f"merchant={place.merchant_id}"),
        ("/merchants", "place", f"after={place.merchant_id}"),
    ]


def searches_of(place: Place) -> Mapping[str, str]:
    """What is typed into the one box, by its kind."""
    return {
        "payment's id": place.payment_id,
        "order": place.order_id,
        "bank code": place.bank_code,
        "invoice key": place.invoice_key,
        "trace number": place.trace_number,
        "card": "0007",
        "beginning of an order": place.order_id[:-1],
        "beginning of a bank code": place.bank_code[:-2],
        "beginning of an id": place.payment_id[:-4],
        "merchant's id": place.merchant_id,
        "merchant's name": "Shop 1234",
        "host": "shop1234.example",
        "amount": "150000",
        "nothing": "no-such-thing",
        "no number": "987654321987",
    }


async def visit(on: Installation, operator: Operator, places: Sequence[tuple[str, str]], times: int) -> list[Visits]:
    """Each of the addresses so often, once where it begins a job, whose CPU counts to its end; the first visit of each
    does not count.
    """
    done = [Visits(*each) for each in places]
    for each in done:
        if times > 1:
            await operator.look(each.path)
        on.holds.reset()
        dargah, server = on.cpu_seconds(), on.server_cpu_seconds()
        for _ in range(1 if begins_job(each.path) else times):
            each.waits_ms.append(1000 * await operator.look(each.path))
        each.cpu_ms = (on.cpu_seconds() - dargah) / len(each.waits_ms) * 1000
        each.server_cpu_ms = (on.server_cpu_seconds() - server) / len(each.waits_ms) * 1000
        each.longest_ms = on.holds.milliseconds()
    return done


def search(text: str) -> str:
    return f"/search?q={quote(text)}"
