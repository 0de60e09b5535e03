"""The instruments in Prometheus' text format.

Loaded with the first scrape, as its library is: who is not scraped does without both.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Info, Metric, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.metrics.instruments import Instrument


class _All(Collector):
    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._instruments = instruments

    def collect(self) -> Iterator[Metric]:
        for instrument in self._instruments:
            yield from instrument.collect()


def text_of(instruments: Iterable[Instrument]) -> bytes:
    """What the process takes, its version, and all of the instruments."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Info("dargah_build", "The running version.", registry=registry).info({"version": __version__})
    registry.register(_All(instruments))
    return generate_latest(registry)
