"""What an owner does to a merchant's webhook endpoints: adds, limits, pauses, deletes them, and makes new secrets."""

from collections.abc import Mapping

from aiohttp import web

from proxy.console.merchants import merchant_of_path, merchant_page
from proxy.console.page_context import PageContext, Secret, secrets_page
from proxy.console.terminal_form import mode_of
from proxy.http.parsing import plain_number
from proxy.kernel.errors import InvalidInput
from proxy.locale.persian import latin_digits
from proxy.merchants.merchant import Mode
from proxy.webhooks.endpoint import DEFAULT_IN_FLIGHT
from proxy.webhooks.event import EVENT_TYPES


async def add_endpoint(context: PageContext) -> web.StreamResponse:
    merchant, form = await merchant_of_path(context), context.form
    try:
        _, secret = await context.services.endpoints.add_endpoint(
            merchant.id,
            form.get("url", ""),
            mode=mode_of(form.get("mode", Mode.LIVE.value)),
            storefront=form.get("storefront") or None,
            event_types=[name for name in sorted(EVENT_TYPES) if form.get(f"type:{name}")],
            description=form.get("description", ""),
            max_in_flight=_max_in_flight(form, str(DEFAULT_IN_FLIGHT)),
            actor=context.viewer.name,
        )
    except InvalidInput as error:
        return await merchant_page(context, merchant, error)
    return secrets_page(context, merchant, [Secret(("راز وب‌هوک", "Webhook secret"), secret)])


async def set_limit(context: PageContext) -> web.StreamResponse:
    """How many webhooks may be on their way to it at once."""
    endpoint = await context.endpoint()
    await context.services.endpoints.change_endpoint(
        endpoint.merchant_id, endpoint.id, max_in_flight=_max_in_flight(context.form), actor=context.viewer.name
    )
    return context.go(f"/endpoints/{endpoint.id}?said=saved")


def _max_in_flight(form: Mapping[str, str], default: str = "") -> int:
    """The field's number, in the digits of either language; 0, which no endpoint may have, where it is none."""
    return plain_number(latin_digits(form.get("max_in_flight") or default).strip()) or 0


async def pause_endpoint(context: PageContext) -> web.StreamResponse:
    return await _pause(context, paused=True)


async def resume_endpoint(context: PageContext) -> web.StreamResponse:
    """Also one that was disabled."""
    return await _pause(context, paused=False)


async def _pause(context: PageContext, *, paused: bool) -> web.StreamResponse:
    endpoint = await context.endpoint()
    await context.services.endpoints.change_endpoint(
        endpoint.merchant_id, endpoint.id, paused=paused, actor=context.viewer.name
    )
    return context.go(f"/endpoints/{endpoint.id}?said={'paused' if paused else 'resumed'}")


async def delete_endpoint(context: PageContext) -> web.StreamResponse:
    """Removes it with its keys; its waiting deliveries are dropped."""
    endpoint = await context.endpoint()
    await context.services.endpoints.delete_endpoint(endpoint.merchant_id, endpoint.id, actor=context.viewer.name)
    return context.go(f"/merchants/{endpoint.merchant_id}?said=deleted")


async def rotate_secret(context: PageContext) -> web.StreamResponse:
    """A new secret, shown once; the one before signs too for a day."""
    endpoint = await context.endpoint()
    _, secret = await context.services.endpoints.rotate_secret(
        endpoint.merchant_id, endpoint.id, actor=context.viewer.name
    )
    merchant = await context.services.store.merchants.merchant(endpoint.merchant_id)
    return secrets_page(context, merchant, [Secret(("راز تازهٔ وب‌هوک", "New webhook secret"), secret)])
