"""The network of the simulation: the simulator's gateway and the merchants' receivers, behind turns and faults."""

import base64
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import orjson

from proxy.adapters.gateway_answers import MAX_ANSWER_BYTES, Broken, Raw, check_fact, request_fact
from proxy.clock import SECOND
from proxy.facts import Canceled, NotPaid
from proxy.records import Account, Answer, Checked, Outgoing, Requested
from proxy.simulator.gateway import Gateway as SimulatedGateway
from proxy.simulator.ledger import State
from proxy.simulator.reply import Reply
from proxy.watch import FROM_LINK

from .world_loop import Clock
from .world_turns import Dice, Turns

CALL_TIMEOUT: Final = 10 * SECOND
SEND_TIMEOUT: Final = 20 * SECOND
DARGAH_IP: Final = "192.0.2.10"


class NetGateway:
    """ports.Gateway over the simulator's pure layer; answers are read by the real adapter's own parser.

    `down` holds the api_keys whose gateway cannot be reached at all.
    """

    def __init__(self, bank: SimulatedGateway, clock: Clock, turns: Turns, down: set[str]) -> None:
        self._bank = bank
        self._clock = clock
        self._turns = turns
        self._down = down

    async def request(self, account: Account, amount_rials: int, return_url: str) -> Requested:
        fields = {"api_key": account.api_key, "amount": str(amount_rials), "return_url": return_url}
        started = self._clock()
        answer = await self._call("request", account, lambda: self._bank.request(fields, DARGAH_IP))
        return Requested(request_fact(answer), self._clock() - started)

    async def check(self, account: Account, invoice_key: str) -> Checked:
        fields = {"api_key": account.api_key}
        started = self._clock()
        answer = await self._call("check", account, lambda: self._bank.check(invoice_key, fields, DARGAH_IP))
        fact = check_fact(invoice_key, answer)
        if isinstance(fact, NotPaid | Canceled) and self._lies_at_the_end(invoice_key):
            fact = check_fact(invoice_key, Broken("timeout", timed_out=True))
        return Checked(fact, self._clock() - started)

    def _lies_at_the_end(self, invoice_key: str) -> bool:
        """A clear "not paid" of captured money is believed at the watch's end, and nothing but `recover` asks again.

        Until then chaos may lie so as often as it likes; this one lie no proxy could see through.
        """
        invoice = self._bank.bank.invoice(invoice_key)
        return invoice.state is State.CAPTURED and self._clock() >= invoice.created_at + FROM_LINK[-1]

    async def _call(self, name: str, account: Account, ask: Callable[[], Reply]) -> Raw | Broken:
        started = self._clock()
        await self._turns.wait(f"{name}: sent")
        if account.api_key in self._down:
            return Broken("refused_connection")
        reply = ask()
        seconds = reply.delay_seconds + reply.drip_seconds * len(reply.body)
        await self._turns.wait(f"{name}: answered", self._clock() + min(round(seconds * SECOND), CALL_TIMEOUT))
        if self._clock() - started >= CALL_TIMEOUT:
            return Broken("timeout", timed_out=True)
        if reply.reset:
            return Broken("reset")
        return Raw(reply.status, reply.body[: MAX_ANSWER_BYTES + 1])


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

    def take(self, outgoing: Outgoing) -> str | None:
        """Takes a webhook; what is wrong with it, if anything."""
        headers = outgoing.headers
        message_id = headers["webhook-id"]
        signed = f"{message_id}.{headers['webhook-timestamp']}.".encode() + outgoing.body
        if not any(_mac(key, signed) in headers["webhook-signature"].split() for key in self.keys):
            return f"the signature of {message_id} is not one of this endpoint's keys"
        if self.bodies.setdefault(message_id, outgoing.body) != outgoing.body:
            return f"{message_id} came with another body than before"
        self.times[message_id] += 1
        return None


def _mac(key: str, signed: bytes) -> str:
    secret = base64.b64decode(key.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


class NetSender:
    """ports.Sender. `arrived` is told of each webhook that a receiver took, and of what is wrong with it."""

    def __init__(
        self,
        receivers: dict[str, Receiver],
        clock: Clock,
        turns: Turns,
        dice: Dice,
        arrived: Callable[[Outgoing, str | None], None],
    ) -> None:
        self._receivers = receivers
        self._clock = clock
        self._turns = turns
        self._dice = dice
        self._arrived = arrived

    async def send(self, outgoing: Outgoing) -> Answer:
        started = self._clock()
        receiver = self._receivers[outgoing.url]
        await self._turns.wait("webhook: sent")
        mode = receiver.mode
        if mode is Mode.AWAY:
            return Answer(None, "refused", self._clock() - started)
        takes = mode in {Mode.GOOD, Mode.LOSING} or (mode is Mode.HANGING and self._dice.of_action().random() < 0.5)
        if takes:
            self._arrived(outgoing, receiver.take(outgoing))
        await self._turns.wait("webhook: answered", self._clock() + (SEND_TIMEOUT if mode is Mode.HANGING else 0))
        took = self._clock() - started
        if took >= SEND_TIMEOUT:
            return Answer(None, "timeout", took)
        if mode is Mode.LOSING:
            return Answer(None, "reset", took)
        status = {Mode.GOOD: 200, Mode.BUSY: 503, Mode.GONE: 410}.get(mode, 500)
        return Answer(status, None, took, b"taken" if takes else b"no", 60 if mode is Mode.BUSY else None)


def event_of(body: bytes) -> tuple[str, str, int, int]:
    """The type, subject, version and rials that a webhook's body tells of; an endpoint has no version and no rials."""
    message = orjson.loads(body)
    data = message["data"]
    return message["type"], data["id"], data.get("version", 0), data.get("amount_rials", 0)
