"""The customer's pages: Persian or English, phone first, readable without a script, with nothing from outside.

They never say "failed" of a payment that may be paid: an unknown outcome is being confirmed.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from markupsafe import Markup

from proxy.api.customer.page_assets import PAGE_HEADERS, brand_style, logo_path, policy, style, template
from proxy.api.customer.visit import CHOICE, SPEECHES, Reader
from proxy.api.customer.words import PageText, Speech
from proxy.gateways.family import WayThere
from proxy.http.headers import OPENER_POLICY, ORIGIN_REFERRER
from proxy.http.problems import RouteNotFound, problem_of
from proxy.http.static_assets import ICON_NAME, PREVIEW_NAME
from proxy.kernel.errors import DargahError, NotFound, RateLimited, Unavailable
from proxy.kernel.frozen import dataclass
from proxy.merchants.merchant import Language, Merchant, Mode
from proxy.payments.next_step import (
    GatewayDown,
    GatewayRedirect,
    Invitation,
    NextStep,
    OrderPaid,
    ShopRedirect,
    SignedReturn,
    StatusPage,
)
from proxy.payments.payment import OPEN, Payment, Status

# Seconds between one look and the next: soon at first, and rare for a page that was left open.
POLL_SECONDS: Final = (3, 3, 3, 3, 5, 5, 10, 10, 20, 30)
# How soon a page that waits for the gateway to come back tries again.
GATEWAY_SECONDS: Final = 10
# States whose page goes on to the gateway by itself, once there is an invoice or room.
LEADING: Final = frozenset({Status.CREATED.value, "busy"})
# Leads to the gateway whatever is thought of it or of who asks.
GO: Final = "?go=1"


class PaymentLost(NotFound):
    """A restore removed the payment, as the time in its link shows. `merchant` is the merchant of the link."""

    def __init__(self, merchant: Merchant) -> None:
        super().__init__("payment")
        self.merchant = merchant


@dataclass(frozen=True, slots=True)
class Refresh:
    """When to load again, and which query to add to this page's own address."""

    seconds: int
    query: str

    @classmethod
    def after(cls, again: int, language: Language | None = None) -> "Refresh":
        query = f"?again={min(again + 1, len(POLL_SECONDS))}" + ("" if language is None else f"&{CHOICE}={language}")
        return cls(POLL_SECONDS[min(again, len(POLL_SECONDS) - 1)], query)


@dataclass(frozen=True, slots=True)
class Frame:
    """The surroundings of a page: its reader's language, the merchant, and the public URL of Dargah."""

    speech: Speech
    choice: Language | None
    merchant: Merchant | None
    public_url: str

    @classmethod
    def of(cls, reader: Reader, public_url: str, merchant: Merchant | None = None) -> "Frame":
        return cls(SPEECHES[reader.language(merchant)], reader.choice, merchant, public_url.rstrip("/"))

    @property
    def base(self) -> str:
        """The path of the public URL."""
        return urlsplit(self.public_url).path

    @property
    def shop(self) -> str:
        return "" if self.merchant is None else self.merchant.called(self.speech.language)


@dataclass(frozen=True, slots=True)
class Form:
    """A form of a page: where its fields are posted to, and its button's label."""

    url: str
    fields: Mapping[str, str]
    label: str


def step_page(frame: Frame, step: NextStep, *, polls: int, now: int) -> web.Response:
    """The page of a customer's next step. `polls` is how often this page was polled before."""
    match step:
        case GatewayRedirect():
            return onward_page(frame, step.payment, step.way)
        case ShopRedirect():
            return return_form_page(frame, step.signed_return)
        case GatewayDown():
            return gateway_down_page(frame, step.payment, step.signed_return)
        case Invitation():
            return invitation_page(frame, step.payment)
        case OrderPaid():
            return order_paid_page(frame, step.payment, step.signed_return)
        case StatusPage():
            again = polls if step.payment.status in OPEN else None
            return payment_page(frame, step, again=again, now=now)


def payment_page(frame: Frame, step: StatusPage, *, again: int | None, now: int) -> web.Response:
    """The status of a payment. `again` is the number of earlier polls of this page, None when it needs no polling."""
    payment, speech = step.payment, frame.speech
    ended = payment.status is Status.PENDING and now >= payment.expires_at
    words = speech.time_is_up if ended else speech.of_payment(payment, order_paid=step.order_paid)
    refresh = None if again is None else Refresh.after(again, frame.choice)
    state = "time_is_up" if ended else payment.status.value
    return _page(
        frame,
        words,
        state,
        payment=payment,
        signed_return=step.signed_return,
        refresh=refresh,
        other=f"?again={again or 0}&",
    )


def order_paid_page(frame: Frame, paid: Payment, signed_return: SignedReturn | None) -> web.Response:
    """The page of an order that another payment, `paid`, has already paid."""
    return _page(frame, frame.speech.order_paid, "order_paid", payment=paid, signed_return=signed_return)


def onward_page(frame: Frame, payment: Payment, way: WayThere) -> web.Response:
    """Goes on to the gateway by itself. It keeps the shop's window as its opener, as a redirect does."""
    there = {"pay": way.url} if way.fields is None else {"form": Form(way.url, way.fields, frame.speech.labels.pay)}
    page = _page(frame, frame.speech.onward, "onward", payment=payment, go=True, other=None, **there)
    del page.headers[OPENER_POLICY[0]]
    return page


def invitation_page(frame: Frame, payment: Payment) -> web.Response:
    """A page that shows the merchant behind a link, with branding only; a button leads on."""
    return _page(frame, frame.speech.invitation, "invitation", payment=payment, pay=GO)


def gateway_down_page(frame: Frame, payment: Payment, signed_return: SignedReturn | None) -> web.Response:
    """The gateway has not been answering: the customer waits here, or tries it all the same."""
    refresh = Refresh(GATEWAY_SECONDS, "" if frame.choice is None else f"?{CHOICE}={frame.choice}")
    words = frame.speech.gateway_down
    return _page(frame, words, "gateway_down", payment=payment, signed_return=signed_return, refresh=refresh, pay=GO)


def return_form_page(frame: Frame, signed_return: SignedReturn) -> web.Response:
    """A page that posts its form to the shop by itself, and leaves the shop's window its opener."""
    page = _page(frame, frame.speech.homeward, "homeward", signed_return=signed_return, go=True, other=None)
    del page.headers[OPENER_POLICY[0]]
    return page


def error_page(error: DargahError, frame: Frame, *, returning: bool = False) -> web.Response:
    """An error page for the customer, with the status and headers of the problem.

    A `returning` customer may have paid: the page says that the payment is being confirmed, and tries again by itself.
    """
    problem, speech = problem_of(error), frame.speech
    match error:
        case PaymentLost():
            page = _page(replace(frame, merchant=error.merchant), speech.lost, "lost")
        case NotFound():
            page = _page(frame, speech.no_link, "no_link")
        case RouteNotFound():
            page = _page(frame, speech.nothing_here, "nothing_here")
        case Unavailable() | RateLimited():
            words = speech.outcomes[Status.PENDING] if returning else speech.busy
            refresh = Refresh(max(POLL_SECONDS[0], error.retry_after_seconds), "")
            page = _page(frame, words, Status.PENDING if returning else "busy", refresh=refresh)
        case _:
            page = _page(frame, speech.odd, "odd")
    page.set_status(problem.status)
    page.headers.update(problem.headers)
    return page


def _page(
    frame: Frame,
    words: PageText,
    state: str,
    *,
    payment: Payment | None = None,
    signed_return: SignedReturn | None = None,
    refresh: Refresh | None = None,
    pay: str | None = None,
    form: Form | None = None,
    go: bool = False,
    other: str | None = "?",
) -> web.Response:
    merchant, speech, styles = frame.merchant, frame.speech, _styles(frame)
    if signed_return is not None and signed_return.fields is not None:
        form = Form(signed_return.url, signed_return.fields, speech.labels.back)
    logo = None if merchant is None else logo_path(merchant)
    text = template().render(
        speech=speech,
        labels=speech.labels,
        words=words,
        state=state,
        payment=payment,
        times=() if payment is None else _times(payment, speech, state),
        test=payment is not None and payment.mode is Mode.TEST,
        shop=frame.shop,
        logo=logo and frame.base + logo,
        picture=frame.public_url + (logo or f"/assets/{PREVIEW_NAME}"),
        icon=f"{frame.base}/assets/{ICON_NAME}",
        signed_return=signed_return,
        refresh=refresh,
        pay=pay,
        form=form,
        go=go,
        other=None if other is None else _other_language(speech, other),
        style=Markup(styles[0]),  # noqa: S704  a file of ours
        brand=Markup("".join(styles[1:])),  # noqa: S704  made of six hexadecimal digits
        **_summary(frame, words, payment, invited=pay is not None or state == "onward"),
        contact=None if merchant is None else merchant.branding.contact,
    )
    page = web.Response(body=text.encode(), headers=PAGE_HEADERS)
    page.enable_compression()
    page.headers.add(*OPENER_POLICY)
    # Without a referrer a browser also says `Origin: null`, which shops' frameworks refuse in a POST.
    if pay is not None or state in LEADING or form is not None:
        page.headers.update(ORIGIN_REFERRER)
    page.headers["Content-Language"] = speech.language
    page.headers["Content-Security-Policy"] = policy(*styles, form=form is not None)
    return page


def _styles(frame: Frame) -> list[str]:
    """The style of every page, and that of the merchant's colour."""
    colour = None if frame.merchant is None else frame.merchant.branding.colour
    return [style(frame.base), *([] if colour is None else [brand_style(colour)])]


def _times(payment: Payment, speech: Speech, state: str) -> list[tuple[str, int]]:
    labels = speech.labels
    if payment.given_back is not None and (payment.status is Status.GIVEN_BACK or payment.is_reversed):
        given = payment.given_back
        if given.at is not None:
            return [(labels.given_back, given.at)]
        return [] if given.by is None else [(labels.given_back_by, given.by)]
    if payment.paid_at is not None:
        return [(labels.paid, payment.paid_at)]
    until = [(labels.expires, payment.expires_at)] if state in {"invitation", "gateway_down"} else []
    return [(labels.created, payment.created_at), *until]


def _other_language(speech: Speech, query: str) -> dict[str, Any]:
    language = next(language for language in SPEECHES if language is not speech.language)
    return {"language": language, "query": f"{query}{CHOICE}={language}"}


def _summary(frame: Frame, words: PageText, payment: Payment | None, *, invited: bool) -> dict[str, str]:
    """The preview that a messenger shows of a link: merchant and amount, and nothing that is for the customer alone."""
    if payment is None or not invited:
        return {"headline": words.title, "summary": words.text}
    labels = frame.speech.labels
    headline = labels.to_pay.format(amount=frame.speech.toman(payment.amount_rials), shop=frame.shop)
    return {"headline": headline, "summary": labels.preview}
