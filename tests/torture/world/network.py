"""The network of the simulation: the simulator's gateway and the merchants' receivers, behind turns and faults."""

import base64
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

import orjson

from proxy.gateways.answers import MAX_ANSWER_BYTES, HttpAnswer, NoAnswer
from proxy.gateways.family import Family
from proxy.gateways.invoice_script.answers import check_outcome, request_outcome
from proxy.gateways.invoice_script.simulator import InvoiceScriptSimulator
from proxy.gateways.port import (
    NO_EVIDENCE,
    NO_PURCHASE,
    Account,
    Canceled,
    CheckResult,
    CheckUnknown,
    Evidence,
    GatewayClient,
    Inquiry,
    NothingOffered,
    NotPaid,
    Purchase,
    RequestResult,
)
from proxy.gateways.registry import Families
from proxy.gateways.simulation.faults import FaultKind as Fault
from proxy.gateways.simulation.gateway import SimulatedGateway
from proxy.gateways.simulation.ledger import State
from proxy.gateways.simulation.replies import WireReply
from proxy.kernel.clock import MINUTE, SECOND
from proxy.payments.check_schedule import FROM_LINK
from proxy.webhooks.request import WebhookRequest, WebhookResult

from .. import met
from .chronicle import Chronicle
from .families import DARGAH_IP, Ask, Carry, Wire, bank_key, carried_by, client_of, main_id
from .loop import ABOUT, About, Clock, Dice, Turns

CALL_TIMEOUT: Final = 10 * SECOND
SEND_TIMEOUT: Final = 20 * SECOND
TIMESTAMP_TOLERANCE: Final = 5 * MINUTE


class Meets(Protocol):
    """Who counts which fault struck what, and knows the state of the payment that has an invoice."""

    def met(self, fault: str, about: About) -> None: ...

    def state_of_invoice(self, invoice_key: str) -> str: ...

    @property
    def history(self) -> Chronicle: ...


_TAKEN: Final = frozenset({State.CONFIRMED, State.CAPTURED})
_FAULTS: Final[dict[str, str]] = {
    **dict.fromkeys((Fault.LOST, Fault.RESET, Fault.DELAY, Fault.DRIP), met.NO_ANSWER),
    **dict.fromkeys((Fault.WRONG_AMOUNT, Fault.WRONG_BANK_CODE, Fault.REUSED_BANK_CODE), met.WRONG_MONEY),
}


class NetGateway(NothingOffered):
    """`gateways.port.Gateway` over the simulator's pure layer; answers are read by the real adapter's own parser.

    Its calls are those of the invoice script.
    """

    def __init__(self, script: InvoiceScriptSimulator, lines: "Lines", clock: Clock, meets: Meets) -> None:
        self._meets = meets
        self._script = script
        self._clock = clock
        self._lines = lines

    async def close(self) -> None:
        pass

    async def request(
        self, account: Account, amount_rials: int, return_url: str, _purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        fields = {"api_key": account.credentials["api_key"], "amount": str(amount_rials), "return_url": return_url}
        started = self._clock()
        about = About("created")

        async def ask() -> WireReply:
            reply = self._script.request(fields, DARGAH_IP)
            self._meets.history.refused(account.credentials["api_key"], amount_rials, reply)
            return reply

        answer = await self._lines.call("request", account, about, ask)
        return RequestResult(request_outcome(answer), self._clock() - started)

    async def check(self, account: Account, invoice_key: str, _evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        fields = {"api_key": account.credentials["api_key"]}
        started = self._clock()
        about = About(self._meets.state_of_invoice(invoice_key))

        async def ask() -> WireReply:
            reply = self._script.check(invoice_key, fields, DARGAH_IP)
            self._meets.history.said(invoice_key, reply, started)
            return reply

        answer = await self._lines.call("check", account, about, ask)
        fact = check_outcome(invoice_key, answer)
        if isinstance(fact, NotPaid | Canceled) and self._lines.lies_at_the_end(invoice_key):
            fact = check_outcome(invoice_key, NoAnswer("timeout", timed_out=True))
        return CheckResult(fact, self._clock() - started)


class NetClient:
    """`gateways.port.Gateway` by a family's own client, whose calls meet turns and faults."""

    def __init__(self, client: GatewayClient, lines: "Lines", meets: Meets) -> None:
        self._client = client
        self._lines = lines
        self._meets = meets

    async def close(self) -> None:
        pass

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        def refused(reply: WireReply) -> None:
            self._meets.history.refused_with(main_id(account), amount_rials, reply.code)

        with carried_by(self._carry("request", account, About("created"), refused)):
            return await self._client.request(account, amount_rials, return_url, purchase)

    async def check(self, account: Account, invoice_key: str, evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        about = About(self._meets.state_of_invoice(invoice_key))
        with carried_by(self._carry("check", account, about)):
            return self._heard(await self._client.check(account, invoice_key, evidence))

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        with carried_by(self._carry("confirm", account, self._about(inquiry))):
            return self._heard(await self._client.confirm(account, inquiry))

    async def settle(self, account: Account, inquiry: Inquiry) -> CheckResult:
        with carried_by(self._carry("settle", account, self._about(inquiry))):
            return self._heard(await self._client.settle(account, inquiry))

    async def reverse(self, account: Account, inquiry: Inquiry) -> CheckResult:
        with carried_by(self._carry("reverse", account, self._about(inquiry))):
            return await self._client.reverse(account, inquiry)

    def _heard(self, result: CheckResult) -> CheckResult:
        outcome = result.outcome
        if isinstance(outcome, NotPaid | Canceled) and self._lines.lies_at_the_end(bank_key(outcome.invoice_key)):
            return CheckResult(CheckUnknown(outcome.invoice_key, "timeout"), result.duration_ms)
        return result

    def _about(self, inquiry: Inquiry) -> About:
        return About(self._meets.state_of_invoice(inquiry.invoice_key))

    def _carry(
        self, name: str, account: Account, about: About, seen: Callable[[WireReply], None] = lambda _reply: None
    ) -> "Carry":
        async def carry(post: Ask) -> HttpAnswer | NoAnswer:
            async def ask() -> WireReply:
                reply = await post()
                seen(reply)
                return reply

            return await self._lines.call(name, account, about, ask)

        return carry


class Lines:
    """What lies between Dargah and the gateways. `down` holds the main ids of terminals whose gateway is not there."""

    def __init__(self, gateway: SimulatedGateway, clock: Clock, turns: Turns, down: set[str], meets: Meets) -> None:
        self._gateway = gateway
        self._clock = clock
        self._turns = turns
        self._down = down
        self._meets = meets

    def lies_at_the_end(self, invoice_key: str) -> bool:
        """A clear "not paid" of captured money is believed at the watch's end, and nothing but `recover` asks again.

        Until then chaos may lie so as often as it likes; this one lie no proxy could see through.
        """
        invoice = self._gateway.bank.invoice(invoice_key)
        return invoice.state in _TAKEN and self._clock() >= invoice.created_at + FROM_LINK[-1]

    async def call(self, name: str, account: Account, about: About, ask: Ask) -> HttpAnswer | NoAnswer:
        token = ABOUT.set(about)
        try:
            return await self._asked(name, account, about, ask)
        finally:
            ABOUT.reset(token)

    async def _asked(self, name: str, account: Account, about: About, ask: Ask) -> HttpAnswer | NoAnswer:
        started = self._clock()
        await self._turns.wait(f"{name}: sent")
        if main_id(account) in self._down:
            self._meets.met(met.NO_ANSWER, about)
            return NoAnswer("refused_connection")
        reply = await self._faulty(about, ask)
        seconds = reply.delay_seconds + reply.drip_seconds * len(reply.body)
        await self._turns.wait(f"{name}: answered", self._clock() + min(round(seconds * SECOND), CALL_TIMEOUT))
        if self._clock() - started >= CALL_TIMEOUT:
            return NoAnswer("timeout", timed_out=True)
        if reply.reset:
            return NoAnswer("reset")
        return HttpAnswer(reply.status, reply.body[: MAX_ANSWER_BYTES + 1])

    async def _faulty(self, about: About, ask: Ask) -> WireReply:
        """The reply; a fault that struck it is counted."""
        before = Counter(self._gateway.faults.struck)
        reply = await ask()
        for struck in self._gateway.faults.struck - before:
            self._meets.met(_FAULTS.get(struck.partition(":")[2], met.OTHER_ANSWER), about)
        return reply


def net_gateway(
    script: InvoiceScriptSimulator, wires: Mapping[str, Wire], clock: Clock, turns: Turns, down: set[str], meets: Meets
) -> Families:
    """Each call by its terminal's family, as Dargah's own; all of them through the same turns and faults."""
    lines = Lines(script.gateway, clock, turns, down, meets)

    def make(family: Family) -> GatewayClient:
        if family.name not in wires:
            return NetGateway(script, lines, clock, meets)
        return NetClient(client_of(family, wires[family.name], clock), lines, meets)

    return Families(make)


class Mode(StrEnum):
    """How a receiver behaves."""

    GOOD = "good"
    FAILING = "failing"
    HANGING = "hanging"
    LOSING = "losing"
    """It takes the webhook, and its answer gets lost."""
    AWAY = "away"
    BUSY = "busy"
    """503 with a Retry-After of a minute."""
    GONE = "gone"


@dataclass(slots=True)
class Receiver:
    """A merchant's receiver: verifies with its secrets (`keys`) as the specification says, remembers every id."""

    url: str
    keys: tuple[str, ...] = ()
    mode: Mode = Mode.GOOD
    bodies: dict[str, bytes] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)

    def take(self, request: WebhookRequest) -> str | None:
        """Takes a webhook; what is wrong with it, if anything."""
        headers = request.headers
        message_id = headers["webhook-id"]
        signed = f"{message_id}.{headers['webhook-timestamp']}.".encode() + request.body
        if not any(_mac(key, signed) in headers["webhook-signature"].split() for key in self.keys):
            return f"the signature of {message_id} is not one of this endpoint's keys"
        if self.bodies.setdefault(message_id, request.body) != request.body:
            return f"{message_id} came with another body than before"
        self.times[message_id] += 1
        return None


def _mac(key: str, signed: bytes) -> str:
    secret = base64.b64decode(key.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


class NetSender:
    """A webhook `Sender`. `arrived` is told of each webhook that a receiver took, of what is wrong with it, and how
    it was answered: 0 when the answer will not arrive.
    """

    def __init__(
        self,
        receivers: dict[str, Receiver],
        clock: Clock,
        turns: Turns,
        dice: Dice,
        arrived: Callable[[WebhookRequest, str | None, int], None],
        meets: Meets,
    ) -> None:
        self._meets = meets
        self._receivers = receivers
        self._clock = clock
        self._turns = turns
        self._dice = dice
        self._arrived = arrived

    async def send(self, request: WebhookRequest) -> WebhookResult:
        event_type, *_ = event_of(request.body)
        about = About(event_type.removeprefix("payment."), "deliver")
        token = ABOUT.set(about)
        try:
            return await self._sent(request, about)
        finally:
            ABOUT.reset(token)

    async def _sent(self, request: WebhookRequest, about: About) -> WebhookResult:
        started = self._clock()
        receiver = self._receivers[request.url]
        await self._turns.wait("webhook: sent")
        mode = receiver.mode
        if mode is not Mode.GOOD:
            silent = mode in {Mode.HANGING, Mode.LOSING, Mode.AWAY}
            self._meets.met(met.NO_ANSWER if silent else met.OTHER_ANSWER, about)
        if mode is Mode.AWAY:
            return WebhookResult(None, "refused", self._clock() - started)
        if abs(int(request.headers["webhook-timestamp"]) * SECOND - started) > TIMESTAMP_TOLERANCE:
            return WebhookResult(400, None, 0, b"the timestamp is not of now")
        takes = mode in {Mode.GOOD, Mode.LOSING} or (mode is Mode.HANGING and self._dice.of_action().random() < 0.5)
        if takes:
            self._arrived(request, receiver.take(request), 200 if mode is Mode.GOOD else 0)
        await self._turns.wait("webhook: answered", self._clock() + (SEND_TIMEOUT if mode is Mode.HANGING else 0))
        took = self._clock() - started
        if took >= SEND_TIMEOUT:
            return WebhookResult(None, "timeout", took)
        if mode is Mode.LOSING:
            return WebhookResult(None, "reset", took)
        status = {Mode.GOOD: 200, Mode.BUSY: 503, Mode.GONE: 410}.get(mode, 500)
        return WebhookResult(status, None, took, b"taken" if takes else b"no", 60 if mode is Mode.BUSY else None)


def event_of(body: bytes) -> tuple[str, str, int, int]:
    """The type, subject, version and rials that a webhook's body tells of; an endpoint has no version and no rials."""
    message = orjson.loads(body)
    data = message["data"]
    return message["type"], data["id"], data.get("version", 0), data.get("amount_rials", 0)
