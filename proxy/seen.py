"""What the operator sees of a process, wired around its parts: metrics of all, and spans where they are exported."""

from dataclasses import dataclass
from typing import Any

from proxy.checkout import Checkout
from proxy.config.settings import Settings, SettingsError
from proxy.metrics import Metrics
from proxy.metrics.observed import MeteredGateway
from proxy.ports import Gateway, Sender, Store
from proxy.readiness import Readiness
from proxy.telemetry.traced import TracedCheckout, TracedGateway, TracedSender
from proxy.telemetry.tracing import Tracer
from proxy.web.traced import RequestSpans


@dataclass(frozen=True, slots=True)
class Seen:
    """Without a tracer the parts are themselves, so that traces which nobody wants cost nothing."""

    metrics: Metrics
    readiness: Readiness
    tracer: Tracer | None

    def gateway(self, gateway: Gateway) -> Gateway:
        metered = MeteredGateway(gateway, self.metrics)
        return metered if self.tracer is None else TracedGateway(metered, self.tracer)

    def sender(self, sender: Sender) -> Sender:
        return sender if self.tracer is None else TracedSender(sender, self.tracer)

    def checkout(self, store: Store, *parts: Any) -> Checkout:
        """A Checkout of these parts, in its constructor's order."""
        return Checkout(store, *parts) if self.tracer is None else TracedCheckout(self.tracer, store, store, *parts)

    def spans(self, store: Store) -> RequestSpans | None:
        return None if self.tracer is None else RequestSpans(self.tracer, store)


def open_tracer(settings: Settings) -> Tracer | None:
    """What exports spans to where the settings say; None when they say nothing. Raises SettingsError."""
    if settings.traces_url is None:
        return None
    try:
        from proxy.adapters.spans import OtelTracer  # noqa: PLC0415  the libraries are there only where they are wanted
    except ImportError:
        raise SettingsError("DARGAH_TRACES_URL needs the extra: pip install 'dargah[otel]'") from None
    return OtelTracer.to(settings.traces_url.get_secret_value(), settings.traces_ratio)
