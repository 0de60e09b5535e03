"""What storefronts, customers, strangers and operators do in the market, and what each of them must be told."""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from e2e.playground import OPERATOR_TOKEN, RETURN_ORIGIN
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    initialize,
    multiple,
    rule,
)

from proxy.clock import HOUR, MINUTE, SECOND
from proxy.simulator.bank import AlreadyCapturedError
from proxy.simulator.faults import Fault, Kind, Operation, Rule
from proxy.simulator.gateway import Act
from proxy.way_back import verify

from .machine_market import STOREFRONTS, Market
from .machine_model import CANCELED, CAPTURED, EXPIRES_IN, Hook, Sale

HOPS: Final = (1 * SECOND, 20 * SECOND, 4 * MINUTE, 31 * MINUTE, 5 * HOUR)
# The watch ends 72 hours after the link; money that a customer gives after that is found by a return only.
LONGEST_PLAY: Final = 70 * HOUR
MAX_UNCLEAR: Final = 4  # the fifth opens the breaker, which has tests of its own
UNCLEAR: Final = (
    *(Fault(kind) for kind in (Kind.RESET, Kind.LOST, Kind.HTTP_500, Kind.HTML, Kind.TRUNCATED, Kind.FOREIGN)),
    Fault(Kind.ERROR, code=301),
    Fault(Kind.ERROR, code=999),
)
EVENT_TYPES: Final = ("payment.paid", "payment.canceled", "payment.expired", "payment.needs_review", "payment.failed")
AMOUNTS: Final = st.one_of(st.integers(1000, 10**9), st.just(2**53 - 1))
BAD: Final[tuple[tuple[dict[str, Any], int], ...]] = (
    ({"amount": 999}, 422),
    ({"amount": 15_000.5}, 422),
    ({"amount": "15000"}, 422),
    ({"amount": True}, 422),
    ({"amount": 2**53}, 422),
    ({"amount": -15_000}, 422),
    ({"currency": "USD"}, 422),
    ({"order_id": ""}, 422),
    ({"order_id": "a\u0000b"}, 422),
    ({"return_url": "https://evil.example/"}, 422),
    ({"expires_in": 1}, 422),
    ({"metadata": {"a": [1]}}, 422),
    ({"terminal_id": "trm_none"}, 422),
    ({"colour": "red"}, 422),
)


class Trade(Market):
    """A market with its rules."""

    sales: Bundle[Sale] = Bundle("sales")
    hooks: Bundle[Hook] = Bundle("hooks")

    @initialize(target=sales, storefronts=st.lists(st.sampled_from(STOREFRONTS), min_size=3, max_size=3))
    def begin_with(self, storefronts: list[str]) -> Any:
        """A shop that sells, so that no example is about an empty one."""
        return multiple(*(self.create(name, 0, 150_000, "IRR", None, UNCLEAR[0]) for name in storefronts))

    @rule(
        target=sales,
        storefront=st.sampled_from(STOREFRONTS),
        order=st.integers(0, 2),
        amount=AMOUNTS,
        currency=st.sampled_from(("IRR", "IRR", "IRT")),
        trouble=st.sampled_from((None, None, None, None, "refused", "unclear")),
        fault=st.sampled_from(UNCLEAR),
    )
    def create(self, storefront: str, order: int, amount: int, currency: str, trouble: str | None, fault: Fault) -> Any:
        self.keys += 1
        body = {
            "amount": amount if currency == "IRR" or amount <= 10**9 else amount // 10,
            "currency": currency,
            "order_id": f"order-{order}",
            "return_url": f"{RETURN_ORIGIN}/back?order={order}",
            "expires_in": EXPIRES_IN // SECOND,
        }
        sale = Sale(storefront, f"key-{self.keys}", body, self.now)
        if self.model.unclear >= MAX_UNCLEAR and trouble == "unclear":
            trouble = None
        said = self._create(sale, trouble, fault)
        owner = self.model.paid_orders.get(sale.order_key)
        if owner is not None:
            assert (said.status, said.code, said.json["payment_id"]) == (409, "order_already_paid", owner.id), said
            return multiple()
        self.model.sales.append(sale)
        self._created(sale, said, trouble)
        return sale

    @rule(sale=sales, other_body=st.booleans())
    def create_again(self, sale: Sale, other_body: bool) -> None:
        body = sale.order | ({"description": "another"} if other_body else {})
        said = self._call(sale, "POST", "/v1/payments", body, key=sale.key)
        if other_body:
            assert (said.status, said.code) == (422, "idempotency_key_reused"), said
        elif sale.reply is not None:
            assert (said.status, said.body) == sale.reply
        elif sale.status == "created":
            self._created(sale, said, None)
        else:
            assert (said.status, said.code) == (409, "payment_closed"), said

    @rule(storefront=st.sampled_from(STOREFRONTS), bad=st.sampled_from(BAD))
    def create_badly(self, storefront: str, bad: tuple[dict[str, Any], int]) -> None:
        members, status = bad
        body = {"amount": 15_000, "currency": "IRR", "order_id": "bad"} | members
        token = self.tokens[storefront][1]
        assert self.ground.call("POST", "/v1/payments", body, token=token, key="bad").status == status
        assert self.ground.call("POST", "/v1/payments", body, token=token).code == "idempotency_key_required"
        assert self.ground.call("POST", "/v1/payments", b"{", token=token, key="bad").code == "malformed_json"

    @rule(sale=sales, act=st.sampled_from((Act.PAY, Act.PAY, Act.CANCEL, Act.FAIL)))
    def at_the_bank(self, sale: Sale, act: Act) -> None:
        if not sale.invoice_key:
            return
        try:
            self.ground.gateway.act(sale.invoice_key, act)
        except AlreadyCapturedError:
            assert sale.bank == CAPTURED
            return
        if sale.bank != CAPTURED:
            sale.bank = CAPTURED if act is Act.PAY else CANCELED
            sale.acted_at = self.now

    @rule(sale=sales, other=sales, forged=st.booleans(), post=st.booleans())
    def come_back(self, sale: Sale, other: Sale, forged: bool, post: bool) -> None:
        if not sale.link:
            return
        params = {"invoice_key": sale.invoice_key}
        if forged:
            params = {"invoice_key": other.invoice_key or "0", "status": "0", "bank_code": "123456789012"}
        query = "" if post else "?" + "&".join(f"{name}={value}" for name, value in params.items())
        said = self.ground.call("POST" if post else "GET", f"/return/{sale.link}{query}", form=params if post else None)
        self.model.settle(sale, self.now)
        assert said.status == 303, said
        home = {name: values[0] for name, values in parse_qs(urlsplit(said.headers["Location"]).query).items()}
        assert verify(self.return_secret, home)
        assert (home["payment_id"], home["status"]) == (sale.id, sale.status)

    @rule(sale=sales, amount_differs=st.sampled_from((False, False, True)))
    def check(self, sale: Sale, amount_differs: bool) -> None:
        self._check(sale, "amount" if amount_differs else None)

    @rule(sale=sales, fault=st.sampled_from(UNCLEAR))
    def check_unclearly(self, sale: Sale, fault: Fault) -> None:
        self._check(sale, "unclear", fault)

    def _check(self, sale: Sale, trouble: str | None, fault: Fault = UNCLEAR[0]) -> None:
        asked = sale.status in {"pending", "canceled", "expired"}
        unclear = asked and trouble == "unclear" and self.model.unclear < MAX_UNCLEAR
        differs = asked and trouble == "amount" and sale.bank == CAPTURED and sale.rials >= 10_000
        if unclear:
            self.ground.gateway.faults.add(Rule(Operation.CHECK, fault, times=2))
        if differs:
            self.ground.gateway.faults.add(Rule(Operation.CHECK, Fault(Kind.WRONG_AMOUNT), times=1))
        said = self._call(sale, "POST", f"/v1/payments/{sale.id}/check") if sale.id else None
        self.ground.gateway.faults.clear()
        if said is None:
            return
        if unclear:
            self.model.unclear += 1
        else:
            self.model.settle(sale, self.now, amount_differs=differs)
        known = {CAPTURED: "captured", CANCELED: "canceled"}.get(sale.bank, "not_paid")
        outcome = "unknown" if unclear else known if asked else "not_asked"
        assert (said.status, said.json["status"], said.json["check"]["outcome"]) == (200, sale.status, outcome), said

    @rule(sale=sales, returns=st.booleans())
    def buy(self, sale: Sale, returns: bool) -> None:
        self.at_the_bank(sale, Act.PAY)
        if returns:
            self.come_back(sale, sale, forged=False, post=False)
        else:
            self.time_passes(4 * MINUTE)

    @rule(sale=sales, decision=st.sampled_from(("accepted", "refunded", "rejected")))
    def resolve(self, sale: Sale, decision: str) -> None:
        path, body = f"/admin/v1/payments/{sale.id}/resolve", {"decision": decision, "note": "seen"}
        said = self.ground.call("POST", path, body, token=OPERATOR_TOKEN, admin=True)
        if sale.status != "needs_review" or sale.resolved:
            assert (said.status, said.code) == (409, "no_open_review"), said
            return
        self.model.resolve(sale)
        assert (said.status, said.json["review"]["resolution"]["decision"]) == (200, decision), said

    @rule(sale=sales)
    def open_link(self, sale: Sale) -> None:
        if not sale.link:
            return
        said = self.ground.call("GET", f"/pay/{sale.link}")
        if self.now >= sale.expires_at and sale.status == "pending":
            self.model.settle(sale, self.now)
        if said.status == 200 and sale.status == "pending":
            # A gateway that has not been answering is told of; who wants may go there all the same.
            assert b'data-state="gateway_down"' in said.body, said
            said = self.ground.call("GET", f"/pay/{sale.link}?go=1")
        if sale.status == "pending":
            assert (said.status, said.headers["Location"].rsplit("/", 1)[-1]) == (303, sale.invoice_key)
        else:
            assert said.status == 200

    @rule(hop=st.sampled_from(HOPS))
    def time_passes(self, hop: int) -> None:
        if self.now + hop - self.began < LONGEST_PLAY:
            self._pass(hop)

    @rule(
        storefront=st.sampled_from(STOREFRONTS),
        limit=st.integers(1, 7),
        status=st.sampled_from((None, "paid", "pending")),
        data=st.data(),
    )
    def walk_payments(self, storefront: str, limit: int, status: str | None, data: st.DataObject) -> None:
        query = f"/v1/payments?limit={limit}" + (f"&status={status}" if status else "")
        wanted = [sale.id for sale in self.model.of(storefront) if status in {None, sale.status}]
        assert [row["id"] for row in self._walk(storefront, query, limit, data)] == wanted

    @rule(storefront=st.sampled_from(STOREFRONTS), limit=st.integers(1, 7), data=st.data())
    def walk_events(self, storefront: str, limit: int, data: st.DataObject) -> None:
        rows = self._walk(storefront, f"/v1/events?limit={limit}", limit, data)
        sequences = [row["sequence"] for row in rows]
        assert sequences == sorted(set(sequences))
        for sale in self.model.of(storefront):
            assert [row["type"] for row in rows if row["payment_id"] == sale.id] == sale.events

    @initialize(target=hooks)
    def begin_listening(self) -> Any:
        return self.add_hook(None, [])

    @rule(
        target=hooks,
        storefront=st.sampled_from((None, *STOREFRONTS)),
        types=st.lists(st.sampled_from(EVENT_TYPES), unique=True, max_size=2),
    )
    def add_hook(self, storefront: str | None, types: list[str]) -> Any:
        name = f"{self.merchant_id}-{len(self.model.hooks)}"
        body = {"url": f"{self.ground.hooks.url}/{name}", "storefront": storefront, "event_types": types}
        said = self.ground.call("POST", "/v1/webhook-endpoints", body, token=self.tokens["main"][1])
        assert said.status == 201, said
        self.ground.hooks.secrets[name] = said.json["secret"]
        hook = Hook(name, said.json["id"], storefront, tuple(types))
        self.model.hooks.append(hook)
        return hook

    @rule(hook=hooks, what=st.sampled_from(("pause", "resume", "delete")))
    def change_hook(self, hook: Hook, what: str) -> None:
        path, token = f"/v1/webhook-endpoints/{hook.id}", self.tokens["books"][1]
        if what == "delete":
            said = self.ground.call("DELETE", path, token=token)
            assert said.status == (404 if hook.gone else 204)
            hook.gone = True
            return
        said = self.ground.call("PATCH", path, {"paused": what == "pause"}, token=token)
        assert said.status == (404 if hook.gone else 200)
        hook.paused = what == "pause"

    @rule(hook=hooks, sale=sales)
    def buy_while_paused(self, hook: Hook, sale: Sale) -> None:
        self.change_hook(hook, "pause")
        self.buy(sale, returns=True)
        self.change_hook(hook, "resume")

    @rule(storefront=st.sampled_from(STOREFRONTS))
    def change_token(self, storefront: str) -> None:
        old_id, old = self.tokens[storefront]
        self.tokens[storefront] = self.ground.token(self.merchant_id, storefront)
        assert self.ground.call("GET", "/v1/payments", token=old).status == 200
        self.ground.operator("DELETE", f"/merchants/{self.merchant_id}/tokens/{old_id}")
        for method, path in (("GET", "/v1/payments"), ("GET", "/v1/events"), ("POST", "/v1/payments")):
            assert self.ground.call(method, path, token=old, key="k").code == "unauthenticated"

    @rule(sale=sales)
    def strangers_look(self, sale: Sale) -> None:
        other = next(name for name in STOREFRONTS if name != sale.storefront)
        for token in (self.stranger, self.tokens[other][1]):
            for method, suffix in (("GET", ""), ("GET", "/timeline"), ("POST", "/check")):
                path = f"/v1/payments/{sale.id}{suffix}"
                assert self.ground.call(method, path, token=token).code == "not_found"
