"""The seam that every call to a gateway passes, of all families: it counts the call, and logs a line of it."""

import logging
from typing import Any

import structlog

from proxy.gateways.port import (
    NO_EVIDENCE,
    NO_PURCHASE,
    Account,
    CheckResult,
    CheckUnknown,
    Evidence,
    Gateway,
    Inquiry,
    Purchase,
    RequestResult,
    RequestUnknown,
    reason_of,
)
from proxy.kernel import log_context
from proxy.observability.metrics import Metrics
from proxy.payments.history import OUTCOMES

log = structlog.get_logger()


class ObservedGateway:
    """Implements `gateways.port.Gateway`: another one, with each call counted and logged. Create it after the logging
    is configured.

    The line has the merchant, the payment and the request of the log context: whoever calls for a payment binds
    `merchant_id` and `payment_id`. A call for no payment is a probe.
    """

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._gateway = gateway
        self._metrics = metrics
        self._logged = log.is_enabled_for(logging.INFO)

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        made = await self._gateway.request(account, amount_rials, return_url, purchase)
        self._note("request", account, made)
        return made

    async def check(self, account: Account, invoice_key: str, evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        return self._noted("check", account, await self._gateway.check(account, invoice_key, evidence))

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return self._noted("confirm", account, await self._gateway.confirm(account, inquiry))

    async def settle(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return self._noted("settle", account, await self._gateway.settle(account, inquiry))

    async def reverse(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return self._noted("reverse", account, await self._gateway.reverse(account, inquiry))

    def _noted(self, operation: str, account: Account, made: CheckResult) -> CheckResult:
        self._note(operation, account, made)
        return made

    def _note(self, operation: str, account: Account, made: RequestResult | CheckResult) -> None:
        self._metrics.called(operation, made.outcome, made.duration_ms)
        if not self._logged:
            return
        fields: dict[str, Any] = {
            "operation": operation if "payment_id" in log_context.current() else "probe",
            "outcome": OUTCOMES[type(made.outcome)],
            "gateway": account.gateway,
            "terminal_id": account.terminal_id,
            "ms": made.duration_ms,
        }
        if made.http_status is not None:
            fields["status"] = made.http_status
        if isinstance(made.outcome, RequestUnknown | CheckUnknown):
            fields["reason"] = reason_of(made.outcome)
        if (code := getattr(made.outcome, "error_code", None)) is not None:
            fields["error_code"] = code
        log.info("gateway_call", **fields)
