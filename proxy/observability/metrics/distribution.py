"""Histograms that are counted in plain lists, and made into Prometheus' when they are read.

`prometheus_client.Histogram` takes a lock for each observation and walks its buckets. A create makes six observations,
all on the event loop, and those were a thirtieth of its instructions.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import inf
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


def _head(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


class Observations:
    """What was observed under one set of label values."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts the value in the first bucket whose bound is not below it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def read(self) -> tuple[list[int], float]:
        """The cumulated counts, that of all last, and the sum."""
        return list(accumulate(self._counts)), self._sum


class Distribution(Collector):
    """A histogram with these labels, observed on one thread; without labels, `labels()` is its only child."""

    def __init__(
        self,
        name: str,
        about: str,
        labels: Sequence[str] = (),
        *,
        registry: CollectorRegistry | None,
        buckets: Sequence[float],
    ) -> None:
        self._name, self._about, self._labels = name, about, labels
        self._bounds = tuple(buckets)
        self._heads: Final = [_head(bound) for bound in (*buckets, inf)]
        self._children: dict[tuple[str, ...], Observations] = {}
        if not labels:
            self.observe = self.labels().observe
        if registry is not None:
            registry.register(self)

    def labels(self, *values: str) -> Observations:
        """The child of these values, which is shown from now on."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = Observations(self._bounds)
        return child

    def children(self, values: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], Observations]:
        """The children of those values. They are shown with 0 from the start, so that the first one is a rise."""
        return {each: self.labels(*each) for each in values}

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._about, labels=self._labels)
        for values, child in self._children.items():
            counts, total = child.read()
            family.add_metric(values, list(zip(self._heads, map(float, counts), strict=True)), total)
        yield family
