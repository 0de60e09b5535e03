"""Records as `dataclasses.dataclass` makes them, that cost a start and each assignment no more than plain classes do.

A frozen dataclass sets each field by a call: for a payment with 28 fields, nine tenths of the time to make one. mypy
still refuses an assignment, in this whole repository, with every `make check`. And each dataclass compiles six methods
of its own; here all share the same three, so that only `__init__` is compiled.
"""

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414  mypy knows it by this name, and to be re-exported so
else:

    def dataclass(*, frozen: bool = False, slots: bool = False, kw_only: bool = False) -> Callable[[type], type]:
        """`dataclasses.dataclass`: equal by the values of its fields, and hashable by them where it says frozen."""
        methods = {"__eq__": _equal, "__hash__": _hash if frozen else None, "__repr__": _shown}

        def decorated(cls: type) -> type:
            # Without a docstring it would be given its signature as one, which takes as long as all the rest.
            cls.__doc__ = cls.__doc__ or cls.__name__
            for name in methods.keys() - cls.__dict__.keys():
                setattr(cls, name, methods[name])
            record = dataclasses.dataclass(eq=False, repr=False, slots=slots, kw_only=kw_only)(cls)
            names = [field.name for field in dataclasses.fields(record) if field.compare]
            record.__values__ = attrgetter(*names) if names else _no_values
            return record

        return decorated

    def _no_values(_record: object) -> tuple[()]:
        return ()

    def _equal(self: Any, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self is other or self.__values__(self) == other.__values__(other)

    def _hash(self: Any) -> int:
        return hash(self.__values__(self))

    @recursive_repr("...")
    def _shown(self: Any) -> str:
        shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
        return f"{self.__class__.__qualname__}({', '.join(shown)})"


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
