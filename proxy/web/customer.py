"""The customer's way: to the gateway by the pay link, and back through the return link to the shop."""

from typing import Final
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from proxy.checkout import Checkup
from proxy.errors import NotFound
from proxy.facade import shop_url
from proxy.facts import NotPaid
from proxy.ids import merchant_of_link
from proxy.merchant import ReturnMethod
from proxy.payment import Payment, Status
from proxy.way_back import way_back_url
from proxy.web.callers import link_of
from proxy.web.middleware import MERCHANT_ID, PAYMENT_ID
from proxy.web.page_look import PAGE_HEADERS
from proxy.web.pages import Frame, WayBack, gateway_down_page, invitation_page, payment_page, way_back_page
from proxy.web.parsing import read_body
from proxy.web.previews import is_ahead, is_preview
from proxy.web.problems import BodyTooLarge, BodyTooSlow, MalformedBody
from proxy.web.services import SERVICES, Services
from proxy.wire import location

# All that a return may leave behind; a host that also sends card_number must not make us keep it.
RETURN_PARAMETERS: Final = ("invoice_key", "status", "bank_code")
MAX_PARAMETER_CHARS: Final = 100
MAX_FORM_FIELDS: Final = 100
OPEN: Final = (Status.CREATED, Status.PENDING)


async def pay(request: web.Request) -> web.Response:
    """To the gateway while the payment can be paid; otherwise a page that says what became of it.

    While the gateway is not answering, the customer is told so and may `go` there all the same.
    """
    services = request.app[SERVICES]
    going = "go" in request.query
    if request.method == hdrs.METH_HEAD or (not going and is_preview(request)):
        return await _glance(request)
    payment = _seen(request, await services.tasks.run(services.checkout.opened(link_of(request))))
    if not _can_be_paid(services, payment):
        return await _page(request, payment)
    if not going and services.checkout.gateway_is_down(payment):
        return gateway_down_page(*await _framed(request, payment))
    return _see_other(await services.checkout.gateway_pay_url(payment))


async def come_back(request: web.Request) -> web.Response:
    """Asks the gateway what happened, then sends the customer to the shop, or says it on a page of our own.

    A page that waits for the outcome comes back with `again`: it looks at what the watcher has found out since, and
    costs the gateway nothing.
    """
    services = request.app[SERVICES]
    if request.method == hdrs.METH_HEAD or (request.method == hdrs.METH_GET and is_preview(request)):
        return await _glance(request)
    checkup = await _checkup(request, services)
    payment = _seen(request, checkup.payment)
    # "Not paid yet" is an answer, and the shop can show it; only an outcome that is unknown is waited for here.
    known = payment.status not in OPEN or isinstance(checkup.fact, NotPaid)
    if known and payment.return_url is not None:
        return await _send_home(request, payment, payment.return_url)
    return await _page(request, payment)


async def _checkup(request: web.Request, services: Services) -> Checkup:
    if "again" in request.query:
        return Checkup(await _by_link(services, link_of(request)), None)
    returned = services.checkout.returned(link_of(request), await _parameters(request))
    return await services.tasks.run(returned)


async def _glance(request: web.Request) -> web.Response:
    """Previews and scanners are nobody's customers: nothing is asked or recorded for them, and nothing redirects."""
    services = request.app[SERVICES]
    payment = _seen(request, await _by_link(services, link_of(request)))
    if request.method == hdrs.METH_HEAD:
        return web.Response(headers=PAGE_HEADERS)
    if _can_be_paid(services, payment):
        frame, _, _ = await _framed(request, payment)
        page = invitation_page(frame, payment)
    else:
        page = await _page(request, payment)
    if is_ahead(request):
        # What was fetched ahead is thrown away, and the customer who does come asks anew.
        page.set_status(503)
    return page


def _can_be_paid(services: Services, payment: Payment) -> bool:
    return payment.status is Status.PENDING and services.now() < payment.expires_at


async def _page(request: web.Request, payment: Payment) -> web.Response:
    frame, payment, way_back = await _framed(request, payment)
    again = _again(request) if payment.status in OPEN else None
    return payment_page(frame, payment, way_back, again=again, now=request.app[SERVICES].now())


async def _framed(request: web.Request, payment: Payment) -> tuple[Frame, Payment, WayBack | None]:
    services, url = request.app[SERVICES], payment.return_url
    merchant = await services.directory.merchant(payment.merchant_id)
    return Frame.of(request, merchant), payment, None if url is None else await _way_back(services, payment, url)


async def _send_home(request: web.Request, payment: Payment, return_url: str) -> web.Response:
    services = request.app[SERVICES]
    way_back = await _way_back(services, payment, return_url)
    if way_back.fields is None:
        return _see_other(way_back.url)
    merchant = await services.directory.merchant(payment.merchant_id)
    return way_back_page(Frame.of(request, merchant), way_back)


async def _way_back(services: Services, payment: Payment, return_url: str) -> WayBack:
    """To a shop of the API with our signature; to one of the drop-in as the protocol has it."""
    if payment.drop_in is None:
        secret = await services.directory.return_secret(payment.merchant_id)
        return WayBack(way_back_url(return_url, secret, payment))
    if payment.drop_in is ReturnMethod.POST:
        return WayBack(location(return_url), {"invoice_key": payment.link})
    return WayBack(shop_url(payment))


async def _by_link(services: Services, link: str) -> Payment:
    merchant_id = merchant_of_link(link)
    if merchant_id is None:
        raise NotFound("payment")
    return await services.store.payment_by_link(merchant_id, link)


async def _parameters(request: web.Request) -> dict[str, str]:
    """The known parameters of a return, from the query and from a form, cut short. Nothing in them is believed."""
    given: dict[str, str] = dict(request.query)
    if request.method == hdrs.METH_POST:
        given |= await _form(request)
    return {name: given[name][:MAX_PARAMETER_CHARS] for name in RETURN_PARAMETERS if name in given}


async def _form(request: web.Request) -> dict[str, str]:
    """A form's fields; empty for anything that is none, since the return counts whatever came with it."""
    try:
        text = (await read_body(request)).decode("utf-8", "replace")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except (BodyTooLarge, BodyTooSlow, MalformedBody, ValueError):
        return {}


def _again(request: web.Request) -> int:
    text = request.query.get("again", "")
    return int(text) if len(text) <= 2 and text.isascii() and text.isdigit() else 0  # noqa: PLR2004  a bound on int()


def _seen(request: web.Request, payment: Payment) -> Payment:
    request[MERCHANT_ID], request[PAYMENT_ID] = payment.merchant_id, payment.id
    request.app[SERVICES].callers.visited(request)
    return payment


def _see_other(location: str) -> web.Response:
    """303, which makes a GET of a POST. The address goes out as it is, not as aiohttp would write it anew."""
    return web.Response(status=303, headers={**PAGE_HEADERS, "Location": location})
