"""The use-cases and ports with a span around each of their steps; wired in their places when traces are exported."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from proxy.config.settings import Settings, SettingsError
from proxy.gateways.port import (
    NO_EVIDENCE,
    NO_PURCHASE,
    Account,
    CheckResult,
    Evidence,
    Gateway,
    Inquiry,
    Purchase,
    RequestResult,
    is_answer,
)
from proxy.kernel.clock import Now
from proxy.kernel.frozen import dataclass
from proxy.kernel.tracing import CURRENT, Kind, Span, Tracer
from proxy.merchants.cache import GuardedGateway
from proxy.observability.gateway_calls import ObservedGateway
from proxy.observability.metrics import Metrics
from proxy.observability.readiness import Readiness
from proxy.payments.check_schedule import CheckSchedule
from proxy.payments.checkout import Checkout, Checkup
from proxy.payments.history import OUTCOMES
from proxy.payments.payment import CallIntent, Payment
from proxy.payments.settlement import Settlement
from proxy.payments.storage.repository import PaymentRepository
from proxy.webhooks.request import Sender, WebhookRequest, WebhookResult


class TracedGateway:
    """Implements `gateways.port.Gateway`. The gateway gets no traceparent: it belongs to another company."""

    def __init__(self, gateway: Gateway, tracer: Tracer) -> None:
        self._gateway = gateway
        self._tracer = tracer

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        with self._tracer.span("gateway.request", Kind.CLIENT, CURRENT.get()) as span:
            made = await self._gateway.request(account, amount_rials, return_url, purchase)
            _set_outcome(span, account, made)
            return made

    async def check(self, account: Account, invoice_key: str, evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        return await self._call("gateway.check", account, self._gateway.check(account, invoice_key, evidence))

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return await self._call("gateway.confirm", account, self._gateway.confirm(account, inquiry))

    async def settle(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return await self._call("gateway.settle", account, self._gateway.settle(account, inquiry))

    async def reverse(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return await self._call("gateway.reverse", account, self._gateway.reverse(account, inquiry))

    async def _call(self, name: str, account: Account, calling: Awaitable[CheckResult]) -> CheckResult:
        with self._tracer.span(name, Kind.CLIENT, CURRENT.get()) as span:
            made = await calling
            _set_outcome(span, account, made)
            return made


class TracedSender:
    """Implements `webhooks.request.Sender`: the receiver gets the attempt's own span as its parent."""

    def __init__(self, sender: Sender, tracer: Tracer) -> None:
        self._sender = sender
        self._tracer = tracer

    async def send(self, request: WebhookRequest) -> WebhookResult:
        with self._tracer.span("webhook.attempt", Kind.CLIENT, request.headers.get("traceparent")) as span:
            span.set("dargah.event_id", request.headers["webhook-id"])
            headers = {**request.headers, "traceparent": span.traceparent}
            answer = await self._sender.send(replace(request, headers=headers))
            if answer.status is not None:
                span.set("http.response.status_code", answer.status)
            if not answer.delivered:
                span.fail(answer.error or "status")
            return answer


class TracedCheckout(Checkout):
    """Every check of a payment, by any caller, is in the trace in which the payment was created."""

    def __init__(
        self, tracer: Tracer, payments: PaymentRepository, gateway: GuardedGateway, settlement: Settlement, now: Now
    ) -> None:
        super().__init__(payments, gateway, settlement, now)
        self._tracer = tracer

    async def check(
        self, payment: Payment, schedule: CheckSchedule | None = None, began: CallIntent | None = None
    ) -> Checkup:
        parent = CURRENT.get() or await self._payments.trace_of_payment(payment.merchant_id, payment.id)
        with self._tracer.span("payment.check", Kind.INTERNAL, parent) as span, current(span):
            span.set("dargah.merchant_id", payment.merchant_id)
            span.set("dargah.payment_id", payment.id)
            checkup = await super().check(payment, schedule, began)
            span.set("dargah.status", checkup.payment.status.value)
            return checkup


@contextmanager
def current(span: Span) -> Iterator[None]:
    """Within it, all work is below the span."""
    before = CURRENT.set(span.traceparent)
    try:
        yield
    finally:
        CURRENT.reset(before)


def _set_outcome(span: Span, account: Account, made: RequestResult | CheckResult) -> None:
    outcome = OUTCOMES[type(made.outcome)]
    span.set("dargah.terminal_id", account.terminal_id)
    span.set("dargah.outcome", outcome)
    if not is_answer(made.outcome):
        span.fail(outcome)


@dataclass(frozen=True, slots=True)
class Instrumentation:
    """Without a tracer the parts are themselves, so that traces which nobody wants cost nothing."""

    metrics: Metrics
    readiness: Readiness
    tracer: Tracer | None

    def gateway(self, gateway: Gateway) -> Gateway:
        observed = ObservedGateway(gateway, self.metrics)
        return observed if self.tracer is None else TracedGateway(observed, self.tracer)

    def sender(self, sender: Sender) -> Sender:
        return sender if self.tracer is None else TracedSender(sender, self.tracer)

    def checkout(
        self, payments: PaymentRepository, gateway: GuardedGateway, settlement: Settlement, now: Now
    ) -> Checkout:
        if self.tracer is None:
            return Checkout(payments, gateway, settlement, now)
        return TracedCheckout(self.tracer, payments, gateway, settlement, now)


def open_tracer(settings: Settings) -> Tracer | None:
    """The exporter of spans from the settings; None without one. Raises SettingsError."""
    if settings.traces_url is None:
        return None
    try:
        from proxy.observability.otlp import OtelTracer  # noqa: PLC0415  the libraries are there only where they are wanted
    except ImportError:
        raise SettingsError(
            "DARGAH_TRACES_URL needs libraries: pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
        ) from None
    return OtelTracer.to(settings.traces_url.get_secret_value(), settings.traces_ratio)
