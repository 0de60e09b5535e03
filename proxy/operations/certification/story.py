"""A story: what is sent to the shop's endpoint, what is expected of the shop, and what to do when it does not."""

from collections import Counter
from enum import StrEnum
from typing import Final

from proxy.kernel.frozen import dataclass
from proxy.operations.certification.message import Message, Way

ANOTHER_ORDER: Final = "certify-the-order-of-somebody-else"


class Expected(StrEnum):
    """What a right shop does.

    CREDITED: each message is answered 2xx, and at the end the order is paid, and was credited once.
    REFUSED: the message is not answered 2xx, and credits nothing.
    NOT_CREDITED: properly signed, and not this shop's business: it credits nothing. 4xx is no mistake.
    IGNORED: an event of the shop's own that credits nothing, and is answered 2xx.
    ANSWERED: no webhook at all: the server answers something, and credits nothing.
    IN_TIME: all answers of the other stories came within Dargah's time.
    """

    CREDITED = "credited once"
    REFUSED = "refused"
    NOT_CREDITED = "not credited"
    IGNORED = "taken, not credited"
    ANSWERED = "answered, not credited"
    IN_TIME = "answered in time"


class StoryGroup(StrEnum):
    BASICS = "The right event"
    REPEATS = "Repeats and order"
    SIGNATURES = "Signatures"
    AGE = "Age"
    CONTENT = "Whose money, and how much"
    FORM = "Form"
    SERVER = "The server"


@dataclass(frozen=True, slots=True)
class ShopStory:
    """`title` says what is sent, `remedy` what to do when the shop failed, and `section` of docs/webhooks.md why.

    `needs_public_key` stories are played where the shop verifies v1a.
    """

    name: str
    group: StoryGroup
    title: str
    expected: Expected
    messages: tuple[Message, ...]
    remedy: str
    section: str
    needs_public_key: bool = False

    @property
    def repeats(self) -> bool:
        """Whether an event is sent more than once, so that it matters how often it was credited."""
        sent = Counter[int]()
        for message in self.messages:
            if message.way is not Way.STALLED:
                sent[message.event] += 2 if message.way is Way.TOGETHER else 1
        return any(count > 1 for count in sent.values())

    @property
    def stalls(self) -> bool:
        return any(message.way is Way.STALLED for message in self.messages)

    @property
    def leaves_order(self) -> bool:
        """Whether the order of a right shop is afterwards as it was before."""
        return self.expected in {Expected.REFUSED, Expected.NOT_CREDITED, Expected.ANSWERED}
