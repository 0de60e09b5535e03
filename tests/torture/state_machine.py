"""The state machine: `python -m tests.torture.state_machine --examples 400 --steps 60 [--seed N]`.

Hypothesis draws what storefronts, customers, strangers and operators do over the real HTTP API, and each of them must
be told what a model on paper says; after each step the API, the gateway's ledger and the model must agree, and at the
end of each example every webhook must have come.
"""

import re
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import click
from hypothesis import Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, multiple, rule, run_state_machine_as_test
from support.dargah import OPERATOR_TOKEN
from support.shop import RETURN_ORIGIN

from proxy.gateways.simulation.faults import Fault, FaultKind, GatewayOperation, Rule
from proxy.gateways.simulation.gateway import Act
from proxy.gateways.simulation.terms import AlreadyCapturedError
from proxy.kernel.clock import HOUR, MINUTE, SECOND
from proxy.merchants.merchant import Mode
from proxy.observability import logs
from proxy.payments.return_url import verify

from . import scratch, seed_option
from .properties import profile
from .state_machine_ground import Ground, Said, ground
from .state_machine_market import CANCELED, CAPTURED, EXPIRES_IN, STOREFRONTS, Hook, Market, Sale

HOPS: Final = (1 * SECOND, 20 * SECOND, 4 * MINUTE, 31 * MINUTE, 5 * HOUR)
# The watch ends 72 hours after the link; money that a customer gives after that is found by a return only.
LONGEST_PLAY: Final = 70 * HOUR
MAX_UNCLEAR: Final = 4  # the fifth opens the breaker, which has tests of its own
_SILENT: Final = (FaultKind.RESET, FaultKind.LOST)
_GARBLED: Final = (FaultKind.HTTP_500, FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.FOREIGN)
UNCLEAR: Final = (*map(Fault, _SILENT + _GARBLED), *(Fault(FaultKind.ERROR, code=code) for code in (301, 999)))
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


def _shown(said: Said) -> str:
    """The state that a customer's page shows; the empty text when it is no page."""
    found = re.search(rb'<main data-state="([a-z_]+)"', said.body)
    return found[1].decode() if said.status == 200 and found else ""


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
        assert verify(self.return_secret, Mode.LIVE, home)
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
            self.ground.gateway.faults.add(Rule(GatewayOperation.CHECK, fault, times=2))
        if differs:
            self.ground.gateway.faults.add(Rule(GatewayOperation.CHECK, Fault(FaultKind.WRONG_AMOUNT), times=1))
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
        if sale.status == "pending" and self._call(sale, "GET", f"/v1/payments/{sale.id}").json["status"] != "pending":
            # A link that is opened again, or late, asks the gateway first, at most so often a minute.
            self.model.settle(sale, self.now)
        owner = self.model.paid_orders.get(sale.order_key)
        if owner is not None and owner is not sale and sale.status != "needs_review":
            assert _shown(said) == "order_paid", said
            return
        if _shown(said) == "gateway_down":
            # A gateway that has not been answering is told of; who wants may go there all the same.
            said = self.ground.call("GET", f"/pay/{sale.link}?go=1")
        if sale.status == "pending" and self.now >= sale.expires_at:
            assert _shown(said) == "time_is_up", said
        elif sale.status == "pending":
            assert (said.status, said.headers["Location"].rsplit("/", 1)[-1]) == (303, sale.invoice_key)
        else:
            assert _shown(said) == sale.status, said

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
        said = self.ask_hooks(storefront, "POST", "", body)
        assert said.status == 201, said
        self.ground.hooks.secrets[name] = said.json["secret"]
        hook = Hook(name, said.json["id"], storefront, tuple(types))
        self.model.hooks.append(hook)
        return hook

    @rule(hook=hooks, what=st.sampled_from(("pause", "resume", "delete")))
    def change_hook(self, hook: Hook, what: str) -> None:
        for other in STOREFRONTS:
            if other != hook.storefront:
                path = f"/v1/webhook-endpoints/{hook.id}"
                assert self.ground.call("GET", path, token=self.tokens[other][1]).code == "not_found"
        if what == "delete":
            said = self.ask_hooks(hook.storefront, "DELETE", f"/{hook.id}")
            assert said.status == (404 if hook.gone else 204)
            hook.gone = True
            return
        said = self.ask_hooks(hook.storefront, "PATCH", f"/{hook.id}", {"paused": what == "pause"})
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


def play(made: Ground, chosen_seed: int, examples: int, steps: int, *, shrinks: bool = True) -> None:
    """Plays the examples of a seed. Raises what Hypothesis raises, with the shortest story found if it `shrinks`."""
    trade = seed(chosen_seed)(type("Trade", (Trade,), {"ground": made}))
    chosen = profile(examples, steps)
    if not shrinks:
        chosen = settings(chosen, phases=(Phase.generate,), report_multiple_bugs=False)
    run_state_machine_as_test(trade, settings=chosen)


def in_a_folder(work: Callable[[Ground], None]) -> Ground:
    """`work` on a ground whose files go away with it."""
    with scratch() as folder, ground(folder) as made:
        work(made)
        return made


@click.command()
@click.option("--examples", default=400, show_default=True)
@click.option("--steps", default=60, show_default=True)
@seed_option
def main(examples: int, steps: int, seed: int) -> None:
    """Plays the state machine; a broken promise ends it with the shortest story found."""
    logs.configure("error", "json")
    click.echo(f"machine: seed {seed}, {examples} examples of up to {steps} steps")
    began = time.monotonic()
    made = in_a_folder(lambda on: play(on, seed, examples, steps))
    for name, count in sorted((made.counts + made.hooks.times).items()):
        click.echo(f"  {name}: {count:,}")
    click.echo(f"machine: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
