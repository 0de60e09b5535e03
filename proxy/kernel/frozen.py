"""Records that are frozen for mypy, and cost at run time as little as plain ones.

A frozen dataclass sets each field by a call: for a payment with 28 fields, nine tenths of the time to make one. mypy
still refuses an assignment, in this whole repository, with every `make check`.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414  mypy knows it by this name, and to be re-exported so
else:

    def dataclass(*, frozen: bool, slots: bool, kw_only: bool = False) -> Callable[[type], type]:
        """`dataclasses.dataclass`, hashable where it says frozen, without the look at each assignment."""
        return dataclasses.dataclass(slots=slots, unsafe_hash=frozen, kw_only=kw_only)


Record = TypeVar("Record")


def replace(record: Record, **changes: Any) -> Record:
    """The record with other values in these fields, as `dataclasses.replace` gives it, for one without slots.

    That one looks at each field and passes all of them to the constructor: for a payment, ten times the instructions.
    Raises TypeError for a name that is no field's.
    """
    fields = vars(record)
    if not changes.keys() <= fields.keys():
        raise TypeError(f"{type(record).__name__} has no field {', '.join(changes.keys() - fields.keys())}")
    made = object.__new__(type(record))
    vars(made).update(fields, **changes)
    return made
