"""The customer's pages: Persian, right to left, phone first, with nothing from outside.

They never say "failed" of something that may be paid: what is not known yet is being confirmed.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from proxy.errors import DargahError, NotFound, RateLimited, Unavailable
from proxy.merchant import Mode
from proxy.money import RIALS_PER_TOMAN
from proxy.payment import Payment, Status
from proxy.web.headers import OPENER_POLICY, PAGE_SECURITY_HEADERS
from proxy.web.problems import RouteNotFound, problem_of

_STYLE: Final = files("proxy.web").joinpath("templates/style.css").read_text("utf-8")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_HEADERS: Final[Mapping[str, str]] = {
    **PAGE_SECURITY_HEADERS,
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
}

# Seconds between one look and the next: soon at first, and rare for a page that was left open.
POLL_SECONDS: Final = (3, 3, 3, 3, 5, 5, 10, 10, 20, 30)

# Submits the form that leads back to the shop. Without it, its button does.
_GO: Final = "document.forms[0].submit();"
_GO_HASH: Final = base64.b64encode(hashlib.sha256(_GO.encode()).digest()).decode()
# No form-action where a form leads to the shop: Chrome holds it against the redirects that follow.
_FORM_POLICY: Final = PAGE_HEADERS["Content-Security-Policy"].replace("form-action 'none'; ", "")
_GO_POLICY: Final = f"{_FORM_POLICY}; script-src 'sha256-{_GO_HASH}'"

_PERSIAN: Final = str.maketrans("0123456789,", "۰۱۲۳۴۵۶۷۸۹٬")
_LATE_MONEY: Final = "اگر مبلغی از حساب شما کم شده است، نگران نباشید: همین که بانک تأیید کند، فروشگاه باخبر می‌شود."


@dataclass(frozen=True, slots=True)
class Words:
    """What a page says, and its tone: ok, wait or off."""

    tone: str
    title: str
    text: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class WayBack:
    """Where the shop is: a link, or with `fields` a form to be posted."""

    url: str
    fields: Mapping[str, str] | None = None


OUTCOMES: Final[Mapping[Status, Words]] = {
    Status.CREATED: Words("wait", "پیوند پرداخت هنوز آماده نیست", "چند لحظه صبر کنید؛ این صفحه خودبه‌خود تازه می‌شود."),
    Status.PENDING: Words(
        "wait",
        "در حال تأیید پرداخت",
        "نتیجهٔ پرداخت هنوز از بانک نرسیده است. این صفحه خودبه‌خود تازه می‌شود.",
        "اگر پرداخت کرده‌اید، لازم نیست دوباره پرداخت کنید.",
    ),
    Status.PAID: Words("ok", "پرداخت انجام شد", "پرداخت شما تأیید شد و به فروشگاه خبر داده می‌شود."),
    Status.FAILED: Words(
        "off",
        "پرداخت آغاز نشد",
        "درگاه برای این سفارش پیوند پرداخت نداد. مبلغی از شما کم نشده است؛ از فروشگاه بخواهید دوباره تلاش کند.",
    ),
    Status.CANCELED: Words("off", "پرداخت لغو شد", "برای این سفارش پرداختی ثبت نشد.", _LATE_MONEY),
    Status.EXPIRED: Words("off", "مهلت پرداخت تمام شد", "برای این سفارش پرداختی ثبت نشد.", _LATE_MONEY),
    Status.NEEDS_REVIEW: Words(
        "wait",
        "پرداخت شما در دست بررسی است",
        "پرداختی از شما رسیده که باید بررسی شود. فروشگاه از آن باخبر است و با شما هماهنگ می‌کند.",
        "کد پیگیری را نزد خود نگه دارید.",
    ),
}
_TIME_IS_UP: Final = Words(
    "wait",
    "مهلت این پیوند پرداخت تمام شده است",
    "دیگر نمی‌توان با این پیوند پرداخت کرد. اگر پرداخت کرده‌اید، نتیجهٔ آن در حال تأیید است.",
)
_NO_LINK: Final = Words(
    "off", "این پیوند پرداخت پیدا نشد", "نشانی را درست وارد کنید یا پیوند تازه‌ای از فروشگاه بگیرید."
)
_BUSY: Final = Words(
    "wait", "کمی صبر کنید", "پاسخ‌گویی اکنون ممکن نیست. این صفحه خودبه‌خود تازه می‌شود.", OUTCOMES[Status.PENDING].more
)
_HOMEWARD: Final = Words("wait", "بازگشت به فروشگاه", "تا چند لحظهٔ دیگر به فروشگاه بازمی‌گردید.")
_ODD: Final = Words(
    "wait", "این صفحه باز نشد", "خطایی رخ داد. چند لحظه دیگر دوباره امتحان کنید.", OUTCOMES[Status.PENDING].more
)


def persian_number(number: int) -> str:
    """Persian digits, grouped by thousands."""
    return f"{number:,}".translate(_PERSIAN)


def persian_toman(amount_rials: int) -> str:
    """The amount in toman; an odd rial as a decimal."""
    toman, odd_rials = divmod(amount_rials, RIALS_PER_TOMAN)
    return persian_number(toman) + (f"٫{persian_number(odd_rials)}" if odd_rials else "")


def payment_page(payment: Payment, shop: str, way_back: WayBack | None, *, again: int | None, now: int) -> web.Response:
    """What is known of a payment. `again` is how often this page was polled before, None when it need not be."""
    ended = payment.status is Status.PENDING and now >= payment.expires_at
    words = _TIME_IS_UP if ended else OUTCOMES[payment.status]
    refresh = None if again is None else Refresh.after(again)
    return _page(200, words, payment=payment, shop=shop, way_back=way_back, refresh=refresh)


def way_back_page(shop: str, way_back: WayBack) -> web.Response:
    """A page that posts its form to the shop by itself."""
    page = _page(200, _HOMEWARD, shop=shop, way_back=way_back, go=_GO)
    page.headers["Content-Security-Policy"] = _GO_POLICY
    return page


def error_page(error: DargahError, *, returning: bool = False) -> web.Response:
    """An error as the customer sees it, with the status and headers of the problem.

    Who is `returning` may have paid: what is put off is being confirmed, on a page that tries again by itself.
    """
    problem = problem_of(error)
    match error:
        case NotFound() | RouteNotFound():
            page = _page(problem.status, _NO_LINK)
        case Unavailable() | RateLimited():
            words = OUTCOMES[Status.PENDING] if returning else _BUSY
            page = _page(problem.status, words, refresh=Refresh(max(POLL_SECONDS[0], error.retry_after_seconds), ""))
        case _:
            page = _page(problem.status, _ODD)
    page.headers.update(problem.headers)
    return page


@dataclass(frozen=True, slots=True)
class Refresh:
    """When to load again, and which query to add to this page's own address."""

    seconds: int
    query: str

    @classmethod
    def after(cls, again: int) -> "Refresh":
        return cls(POLL_SECONDS[min(again, len(POLL_SECONDS) - 1)], f"?again={min(again + 1, len(POLL_SECONDS))}")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("proxy.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(rials=persian_number, toman=persian_toman)
    environment.globals.update(style=Markup(_STYLE))  # noqa: S704  a file of ours
    return environment


def _page(
    status: int,
    words: Words,
    *,
    payment: Payment | None = None,
    shop: str = "",
    way_back: WayBack | None = None,
    refresh: Refresh | None = None,
    go: str = "",
) -> web.Response:
    text = (
        _environment()
        .get_template("page.html")
        .render(
            words=words,
            payment=payment,
            test=payment is not None and payment.mode is Mode.TEST,
            shop=shop,
            way_back=way_back,
            refresh=refresh,
            go=Markup(go),  # noqa: S704  a script of ours
        )
    )
    page = web.Response(status=status, body=text.encode(), headers=PAGE_HEADERS)
    page.headers.add(*OPENER_POLICY)
    if way_back is not None and way_back.fields is not None:
        page.headers["Content-Security-Policy"] = _FORM_POLICY
    return page
