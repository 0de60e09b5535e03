"""A merchant's set-up: its terminals, ways back and webhook endpoints."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from proxy.kernel.clock import rfc3339
from proxy.kernel.errors import DargahError, VaultError
from proxy.merchants.merchant import Merchant, Mode, Scope, Terminal, Token
from proxy.operations.doctor.base import Checks, Finding, each, fine, in_time, problem, warning
from proxy.operations.doctor.connections import WEBHOOK, Words, explanation
from proxy.operations.doctor.returns import return_findings
from proxy.operations.doctor.terminal import TerminalCheckUp
from proxy.webhooks.endpoint import Endpoint, EndpointState

_MEND_IT: Final = (
    "It must answer 2xx within seconds; see its log, URL and secret.",
    "باید در چند ثانیه 2xx بدهد؛ لاگ، نشانی و راز آن را ببینید.",
)


class WebhookCheckUp(Checks):
    async def endpoint(self, endpoint: Endpoint) -> list[Finding]:
        """Its state or the result of a ping, and the TLS failure of the last stored webhook."""
        subject = f"{endpoint.id} ({urlsplit(endpoint.url).netloc})"
        if endpoint.state is EndpointState.ENABLED:
            error = await self._ping_error(endpoint)
            found = [self._ping_finding(subject, endpoint.url, error)]
        else:
            error, found = "", [_held_finding(subject, endpoint)]
        stored = await self._store.webhooks.last_attempt(endpoint.merchant_id, endpoint.id)
        if stored is not None and stored.error is not None and stored.error.startswith("tls") and stored.error != error:
            found.append(self._stored_finding(subject, endpoint.url, stored.error, rfc3339(stored.started_at)))
        return found

    def _ping_finding(self, subject: str, url: str, error: str) -> Finding:
        if not error:
            return fine("webhook", subject, "it took a signed ping", "پیام آزمایشی امضاشده را پذیرفت")
        why, advice = self._explained(url, error)
        detail = (f"it did not take a signed ping ({why[0]})", f"پیام آزمایشی امضاشده را نپذیرفت ({why[1]})")
        return problem("webhook", subject, detail, advice)

    def _stored_finding(self, subject: str, url: str, error: str, at: str) -> Finding:
        """A warning: the receiver may have been mended since."""
        why, advice = self._explained(url, error)
        detail = (f"its last webhook, at {at}, failed: {why[0]}", f"آخرین وب‌هوک آن در {at} نرسید: {why[1]}")
        return warning("webhook_tls", subject, detail, advice)

    def _explained(self, url: str, error: str) -> tuple[Words, Words]:
        return explanation(error, WEBHOOK, url, self._around.webhook_ca_files) or ((error, error), _MEND_IT)

    async def _ping_error(self, endpoint: Endpoint) -> str:
        """Why a ping failed; empty when it did not."""
        try:
            return await in_time(self._send_ping(endpoint), "timeout")
        except (DargahError, VaultError) as error:
            return str(error) or type(error).__name__

    async def _send_ping(self, endpoint: Endpoint) -> str:
        _, answer = await self._event_tester.ping(endpoint)
        return "" if answer.delivered else answer.error or f"HTTP {answer.status}"


def _held_finding(subject: str, endpoint: Endpoint) -> Finding:
    why = endpoint.state_reason or "by the merchant"
    detail = (
        f"it is {endpoint.state} ({why}): its events are held",
        f"{endpoint.state} است ({why}) و رویدادهایش نگه داشته می‌شوند",
    )
    advice = ("Mend the receiver, then resume it.", "گیرنده را درست کنید و دوباره راهش بیندازید.")
    return warning("webhook", subject, detail, advice)


_MODES_FA: Final = {Mode.LIVE: "واقعی", Mode.TEST: "آزمایشی"}


class MerchantCheckUp(WebhookCheckUp, TerminalCheckUp):
    async def merchant(self, merchant_id: str) -> list[Finding]:
        """A merchant's terminals, ways back and webhooks. Raises NotFound."""
        merchant = await self._store.merchants.merchant(merchant_id)
        terminals = await self._store.merchants.list_terminals(merchant_id)
        endpoints = await self._store.webhooks.list_endpoints(merchant_id)
        recent = await self._recent(merchant_id)
        tokens = await self._store.merchants.list_tokens(merchant_id)
        found = [*self._origins(merchant, tokens), *_missing(merchant, terminals, endpoints)]
        found += await return_findings(self._store.payments, merchant_id, tokens, self._now())
        found += await each(terminals, lambda terminal: self._terminal(merchant, terminal, recent))
        found += await each(endpoints, self.endpoint)
        return found

    def _origins(self, merchant: Merchant, tokens: Iterable[Token]) -> list[Finding]:
        now = self._now()
        drop_in = [token for token in tokens if Scope.FACADE in token.scopes and token.alive(now)]
        if merchant.return_origins or all(token.any_https_return for token in drop_in):
            return []
        return [
            problem(
                "return_origins",
                merchant.id,
                (
                    "drop-in shops are refused with 203: no return origin is registered",
                    "فروشگاه‌ها ۲۰۳ می‌گیرند: مبدأ بازگشتی ثبت نشده است",
                ),
                (
                    "`dargah merchant update ID --return-origin https://shop.example.ir`",
                    "`dargah merchant update ID --return-origin https://shop.example.ir`",
                ),
            )
        ]


def _missing(merchant: Merchant, terminals: list[Terminal], endpoints: list[Endpoint]) -> list[Finding]:
    found = []
    if not any(terminal.enabled for terminal in terminals):
        found.append(
            problem(
                "terminal",
                merchant.id,
                ("it has no terminal in use", "ترمینال فعالی ندارد"),
                ("`dargah terminal create --merchant ID …`", "`dargah terminal create --merchant ID …`"),
            )
        )
    taken = {terminal.mode for terminal in terminals if terminal.enabled} or {Mode.LIVE}
    modes = {endpoint.mode for endpoint in endpoints}
    return found + [_without_endpoint(merchant, mode) for mode in Mode if mode in taken - modes]


def _without_endpoint(merchant: Merchant, mode: Mode) -> Finding:
    """Payments are taken in a mode without an endpoint; one of the other mode does not get them."""
    command = f"`dargah endpoint create --merchant ID --url URL --mode {mode}`"
    return warning(
        "webhook",
        merchant.id,
        (
            f"nobody is told of its {mode} payments: it has no {mode} endpoint",
            f"نشانی وب‌هوک {_MODES_FA[mode]} ندارد و کسی از این پرداخت‌ها باخبر نمی‌شود",
        ),
        (command, command),
    )
