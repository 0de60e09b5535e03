"""Undone: that records are frozen to mypy only. Imports nothing of the product that has records. Benchmarks only."""

import dataclasses
from collections.abc import Callable
from typing import Any

import proxy.frozen
from bench.undo import Used, replace


def frozen(used: Used) -> None:
    """Records freeze themselves when they are made."""

    def dataclass(**given: bool) -> Callable[[type], type]:
        freezing = dataclasses.dataclass(**given)

        def frozen_class(plain: type) -> type:
            made: type[Any] = freezing(plain)
            assert made.__dataclass_params__.frozen
            used()
            return made

        return frozen_class

    replace(proxy.frozen, "dataclass", dataclass)
