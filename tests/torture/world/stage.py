"""Plays actions upon the world, as storefronts, customers, loops, the clock, the operator and fate would.

At the end faults stop, and time runs until nothing is due any more.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, Final
from urllib.parse import unquote

import orjson

from proxy.gateways.family import WayThere
from proxy.gateways.port import INVOICE_SCRIPT
from proxy.gateways.registry import FAMILIES
from proxy.gateways.simulation.faults import Fault, FaultKind, GatewayOperation, Rule
from proxy.gateways.simulation.gateway import Act
from proxy.gateways.simulation.terms import AlreadyCapturedError, LinkExpiredError
from proxy.kernel.clock import AGAIN_AFTER, DAY, HOUR, MINUTE
from proxy.kernel.errors import DargahError
from proxy.merchants.setup import MerchantSetup
from proxy.operations.clock_watch import PAUSED
from proxy.payments.change import Reply
from proxy.payments.check_schedule import FROM_LINK
from proxy.payments.creation import CreateRequest
from proxy.payments.payment import Decision, Payment, Status
from proxy.payments.serializers import payment_data

from . import ALL, Cart, World, new_order, terminal_of
from .audit import Audit
from .families import bank_key
from .loop import LABEL, REST, start, this_loop
from .network import Mode
from .setup import Shop
from .story import MODES, Action, Kind

_EXPIRIES: Final = (5 * MINUTE, 30 * MINUTE, 30 * MINUTE, DAY)
# Money that lands after the watch's end is found by a return only; no gateway leaves an invoice open that long.
_LAST_PAY: Final = FROM_LINK[-1] - 2 * MINUTE
_DIGEST: Final = """
SELECT request_digest FROM payments WHERE merchant_id = ? AND storefront = ? AND idempotency_key = ?
"""
OPERATIONS: Final = {
    Kind.CREATE: "create",
    Kind.RETRY: "create",
    Kind.OPEN: "open the pay link",
    Kind.RETURN: "return",
    Kind.FORGED: "return",
    Kind.CHECK: "check",
    Kind.WATCH: "watch",
    Kind.DELIVER: "deliver",
    Kind.RESOLVE: "resolve",
}
_ACTS: Final = {Kind.PAY: Act.PAY, Kind.CANCEL: Act.CANCEL, Kind.FAIL: Act.FAIL}


class Stage:
    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed
        self._plays: dict[Kind, Callable[[Action], Awaitable[None]]] = {
            Kind.CREATE: self._create,
            Kind.RETRY: self._retry,
            Kind.OPEN: self._opened,
            Kind.RETURN: self._returned,
            Kind.FORGED: self._forged,
            Kind.CHECK: self._checked,
            Kind.WITHDRAW: self._withdrawn,
            Kind.RESOLVE: self._resolved,
            Kind.RACE: self._race,
            Kind.WAIT: self._wait,
            **dict.fromkeys(_ACTS, self._at_the_bank),
            **dict.fromkeys((Kind.WATCH, Kind.DELIVER, Kind.RECOVER, Kind.ROTATE), self._work),
            **dict.fromkeys((Kind.PAUSE, Kind.RESUME), self._paused),
            **dict.fromkeys((Kind.CRASH, Kind.REBOOT), self._crash),
            **dict.fromkeys((Kind.JUMP, Kind.LOOK), self._look),
        }

    async def play(self, action: Action) -> None:
        """Plays one action, and lets its work go on for as many turns as it says."""
        token = LABEL.set(action.number)
        self._world.operations[action.number] = OPERATIONS.get(action.kind, "")
        if action.kind not in {Kind.WATCH, Kind.DELIVER}:  # those are about a receiver, or nobody's payment
            self._world.subjects[action.number] = action.number if action.kind is Kind.CREATE else action.subject
        try:
            self._world.trace.note(str(action))
            if action.kind in self._plays:
                await self._plays[action.kind](action)
            else:
                self._fate(action)
        finally:
            LABEL.reset(token)
        whose = {Kind.GO: action.subject, Kind.SETTLE: None}.get(action.kind, action.number)
        await self._world.go(whose, action.turns)

    def cart(self, number: int) -> Cart | None:
        return self._world.carts.get(number)

    async def _create(self, action: Action) -> None:
        world, random = self._world, Random(f"{self._seed}|order|{action.number}")
        shop = world.shops[action.subject]
        order = new_order(_amount(shop, random), f"order-{action.number}")
        expires_in = random.choice(_EXPIRIES)
        other = self.cart(action.value)
        if other is not None and other.shop == shop:
            order, expires_in = other.order, other.expires_in
        cart = Cart(action.number, shop, order, expires_in, f"key-{action.number}", b"%32d" % action.number)
        world.carts[action.number] = cart
        self._start(action, self._create_and_open(cart, cart.digest))

    async def _retry(self, action: Action) -> None:
        cart = self.cart(action.subject)
        if cart is not None:
            self._start(action, self._create_and_open(cart, b"another body" if action.value else cart.digest))

    async def _opened(self, action: Action) -> None:
        cart = self.cart(action.subject)
        if cart is not None and cart.link:
            self._start(action, self._open(cart))

    async def _at_the_bank(self, action: Action) -> None:
        cart, world = self.cart(action.subject), self._world
        if cart is None or not cart.handed or cart.shop.api_key in world.terminals_down:
            return
        key = cart.handed[-1]
        if world.clock() > world.bank.invoice(key).created_at + _LAST_PAY:
            return
        try:
            visit = world.gateway.act(key, _ACTS[action.kind])
        except (AlreadyCapturedError, LinkExpiredError):
            return
        world.trace.note(f"{key} is {visit.invoice.state} {visit.faults}")
        cart.trips += visit.returns

    async def _returned(self, action: Action) -> None:
        cart = self.cart(action.subject)
        if cart is None or not cart.link:
            return
        if cart.trips:
            cart.brought = dict(cart.trips.pop(0).params)
        params = cart.brought or {"invoice_key": (cart.handed or [""])[-1]}
        self._start(action, self._come_back(cart, params))

    async def _forged(self, action: Action) -> None:
        cart, other = self.cart(action.subject), self.cart(action.value)
        if cart is None or not cart.link:
            return
        self._start(action, self._come_back(cart, self._forgery(cart, other)))

    def _forgery(self, cart: Cart, other: Cart | None) -> dict[str, str]:
        """What claims a success: of the family's own making, or what the customer of another payment brought."""
        world = self._world
        if cart.shop.family != INVOICE_SCRIPT and cart.handed:
            invoice = world.bank.invoice(cart.handed[-1])
            if other is not None and other.brought:
                return other.brought
            return world.wires[cart.shop.family].dialect.forged_params(invoice, world.bank.terminal_of(invoice))
        key = (other.handed or [""])[-1] if other is not None else "0" * 32
        return {"invoice_key": key, "status": "0", "bank_code": "1" * 12}

    async def _withdrawn(self, action: Action) -> None:
        cart = self.cart(action.subject)
        if cart is not None and cart.payment_id:
            self._start(action, self._withdraw(cart))

    async def _checked(self, action: Action) -> None:
        cart = self.cart(action.subject)
        if cart is not None and cart.payment_id:
            self._start(action, self._check(cart))

    async def _resolved(self, action: Action) -> None:
        cart = self.cart(action.subject)
        if cart is not None and cart.payment_id:
            self._start(action, self._resolve(cart, list(Decision)[action.value % 3]))

    async def _work(self, action: Action) -> None:
        process = self._world.process
        works = {Kind.WATCH: process.poller.step, Kind.DELIVER: process.delivery.step, Kind.RECOVER: self._recover}
        work = works.get(action.kind, partial(_rotate_all, process.setup, action.value))
        self._start(action, work())

    async def _paused(self, action: Action) -> None:
        hook, endpoints = self._world.cast.hooks[action.subject], self._world.process.endpoints
        paused = action.kind is Kind.PAUSE
        change = endpoints.change_endpoint(hook.merchant_id, hook.endpoint_id, paused=paused, actor="merchant")
        self._start(action, change)

    async def _race(self, _action: Action) -> None:
        """All at once: what they want of the store is then one batch, in one commit."""
        turns = self._world.turns
        for one in [each for each in turns.parked if each.not_before <= self._world.clock()]:
            turns.let_go(one)

    async def _wait(self, action: Action) -> None:
        self._world.clock.now += action.value
        await self._look(action)
        await this_loop().idle()

    async def _crash(self, action: Action) -> None:
        rebooted = action.kind is Kind.REBOOT
        if action.value and not rebooted:
            self._world.turn_ring()
        await self._world.crash(action.value if rebooted else None)
        await self._look(action)

    async def _look(self, action: Action) -> None:
        self._world.jump(action.value if action.kind is Kind.JUMP else self._world.wrong)
        self._start(action, self._world.process.clocks.step())

    def _fate(self, action: Action) -> None:
        world = self._world
        shop = world.shops[action.subject % len(world.shops)]
        match action.kind:
            case Kind.DOWN:
                world.terminals_down.add(shop.api_key)
            case Kind.UP:
                world.terminals_down.discard(shop.api_key)
            case Kind.UNREACHABLE:
                asks = GatewayOperation.CHECK if FAMILIES[shop.family].traits.checks else GatewayOperation.CONFIRM
                fault, api_key = Fault(FaultKind.ERROR), shop.api_key
                world.gateway.faults.add(Rule(asks, fault, api_key=api_key, times=action.value))
            case Kind.DISABLE | Kind.ENABLE:
                enabled = action.kind is Kind.ENABLE
                world.bank.put_terminal(replace(terminal_of(shop, self._seed), enabled=enabled))
            case Kind.RECEIVER:
                receivers = list(world.receivers.values())
                receivers[action.subject % len(receivers)].mode = MODES[action.value]

    def _start(self, action: Action, work: Any) -> None:
        start(action.number, self._guarded(action, work))

    async def _guarded(self, action: Action, work: Awaitable[Any]) -> None:
        world, turns = self._world, self._world.turns
        try:
            await work
        except DargahError as error:
            world.counts[f"told {error.code}"] += 1
            world.trace.note(f"told {error.code}")
        except Exception as error:  # noqa: BLE001  whatever it is, nobody should have seen it
            if turns.dead:
                return
            world.break_promise("no unexpected error", f"{action} raised {error!r}")

    async def _create_and_open(self, cart: Cart, digest: bytes) -> None:
        process, began = self._world.process, self._world.history.moment()
        token = await process.merchant_cache.authenticate(cart.shop.token)
        request = CreateRequest(cart.order, cart.key, digest, _render, cart.expires_in, cart.shop.terminal_id)
        reply = await process.creation.create(token, request)
        self._replied(cart, reply, digest)
        answer, sent = orjson.loads(reply.body), {"amount": cart.order.amount_rials}
        self._world.history.call(
            cart.shop, "POST", "/v1/payments", answer, began, status=reply.status, key=cart.key, sent=sent
        )
        if cart.link:
            await self._open(cart)

    def _replied(self, cart: Cart, reply: Reply, digest: bytes) -> None:
        world = self._world
        world.trace.note(f"reply {reply.status} {reply.body.decode()}")
        first = world.process.file.raw.execute(
            _DIGEST, (cart.shop.merchant_id, cart.shop.storefront, cart.key)
        ).fetchone()
        if first != (digest,):
            world.break_promise("same key same answer", f"another body under the key of #{cart.number} got {reply}")
        if cart.reply not in (None, reply):
            world.break_promise("same key same answer", f"#{cart.number} got {cart.reply} and {reply}")
        said = orjson.loads(reply.body)
        if cart.payment_id not in ("", said["id"]):
            world.break_promise("one key one payment", f"#{cart.number} got {cart.payment_id} and {said['id']}")
        cart.reply, cart.payment_id = reply, said["id"]
        if reply.status == 201:
            cart.link = said["link"]

    async def _open(self, cart: Cart) -> None:
        self._world.operations[LABEL.get()] = OPERATIONS[Kind.OPEN]
        checkout = self._world.process.checkout
        payment = self._told(await checkout.opened(cart.shop.merchant_id, cart.link))
        self._world.history.page(payment, "pay")
        if payment.status is not Status.PENDING or self._world.process.now() >= payment.expires_at:
            return
        key = self._led_to(payment, await checkout.way_there(payment))
        if key not in cart.handed:
            cart.handed.append(key)
        if len(cart.handed) > 1:
            self._world.break_promise("one payable invoice", f"the customer of #{cart.number} got {cart.handed}")

    def _led_to(self, payment: Payment, way: WayThere) -> str:
        """The bank's key of the invoice whose page the customer gets."""
        if payment.gateway == INVOICE_SCRIPT:
            return way.url.rsplit("/", 1)[-1]
        key = bank_key(payment.invoice_key or "")
        if key not in unquote(way.url) and key not in (way.fields or {}).values():
            self._world.break_promise("one payable invoice", f"the customer of {key} is led to {way}")
        return key

    async def _come_back(self, cart: Cart, params: dict[str, str]) -> None:
        checkup = await self._world.process.checkout.returned(cart.shop.merchant_id, cart.link, params)
        payment = self._told(checkup.payment)
        self._world.history.page(payment, "return")

    async def _check(self, cart: Cart) -> None:
        process, began = self._world.process, self._world.history.moment()
        payment = await process.store.payments.payment(cart.shop.merchant_id, cart.payment_id)
        payment = self._told((await process.checkout.check(payment)).payment)
        self._world.history.call(cart.shop, "POST", f"/v1/payments/{payment.id}/check", payment_data(payment), began)

    async def _withdraw(self, cart: Cart) -> None:
        process, began = self._world.process, self._world.history.moment()
        payment = await process.store.payments.payment(cart.shop.merchant_id, cart.payment_id)
        payment = self._told(await process.checkout.withdraw(payment))
        self._world.counts["withdrawn"] += 1
        self._world.history.call(cart.shop, "POST", f"/v1/payments/{payment.id}/cancel", payment_data(payment), began)

    async def _resolve(self, cart: Cart, decision: Decision) -> None:
        process = self._world.process
        self._told(await process.reviews.resolve(cart.payment_id, decision, "seen", actor="operator"))

    async def _recover(self) -> None:
        recovery, since, reached = self._world.process.recovery, self._world.process.now() - 2 * DAY, None
        while True:
            found = await recovery.step(since, reached, 5)
            for payment in (*found.credited, *found.needs_review):
                self._told(payment)
            if (reached := found.reached) is None:
                return

    def _told(self, payment: Payment) -> Payment:
        """Whoever is told a state is told what is stored: a later one perhaps, an earlier one never."""
        raw = self._world.process.file.raw
        row = raw.execute("SELECT status, version FROM payments WHERE id = ?", (payment.id,)).fetchone()
        newer = row is not None and row[1] > payment.version
        if not newer and row != (payment.status.value, payment.version):
            self._world.break_promise("told is stored", f"{payment.id} was told {payment.status}, stored is {row}")
        return payment


async def _rotate_all(setup: MerchantSetup, limit: int) -> None:
    while not (await setup.rotate(max(1, limit), actor="operator")).done:
        pass


def _amount(shop: Shop, random: Random) -> int:
    """Rials that the storefront's family takes."""
    traits, drawn = FAMILIES[shop.family].traits, random.randrange(1000, 10**7)
    return max(traits.min_rials, drawn) // 10 * 10 if traits.confirms else drawn


def _render(payment: Payment) -> Reply:
    if payment.status is Status.FAILED:
        return Reply(402, orjson.dumps({"id": payment.id}))
    return Reply(201, orjson.dumps(payment_data(payment) | {"link": payment.link}))


MAX_ROUNDS: Final = 3000
_COARSE: Final = 2 * HOUR


def stop_faults(world: World) -> None:
    """The clock is right, the gateway answers as it should and everybody can be reached."""
    world.jump(0)
    world.gateway.faults.clear()
    world.terminals_down.clear()
    for terminal in list(world.bank.terminals.values()):
        if not terminal.enabled:
            world.bank.put_terminal(replace(terminal, enabled=True))
    for receiver in world.receivers.values():
        receiver.mode = Mode.GOOD


async def finish(world: World) -> None:
    """Lets all that is under way end, moving the clock where something waits for it."""
    while True:
        await world.go(None, ALL)
        later = world.turns.next_time()
        if later is None:
            return
        world.clock.now = max(world.clock.now, later)


async def come_to_rest(world: World, audit: Audit, *, coarse: bool) -> None:
    """Switches every endpoint on again, and steps the loops from one due time to the next until there is none.

    `coarse` jumps beyond the due times, as after a long halt, so that much falls due at once. Raises Violation when
    there is no end to it.
    """
    stop_faults(world)
    await _look_at_the_clocks(world)
    await finish(world)
    world.turns.free = True
    await _look_at_the_clocks(world)
    for _ in range(0, AGAIN_AFTER, PAUSED):
        world.clock.now += PAUSED
        await _look_at_the_clocks(world)
    audit.planned()
    for hook in world.cast.hooks:
        await world.process.endpoints.change_endpoint(
            hook.merchant_id, hook.endpoint_id, paused=False, actor="merchant"
        )
    for _ in range(MAX_ROUNDS):
        due_at = await step_loops(world)
        audit.step()
        if due_at is None:
            return
        if due_at > world.clock.now:
            world.clock.now = due_at + (_COARSE if coarse else 0)
    world.break_promise("quiet in bounded time", f"after {MAX_ROUNDS} rounds there still is something due")
    world.raise_if_broken()


async def _look_at_the_clocks(world: World) -> None:
    start(REST, world.process.clocks.step())
    await this_loop().idle()


async def step_loops(world: World) -> int | None:
    """A step of each loop, to the end of all that it starts; gives when something is due next."""
    await _look_at_the_clocks(world)
    for step in (world.process.poller.step, world.process.delivery.step):
        start(REST, step())
        await this_loop().idle()
    await finish(world)
    return await _next_due(world)


async def _next_due(world: World) -> int | None:
    store = world.process.store
    times = [
        time
        for time in (await store.payments.next_check_at(), await store.webhooks.next_delivery_at())
        if time is not None
    ]
    return min(times, default=None)
