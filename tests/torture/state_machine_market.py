"""The market that the state machine plays in: one merchant with two storefronts, and what must be true of it.

What is expected are payments, orders, endpoints and events as a shop would keep them on paper. After each step the API,
the gateway's ledger and that model must agree; at the end every webhook must have come.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
from support.dargah import OPERATOR_TOKEN

from proxy.gateways.simulation.faults import Fault, FaultKind, GatewayOperation, Rule
from proxy.gateways.simulation.ledger import State
from proxy.kernel.clock import HOUR, MINUTE
from proxy.payments.check_schedule import FROM_LINK, GAPS, SOON

from .state_machine_ground import Ground, Said

OPEN, CAPTURED, CANCELED = "open", "captured", "canceled"
EXPIRES_IN: Final = 30 * MINUTE


@dataclass(slots=True, eq=False)
class Sale:
    """One Idempotency-Key and what came of it. `bank` is the invoice's state at the gateway, since `acted_at`."""

    storefront: str
    key: str
    order: dict[str, Any]
    made_at: int
    id: str = ""
    invoice_key: str = ""
    link: str = ""
    reply: tuple[int, bytes] | None = None
    status: str = "created"
    late: bool = False
    review: str | None = None
    resolved: bool = False
    bank: str = OPEN
    acted_at: int = 0
    linked_at: int = 0
    events: list[str] = field(default_factory=list)

    @property
    def order_key(self) -> tuple[str, str]:
        return self.storefront, self.order["order_id"]

    @property
    def rials(self) -> int:
        amount: int = self.order["amount"]
        return amount * 10 if self.order["currency"] == "IRT" else amount

    @property
    def expires_at(self) -> int:
        return self.made_at + EXPIRES_IN


@dataclass(slots=True, eq=False)
class Hook:
    """An endpoint. `due` are the sales' events, counted by the model when they happened while it was there."""

    name: str
    id: str
    storefront: str | None
    types: tuple[str, ...]
    paused: bool = False
    gone: bool = False
    due: set[tuple[str, str]] = field(default_factory=set)

    def wants(self, sale: Sale, kind: str) -> bool:
        return not self.gone and self.storefront in {None, sale.storefront} and (not self.types or kind in self.types)


@dataclass(slots=True)
class Model:
    """The shop's paper."""

    sales: list[Sale] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    paid_orders: dict[tuple[str, str], Sale] = field(default_factory=dict)
    unclear: int = 0

    def of(self, storefront: str) -> list[Sale]:
        """A storefront's payments, as a list shows them."""
        return sorted((sale for sale in self.sales if sale.storefront == storefront), key=lambda sale: sale.id)[::-1]

    def settle(self, sale: Sale, now: int, *, amount_differs: bool = False) -> None:
        """The gateway was asked and answered clearly."""
        if sale.status in {"created", "failed", "paid", "needs_review"}:
            return
        self.unclear = 0
        if sale.bank == CAPTURED:
            self._captured(sale, amount_differs=amount_differs)
        elif sale.status == "pending" and sale.bank == CANCELED:
            self.tell(sale, "canceled")
        elif sale.status == "pending" and now >= sale.expires_at:
            self.tell(sale, "expired")

    def must_be_settled(self, sale: Sale, now: int) -> bool:
        """Whether the watch has looked since the customer last did something at the bank, or since the expiry."""
        # A watch waits no longer than the gap of its point, which is that of its time or an earlier one.
        gap = next(gap for gap, delay in zip(GAPS, FROM_LINK, strict=True) if sale.acted_at < sale.linked_at + delay)
        expiring = sale.status == "pending" and now >= sale.expires_at
        return expiring or now >= sale.acted_at + max(gap, SOON[-1])

    def tell(self, sale: Sale, status: str) -> None:
        """`sale` becomes `status`, and every endpoint that wants to know is owed it."""
        sale.status = status
        self._owe(sale, f"payment.{status}")

    def resolve(self, sale: Sale) -> None:
        """The operator has decided: the status stays, and the merchant is told."""
        sale.resolved = True
        self._owe(sale, "payment.review_resolved")

    def _owe(self, sale: Sale, kind: str) -> None:
        sale.events.append(kind)
        for hook in self.hooks:
            if hook.wants(sale, kind):
                hook.due.add((sale.id, kind))

    def _captured(self, sale: Sale, *, amount_differs: bool) -> None:
        owner = self.paid_orders.get(sale.order_key)
        if amount_differs or owner is not None:
            sale.review = "amount_differs" if amount_differs else "order_paid_twice"
            self.tell(sale, "needs_review")
            return
        sale.late = sale.status != "pending"
        self.paid_orders[sale.order_key] = sale
        self.tell(sale, "paid")


STOREFRONTS: Final = ("main", "books")
REST: Final = 53 * HOUR


class Market(RuleBasedStateMachine):
    """One merchant with two storefronts, and a stranger. `ground` is set on a subclass."""

    ground: Ground

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        made = self.ground.merchant(*STOREFRONTS)
        self.merchant_id, self.return_secret, self.api_key, self.tokens = made
        _, _, _, strangers = self.ground.merchant("main")
        self.ground.secrets.append(self.api_key)
        self.stranger = strangers["main"][1]
        self.began = self.now
        self.keys = 0

    @property
    def now(self) -> int:
        return self.ground.now

    @invariant()
    def everybody_agrees(self) -> None:
        for storefront in STOREFRONTS:
            path = "/v1/payments?limit=100"
            said = self.ground.call("GET", path, token=self.tokens[storefront][1], held=False).json["data"]
            shown = [(row["id"], row["status"], row["late"], row["amount_rials"]) for row in said]
            sales = self.model.of(storefront)
            assert shown == [(sale.id, sale.status, sale.late, sale.rials) for sale in sales]
            for row, sale in zip(said, sales, strict=True):
                self._is_the_ledgers(row, sale)

    def teardown(self) -> None:
        for hook in self.model.hooks:
            if hook.paused and not hook.gone:
                self.ask_hooks(hook.storefront, "PATCH", f"/{hook.id}", {"paused": False})
        # Each point of a watch needs an answer of its own, however much time has passed.
        for _ in range(2 * len(FROM_LINK + SOON)):
            self._pass(REST)
            if self.ground.nothing_is_due():
                break
        assert self.ground.nothing_is_due()
        for sale in self.model.sales:
            assert sale.bank != CAPTURED or sale.status in {"paid", "needs_review"}, sale
        self._hooks_have_come()
        counts = self.ground.counts
        counts["examples"] += 1
        counts["payments"] += len(self.model.sales)
        counts["captured by the ledger"] += sum(sale.bank == CAPTURED for sale in self.model.sales)
        counts["paid"] += sum(sale.status == "paid" for sale in self.model.sales)
        counts["in review"] += sum(sale.status == "needs_review" for sale in self.model.sales)

    def _call(self, sale: Sale, method: str, path: str, body: Any = None, key: str = "") -> Said:
        return self.ground.call(method, path, body, token=self.tokens[sale.storefront][1], key=key)

    def _create(self, sale: Sale, trouble: str | None, fault: Fault) -> Said:
        struck = {"refused": Fault(FaultKind.ERROR, code=203), "unclear": fault}.get(trouble or "")
        if struck is not None:
            self.ground.gateway.faults.add(Rule(GatewayOperation.REQUEST, struck, times=1))
        said = self._call(sale, "POST", "/v1/payments", sale.order, key=sale.key)
        self.ground.gateway.faults.clear()
        return said

    def _created(self, sale: Sale, said: Said, trouble: str | None) -> None:
        if trouble == "unclear":
            self.model.unclear += 1
            assert (said.status, said.code) == (502, "gateway_unclear"), said
            sale.id = said.json["payment_id"]
            return
        self.model.unclear = 0
        sale.reply = (said.status, said.body)
        if trouble == "refused":
            assert (said.status, said.code, said.json["gateway_error_code"]) == (502, "gateway_refused", 203), said
            sale.id = said.json["payment_id"]
            self.model.tell(sale, "failed")
            return
        assert (said.status, said.json["status"]) == (201, "pending"), said
        assert sale.id in {"", said.json["id"]}
        sale.id, sale.invoice_key, sale.status = said.json["id"], said.json["invoice_key"], "pending"
        sale.link, sale.linked_at = said.json["pay_url"].rsplit("/", 1)[-1], self.now

    def _pass(self, hop: int) -> None:
        self.ground.forward(hop)
        for sale in self.model.sales:
            if sale.status == "created" and self.now >= sale.expires_at:
                self.model.tell(sale, "failed")
        # Of two payments of one order the first that was asked about is the paid one: the watch's order, not ours.
        found = {sale.id: self._shown(sale) for sale in self.model.sales}
        for sale in sorted(self.model.sales, key=lambda sale: found[sale.id]["status"] == "needs_review"):
            if found[sale.id]["status"] != sale.status or self.model.must_be_settled(sale, self.now):
                self.model.settle(sale, self.now)

    def _shown(self, sale: Sale) -> Any:
        path = f"/v1/payments/{sale.id}"
        return self.ground.call("GET", path, token=self.tokens[sale.storefront][1], held=False).json

    def _walk(self, storefront: str, query: str, limit: int, data: st.DataObject) -> list[Any]:
        """Every page; and a cursor with one character changed is refused."""
        rows: list[Any] = []
        cursor, token = "", self.tokens[storefront][1]
        while True:
            said = self.ground.call("GET", f"{query}{cursor}", token=token)
            assert said.status == 200, said
            page = said.json
            rows += page["data"]
            if page["next_cursor"] is None:
                return rows
            assert len(page["data"]) == limit
            at = data.draw(st.integers(0, len(page["next_cursor"]) - 1))
            tampered = _changed(page["next_cursor"], at)
            assert self.ground.call("GET", f"{query}&cursor={tampered}", token=token).status == 422
            cursor = f"&cursor={page['next_cursor']}"

    def _is_the_ledgers(self, row: Any, sale: Sale) -> None:
        if sale.status == "needs_review":
            assert row["review"]["reason"] == sale.review
        if sale.status == "paid":
            invoice = self.ground.gateway.bank.invoice(row["invoice_key"])
            told = (invoice.state, invoice.api_key, invoice.amount_rials, invoice.bank_code)
            assert told == (State.CAPTURED, self.api_key, row["amount_rials"], row["bank_code"])

    def ask_hooks(self, storefront: str | None, method: str, suffix: str, body: Any = None) -> Said:
        """What a storefront is told about its endpoints, or the operator about those of all storefronts."""
        if storefront is None:
            path = f"/admin/v1/merchants/{self.merchant_id}/endpoints{suffix}"
            return self.ground.call(method, path, body, token=OPERATOR_TOKEN, admin=True)
        return self.ground.call(method, f"/v1/webhook-endpoints{suffix}", body, token=self.tokens[storefront][1])

    def _hooks_have_come(self) -> None:
        assert self.ground.hooks.wrong == []
        events: dict[str, Any] = {}
        for storefront in STOREFRONTS:
            said = self.ground.call("GET", "/v1/events?limit=100", token=self.tokens[storefront][1], held=False)
            assert said.status == 200, said
            events |= {row["id"]: row for row in said.json["data"]}
        for hook in self.model.hooks:
            arrived = self.ground.hooks.arrived.pop(hook.name, {})
            told = [(events[event_id]["payment_id"], events[event_id]["type"]) for event_id in arrived]
            assert len(set(told)) == len(told), "one event came under two ids"
            assert set(told) <= hook.due
            assert hook.gone or set(told) == hook.due
            self.ground.counts["webhooks due"] += 0 if hook.gone else len(hook.due)


def _changed(text: str, at: int) -> str:
    return f"{text[:at]}{'A' if text[at] != 'A' else 'Q'}{text[at + 1 :]}"
