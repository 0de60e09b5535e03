"""The load of the SIGKILL campaign: storefronts that create payments, and customers who pay, or do not.

Each payment is a story of its own; the seed and the payment's number draw all its choices. Stories begin at a fixed
rate whether Dargah is up or not, as customers do.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp

from .. import met
from ..history_lines import bank_key
from .stage import Stage, Storefront

MAX_STORIES: Final = 3000
# A Dargah that is up has long done by then what is asked of it.
ENDING_SECONDS: Final = 120.0
# How often a customer tries a page again before giving up; the storefront never does.
CUSTOMER_TRIES: Final = 6
LONGEST_PAUSE_SECONDS: Final = 0.5
# A storefront's, whose creates wait for minutes where a disk is full for so long.
PATIENT_PAUSE_SECONDS: Final = 5.0
HABITS: Final = {
    "pays and returns": 50,
    "pays and returns twice at once": 8,
    "pays and never returns": 14,
    "cancels": 8,
    "fails": 5,
    "cancels, then pays": 5,
    "cancels, then pays and never returns": 5,
    "pays one order twice": 5,
    "leaves": 5,
}
# Nobody asks about such a payment: its money is the watcher's to find.
LEFT_ALONE: Final = "cancels, then pays and never returns"
PAGES: Final = {"pay": "open the pay link", "return": "return"}
_ANSWERED: Final = (200, 303)


@dataclass(frozen=True, slots=True)
class Shown:
    """A payment whose create was answered 201: what the storefront holds Dargah to."""

    number: int
    storefront: Storefront
    key: str
    id: str
    amount_rials: int
    pay_url: str
    invoice_key: str


@dataclass(slots=True)
class Load:
    stage: Stage
    seed: int
    rate: float
    shown: dict[str, Shown] = field(default_factory=dict)
    links_followed: set[str] = field(default_factory=set)
    left_alone: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)
    _under_way: list[tuple[str, str]] = field(default_factory=list)
    _stories: set[asyncio.Task[None]] = field(default_factory=set)
    _stopping: bool = False

    async def run(self) -> None:
        """Begins stories until `stop`, then returns when all have ended. Raises AssertionError when they do not."""
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        while not self._stopping:
            if loop.time() - began >= number / self.rate and len(self._stories) < MAX_STORIES:
                self._begin(number)
                number += 1
            else:
                await asyncio.sleep(1 / self.rate)
        self.counts["seconds of load"] = round(loop.time() - began)
        self.counts["payments a second"] = round(number / (loop.time() - began))
        self.counts["stories"] = number
        left = (await asyncio.wait(self._stories, timeout=ENDING_SECONDS))[1] if self._stories else set()
        for story in left:
            story.cancel()
        assert not left, f"{len(left)} stories did not end: Dargah is up, and does not do what it is asked for"

    def stop(self) -> None:
        self._stopping = True

    async def api(
        self, storefront: Storefront, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of a call; status 0 when Dargah is not there or goes away."""
        headers = {"Authorization": f"Bearer {storefront.token}"} | ({} if key is None else {"Idempotency-Key": key})
        operation = "create" if key is not None else "check" if path.endswith("/check") else ""
        about = self._ids.get(key, "") if key is not None else path.removesuffix("/check").rpartition("/")[2]
        with self._going(operation, about):
            status, document = await self._called(storefront, method, path, body, key, headers)
        if "version" in document:
            self.told[document["id"]] = document["status"]
            if key is not None:
                self._ids[key] = document["id"]
        return status, document

    async def _called(
        self, storefront: Storefront, method: str, path: str, body: Any, key: str | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        url, history = self.stage.process.url + path, self.stage.history
        began, status, document = history.now(), 0, {}
        try:
            async with self.stage.session.request(method, url, json=body, headers=headers) as answer:
                document = await answer.json(content_type=None)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            document = {}
        told = {"method": method, "path": path, "key": key, "sent": body, "status": status, "answer": document}
        owner = {"merchant": storefront.merchant_id, "mode": storefront.mode}
        history.note("call", **owner, **told, began=began, ended=history.now())
        return status, document

    def meet(self, fault: str) -> None:
        """Counts that a fault strikes what is under way, in the state that was told last."""
        for operation, payment_id in self._under_way:
            self.counts[met.key(operation, fault, self.told.get(payment_id, "none"))] += 1

    @contextmanager
    def _going(self, operation: str, payment_id: str) -> Iterator[None]:
        self._under_way.append((operation, payment_id))
        try:
            yield
        finally:
            self._under_way.remove((operation, payment_id))

    def _begin(self, number: int) -> None:
        task = asyncio.create_task(self._told(number))
        self._stories.add(task)
        task.add_done_callback(self._stories.discard)

    async def _told(self, number: int) -> None:
        try:
            await self._story(number)
        except Exception as error:  # noqa: BLE001  a story that breaks is told at the end, with all others
            self.violations.append(f"story {number} broke: {error!r}")

    async def _story(self, number: int) -> None:
        random = Random(f"{self.seed}|{number}")
        storefront = random.choice(self.stage.storefronts)
        amount = random.randrange(1_000, 5_000_000) * 10  # which every family takes
        (habit,) = random.choices(tuple(HABITS), tuple(HABITS.values()))
        # One order that is paid twice has both its links out before either is paid.
        attempts = range(2 if habit == "pays one order twice" else 1)
        created = [await self._create(number, attempt, storefront, amount, random) for attempt in attempts]
        for shown in filter(None, created):
            if habit == LEFT_ALONE:
                self.left_alone.add(shown.id)
            await self._customer(shown, habit, random)
            if random.random() < 0.3:
                await self._ask(shown, random)
            if random.random() < 0.1:
                await self._create(number, 0, storefront, amount, random)
            if random.random() < 0.05:
                await self._pry(shown, random)

    async def _create(
        self, number: int, attempt: int, storefront: Storefront, amount: int, random: Random
    ) -> Shown | None:
        """The payment, asked for with one key until there is a definite answer; None when that is a refusal."""
        key = f"key-{number}-{attempt}"
        order = {
            "amount": amount,
            "currency": "IRR",
            "order_id": f"order-{number}",
            "return_url": "https://shop.example/back",
        }
        for longest in _longer_and_longer():
            self.stage.moments.tell("creating")
            status, document = await self.api(storefront, "POST", "/v1/payments", order, key)
            if status == 201:
                self.stage.moments.tell("created")
                links = document["pay_url"], bank_key(document["invoice_key"])
                return self._keep(Shown(number, storefront, key, document["id"], amount, *links))
            code = document.get("code", "no answer")
            self.counts[f"create: {code}"] += 1
            if code in {"gateway_refused", "order_already_paid", "payment_closed"}:
                return None
            if status not in {0, 409, 429, 502, 503, 504}:
                self.violations.append(f"create of {key} was answered {status} {document}")
                return None
            await asyncio.sleep(random.uniform(0.05, longest))
        raise AssertionError("it asks for ever")

    def _keep(self, shown: Shown) -> Shown:
        self.shown[shown.id] = shown
        return shown

    async def _customer(self, shown: Shown, habit: str, random: Random) -> None:
        if habit == "leaves":
            return
        invoice_key = await self._follow_link(shown, random)
        if invoice_key is None:
            self.counts["customers who gave up"] += 1
            return
        for act in _acts(habit):
            self.stage.moments.tell("paying")
            status, visit = await self.stage.control("POST", f"/invoices/{invoice_key}/{act}")
            if status != 200:
                continue
            trips = [] if act == "pay" and habit.endswith("never returns") else visit["returns"]
            if habit == "pays and returns twice at once":
                trips *= 2
            await asyncio.gather(*(self._come_back(shown, trip, random) for trip in trips))

    async def _follow_link(self, shown: Shown, random: Random) -> str | None:
        """The invoice to which the pay link leads, by redirect or form; None when there is none (any more)."""
        path = "/pay/" + shown.pay_url.rpartition("/")[2]
        for _ in range(CUSTOMER_TRIES):
            status, location, page = await self._browse(shown, "pay", "GET", self.stage.process.url + path)
            if status == 303 or (status == 200 and f'value="{shown.invoice_key}"' in page):
                if status == 303 and shown.invoice_key not in unquote(location):
                    self.violations.append(f"{shown.id} leads to {location}")
                self.links_followed.add(shown.id)
                return shown.invoice_key
            if status == 200:
                return None
            if status not in {0, 503}:
                self.violations.append(f"a pay link was answered {status}: {shown.id}")
                return None
            await asyncio.sleep(random.uniform(0.1, LONGEST_PAUSE_SECONDS))
        return None

    async def _come_back(self, shown: Shown, trip: dict[str, Any], random: Random) -> None:
        origin, _, path = trip["return_url"].partition("/return/")
        if origin != self.stage.public_url:
            self.violations.append(f"{shown.id} returns to {origin}")
        for _ in range(CUSTOMER_TRIES):
            self.stage.moments.tell("returning")
            form = trip["params"] if trip["return_method"] == "post" else None
            url = f"{self.stage.process.url}/return/{path}"
            status, *_ = await self._browse(shown, "return", "GET" if form is None else "POST", url, form)
            self.stage.moments.tell("returned")
            if status in _ANSWERED:
                return
            if status not in {0, 503}:
                self.violations.append(f"a return was answered {status}: {shown.id}")
                return
            await asyncio.sleep(random.uniform(0.1, LONGEST_PAUSE_SECONDS))

    async def _browse(
        self, shown: Shown, page: str, method: str, url: str, form: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        """The status, where it leads and the page; 0 when Dargah is not there or goes away."""
        status, location, page_text = 0, "", ""
        with self._going(PAGES[page], shown.id), suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
            async with self.stage.session.request(method, url, data=form, allow_redirects=False) as answer:
                page_text = await answer.text()
                status, location = answer.status, answer.headers.get("Location", "")
        if state := parse_qs(urlsplit(location).query).get("status"):
            self.told[shown.id] = state[0]
        self.stage.history.note("page", payment=shown.id, page=page, status=status, location=location)
        return status, location, page_text

    async def _pry(self, shown: Shown, random: Random) -> None:
        """Another storefront asks for it."""
        others = [each for each in self.stage.storefronts if each != shown.storefront]
        await self.api(random.choice(others), "GET", f"/v1/payments/{shown.id}")

    async def _ask(self, shown: Shown, random: Random) -> None:
        """The storefront asks what became of it: by a read, by its timeline, or by a check."""
        self.stage.moments.tell("checking")
        ways = [("GET", ""), ("GET", "/timeline"), ("POST", "/check")]
        method, tail = random.choice(ways[:2] if shown.id in self.left_alone else ways)
        status, document = await self.api(shown.storefront, method, f"/v1/payments/{shown.id}{tail}")
        if status not in {0, 200, 503}:
            self.violations.append(f"{method} of {shown.id} was answered {status} {document}")


def _longer_and_longer() -> Iterator[float]:
    longest = LONGEST_PAUSE_SECONDS
    while True:
        yield longest
        longest = min(longest * 1.5, PATIENT_PAUSE_SECONDS)


def _acts(habit: str) -> tuple[str, ...]:
    match habit:
        case "cancels":
            return ("cancel",)
        case "fails":
            return ("fail",)
        case "cancels, then pays" | "cancels, then pays and never returns":
            return ("cancel", "pay")
        case _:
            return ("pay",)
