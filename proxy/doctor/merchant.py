"""A merchant's set-up: its terminals, ways back and webhook endpoints."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from proxy.clock import SECOND
from proxy.doctor.base import Base, each, in_time
from proxy.doctor.findings import Finding, fine, problem, warning
from proxy.doctor.gateway import key_finding, refused_finding, return_host_finding
from proxy.errors import DargahError, NotFound, VaultError
from proxy.facts import CheckUnknown
from proxy.merchant import Endpoint, EndpointState, Merchant, Scope, Terminal
from proxy.payment import Payment, Status
from proxy.records import Checked, PaymentFilter, Seen
from proxy.setup.fields import is_loopback

RECENT_FAILURES: Final = 50
# Receivers of webhooks refuse a timestamp that is five minutes off, and the Date header is whole seconds.
CLOCK_WARNING: Final = 30 * SECOND
CLOCK_PROBLEM: Final = 300 * SECOND
_REGISTRATION: Final = frozenset({203, 204})


class MerchantCheckUp(Base):
    async def merchant(self, merchant_id: str) -> list[Finding]:
        """A merchant's terminals, ways back and webhooks. Raises NotFound."""
        merchant = await self._store.merchant(merchant_id)
        terminals = await self._store.list_terminals(merchant_id)
        endpoints = await self._store.list_endpoints(merchant_id)
        failed = PaymentFilter(status=Status.FAILED, limit=RECENT_FAILURES)
        failures = await self._store.list_payments(merchant_id, failed)
        found = [*await self._origins(merchant), *_missing(merchant, terminals, endpoints)]
        found += await each(terminals, lambda terminal: self._terminal(merchant, terminal, failures))
        found += await each(endpoints, self._endpoint)
        return found

    async def terminal(self, merchant_id: str, terminal_id: str) -> list[Finding]:
        """One terminal's key, clock and way back. Raises NotFound."""
        merchant = await self._store.merchant(merchant_id)
        terminal = await self._store.terminal(merchant_id, terminal_id)
        failed = PaymentFilter(status=Status.FAILED, limit=RECENT_FAILURES)
        return await self._terminal(merchant, terminal, await self._store.list_payments(merchant_id, failed))

    async def _terminal(self, merchant: Merchant, terminal: Terminal, failures: Iterable[Payment]) -> list[Finding]:
        subject = f"{terminal.id} ({terminal.name})"
        if not terminal.enabled:
            return [fine("terminal", subject, "it is switched off", "خاموش است")]
        found = [await self._key(subject, terminal), *await self._clock(terminal)]
        base = terminal.return_base_url or self._around.public_url
        shops = [urlsplit(origin).hostname or "" for origin in merchant.return_origins]
        host = urlsplit(base).hostname or ""
        if shops and not is_loopback(host):
            found.append(return_host_finding(subject, host, shops))
        if terminal.return_base_url is not None:
            found.append(await self._ours("return_base_url", terminal.return_base_url))
        refused = _refused_lately(terminal, failures)
        return found if refused is None else [*found, refused_finding(subject, *refused)]

    async def _key(self, subject: str, terminal: Terminal) -> Finding:
        try:
            account = await self._directory.account(terminal)
        except (VaultError, NotFound):
            return problem(
                "terminal_key",
                subject,
                ("its api_key cannot be opened with this key ring", "api_key آن با این دسته‌کلید باز نمی‌شود"),
                (
                    "Bring back the key that sealed it, or set the api_key anew.",
                    "کلیدی را که مهرش کرده بازگردانید یا api_key را از نو بگذارید.",
                ),
            )
        impossible = f"doctor{self._ids.random(20)}"
        checked = await in_time(
            self._gateway.check(account, impossible), Checked(CheckUnknown(impossible, "timeout"), 0)
        )
        return key_finding(subject, checked.fact)

    async def _clock(self, terminal: Terminal) -> list[Finding]:
        seen = await self._prober.look(f"{terminal.gateway_url.rstrip('/')}/invoice/request", self._ids.random(16))
        return [] if seen.date is None else [clock_finding(urlsplit(terminal.gateway_url).netloc, seen, self._now())]

    async def _origins(self, merchant: Merchant) -> list[Finding]:
        tokens = await self._store.list_tokens(merchant.id)
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

    async def _endpoint(self, endpoint: Endpoint) -> list[Finding]:
        subject = f"{endpoint.id} ({urlsplit(endpoint.url).netloc})"
        if endpoint.state is not EndpointState.ENABLED:
            why = endpoint.state_reason or "by the merchant"
            return [
                warning(
                    "webhook",
                    subject,
                    (
                        f"it is {endpoint.state} ({why}): its events are held",
                        f"{endpoint.state} است ({why}) و رویدادهایش نگه داشته می‌شوند",
                    ),
                    ("Mend the receiver, then resume it.", "گیرنده را درست کنید و دوباره راهش بیندازید."),
                )
            ]
        return [await self._ping(subject, endpoint)]

    async def _ping(self, subject: str, endpoint: Endpoint) -> Finding:
        try:
            answer = await in_time(self._sent(endpoint), None)
        except (DargahError, VaultError) as error:
            answer = str(error) or type(error).__name__
        if answer == "":
            return fine("webhook", subject, "it took a signed ping", "پیام آزمایشی امضاشده را پذیرفت")
        why = answer or "timeout"
        return problem(
            "webhook",
            subject,
            (f"it did not take a signed ping ({why})", f"پیام آزمایشی امضاشده را نپذیرفت ({why})"),
            (
                "It must answer 2xx within seconds; see its log, URL and secret.",
                "باید در چند ثانیه 2xx بدهد؛ لاگ، نشانی و راز آن را ببینید.",
            ),
        )

    async def _sent(self, endpoint: Endpoint) -> str:
        """Why a ping failed; empty when it did not."""
        _, answer = await self._trial.ping(endpoint)
        return "" if answer.delivered else answer.error or f"HTTP {answer.status}"


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
    if not endpoints:
        found.append(
            warning(
                "webhook",
                merchant.id,
                (
                    "nobody is told of its payments: it has no endpoint",
                    "نشانی وب‌هوک ندارد و کسی از پرداخت‌ها باخبر نمی‌شود",
                ),
                (
                    "`dargah endpoint create --merchant ID --url URL`",
                    "`dargah endpoint create --merchant ID --url URL`",
                ),
            )
        )
    return found


def _refused_lately(terminal: Terminal, failures: Iterable[Payment]) -> tuple[int, str] | None:
    for payment in failures:
        code = payment.failure.gateway_error_code if payment.failure else None
        if payment.terminal_id == terminal.id and code in _REGISTRATION and payment.created_at >= terminal.updated_at:
            return code, payment.id
    return None


def clock_finding(subject: str, seen: Seen, now: int) -> Finding:
    off = abs((seen.date or now) - now)
    seconds = off // SECOND
    if off < CLOCK_WARNING:
        return fine("clock", subject, "it agrees with the gateway's", "با ساعت درگاه یکی است")
    make = problem if off >= CLOCK_PROBLEM else warning
    return make(
        "clock",
        subject,
        (f"this machine and the gateway are {seconds} s apart", f"ساعت این ماشین و درگاه {seconds} ثانیه اختلاف دارد"),
        (
            "Keep the clock by NTP: receivers refuse webhooks 5 minutes off.",
            "ساعت را با NTP تنظیم نگه دارید: گیرنده‌ها وب‌هوکی را که ۵ دقیقه جابه‌جا باشد نمی‌پذیرند.",
        ),
    )
