"""The stories that `dargah certify` plays, in their order, and those about the right event and the server."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from proxy.merchants.merchant import Mode
from proxy.operations.certification.credit_stories import CONTENT, REPEATS, for_mode
from proxy.operations.certification.message import PAID, Message, Way
from proxy.operations.certification.message_stories import AGE, FORM, SIGNATURES
from proxy.operations.certification.orders import ShopOrder
from proxy.operations.certification.story import Expected, ShopStory, StoryGroup
from proxy.webhooks.event import EventType


def _in_another_unit(_order: ShopOrder) -> Mapping[str, Any]:
    return {"currency": "IRR"}


_BASICS: Final = (
    ShopStory(
        "right",
        StoryGroup.BASICS,
        "payment.paid, as Dargah sends it, for an open order and just its amount",
        Expected.CREDITED,
        (PAID,),
        "Verify the raw body with the endpoint's own secret, find its order, credit it, and answer 2xx.",
        "verify",
    ),
    ShopStory(
        "rials",
        StoryGroup.BASICS,
        "The same of a payment whose create gave its amount in rials (currency IRR)",
        Expected.CREDITED,
        (Message(data=_in_another_unit),),
        "Compare data.amount_rials, which is in rials whatever data.currency says.",
        "webhooks",
    ),
)

_SERVER: Final = (
    ShopStory(
        "get",
        StoryGroup.SERVER,
        "GET and HEAD at the endpoint's URL, as monitors and browsers send them",
        Expected.ANSWERED,
        (Message(way=Way.GET), Message(way=Way.HEAD)),
        "Answer other methods with 405.",
        "answer",
    ),
    ShopStory(
        "stalled",
        StoryGroup.SERVER,
        "A client that sends half a request and falls silent; meanwhile the right event, and a ping afterwards",
        Expected.CREDITED,
        (Message(way=Way.STALLED), PAID, Message(EventType.PING.value, event=2)),
        "Serve more than one connection at a time, and end those that stay silent: "
        "threads, worker processes, or a server such as nginx in front.",
        "answer",
    ),
    ShopStory(
        "in_time",
        StoryGroup.SERVER,
        "How long the shop took to answer",
        Expected.IN_TIME,
        (),
        "Store what came and answer; do slow work, such as mails, afterwards.",
        "answer",
    ),
)


def stories(mode: Mode, *, public_key: bool) -> tuple[ShopStory, ...]:
    """All stories for a shop of this mode; those of v1a only where it has a public key. `right` is the first."""
    every = _BASICS + REPEATS + SIGNATURES + AGE + CONTENT + for_mode(mode) + FORM + _SERVER
    return tuple(story for story in every if public_key or not story.needs_public_key)


def stories_digest() -> str:
    """SHA-256 of the files that say what is sent and expected: two reports with one digest are of the same stories."""
    package = files("proxy.operations.certification")
    return hashlib.sha256(b"".join(package.joinpath(name).read_bytes() for name in _DIGESTED)).hexdigest()


_DIGESTED: Final = ("credit_stories.py", "message.py", "message_stories.py", "stories.py", "story.py")
