"""The audit log as a chain: each entry's hash is over the one before it and its own content, a chain per merchant.

Acts on no merchant (an operator added, the process looked at) are the chain INSTALLATION. A merchant's entries verify
by themselves, so a merchant can move to another shard or be handed its own log. The newest number and hash, the head,
are stored apart from the entries, so that cutting off the last ones shows. Whoever can write the whole database can
also compute every hash anew; against that, keep a head elsewhere (`dargah audit verify --save`) and compare with it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

INSTALLATION: Final = "installation"
GENESIS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as it is stored: its place in the chain from 1, the texts that are hashed, and the hash."""

    merchant_id: str
    number: int
    id: str
    at: int
    actor: str
    action: str
    target: str
    data: str
    hash: bytes

    def hash_after(self, previous: bytes) -> bytes:
        """What its hash must be after the entry whose hash is `previous`."""
        content = [self.merchant_id, self.number, self.id, self.at, self.actor, self.action, self.target, self.data]
        return hashlib.sha256(previous + orjson.dumps(content)).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of a chain, by its number and hash. `number` 0 stands before the first one."""

    number: int
    hash: bytes


class Fault(StrEnum):
    """What is wrong with a chain."""

    ALTERED = "altered"  # the entry is not the one that was written there
    MISSING = "missing"  # an entry is not there
    CUT_OFF = "cut_off"  # the newest are not there, or none of a merchant that must have some
    UNKNOWN = "unknown"  # entries stand behind the head, which was not told of them


@dataclass(frozen=True, slots=True)
class Break:
    """The first row of a chain that is wrong: its number, and its id where it is there."""

    number: int
    fault: Fault
    entry_id: str | None


START: Final = Head(0, GENESIS)


def follow(head: Head, links: Sequence[Link]) -> Head | Break:
    """The head after `links`, in the order of their numbers; or the first of them that does not follow."""
    for link in links:
        if link.number != head.number + 1:
            fault = Fault.MISSING if link.number > head.number else Fault.ALTERED
            return Break(head.number + 1, fault, None)
        if link.hash != link.hash_after(head.hash):
            return Break(link.number, Fault.ALTERED, link.id)
        head = Head(link.number, link.hash)
    return head


def end(reached: Head, stored: Head | None, newest: str | None) -> Break | None:
    """What is wrong at the end of a chain whose last entry's id is `newest` and whose stored head is `stored`."""
    known = stored or START
    if reached.number < known.number:
        return Break(reached.number + 1, Fault.CUT_OFF, None)
    if reached.number > known.number:
        return Break(known.number + 1, Fault.UNKNOWN, newest)
    return None if reached == known else Break(reached.number, Fault.ALTERED, newest)
