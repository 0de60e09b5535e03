"""The customer's way: to the gateway by the pay link, and back through the return link to the shop."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from proxy.api.customer.page_assets import PAGE_HEADERS
from proxy.api.customer.pages import Frame, PaymentLost, step_page
from proxy.api.customer.visit import Visit, read_opening, read_return
from proxy.api.middleware import MERCHANT_ID, PAYMENT_ID
from proxy.api.services import SERVICES, Services
from proxy.http.headers import ORIGIN_REFERRER
from proxy.kernel.errors import NotFound
from proxy.operations.restores import Asker
from proxy.payments.checkout import Checkup
from proxy.payments.next_step import GatewayRedirect, NextStep, ShopRedirect
from proxy.payments.payment import Payment

# How long a customer looks at an empty browser while the gateway is asked: with the page's own way, three seconds.
PATIENCE_SECONDS: Final = 2.5
MAX_KEY_CHARS: Final = 100  # of an invoice that a return names, of a payment that is lost


async def pay(request: web.Request) -> web.StreamResponse:
    """Redirects to the gateway while the payment can be paid; otherwise shows a page with the status of the payment or
    its order.

    While the gateway does not answer, the page says so, and the customer may `go` there all the same.
    """
    visit = read_opening(request)
    services = request.app[SERVICES]
    async with _telling_of_lost(services, visit):
        payment = await _open_link(services, visit)
        request[MERCHANT_ID], request[PAYMENT_ID] = payment.merchant_id, payment.id
        if visit.head:
            return web.Response(headers=PAGE_HEADERS)
        if visit.glance:
            step = await services.next_steps.of_preview(payment)
        else:
            step = await services.next_steps.of_opening(payment, insists=visit.going)
        return await _answer(services, visit, step)


async def _open_link(services: Services, visit: Visit) -> Payment:
    if not visit.glance:
        opened = services.checkout.opened(visit.merchant_id, visit.link)
        payment = await services.tasks.run_within(opened, PATIENCE_SECONDS, visit.merchant_id)
        if payment is not None:
            return payment
    return await services.store.payments.payment_by_link(visit.merchant_id, visit.link)


async def come_back(request: web.Request) -> web.StreamResponse:
    """Checks the payment at the gateway, then sends the customer to the shop or shows the status on a page of ours.

    A page that waits for the outcome comes back with `again`: it reads the poller's latest result, and costs the
    gateway no call. Every browser here is treated as the customer's, because nobody shares this link.
    """
    visit = await read_return(request)
    services = request.app[SERVICES]
    async with _telling_of_lost(services, visit):
        checkup = await _take_return(services, visit)
        request[MERCHANT_ID], request[PAYMENT_ID] = checkup.payment.merchant_id, checkup.payment.id
        if visit.head:
            return web.Response(headers=PAGE_HEADERS)
        if visit.glance:
            step = await services.next_steps.of_preview(checkup.payment, returning=True)
        else:
            step = await services.next_steps.of_return(checkup)
        return await _answer(services, visit, step)


async def _take_return(services: Services, visit: Visit) -> Checkup:
    """The checkup as known when the customer should see a page; the check itself goes on in the background."""
    if visit.polls is None and not visit.glance:
        returned = services.checkout.returned(visit.merchant_id, visit.link, visit.parameters, visit.method)
        checkup = await services.tasks.run_within(returned, PATIENCE_SECONDS, visit.merchant_id)
        if checkup is not None:
            return checkup
    return Checkup(await services.store.payments.payment_by_link(visit.merchant_id, visit.link), None)


@asynccontextmanager
async def _telling_of_lost(services: Services, visit: Visit) -> AsyncIterator[None]:
    """Raises PaymentLost for a link of a lost window, and NotFound for any other link."""
    try:
        yield
    except NotFound:
        if not visit.head and not visit.preview:
            await _raise_if_lost(services, visit)
        raise


async def _raise_if_lost(services: Services, visit: Visit) -> None:
    if not await services.lost.covers(visit.made_at):
        return
    merchant = await services.merchant_cache.merchant(visit.merchant_id)
    key = visit.parameters.get("invoice_key", "")[:MAX_KEY_CHARS] or None
    asking = services.lost.asked(visit.merchant_id, visit.link, visit.made_at, Asker.CUSTOMER, invoice_key=key)
    await services.tasks.run(asking, visit.merchant_id)
    raise PaymentLost(merchant) from None


async def _answer(services: Services, visit: Visit, step: NextStep) -> web.Response:
    """A redirect where the next step allows one, else a page.

    A redirect would show the gateway the referrer of the shop, or none. A gateway that verifies the referrer must see
    Dargah, in whose name the invoice was requested, so the customer must come from a page of ours.
    """
    match step:
        case GatewayRedirect() if not visit.from_elsewhere and step.way.fields is None:
            return _see_other(step.way.url, ORIGIN_REFERRER)
        case ShopRedirect() if step.signed_return.fields is None:
            return _see_other(step.signed_return.url)
    merchant = await services.merchant_cache.merchant(step.payment.merchant_id)
    frame = Frame.of(visit.reader, services.public_url(), merchant)
    page = step_page(frame, step, polls=visit.polls or 0, now=services.now())
    if visit.glance and visit.ahead:
        # What was fetched ahead is thrown away, and the customer who does come asks anew.
        page.set_status(503)
    return page


def _see_other(location: str, headers: Mapping[str, str] = PAGE_HEADERS) -> web.Response:
    """303, which makes a GET of a POST. The address goes out as it is, not as aiohttp would write it anew."""
    return web.Response(status=303, headers={**PAGE_HEADERS, **headers, "Location": location})
