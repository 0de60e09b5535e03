"""The bank's pages, in Persian: pay, the way back, and messages."""

import base64
import hashlib
from collections.abc import Mapping

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from proxy.gateways.simulation.gateway import Return
from proxy.gateways.simulation.ledger import PAID_STATES, Invoice, State
from proxy.kernel.urls import host_of

_PERSIAN = str.maketrans("0123456789,", "۰۱۲۳۴۵۶۷۸۹٬")
_NOTICES = {
    State.OPEN: None,
    State.CANCELED: "این پرداخت پیش‌تر لغو شده است. هنوز می‌توانید آن را پرداخت کنید.",
    State.FAILED: "تلاش پیشین در بانک ناموفق بود. می‌توانید دوباره پرداخت کنید.",
    State.PAID: "این صورتحساب پرداخت شده است.",
    State.CONFIRMED: "این صورتحساب پرداخت شده است.",
    State.CAPTURED: "این صورتحساب پرداخت شده است.",
    State.REVERSED: "مبلغ این صورتحساب به کارت بازگشته است.",
}
_WRONG_REFERRER = "این درگاه مشتری را فقط از نشانی ثبت‌شده می‌پذیرد (سرآیند Referer)؛ به سایت پذیرنده بازگردید."
_EXPIRED = "مهلت این پرداخت به پایان رسیده است؛ از سایت پذیرنده دوباره پرداخت را آغاز کنید."
# Repeats go first, into hidden frames; then the customer's own trip.
_GO = (
    "document.querySelectorAll('form[hidden]').forEach(function(f){f.submit()});"
    "var g=document.getElementById('go');g.submit?g.submit():location.replace(g.href);"
)
_GO_HASH = base64.b64encode(hashlib.sha256(_GO.encode()).digest()).decode()

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # No form-action: Chrome holds it against the redirect that follows the form, which leads to the shop.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-src http: https:; base-uri 'none'; "
        f"frame-ancestors 'none'; script-src 'sha256-{_GO_HASH}'"
    ),
}


def persian_number(number: int) -> str:
    """Persian digits, grouped by thousands."""
    return f"{number:,}".translate(_PERSIAN)


def persian_tomans(amount_rials: int) -> str:
    """The amount in toman, ten rials each; the odd rials as a decimal."""
    tomans, odd_rials = divmod(amount_rials, 10)
    return persian_number(tomans) + (f"٫{persian_number(odd_rials)}" if odd_rials else "")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("proxy.gateways.simulation"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(rials=persian_number, tomans=persian_tomans)
    return environment


_PAGES = _environment()


def pay_page(invoice: Invoice, fields: Mapping[str, str], *, can_pay: bool) -> str:
    """The page with amount, merchant and buttons; only the way back for one who can pay no more.

    `fields` are hidden ones of its form, where the family's page knows the invoice by them.
    """
    paid = invoice.state in PAID_STATES
    return _PAGES.get_template("pay.html").render(
        amount_rials=invoice.money_rials,
        invoice_key=invoice.invoice_key,
        shop=host_of(invoice.return_url),
        notice=_NOTICES[invoice.state] if paid or can_pay else _EXPIRED,
        paid=paid,
        can_pay=can_pay,
        fields=fields,
    )


def return_page(returns: tuple[Return, ...]) -> str:
    """A page that goes back to the shop by itself, or by a button where scripts are off.

    The last trip is the visible one.
    """
    return _PAGES.get_template("return.html").render(trip=returns[-1], repeats=returns[:-1], script=Markup(_GO))  # noqa: S704  # a constant


def message_page(title: str, text: str) -> str:
    return _PAGES.get_template("message.html").render(title=title, text=text)


def page_answer(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)


def unknown_invoice() -> web.Response:
    return page_answer(message_page("شناسه پرداخت صحیح نیست", "از سایت پذیرنده دوباره پرداخت را آغاز کنید."), 404)


def wrong_referrer() -> web.Response:
    return page_answer(message_page("از این سایت نمی‌توان پرداخت کرد", _WRONG_REFERRER), 403)


def wrong_button() -> web.Response:
    return page_answer(message_page("درخواست نادرست", "یکی از دکمه‌های صفحه پرداخت را بزنید."), 400)


def end_page() -> web.Response:
    """For a customer whom nothing takes back to the shop."""
    return page_answer(message_page("عملیات بانک پایان یافت", "می‌توانید این صفحه را ببندید."))
