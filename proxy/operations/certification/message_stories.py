"""The stories about the message itself: its signature, its age and its form. Each can be read alone."""

import json
from typing import Final

from proxy.kernel.clock import DAY, MINUTE, SECOND
from proxy.operations.certification.message import (
    Message,
    garbled,
    missing,
    noise_as_v1a,
    of_another,
    only_v1a,
    right_one_last,
    to,
)
from proxy.operations.certification.orders import ShopOrder
from proxy.operations.certification.story import ANOTHER_ORDER, Expected, ShopStory, StoryGroup
from proxy.webhooks.event import MAX_BODY_BYTES, EventType

TEN_MINUTES: Final = 10 * MINUTE // SECOND
A_YEAR: Final = 365 * DAY // SECOND
# Of the payload's limit, what the envelope and the other fields may take.
_BIG_TEXT_CHARS: Final = MAX_BODY_BYTES - 2_000
_PERSIAN: Final = "چای «دبش» ۵۰۰ گرمی، سفارش می\u200cشود ☕ 👩\u200d👧 https://shop.example.ir/a?b=1&c=2 \\ / \" ' <b>"


def _with_spaces(body: bytes, _order: ShopOrder) -> bytes:
    """The same JSON as another serialiser writes it: spaces, escaped slashes, and escapes for what is not ASCII."""
    return json.dumps(json.loads(body), indent=2).replace("/", "\\/").encode()


def _for_this_order(body: bytes, order: ShopOrder) -> bytes:
    """A paid event of another order, made out to this one."""
    event = json.loads(body)
    event["data"]["order_id"] = order.id
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


SIGNATURES: Final = (
    ShopStory(
        "no_signature",
        StoryGroup.SIGNATURES,
        "payment.paid without the webhook-signature header",
        Expected.REFUSED,
        (Message(signature=missing),),
        "Refuse what is not signed: anybody can post to a URL.",
        "verify",
    ),
    ShopStory(
        "wrong_signature",
        StoryGroup.SIGNATURES,
        "payment.paid with a signature of the right form that matches nothing",
        Expected.REFUSED,
        (Message(signature=garbled),),
        "Compute the HMAC over id.timestamp.body and compare it, in constant time; the header's presence says nothing.",
        "verify",
    ),
    ShopStory(
        "other_secret",
        StoryGroup.SIGNATURES,
        "payment.paid signed with the secret of another merchant",
        Expected.REFUSED,
        (Message(signature=of_another),),
        "Verify with your endpoint's own secret, decoded from the base64 after whsec_.",
        "verify",
    ),
    ShopStory(
        "other_version",
        StoryGroup.SIGNATURES,
        "payment.paid with noise as its v1a signature and none of v1",
        Expected.REFUSED,
        (Message(signature=noise_as_v1a),),
        "Refuse a message of which you can verify no signature; skip the versions that you do not know.",
        "verify",
    ),
    ShopStory(
        "altered_body",
        StoryGroup.SIGNATURES,
        "A payment.paid that is signed for another order, its order_id changed to this one",
        Expected.REFUSED,
        (Message(data=to(order_id=ANOTHER_ORDER), altered=_for_this_order),),
        "The signature is over the body too: compute it from the bytes that came.",
        "verify",
    ),
    ShopStory(
        "written_anew",
        StoryGroup.SIGNATURES,
        "payment.paid whose JSON was written anew, with spaces, after it was signed",
        Expected.REFUSED,
        (Message(altered=_with_spaces),),
        "Verify the exact bytes that came, before any parsing: what you parse and write anew is another text.",
        "verify",
    ),
    ShopStory(
        "other_serialiser",
        StoryGroup.SIGNATURES,
        "payment.paid whose JSON has spaces, \\/ and \\u escapes, signed as it is",
        Expected.CREDITED,
        (Message(data=to(description=_PERSIAN), written=_with_spaces),),
        "Verify the exact bytes that came, before any parsing: what you parse and write anew is another text.",
        "verify",
    ),
    ShopStory(
        "several_signatures",
        StoryGroup.SIGNATURES,
        "Three signatures in one header, the right one last, as in the middle of a rotation",
        Expected.CREDITED,
        (Message(signature=right_one_last),),
        "Split the header at spaces and accept the message when one of the signatures matches.",
        "what-arrives",
    ),
    ShopStory(
        "v1a_alone",
        StoryGroup.SIGNATURES,
        "payment.paid with the v1a signature alone",
        Expected.CREDITED,
        (Message(signature=only_v1a),),
        "Verify v1a, with the endpoint's public key, over the same id.timestamp.body.",
        "by-a-public-key",
        needs_public_key=True,
    ),
)

AGE: Final = (
    ShopStory(
        "old_timestamp",
        StoryGroup.AGE,
        "payment.paid, rightly signed ten minutes ago",
        Expected.REFUSED,
        (Message(sent_ago=TEN_MINUTES),),
        "Refuse a webhook-timestamp that is more than five minutes off, or a recorded request can be sent again.",
        "verify",
    ),
    ShopStory(
        "future_timestamp",
        StoryGroup.AGE,
        "payment.paid, rightly signed for in ten minutes",
        Expected.REFUSED,
        (Message(sent_ago=-TEN_MINUTES),),
        "Refuse a webhook-timestamp that is more than five minutes off in either direction.",
        "verify",
    ),
    ShopStory(
        "year_old_recording",
        StoryGroup.AGE,
        "A request that was recorded a year ago, sent as it was",
        Expected.REFUSED,
        (Message(happened_ago=A_YEAR, sent_ago=A_YEAR),),
        "Refuse a webhook-timestamp that is more than five minutes off, or a recorded request can be sent again.",
        "verify",
    ),
    ShopStory(
        "year_old_event",
        StoryGroup.AGE,
        "An event of a year ago, signed now as Dargah replays it, and once more",
        Expected.CREDITED,
        (Message(happened_ago=A_YEAR), Message(happened_ago=A_YEAR)),
        "Judge the age by webhook-timestamp, never by the body's timestamp: a replay of an old event is a real one.",
        "what-arrives",
    ),
)

FORM: Final = (
    ShopStory(
        "other_types",
        StoryGroup.FORM,
        "payment.failed, payment.canceled, payment.expired, payment.review_resolved, ping and endpoint.disabled",
        Expected.IGNORED,
        tuple(
            Message(kind.value, event=number, payment=number)
            for number, kind in enumerate(
                (
                    EventType.FAILED,
                    EventType.CANCELED,
                    EventType.EXPIRED,
                    EventType.REVIEW_RESOLVED,
                    EventType.PING,
                    EventType.ENDPOINT_DISABLED,
                )
            )
        ),
        "Answer 2xx to every type, look at the type before the data, and credit on payment.paid alone.",
        "the-payload-of-each-event",
    ),
    ShopStory(
        "unknown_type",
        StoryGroup.FORM,
        "An event of a type that does not exist yet, payment.disputed",
        Expected.IGNORED,
        (Message("payment.disputed", data=to(status="disputed")),),
        "Answer 2xx to a type that you do not know, and do nothing: types are added.",
        "what-arrives",
    ),
    ShopStory(
        "unknown_fields",
        StoryGroup.FORM,
        "payment.paid with fields that do not exist yet",
        Expected.CREDITED,
        (Message(data=to(risk={"score": 0.25, "reasons": ["new", None]}, settled_in="bank", links=[])),),
        "Read the fields that you need and let the others be: fields are added.",
        "what-arrives",
    ),
    ShopStory(
        "persian",
        StoryGroup.FORM,
        "payment.paid with Persian, half-spaces, emoji, slashes and quotes in its texts",
        Expected.CREDITED,
        (Message(data=to(description=_PERSIAN)),),
        "Read the body as UTF-8, and store it in columns that take four bytes a character (utf8mb4).",
        "what-arrives",
    ),
    ShopStory(
        "big",
        StoryGroup.FORM,
        "payment.paid of nearly 20 kB",
        Expected.CREDITED,
        (Message(data=to(description="چ" * (_BIG_TEXT_CHARS // 2))),),
        "Take bodies of 20 kB, and store texts in columns that hold them.",
        "what-arrives",
    ),
)
