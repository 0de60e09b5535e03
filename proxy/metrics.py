"""What Prometheus scrapes of this process, on the operator's listener. No label names a merchant: that has no bound."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Info, generate_latest

from proxy import __version__

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Made once per process, with a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        Info("dargah_build", "The running version.", registry=self._registry).info({"version": __version__})
        self._amount_jumps = Counter(
            "dargah_amount_jumps",
            "Storefronts whose drop-in amounts jumped by about ten times: rial and toman may be mixed up.",
            registry=self._registry,
        )

    def amounts_jumped(self) -> None:
        self._amount_jumps.inc()

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
