"""The bank's pages for the customer: Persian, right to left, phone first, with nothing from outside."""

import base64
import hashlib

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from proxy.simulator.gateway import Return
from proxy.simulator.ledger import Invoice, State
from proxy.wire import host_of

_PERSIAN = str.maketrans("0123456789,", "۰۱۲۳۴۵۶۷۸۹٬")
_NOTICES = {
    State.OPEN: None,
    State.CANCELED: "این پرداخت پیش‌تر لغو شده است. هنوز می‌توانید آن را پرداخت کنید.",
    State.FAILED: "تلاش پیشین در بانک ناموفق بود. می‌توانید دوباره پرداخت کنید.",
    State.CAPTURED: "این صورتحساب پرداخت شده است.",
}
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
        loader=PackageLoader("proxy.simulator"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(rials=persian_number, tomans=persian_tomans)
    return environment


_PAGES = _environment()


def pay_page(invoice: Invoice) -> str:
    """What to pay, to whom, and the buttons; for a captured invoice only the way back."""
    return _PAGES.get_template("pay.html").render(
        amount_rials=invoice.amount_rials,
        invoice_key=invoice.invoice_key,
        shop=host_of(invoice.return_url),
        notice=_NOTICES[invoice.state],
        captured=invoice.state is State.CAPTURED,
    )


def return_page(returns: tuple[Return, ...]) -> str:
    """A page that goes back to the shop by itself, or by a button where scripts are off.

    The last trip is the visible one.
    """
    return _PAGES.get_template("return.html").render(trip=returns[-1], repeats=returns[:-1], script=Markup(_GO))  # noqa: S704  # a constant


def message_page(title: str, text: str) -> str:
    return _PAGES.get_template("message.html").render(title=title, text=text)
