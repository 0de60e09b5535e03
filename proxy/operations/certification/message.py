"""A message of a story, and the request that it becomes: its event, body, signature and headers."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Final

from proxy.kernel.clock import SECOND
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import EVENT, PAYMENT, Ids
from proxy.kernel.money import to_toman
from proxy.merchants.merchant import Mode
from proxy.operations.certification.orders import ShopOrder
from proxy.payments.serializers import sample_data
from proxy.webhooks.event import EVENT_TYPES, Event, EventType
from proxy.webhooks.request import content_digest, new_secret, private_key, sign, signed_headers

_KEY_BYTES: Final = 32
_ED25519_BYTES: Final = 64
SIGNATURE: Final = "webhook-signature"


class Way(StrEnum):
    """How a message is sent. TOGETHER is several times at one moment; STALLED stops in the middle of the body, and
    stays open until the message after it was answered; GET and HEAD are no webhooks at all.
    """

    POST = "POST"
    TOGETHER = "together"
    STALLED = "stalled"
    GET = "GET"
    HEAD = "HEAD"


@dataclass(frozen=True, slots=True)
class Keys:
    """The shop's own keys (`whsec_…`, `whsk_…`, or both), keys of the same kinds that another has, and noise."""

    own: tuple[str, ...]
    others: tuple[str, ...]
    noise: bytes

    @classmethod
    def of(cls, own: tuple[str, ...], random_bytes: Callable[[int], bytes]) -> "Keys":
        """Raises ValueError when one of them is no signing key."""
        sign(own, "evt", 0, b"")
        others = tuple(
            (private_key if key.startswith("whsk_") else new_secret)(random_bytes(_KEY_BYTES)) for key in own
        )
        return cls(own, others, random_bytes(_ED25519_BYTES))

    @property
    def public_key_alone(self) -> tuple[str, ...]:
        return tuple(key for key in self.own if key.startswith("whsk_"))


Signature = Callable[[Keys, str, int, bytes], str | None]
"""The signature header of keys, webhook-id, seconds and body; None leaves the header out."""


def right(keys: Keys, message_id: str, seconds: int, body: bytes) -> str:
    return sign(keys.own, message_id, seconds, body)


def of_another(keys: Keys, message_id: str, seconds: int, body: bytes) -> str:
    """As another merchant's endpoint would get it."""
    return sign(keys.others, message_id, seconds, body)


def garbled(keys: Keys, message_id: str, seconds: int, body: bytes) -> str:
    """The right signatures with another first character each."""
    texts = (each.partition(",")[::2] for each in right(keys, message_id, seconds, body).split(" "))
    return " ".join(f"{kind},{'B' if text[0] == 'A' else 'A'}{text[1:]}" for kind, text in texts)


def missing(_keys: Keys, _message_id: str, _seconds: int, _body: bytes) -> None:
    return None


def noise_as_v1a(keys: Keys, _message_id: str, _seconds: int, _body: bytes) -> str:
    """What has the form of an Ed25519 signature."""
    return f"v1a,{base64.b64encode(keys.noise).decode()}"


def right_one_last(keys: Keys, message_id: str, seconds: int, body: bytes) -> str:
    """As in the middle of a rotation, and with a version that nobody knows yet."""
    others = sign(keys.others, message_id, seconds, body)
    return f"{others} v9,{base64.b64encode(keys.noise).decode()} {right(keys, message_id, seconds, body)}"


def only_v1a(keys: Keys, message_id: str, seconds: int, body: bytes) -> str:
    return sign(keys.public_key_alone, message_id, seconds, body)


Change = Callable[[ShopOrder], Mapping[str, Any]]


def to(**values: Any) -> Change:
    """The change to these values."""
    return lambda _order: values


def _unchanged(_order: ShopOrder) -> Mapping[str, Any]:
    return {}


def as_it_is(body: bytes, _order: ShopOrder) -> bytes:
    return body


@dataclass(frozen=True, slots=True)
class Message:
    """One request of a story. Messages with the same `event` have one webhook-id and one body, like Dargah's retries.

    `data` are changes of the payload. `written` gives other bytes of the same JSON, before they are signed; `altered`
    changes them after that. `sent_ago` seconds is the age of its webhook-timestamp, negative for the future.
    """

    type: str = EventType.PAID.value
    event: int = 1
    payment: int = 1
    data: Change = _unchanged
    happened_ago: int = 0
    sent_ago: int = 0
    signature: Signature = right
    written: Callable[[bytes, ShopOrder], bytes] = as_it_is
    altered: Callable[[bytes, ShopOrder], bytes] = as_it_is
    way: Way = Way.POST


PAID: Final = Message()


@dataclass(frozen=True, slots=True)
class Prepared:
    """The headers and the body of a message."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Scene:
    """What the messages of one story share: its order, and the ids of its events and payments, which are its own."""

    order: ShopOrder
    keys: Keys
    mode: Mode
    storefront: str
    merchant_id: str
    ids: Ids
    now: Callable[[], int]
    _events: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    _payments: dict[int, str] = field(default_factory=dict)

    def prepare(self, message: Message) -> Prepared:
        event_id, frozen = self._event(message)
        body = message.written(frozen, self.order)
        at = self.now() - message.sent_ago * SECOND
        sent = message.altered(body, self.order)
        headers = signed_headers(list(self.keys.own), event_id, body, at) | {"content-digest": content_digest(sent)}
        signature = message.signature(self.keys, event_id, at // SECOND, body)
        if signature is None:
            del headers[SIGNATURE]
        else:
            headers[SIGNATURE] = signature
        return Prepared(headers, sent)

    def _event(self, message: Message) -> tuple[str, bytes]:
        if message.event not in self._events:
            at = self.now() - message.happened_ago * SECOND
            event_id = self.ids.record(EVENT, self.merchant_id, at)
            event = Event(
                event_id,
                self.merchant_id,
                self.storefront,
                self.mode,
                message.type,
                None,
                at,
                self._data(message, at),
            )
            self._events[message.event] = event_id, event.body(len(self._events) + 1)
        return self._events[message.event]

    def _data(self, message: Message, at: int) -> Mapping[str, Any]:
        """The sample of this type as a payment of the story's order; an unknown type looks like `payment.paid`."""
        kind = message.type if message.type in EVENT_TYPES else EventType.PAID.value
        data = sample_data(kind, self.merchant_id, self.storefront, self.mode, at, self.ids)
        if kind != EventType.PING:  # which is a test in either mode
            data["test"] = self.mode is Mode.TEST
        if "order_id" not in data:
            return {**data, **message.data(self.order)}
        if message.payment not in self._payments:
            self._payments[message.payment] = self.ids.record(PAYMENT, self.merchant_id, at)
        data |= {
            "id": self._payments[message.payment],
            "order_id": self.order.id,
            "amount_rials": self.order.amount_rials,
            "description": f"certification of order {self.order.id}",
        }
        data |= message.data(self.order)
        data["amount_toman"] = to_toman(data["amount_rials"])
        if data["review"]:
            captured = max(self.order.amount_rials - 1000, 0)
            data["review"] |= {"expected_rials": self.order.amount_rials, "captured_rials": captured}
        return data
