"""Records that are frozen to mypy, and cost at run time what plain ones cost.

A dataclass that freezes itself sets its fields by a call each: of a payment with 28 of them, nine tenths of what making
one takes. mypy refuses an assignment all the same, in this whole repository, with every `make check`.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414  mypy knows it by this name, and to be re-exported so
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """`dataclasses.dataclass`, hashable where it says frozen, without the look at each assignment."""
        return dataclasses.dataclass(slots=slots, unsafe_hash=frozen)
