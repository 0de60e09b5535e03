"""The stories about what is credited, and how often: repeats, order, and whose money it is. Each can be read alone."""

from collections.abc import Mapping
from typing import Any, Final

from proxy.merchants.merchant import Mode
from proxy.operations.certification.message import PAID, Message, Way, to
from proxy.operations.certification.orders import ShopOrder
from proxy.operations.certification.story import ANOTHER_ORDER, Expected, ShopStory, StoryGroup
from proxy.webhooks.event import EventType

PAID_VERSION_4: Final = Message(data=to(version=4))


def _ten_times(order: ShopOrder) -> Mapping[str, Any]:
    return {"amount_rials": order.amount_rials * 10}


def _a_tenth(order: ShopOrder) -> Mapping[str, Any]:
    return {"amount_rials": order.amount_rials // 10}


def _a_toman_less(order: ShopOrder) -> Mapping[str, Any]:
    return {"amount_rials": order.amount_rials - 10}


def _older(kind: EventType, *, payment: int = 1) -> Message:
    """An event of the payment from before it was paid."""
    return Message(kind.value, event=2, payment=payment, data=to(version=3))


REPEATS: Final = (
    ShopStory(
        "same_twice",
        StoryGroup.REPEATS,
        "The same request twice, byte for byte",
        Expected.CREDITED,
        (PAID, PAID),
        "Make webhook-id a unique key, written in one transaction with the credit, and answer a repeat 2xx.",
        "once-each-in-any-order",
    ),
    ShopStory(
        "retry",
        StoryGroup.REPEATS,
        "The same event again with a later webhook-timestamp and its signature, as Dargah's retries have",
        Expected.CREDITED,
        (Message(sent_ago=30), PAID),
        "Know a repeat by webhook-id alone: timestamp and signature are new each time.",
        "once-each-in-any-order",
    ),
    ShopStory(
        "at_once",
        StoryGroup.REPEATS,
        "The same event four times at one moment",
        Expected.CREDITED,
        (Message(way=Way.TOGETHER),),
        "Insert webhook-id under a unique key first: to look and then to write lets two requests in.",
        "once-each-in-any-order",
    ),
    ShopStory(
        "late_canceled",
        StoryGroup.REPEATS,
        "payment.paid, then the older payment.canceled of the same payment",
        Expected.CREDITED,
        (PAID_VERSION_4, _older(EventType.CANCELED)),
        "Keep the greatest data.version of each payment and leave an older one be; a paid order stays paid.",
        "once-each-in-any-order",
    ),
    ShopStory(
        "late_expired",
        StoryGroup.REPEATS,
        "payment.paid, then the older payment.expired of the same payment",
        Expected.CREDITED,
        (PAID_VERSION_4, _older(EventType.EXPIRED)),
        "Keep the greatest data.version of each payment and leave an older one be; a paid order stays paid.",
        "once-each-in-any-order",
    ),
    ShopStory(
        "other_link_canceled",
        StoryGroup.REPEATS,
        "payment.paid, then payment.canceled of another payment of the same order",
        Expected.CREDITED,
        (PAID_VERSION_4, _older(EventType.CANCELED, payment=2)),
        "An order may see several payments: the end of one of them is no reason to cancel an order that is paid.",
        "paymentcanceled",
    ),
    ShopStory(
        "paid_after_expired",
        StoryGroup.REPEATS,
        "payment.expired, then payment.paid of the same payment with late: true",
        Expected.CREDITED,
        (_older(EventType.EXPIRED), Message(data=to(version=4, late=True))),
        "The customer did pay: credit the order, or give the money back if the goods are gone.",
        "paymentexpired",
    ),
    ShopStory(
        "paid_after_canceled",
        StoryGroup.REPEATS,
        "payment.canceled, then payment.paid of the same payment with late: true",
        Expected.CREDITED,
        (_older(EventType.CANCELED), Message(data=to(version=4, late=True))),
        "The customer did pay: credit the order, or give the money back if the goods are gone.",
        "paymentcanceled",
    ),
)

CONTENT: Final = (
    ShopStory(
        "other_storefront",
        StoryGroup.CONTENT,
        "payment.paid of another storefront, with this order's number and amount",
        Expected.NOT_CREDITED,
        (Message(data=to(storefront="certify-another-shop")),),
        "Compare data.storefront with your own: another shop of the same merchant has an order of that number too.",
        "webhooks",
    ),
    ShopStory(
        "a_toman_less",
        StoryGroup.CONTENT,
        "payment.paid of a toman less than the order costs",
        Expected.NOT_CREDITED,
        (Message(data=_a_toman_less),),
        "Compare data.amount_rials with what the order costs, exactly.",
        "webhooks",
    ),
    ShopStory(
        "ten_times",
        StoryGroup.CONTENT,
        "payment.paid of ten times the amount, whose toman are the order's rials",
        Expected.NOT_CREDITED,
        (Message(data=_ten_times),),
        "Compare data.amount_rials with the order's rials; a shop that keeps toman multiplies its own by ten.",
        "webhooks",
    ),
    ShopStory(
        "a_tenth",
        StoryGroup.CONTENT,
        "payment.paid of a tenth of the amount, whose rials are the order's toman",
        Expected.NOT_CREDITED,
        (Message(data=_a_tenth),),
        "Compare data.amount_rials with the order's rials; a shop that keeps toman multiplies its own by ten.",
        "webhooks",
    ),
    ShopStory(
        "unknown_order",
        StoryGroup.CONTENT,
        "payment.paid of an order that the shop does not have",
        Expected.NOT_CREDITED,
        (Message(data=to(order_id=ANOTHER_ORDER)),),
        "Answer 2xx for an order that you do not know: an error of the server makes Dargah slow down for the others.",
        "webhooks",
    ),
    ShopStory(
        "needs_review",
        StoryGroup.CONTENT,
        "payment.needs_review of the order: money moved, but not as asked",
        Expected.IGNORED,
        (Message(EventType.NEEDS_REVIEW.value),),
        "Credit on the type payment.paid alone; an operator decides about this one.",
        "paymentneeds_review",
    ),
    ShopStory(
        "given_back",
        StoryGroup.CONTENT,
        "payment.given_back of the order",
        Expected.IGNORED,
        (Message(EventType.GIVEN_BACK.value),),
        "Credit on the type payment.paid alone; this money is not kept.",
        "paymentgiven_back",
    ),
)


def for_mode(mode: Mode) -> tuple[ShopStory, ...]:
    """The stories about the other mode than the shop's, and about test events."""
    other = Mode.TEST if mode is Mode.LIVE else Mode.LIVE
    crossed = ShopStory(
        "other_mode",
        StoryGroup.CONTENT,
        f"payment.paid of the mode {other.value}, with this order's number and amount",
        Expected.NOT_CREDITED,
        (Message(data=to(mode=other.value, test=other is Mode.TEST)),),
        f"Compare data.mode with your own, {mode.value}: no money moves in the mode test.",
        "webhooks",
    )
    test_event = ShopStory(
        "test_event",
        StoryGroup.CONTENT,
        'A test event: payment.paid of the mode live with "test": true',
        Expected.NOT_CREDITED,
        (Message(data=to(test=True)),),
        "Compare data.test too: `dargah trigger` makes live events for which no money moved.",
        "webhooks",
    )
    return (crossed, test_event) if mode is Mode.LIVE else (crossed,)
