"""Counters, histograms and gauges that only the event loop writes, read out in Prometheus' form when it scrapes.

prometheus_client's own take a lock each time, which costs several times as much as a number in a dict, and a create has
half a dozen of them. Its formats and its registry are used as they are.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from prometheus_client import Metric

Key = tuple[str, ...]
"""The values of the labels, in the labels' order."""

ALONE: Final[Key] = ()

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


class Instrument(Protocol):
    """What a scrape collects."""

    def collect(self) -> "Iterable[Metric]": ...


class Counted:
    """A counter; `known` are the label values that it shows from the start, with 0, so that a first one is a rise."""

    def __init__(self, name: str, about: str, labels: Sequence[str] = (), known: Iterable[Key] = (ALONE,)) -> None:
        self._name, self._about, self._labels = name.removesuffix("_total"), about, labels
        self._cells = {key: [0] for key in known}

    def add(self, key: Key = ALONE, count: int = 1) -> None:
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = [0]
        cell[0] += count

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415  1 MB and 20 ms, for who scrapes

        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for key, cell in self._cells.items():
            family.add_metric(key, cell[0])
        yield family


class Spread:
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
        # How many fell into each bucket, and at the end the sum of all.
        self._series: dict[Key, list[float]] = {key: self._empty() for key in known}

    def observe(self, value: float, key: Key = ALONE) -> None:
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._empty()
        series[bisect_left(self._bounds, value)] += 1
        series[-1] += value

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415  the same

        family = HistogramMetricFamily(self._name, self._about, labels=self._labels)
        for key, (*counts, total) in self._series.items():
            family.add_metric(key, list(self._buckets(counts)), total)
        yield family

    def _empty(self) -> list[float]:
        return [0] * (len(self._names) + 1)

    def _buckets(self, counts: Sequence[float]) -> Iterator[tuple[str, float]]:
        total = 0.0
        for name, count in zip(self._names, counts, strict=True):
            total += count
            yield name, total


Read = Callable[[], Mapping[Key, float]]


class Gauged:
    """What is read when somebody looks; nothing is shown of what gives nothing."""

    def __init__(self, name: str, about: str, labels: Sequence[str], read: Read) -> None:
        self._name, self._about, self._labels, self._read = name, about, labels, read

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415  the same

        family = GaugeMetricFamily(self._name, self._about, labels=self._labels)
        for key, value in self._read().items():
            family.add_metric(key, value)
        yield family
