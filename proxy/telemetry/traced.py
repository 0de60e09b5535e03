"""The use-cases and ports with a span around each of their steps; wired in their places when traces are exported."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from proxy.checkout import Checkout, Checkup
from proxy.facts import answered
from proxy.payment import Payment
from proxy.ports import Gateway, Sender
from proxy.records import Account, Answer, Checked, Outgoing, Requested
from proxy.telemetry.tracing import CURRENT, Kind, Span, Tracer, Traces
from proxy.timeline import OUTCOMES
from proxy.watch import Watch


class TracedGateway:
    """Implements ports.Gateway. The gateway itself is told of no trace: it is somebody else's."""

    def __init__(self, gateway: Gateway, tracer: Tracer) -> None:
        self._gateway = gateway
        self._tracer = tracer

    async def request(self, account: Account, amount_rials: int, return_url: str) -> Requested:
        with self._tracer.span("gateway.request", Kind.CLIENT, CURRENT.get()) as span:
            made = await self._gateway.request(account, amount_rials, return_url)
            _tell(span, account, made)
            return made

    async def check(self, account: Account, invoice_key: str) -> Checked:
        with self._tracer.span("gateway.check", Kind.CLIENT, CURRENT.get()) as span:
            made = await self._gateway.check(account, invoice_key)
            _tell(span, account, made)
            return made


class TracedSender:
    """Implements ports.Sender: the attempt's own span is the parent that the receiver is told."""

    def __init__(self, sender: Sender, tracer: Tracer) -> None:
        self._sender = sender
        self._tracer = tracer

    async def send(self, outgoing: Outgoing) -> Answer:
        with self._tracer.span("webhook.attempt", Kind.CLIENT, outgoing.headers.get("traceparent")) as span:
            span.set("dargah.event_id", outgoing.headers["webhook-id"])
            headers = {**outgoing.headers, "traceparent": span.traceparent}
            answer = await self._sender.send(replace(outgoing, headers=headers))
            if answer.status is not None:
                span.set("http.response.status_code", answer.status)
            if not answer.delivered:
                span.fail(answer.error or "status")
            return answer


class TracedCheckout(Checkout):
    """Every check of a payment, whoever wants it, is in the trace in which the payment was created."""

    def __init__(self, tracer: Tracer, traces: Traces, *parts: Any) -> None:
        super().__init__(*parts)
        self._tracer = tracer
        self._traces = traces

    async def check(self, payment: Payment, read: Watch | None = None, plan: Watch | None = None) -> Checkup:
        parent = CURRENT.get() or await self._traces.trace_of_payment(payment.merchant_id, payment.id)
        with self._tracer.span("payment.check", Kind.INTERNAL, parent) as span, current(span):
            span.set("dargah.merchant_id", payment.merchant_id)
            span.set("dargah.payment_id", payment.id)
            checkup = await super().check(payment, read, plan)
            span.set("dargah.status", checkup.payment.status.value)
            return checkup


@contextmanager
def current(span: Span) -> Iterator[None]:
    """Within it, what is done is below the span."""
    before = CURRENT.set(span.traceparent)
    try:
        yield
    finally:
        CURRENT.reset(before)


def _tell(span: Span, account: Account, made: Requested | Checked) -> None:
    outcome = OUTCOMES[type(made.fact)]
    span.set("dargah.terminal_id", account.terminal_id)
    span.set("dargah.outcome", outcome)
    if not answered(made.fact):
        span.fail(outcome)
