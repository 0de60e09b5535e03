"""A terminal's check-up: its credentials, host, clock and way back, each by what its family's traits say."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from proxy.gateways.family import Family, Probe
from proxy.gateways.port import Account, CheckResult, CheckUnknown
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import SECOND
from proxy.kernel.errors import CredentialUnusable
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import is_app, is_loopback, origin_of
from proxy.merchants.merchant import Merchant, Terminal
from proxy.operations.doctor.base import Checks, Finding, ProbeResult, fine, in_time, problem, warning
from proxy.operations.doctor.forms import MAX_LINES, Shown, form_findings
from proxy.operations.doctor.gateway import (
    host_finding,
    key_finding,
    referrer_finding,
    refused_finding,
    return_host_finding,
    seal_finding,
    unknown_gateway_finding,
    untested_finding,
)
from proxy.payments.payment import Payment, Status
from proxy.payments.search import PaymentFilter

RECENT_PAYMENTS: Final = 50
# Receivers of webhooks refuse a timestamp that is five minutes off, and the Date header is whole seconds.
CLOCK_WARNING: Final = 30 * SECOND
CLOCK_PROBLEM: Final = 300 * SECOND


@dataclass(frozen=True, slots=True)
class Recent:
    """A merchant's newest payments and newest failures, and what its gateways' answers showed, of all its terminals."""

    payments: Sequence[Payment]
    shown: Sequence[Shown]

    def of(self, terminal: Terminal) -> list[Shown]:
        """What was shown to the terminal as it is now: another host may be behind it since it was changed."""
        return [each for each in self.shown if each.terminal_id == terminal.id and each.at >= terminal.updated_at]


class TerminalCheckUp(Checks):
    async def terminal(self, merchant_id: str, terminal_id: str) -> list[Finding]:
        """One terminal's key, clock and way back. Raises NotFound."""
        merchant = await self._store.merchants.merchant(merchant_id)
        terminal = await self._store.merchants.terminal(merchant_id, terminal_id)
        return await self._terminal(merchant, terminal, await self._recent(merchant_id))

    async def _recent(self, merchant_id: str) -> "Recent":
        lines = await self._store.payments.lines_with_fields(merchant_id, MAX_LINES)
        shown = [Shown(terminal_id, line.at, line.data["fields"]) for terminal_id, line in lines]
        return Recent(await self._recent_payments(merchant_id), shown)

    async def _recent_payments(self, merchant_id: str) -> Sequence[Payment]:
        """The merchant's newest payments and newest failures, the newest first."""
        filters = PaymentFilter(limit=RECENT_PAYMENTS), PaymentFilter(statuses=(Status.FAILED,), limit=RECENT_PAYMENTS)
        pages = [await self._store.payments.list_payments(merchant_id, each) for each in filters]
        found = {payment.id: payment for page in pages for payment in page.payments}
        return sorted(found.values(), key=lambda payment: payment.created_at, reverse=True)

    async def _terminal(self, merchant: Merchant, terminal: Terminal, recent: "Recent") -> list[Finding]:
        subject = f"{terminal.id} ({terminal.name})"
        if not terminal.enabled:
            return [fine("terminal", subject, "it is switched off", "خاموش است")]
        family = FAMILIES.get(terminal.gateway)
        if family is None:
            return [unknown_gateway_finding(subject, terminal.gateway)]
        found = await self._gateway_findings(subject, family, terminal, recent.of(terminal))
        found += await self._ways_back(subject, family, merchant, terminal)
        refused = find_refusal(family, terminal, recent.payments)
        return found if refused is None else [*found, refused_finding(subject, family, *refused)]

    async def _gateway_findings(
        self, subject: str, family: Family, terminal: Terminal, shown: list[Shown]
    ) -> list[Finding]:
        try:
            account = await self._merchant_cache.account(terminal)
        except CredentialUnusable:
            return [seal_finding(subject, family, terminal.gateway_url)]
        if family.probe is None:
            key = untested_finding(subject, family)
        else:
            probed = await self._ask(account, family, family.probe)
            files = self._around.gateway_ca_files
            key = key_finding(subject, family, family.probe, probed, terminal.gateway_url, files)
            if probed.fields is not None:
                shown = [*shown, Shown(terminal.id, self._now(), probed.fields)]
        host = host_finding(subject, family, account, terminal.mode, development=self._around.development)
        forms = form_findings(subject, family, shown)
        return [key, *([] if host is None else [host]), *await self._clock(family, terminal), *forms]

    async def _ask(self, account: Account, family: Family, probe: Probe) -> CheckResult:
        inquiry = probe.inquiry(self._ids.random(20))
        if family.traits.checks:
            asking = self._gateway.check(account, inquiry.invoice_key, inquiry.evidence)
        else:
            asking = self._gateway.confirm(account, inquiry)
        return await in_time(asking, CheckResult(CheckUnknown(inquiry.invoice_key, "timeout"), 0))

    async def _clock(self, family: Family, terminal: Terminal) -> list[Finding]:
        result = await self._prober.look(terminal.gateway_url, self._ids.random(16), from_outside=False)
        host = urlsplit(terminal.gateway_url).netloc
        if result.date is not None:
            return [clock_finding(host, result, self._now(), told=family.traits.needs_clock)]
        return [_no_clock(host)] if result.error is None and family.traits.needs_clock else []

    async def _ways_back(self, subject: str, family: Family, merchant: Merchant, terminal: Terminal) -> list[Finding]:
        """The host of the returns beside the shop's, the origin that the gateway sees, and whether Dargah is there."""
        found = []
        base = terminal.return_base_url or self._around.public_url
        shops = [urlsplit(origin).hostname or "" for origin in merchant.return_origins if not is_app(origin)]
        host = urlsplit(base).hostname or ""
        if shops and family.traits.locks_domain and not is_loopback(host):
            found.append(return_host_finding(subject, host, shops))
        origin = origin_of(self._around.public_url)
        if not is_loopback(urlsplit(origin).hostname or ""):
            found.append(referrer_finding(subject, origin, host))
        if terminal.return_base_url is not None:
            found.append(await self._ours("return_base_url", terminal.return_base_url))
        return found


def find_refusal(family: Family, terminal: Terminal, recent: Sequence[Payment]) -> tuple[int, str] | None:
    """The code of the terminal's newest create if its gateway refused it because of the terminal, and the payment's id.

    Whether a registration was mended no probe shows: the next invoice does, and a change of the terminal is taken for
    it.
    """
    for payment in recent:
        if payment.terminal_id != terminal.id or payment.created_at < terminal.updated_at:
            continue
        if payment.invoice_key is not None:
            return None
        code = payment.failure.gateway_error_code if payment.failure else None
        meaning = None if code is None else family.codes.get(code)
        if code is not None and meaning is not None and meaning.alerts:
            return code, payment.id
    return None


def clock_finding(subject: str, result: ProbeResult, now: int, *, told: bool = False) -> Finding:
    """The clock beside the gateway's; `told` where the time is part of the calls to it."""
    off = abs((result.date or now) - now)
    seconds = off // SECOND
    if off < CLOCK_WARNING:
        return fine("clock", subject, "it agrees with the gateway's", "با ساعت درگاه یکی است")
    make = problem if off >= CLOCK_PROBLEM else warning
    detail = (
        f"this machine and the gateway are {seconds} s apart",
        f"ساعت این ماشین و درگاه {seconds} ثانیه اختلاف دارد",
    )
    return make("clock", subject, detail, _KEEP_TIME_TOLD if told else _KEEP_TIME)


def _no_clock(subject: str) -> Finding:
    detail = (
        "it does not say its time, which it compares with ours in each payment",
        "ساعت خود را نمی‌گوید، ولی در هر پرداخت آن را با ساعت ما می‌سنجد",
    )
    return warning("clock", subject, detail, _KEEP_TIME_TOLD)


_KEEP_TIME: Final = (
    "Keep the clock by NTP: receivers refuse webhooks 5 minutes off.",
    "ساعت را با NTP تنظیم نگه دارید: گیرنده‌ها وب‌هوکی را که ۵ دقیقه جابه‌جا باشد نمی‌پذیرند.",
)
_KEEP_TIME_TOLD: Final = (
    "Keep the clock by NTP: the gateway refuses payments whose time is wrong.",
    "ساعت را با NTP تنظیم نگه دارید: درگاه پرداختی را که ساعتش نادرست باشد نمی‌پذیرد.",
)
