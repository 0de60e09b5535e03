"""The guided form: a merchant with its terminal, token and endpoint in one go, and a first payment to try it with."""

from typing import Final

from aiohttp import web

from proxy.checkout import Order
from proxy.console.jobs import Ended, Goes, Job
from proxy.console.shown import Secret, secrets_page
from proxy.console.visit import Visit
from proxy.errors import InvalidInput, NotFound
from proxy.ids import digest, merchant_of_id
from proxy.merchant import DEFAULT_STOREFRONT, Mode, Token
from proxy.money import Currency
from proxy.payment import Payment, Status
from proxy.records import Reply
from proxy.setup.fields import MAX_NAME_CHARS, Inspection

TEST_RIALS: Final = 10_000
"""1000 toman: enough for every gateway, and little enough to try a live one with."""
_KEY_CHARS: Final = 20
_CREATED: Final = 201


async def show_guide(visit: Visit) -> web.StreamResponse:
    return _guide(visit, None)


async def add_all(visit: Visit) -> web.StreamResponse:
    """Everything is looked at before the first of it is made: a refused form leaves nothing half done."""
    try:
        _look(visit)
    except InvalidInput as error:
        return _guide(visit, error)
    return await visit.services.tasks.run(_made(visit))


async def make_test_payment(visit: Visit) -> web.StreamResponse:
    """A payment of 1000 toman by the token that was just made, to be paid from its page."""
    token_id = visit.request.match_info["token_id"]
    merchant_id = merchant_of_id(token_id)
    if merchant_id is None:
        raise NotFound("token")
    token = await visit.services.store.token(merchant_id, token_id)

    async def work(_job: Job) -> Ended:
        return Goes(f"/payments/{await _created(visit, token)}?looks=1")

    await visit.note("payment.test", {"token_id": token_id})
    return await visit.work("ساختن پرداخت آزمایشی", "Making a test payment", work)


async def _made(visit: Visit) -> web.Response:
    setup, form, actor = visit.services.setup, visit.form, visit.viewer.name
    merchant, return_secret = await setup.create_merchant(_name(visit), _origins(visit), actor=actor)
    mode = Mode(form["mode"])
    terminal_name = form.get("terminal_name", "").strip() or "main"
    await setup.add_terminal(
        merchant.id, terminal_name, form["gateway_url"].strip(), form["api_key"].strip(), mode, actor=actor
    )
    token, text = await setup.issue_token(merchant.id, DEFAULT_STOREFRONT, mode, actor=actor)
    secrets = [Secret(("توکن API", "API token"), text)]
    if url := form.get("endpoint_url", "").strip():
        _, secret = await setup.add_endpoint(merchant.id, url, actor=actor)
        secrets.append(Secret(("راز وب‌هوک", "Webhook secret"), secret))
    secrets.append(Secret(("راز راه بازگشت", "Return secret"), return_secret))
    return secrets_page(visit, merchant, secrets, token=token, fresh=True)


def _look(visit: Visit) -> None:
    look, form = Inspection(visit.services.http), visit.form
    look.text("name", _name(visit), MAX_NAME_CHARS)
    look.origins("return_origins", _origins(visit))
    if not _origins(visit):
        look.refuse("return_origins", "missing", "name the shop's address", "نشانی فروشگاه را بنویسید")
    look.base_url("gateway_url", form.get("gateway_url", "").strip())
    look.secret("api_key", form.get("api_key", "").strip())
    look.text("terminal_name", form.get("terminal_name", "").strip() or "main", MAX_NAME_CHARS)
    if form.get("mode") not in set(Mode):
        look.refuse("mode", "not_a_choice", "choose one", "یکی را برگزینید")
    if url := form.get("endpoint_url", "").strip():
        look.url("endpoint_url", url)
    look.raise_for_errors()


def _guide(visit: Visit, error: InvalidInput | None) -> web.Response:
    # The api_key is asked for again: a secret is not written into a page.
    form = {name: value for name, value in visit.form.items() if name != "api_key"}
    errors = {} if error is None else {each.field: each for each in reversed(error.errors)}
    return visit.page("guide.html", status=200 if error is None else 422, form=form, errors=errors)


def _name(visit: Visit) -> str:
    return visit.form.get("name", "").strip()


def _origins(visit: Visit) -> list[str]:
    return visit.form.get("return_origins", "").split()


async def _created(visit: Visit, token: Token) -> str:
    """The id of a new payment. Raises what a create raises."""
    services = visit.services
    key = f"console-{services.ids.random(_KEY_CHARS)}"
    order = Order(
        amount_rials=TEST_RIALS,
        currency=Currency.IRR,
        order_id=f"test-{services.ids.random(8)}",
        description="test payment of the console",
        metadata={},
        return_url=None,
        terminal_id=token.terminal_id,
        expires_in=services.default_expires_in,
    )

    def render(payment: Payment) -> Reply:
        # A gateway's refusal is on the payment's page, as everything else that became of it.
        return Reply(_CREATED if payment.status is Status.PENDING else 502, payment.id.encode())

    reply = await services.checkout.create(token, order, key, digest(key), render)
    return reply.body.decode()
