"""Counters, histograms and gauges that only the event loop writes, read out in Prometheus' form when it scrapes.

prometheus_client's own take a lock each time, which costs several times as much as a number in a dict, and a create has
half a dozen of them. Its formats and its registry are used as they are.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

Key = tuple[str, ...]
"""The values of the labels, in the labels' order."""

ALONE: Final[Key] = ()

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


class Counted(Collector):
    """A counter; `known` are the label values that it shows from the start, with 0, so that a first one is a rise."""

    def __init__(self, name: str, about: str, labels: Sequence[str] = (), known: Iterable[Key] = (ALONE,)) -> None:
        self._name, self._about, self._labels = name.removesuffix("_total"), about, labels
        self._counts = dict.fromkeys(known, 0)

    def add(self, key: Key = ALONE, count: int = 1) -> None:
        self._counts[key] = self._counts.get(key, 0) + count

    def value(self, key: Key = ALONE) -> int:
        return self._counts.get(key, 0)

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for key, count in self._counts.items():
            family.add_metric(key, count)
        yield family


class Spread(Collector):
    """A histogram with fixed bounds, the last of which is followed by infinity."""

    def __init__(
        self,
        name: str,
        about: str,
        bounds: Sequence[float],
        labels: Sequence[str] = (),
        known: Iterable[Key] = (ALONE,),
    ) -> None:
        self._name, self._about, self._labels = name, about, labels
        self._bounds = tuple(bounds)
        self._names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._counts = {key: [0] * len(self._names) for key in known}
        self._sums = dict.fromkeys(self._counts, 0.0)

    def observe(self, value: float, key: Key = ALONE) -> None:
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0] * len(self._names)
            self._sums[key] = 0.0
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[key] += value

    def count(self, key: Key = ALONE) -> int:
        """How many were observed."""
        return sum(self._counts.get(key, ()))

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._about, labels=self._labels)
        for key, counts in self._counts.items():
            family.add_metric(key, list(self._buckets(counts)), self._sums[key])
        yield family

    def _buckets(self, counts: Sequence[int]) -> Iterator[tuple[str, float]]:
        total = 0
        for name, count in zip(self._names, counts, strict=True):
            total += count
            yield name, total


Read = Callable[[], Mapping[Key, float]]


class Gauged(Collector):
    """What is read when somebody looks; nothing is shown of what gives nothing."""

    def __init__(self, name: str, about: str, labels: Sequence[str], read: Read) -> None:
        self._name, self._about, self._labels, self._read = name, about, labels, read

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._about, labels=self._labels)
        for key, value in self._read().items():
            family.add_metric(key, value)
        yield family
