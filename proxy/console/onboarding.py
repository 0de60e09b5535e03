"""The guided form: a merchant with its terminal, token and endpoint in one go, and a first payment to try it with."""

from typing import Final

from aiohttp import web

from proxy.console.jobs import Ended, Job, JobRedirect
from proxy.console.page_context import PageContext, Secret, secrets_page
from proxy.console.terminal_form import (
    chosen_family,
    chosen_gateway,
    credentials_of,
    options_of,
    without_secrets,
)
from proxy.kernel.errors import InvalidInput, NotFound
from proxy.kernel.ids import digest, merchant_of_id
from proxy.kernel.money import Currency
from proxy.merchants.merchant import DEFAULT_STOREFRONT, Mode, Token
from proxy.merchants.setup.families import (
    family_of,
    inspect_credentials,
    inspect_gateway_url,
    inspect_options,
)
from proxy.merchants.setup.fields import MAX_NAME_CHARS, Inspection
from proxy.payments.change import Reply
from proxy.payments.creation import CreateRequest
from proxy.payments.payment import Order, Payment, Status

TEST_RIALS: Final = 10_000
"""1000 toman: enough for every gateway, and little enough to try a live one with."""
_KEY_CHARS: Final = 20
_CREATED: Final = 201


async def show_guide(context: PageContext) -> web.StreamResponse:
    return _guide(context, None)


async def add_all(context: PageContext) -> web.StreamResponse:
    """Everything is looked at before the first of it is made: a refused form leaves nothing half done."""
    try:
        _look(context)
    except InvalidInput as error:
        return _guide(context, error)
    return await context.services.tasks.run(_make_shop(context))


async def make_test_payment(context: PageContext) -> web.StreamResponse:
    """A payment of 1000 toman by the token that was just made, to be paid from its page."""
    token_id = context.request.match_info["token_id"]
    merchant_id = merchant_of_id(token_id)
    if merchant_id is None:
        raise NotFound("token")
    token = await context.services.store.merchants.token(merchant_id, token_id)

    async def work(_job: Job) -> Ended:
        return JobRedirect(f"/payments/{await _create_payment(context, token)}?looks=1")

    await context.note("payment.test", {"token_id": token_id})
    return await context.work("ساختن پرداخت آزمایشی", "Making a test payment", work)


async def _make_shop(context: PageContext) -> web.Response:
    setup, form, actor = context.services.setup, context.form, context.viewer.name
    merchant, return_secret = await setup.create_merchant(_name(context), _origins(context), actor=actor)
    mode = Mode(form["mode"])
    terminal_name = form.get("terminal_name", "").strip() or "main"
    await setup.add_terminal(
        merchant.id,
        terminal_name,
        _gateway_url(context),
        None,
        mode,
        gateway=chosen_gateway(context),
        credentials=credentials_of(form, chosen_family(context)),
        options=options_of(form, chosen_family(context)),
        actor=actor,
    )
    token, text = await setup.issue_token(merchant.id, DEFAULT_STOREFRONT, mode, actor=actor)
    secrets = [Secret(("توکن API", "API token"), text)]
    if url := form.get("endpoint_url", "").strip():
        _, secret = await context.services.endpoints.add_endpoint(
            merchant.id, url, mode=mode, storefront=DEFAULT_STOREFRONT, actor=actor
        )
        secrets.append(Secret(("راز وب‌هوک", "Webhook secret"), secret))
    if mode is Mode.TEST:
        return_secret = await setup.rotate_return_secret(merchant.id, mode, actor=actor)
    secrets.append(Secret(("راز راه بازگشت", "Return secret"), return_secret))
    return secrets_page(context, merchant, secrets, token=token, fresh=True)


def _look(context: PageContext) -> None:
    look, form = Inspection(context.services.http), context.form
    look.text("name", _name(context), MAX_NAME_CHARS)
    look.origins("return_origins", _origins(context))
    if not _origins(context):
        look.refuse("return_origins", "missing", "name the shop's address", "نشانی فروشگاه را بنویسید")
    family = family_of(chosen_gateway(context))
    if form.get("mode") in set(Mode):
        inspect_gateway_url(look, family, Mode(form["mode"]), _gateway_url(context))
    else:
        look.refuse("mode", "not_a_choice", "choose one", "یکی را برگزینید")
    inspect_credentials(look, family, credentials_of(form, family), whole=True)
    inspect_options(look, family, options_of(form, family))
    look.text("terminal_name", form.get("terminal_name", "").strip() or "main", MAX_NAME_CHARS)
    if url := form.get("endpoint_url", "").strip():
        look.url("endpoint_url", url)
    look.raise_for_errors()


def _guide(context: PageContext, error: InvalidInput | None) -> web.Response:
    family = chosen_family(context)
    form = without_secrets(context.form, family)
    errors = {} if error is None else {each.field: each for each in reversed(error.errors)}
    return context.page("guide.html", status=200 if error is None else 422, form=form, errors=errors, family=family)


def _gateway_url(context: PageContext) -> str | None:
    return context.form.get("gateway_url", "").strip() or None


def _name(context: PageContext) -> str:
    return context.form.get("name", "").strip()


def _origins(context: PageContext) -> list[str]:
    return context.form.get("return_origins", "").split()


async def _create_payment(context: PageContext, token: Token) -> str:
    """The id of a new payment. Raises the errors of a create."""
    services = context.services
    key = f"console-{services.ids.random(_KEY_CHARS)}"
    order = Order(
        order_id=f"test-{services.ids.random(8)}",
        amount_rials=TEST_RIALS,
        currency=Currency.IRR,
        description="test payment of the console",
    )

    def render(payment: Payment) -> Reply:
        # A gateway's refusal is on the payment's page, as everything else that became of it.
        return Reply(_CREATED if payment.status is Status.PENDING else 502, payment.id.encode())

    request = CreateRequest(order, key, digest(key), render, services.default_expires_in, token.terminal_id)
    reply = await services.creation.create(token, request)
    return reply.body.decode()
