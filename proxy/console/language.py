"""In which language a page is, and how it shows numbers, money and times in it."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import orjson
from markupsafe import Markup, escape

from proxy.kernel.clock import rfc3339
from proxy.kernel.frozen import dataclass
from proxy.locale.persian import (
    Jalali,
    english_jalali_time,
    english_time,
    jalali_time,
    latin_toman,
    persian_digits,
    persian_gregorian_time,
    persian_toman,
)
from proxy.merchants.merchant import Language, Mode
from proxy.operators.records import Role
from proxy.payments.change import Entry
from proxy.payments.payment import OPEN, Decision, GatewayStep, GivenBackReason, ReviewReason, Status
from proxy.webhooks.endpoint import EndpointState
from proxy.webhooks.resend import ResendState
from proxy.webhooks.retry_policy import DeliveryStatus

Pair = tuple[str, str]
"""Persian, English."""


# Latin words with what belongs to them, such as an address; not what ends the sentence.
_LATIN: Final = re.compile(r"([!-~]*[A-Za-z](?:[ -~]*[A-Za-z0-9/*)\]}])?)")
# A word for each state, and its tone: ok, wait, bad or off.
STATUSES: Final[Mapping[str, tuple[str, str, str]]] = {
    Status.CREATED: ("ساخته شد", "Created", "wait"),
    Status.PENDING: ("در انتظار پرداخت", "Pending", "wait"),
    Status.PAID: ("پرداخت شد", "Paid", "ok"),
    Status.FAILED: ("آغاز نشد", "Failed", "bad"),
    Status.CANCELED: ("لغو شد", "Canceled", "off"),
    Status.EXPIRED: ("مهلت گذشت", "Expired", "off"),
    Status.GIVEN_BACK: ("برگشت داده شد", "Given back", "off"),
    Status.NEEDS_REVIEW: ("نیازمند بررسی", "Needs review", "bad"),
}
EVENTS: Final[Mapping[str, tuple[str, str, str]]] = {
    **{f"payment.{status}": STATUSES[status] for status in Status if status not in OPEN},
    "payment.review_resolved": ("بررسی شد", "Review resolved", "ok"),
    "endpoint.disabled": ("نشانی از کار افتاد", "Endpoint disabled", "bad"),
    "ping": ("پیام آزمایشی", "Ping", "off"),
}
DELIVERIES: Final[Mapping[str, tuple[str, str, str]]] = {
    DeliveryStatus.PENDING: ("در راه", "On its way", "wait"),
    DeliveryStatus.DELIVERED: ("رسید", "Delivered", "ok"),
    DeliveryStatus.FAILED: ("نرسید", "Failed", "bad"),
    DeliveryStatus.DROPPED: ("کنار گذاشته شد", "Dropped", "off"),
}
ENDPOINTS: Final[Mapping[str, tuple[str, str, str]]] = {
    EndpointState.ENABLED: ("روشن", "Enabled", "ok"),
    EndpointState.PAUSED: ("نگه‌داشته", "Paused", "off"),
    EndpointState.DISABLED: ("از کار افتاده", "Disabled", "bad"),
}
OUTCOMES: Final[Mapping[str, tuple[str, str, str]]] = {
    "delivered": ("رسید", "Delivered", "ok"),
    "failed": ("نرسید", "Failed", "bad"),
    "unknown": ("نامعلوم", "Unknown", "off"),
}
RESENDS: Final[Mapping[str, tuple[str, str, str]]] = {
    ResendState.RUNNING: ("در جریان", "Under way", "wait"),
    ResendState.STOPPED: ("متوقف", "Stopped", "off"),
    ResendState.DONE: ("پایان یافته", "Done", "ok"),
}
# In which language a merchant's customers are spoken to.
LANGUAGES: Final[Mapping[str, Pair]] = {
    "": ("زبان مرورگر مشتری", "As the customer's browser asks"),
    Language.PERSIAN: ("فارسی", "Persian"),
    Language.ENGLISH: ("انگلیسی", "English"),
}
# Why a payment needs review: in a word for the list, and as a sentence.
REVIEW_REASONS: Final[Mapping[str, tuple[Pair, Pair]]] = {
    ReviewReason.AMOUNT_DIFFERS: (
        ("مبلغ فرق دارد", "The amount differs"),
        ("مبلغی که مشتری پرداخته با مبلغ سفارش یکی نیست.", "The customer paid another amount than was asked."),
    ),
    ReviewReason.BANK_CODE_MISSING: (
        ("کد پیگیری ندارد", "No bank_code"),
        (
            "درگاه می‌گوید پرداخت شده، ولی کد پیگیری بانک را نگفته است.",
            "The gateway says paid, and named no bank_code.",
        ),
    ),
    ReviewReason.BANK_CODE_REUSED: (
        ("کد پیگیری تکراری است", "The bank_code was used before"),
        ("این کد پیگیری پیش‌تر با پرداخت دیگری آمده است.", "This bank_code came with another payment before."),
    ),
    ReviewReason.ORDER_PAID_TWICE: (
        ("سفارش دو بار پرداخت شده", "The order was paid twice"),
        ("این سفارش را پرداخت دیگری هم پرداخته است.", "Another payment has paid this order too."),
    ),
    ReviewReason.ORDER_WITHDRAWN: (
        ("سفارش پس گرفته شده", "The order was withdrawn"),
        ("فروشگاه این سفارش را پیش از پرداخت پس گرفته بود.", "The shop had withdrawn this order before it was paid."),
    ),
    ReviewReason.PAID_TWICE: (
        ("همین پرداخت دو بار پرداخت شده", "This payment was paid twice"),
        ("هر دو صورت‌حساب همین پرداخت پرداخت شده‌اند.", "Both invoices of this payment were paid."),
    ),
}
# What an operator decides about such money: in a word, and as a sentence.
DECISIONS: Final[Mapping[str, tuple[Pair, Pair]]] = {
    Decision.ACCEPTED: (
        ("پذیرفته شد", "Accepted"),
        (
            "پذیرفته شد: فروشگاه سفارش را با همین مبلغ تحویل می‌دهد",
            "Accepted: the shop serves the order for this amount",
        ),
    ),
    Decision.REFUNDED: (
        ("بازگردانده شد", "Refunded"),
        ("بازگردانده شد: پول به مشتری پس داده شد", "Refunded: the customer has the money back"),
    ),
    Decision.REJECTED: (
        ("رد شد", "Rejected"),
        ("رد شد: پول از آن این سفارش نیست", "Rejected: the money is not this order's"),
    ),
}
GIVEN_BACK_REASONS: Final[Mapping[str, Pair]] = {
    **{
        reason: REVIEW_REASONS[reason][1]
        for reason in ("amount_differs", "order_paid_twice", "order_withdrawn", "paid_twice")
    },
    GivenBackReason.MERCHANT_REVERSED: (
        "فروشگاه خواست پول برگردد. پرداخت «پرداخت‌شده» می‌ماند و پولش به مشتری برگشته یا در حال برگشتن است.",
        "The shop asked for it. The payment stays paid, and its money went or is going back to the customer.",
    ),
    GivenBackReason.REVERSED: (
        "درگاه پول را خود برگرداند، بی آنکه از آن خواسته باشیم.",
        "The gateway gave the money back unasked.",
    ),
    GivenBackReason.TOO_LATE: (
        "پرداخت در مهلت درگاه تأیید نشد.",
        "It was not confirmed in the gateway's time.",
    ),
}
# A call that moves money and that has no answer so far.
STEPS: Final[Mapping[str, Pair]] = {
    GatewayStep.CONFIRM: ("در حال تأیید نزد درگاه از", "Being confirmed at the gateway since"),
    GatewayStep.SETTLE: ("در حال تسویه نزد درگاه از", "Being settled at the gateway since"),
    GatewayStep.REVERSE: ("در حال برگرداندن پول از", "Being given back since"),
}
ROLES: Final[Mapping[str, tuple[str, str, str]]] = {
    Role.READ: ("بیننده", "Read", "off"),
    Role.OPERATE: ("گرداننده", "Operate", "wait"),
    Role.OWNER: ("مالک", "Owner", "ok"),
}
RETURN_SECRETS: Final[Mapping[str, Pair]] = {
    Mode.LIVE: ("راز تازهٔ راه بازگشت", "New return secret"),
    Mode.TEST: ("راز تازهٔ راه بازگشت آزمایشی", "New return secret of test payments"),
}
MODES: Final[Mapping[str, tuple[str, str, str]]] = {
    Mode.LIVE: ("واقعی", "Live", "ok"),
    Mode.TEST: ("آزمایشی", "Test", "wait"),
}


@dataclass(frozen=True, slots=True)
class Words:
    """The template helpers of one language."""

    language: Language

    @property
    def persian(self) -> bool:
        return self.language is Language.PERSIAN

    @property
    def direction(self) -> str:
        return "rtl" if self.persian else "ltr"

    def t(self, persian: str, english: str) -> str:
        return persian if self.persian else english

    def pair(self, pair: Pair) -> str:
        return pair[0] if self.persian else pair[1]

    def number(self, number: float) -> str:
        """A number grouped by thousands."""
        return self.digits(f"{number:,}")

    def digits(self, text: object) -> str:
        """Digits as the language writes them; for numbers that nobody copies."""
        return persian_digits(str(text)) if self.persian else str(text)

    def toman(self, rials: int) -> str:
        return persian_toman(rials) if self.persian else latin_toman(rials)

    def mixed(self, text: str) -> Markup:
        """A sentence whose Latin names keep their own direction within Persian."""
        if not self.persian:
            return escape(text)
        isolated = Markup('<bdi dir="ltr">{}</bdi>')
        return Markup("").join(
            isolated.format(part) if nth % 2 else escape(part) for nth, part in enumerate(_LATIN.split(text))
        )

    def rate(self, count: int, total: int) -> str:
        """A share in per cent; a dash of nothing."""
        if total == 0:
            return "—"
        shown = f"{100 * count / total:.1f}".removesuffix(".0")
        return f"{persian_digits(shown).replace('.', '٫')}٪" if self.persian else f"{shown}%"

    def change(self, now: int, before: int) -> str:
        """By how many per cent it is more or less; a dash where there was nothing."""
        if before == 0:
            return "—"
        share = round(100 * (now - before) / before)
        sign = "+" if share > 0 else "−" if share < 0 else ""
        return f"{sign}{self.number(abs(share))}{self.t('٪', '%')}"

    def time(self, at: int) -> str:
        """Date and time of day in Tehran, short."""
        return persian_digits(jalali_time(at)) if self.persian else english_time(at)

    def exact_time(self, at: int) -> str:
        """The same to the second."""
        return persian_digits(jalali_time(at, seconds=True)) if self.persian else english_time(at, seconds=True)

    def other_time(self, at: int) -> str:
        """The same time to the second in the other calendar: Gregorian for Persian readers, else Jalali."""
        return persian_gregorian_time(at) if self.persian else english_jalali_time(at)

    def day(self, day: date) -> str:
        """A day of the Iranian calendar, or of the Gregorian one."""
        return persian_digits(str(Jalali.of(day))) if self.persian else day.isoformat()

    def jalali_day(self, at: int) -> str:
        """The day of a time in Tehran, as forms take it."""
        return self.digits(jalali_time(at)[:10])

    def iso(self, at: int) -> str:
        return rfc3339(at)

    def json(self, value: Any) -> str:
        """Facts as they are stored, to be read by people."""
        return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode()

    def raw(self, entry: Entry) -> str:
        """All that is kept of a line of a timeline."""
        return self.json({"kind": entry.kind, "duration_ms": entry.duration_ms, **entry.data})

    def pretty(self, body: bytes) -> str:
        """A body of JSON of our own making."""
        return self.json(orjson.loads(body))

    def text(self, excerpt: bytes) -> str:
        """A receiver's bytes as text; invalid UTF-8 is replaced."""
        return excerpt.decode("utf-8", "replace")

    def ago(self, milliseconds: int) -> str:
        """How long a time is, in its largest unit."""
        seconds = max(0, milliseconds) // 1000
        for size, persian, english in ((86_400, "روز", "d"), (3600, "ساعت", "h"), (60, "دقیقه", "min")):
            if seconds >= size:
                return self.t(f"{persian_digits(str(seconds // size))} {persian}", f"{seconds // size} {english}")
        return self.t(f"{persian_digits(str(seconds))} ثانیه", f"{seconds} s")

    def duration(self, milliseconds: int) -> str:
        return self.t(f"{persian_digits(f'{milliseconds:,}')} میلی‌ثانیه", f"{milliseconds:,} ms")


def language_of(chosen: str | None, accepted: str) -> Language:
    """The one that was chosen; else English where a browser asks for it and not for Persian."""
    if chosen in set(Language):
        return Language(chosen)
    wanted = accepted.lower()
    return Language.ENGLISH if "en" in wanted and "fa" not in wanted else Language.PERSIAN
