"""The customer's pages: Persian or English, phone first, readable without a script, with nothing from outside.

They never say "failed" of something that may be paid: what is not known yet is being confirmed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from markupsafe import Markup

from proxy.errors import DargahError, NotFound, RateLimited, Unavailable
from proxy.merchant import Language, Merchant, Mode
from proxy.payment import Payment, Status
from proxy.web.assets import ICON_NAME, PREVIEW_NAME
from proxy.web.colours import brand_style
from proxy.web.headers import OPENER_POLICY
from proxy.web.languages import CHOICE, SPEECHES, chosen, language_of
from proxy.web.logos import logo_path
from proxy.web.page_look import PAGE_HEADERS, policy, style, template
from proxy.web.page_words import Speech, Words
from proxy.web.problems import RouteNotFound, problem_of
from proxy.web.services import SERVICES

# Seconds between one look and the next: soon at first, and rare for a page that was left open.
POLL_SECONDS: Final = (3, 3, 3, 3, 5, 5, 10, 10, 20, 30)
# How soon a page that waits for the gateway to come back tries again.
GATEWAY_SECONDS: Final = 10
# Leads to the gateway whatever is thought of it or of who asks.
GO: Final = "?go=1"


@dataclass(frozen=True, slots=True)
class WayBack:
    """Where the shop is: a link, or with `fields` a form to be posted."""

    url: str
    fields: Mapping[str, str] | None = None


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
    """What a page has round it: its reader's language, the merchant, and the URL under which Dargah is reached."""

    speech: Speech
    choice: Language | None
    merchant: Merchant | None
    public_url: str

    @classmethod
    def of(cls, request: web.Request, merchant: Merchant | None = None) -> "Frame":
        speech = SPEECHES[language_of(request, merchant)]
        return cls(speech, chosen(request), merchant, request.app[SERVICES].public_url().rstrip("/"))

    @property
    def base(self) -> str:
        """The path of the public URL."""
        return urlsplit(self.public_url).path

    @property
    def shop(self) -> str:
        return "" if self.merchant is None else self.merchant.called(self.speech.language)


def payment_page(
    frame: Frame, payment: Payment, way_back: WayBack | None, *, again: int | None, now: int
) -> web.Response:
    """What is known of a payment. `again` is how often this page was polled before, None when it need not be."""
    ended = payment.status is Status.PENDING and now >= payment.expires_at
    words = frame.speech.time_is_up if ended else frame.speech.outcomes[payment.status]
    refresh = None if again is None else Refresh.after(again, frame.choice)
    state = "time_is_up" if ended else payment.status.value
    return _page(
        frame, words, state, payment=payment, way_back=way_back, refresh=refresh, other=f"?again={again or 0}&"
    )


def invitation_page(frame: Frame, payment: Payment) -> web.Response:
    """Whose payment a link is, for who only looks: it leads on by a button."""
    return _page(frame, frame.speech.invitation, "invitation", payment=payment, pay=GO)


def gateway_down_page(frame: Frame, payment: Payment, way_back: WayBack | None) -> web.Response:
    """The gateway has not been answering: the customer waits here, or tries it all the same."""
    refresh = Refresh(GATEWAY_SECONDS, "" if frame.choice is None else f"?{CHOICE}={frame.choice}")
    words = frame.speech.gateway_down
    return _page(frame, words, "gateway_down", payment=payment, way_back=way_back, refresh=refresh, pay=GO)


def way_back_page(frame: Frame, way_back: WayBack) -> web.Response:
    """A page that posts its form to the shop by itself."""
    return _page(frame, frame.speech.homeward, "homeward", way_back=way_back, go=True, other=None)


def error_page(error: DargahError, frame: Frame, *, returning: bool = False) -> web.Response:
    """An error as the customer sees it, with the status and headers of the problem.

    Who is `returning` may have paid: what is put off is being confirmed, on a page that tries again by itself.
    """
    problem, speech = problem_of(error), frame.speech
    match error:
        case NotFound() | RouteNotFound():
            page = _page(frame, speech.no_link, "no_link")
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
    words: Words,
    state: str,
    *,
    payment: Payment | None = None,
    way_back: WayBack | None = None,
    refresh: Refresh | None = None,
    pay: str | None = None,
    go: bool = False,
    other: str | None = "?",
) -> web.Response:
    merchant, speech = frame.merchant, frame.speech
    styles = [style(frame.base)]
    if merchant is not None and merchant.looks.colour is not None:
        styles.append(brand_style(merchant.looks.colour))
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
        way_back=way_back,
        refresh=refresh,
        pay=pay,
        go=go,
        other=None if other is None else _other_language(speech, other),
        style=Markup(styles[0]),  # noqa: S704  a file of ours
        brand=Markup("".join(styles[1:])),  # noqa: S704  made of six hexadecimal digits
        **_summary(frame, words, payment, invited=pay is not None),
    )
    page = web.Response(body=text.encode(), headers=PAGE_HEADERS)
    page.enable_compression()
    page.headers.add(*OPENER_POLICY)
    page.headers["Content-Language"] = speech.language
    page.headers["Content-Security-Policy"] = policy(*styles, form=way_back is not None and way_back.fields is not None)
    return page


def _times(payment: Payment, speech: Speech, state: str) -> list[tuple[str, int]]:
    labels = speech.labels
    if payment.paid_at is not None:
        return [(labels.paid, payment.paid_at)]
    until = [(labels.expires, payment.expires_at)] if state in {"invitation", "gateway_down"} else []
    return [(labels.created, payment.created_at), *until]


def _other_language(speech: Speech, query: str) -> dict[str, Any]:
    language = next(language for language in SPEECHES if language is not speech.language)
    return {"language": language, "query": f"{query}{CHOICE}={language}"}


def _summary(frame: Frame, words: Words, payment: Payment | None, *, invited: bool) -> dict[str, str]:
    """What a messenger shows of a link: who asks for how much, and nothing that only the customer should know."""
    if payment is None or not invited:
        return {"headline": words.title, "summary": words.text}
    labels = frame.speech.labels
    headline = labels.to_pay.format(amount=frame.speech.toman(payment.amount_rials), shop=frame.shop)
    return {"headline": headline, "summary": labels.preview}
