"""Merchants, and what belongs to each: its terminals, tokens and endpoints, to look at and to change."""

from typing import Final

from aiohttp import web

from proxy.console.jobs import Ended, Job, Shows
from proxy.console.language import LANGUAGES
from proxy.console.shown import Secret, secrets_page
from proxy.console.visit import Visit
from proxy.doctor.findings import Level
from proxy.errors import InvalidInput, NotFound, invalid
from proxy.ids import merchant_of_id
from proxy.merchant import AmountUnit, EndpointState, Merchant, Mode, ReturnMethod, Scope
from proxy.setup.fields import EVENT_TYPES

PAGE: Final = 50


async def list_merchants(visit: Visit) -> web.StreamResponse:
    after = visit.request.query.get("after", "")
    found = await visit.services.store.list_merchants(after, PAGE + 1)
    following = found[PAGE - 1].id if len(found) > PAGE else None
    return visit.page("merchants.html", merchants=found[:PAGE], following=following)


async def show_merchant(visit: Visit) -> web.StreamResponse:
    return await merchant_page(visit, await merchant_of_path(visit))


async def merchant_page(visit: Visit, merchant: Merchant, error: InvalidInput | None = None) -> web.Response:
    """The merchant's page, after a form that was refused with what is wrong."""
    store = visit.services.store
    return visit.page(
        "merchant.html",
        status=200 if error is None else 422,
        merchant=merchant,
        terminals=await store.list_terminals(merchant.id),
        tokens=await store.list_tokens(merchant.id),
        endpoints=await store.list_endpoints(merchant.id),
        event_types=sorted(EVENT_TYPES),
        scopes=sorted(Scope),
        languages=LANGUAGES,
        errors=() if error is None else error.errors,
        form=visit.form,
        now=visit.services.now(),
    )


async def change_merchant(visit: Visit) -> web.StreamResponse:
    merchant = await merchant_of_path(visit)
    origins = visit.form.get("return_origins", "").split()
    try:
        await visit.services.setup.change_merchant(
            merchant.id, name=visit.form.get("name", ""), return_origins=origins, actor=visit.viewer.name
        )
    except InvalidInput as error:
        return await merchant_page(visit, merchant, error)
    return visit.go(f"/merchants/{merchant.id}?said=saved")


async def rotate_return_secret(visit: Visit) -> web.StreamResponse:
    """A new one, shown once. There is no overlap: the next customers come back signed with it."""
    merchant = await merchant_of_path(visit)
    text = await visit.services.setup.rotate_return_secret(merchant.id, actor=visit.viewer.name)
    return secrets_page(visit, merchant, [Secret(("راز تازهٔ راه بازگشت", "New return secret"), text)])


async def add_terminal(visit: Visit) -> web.StreamResponse:
    merchant, form = await merchant_of_path(visit), visit.form
    try:
        await visit.services.setup.add_terminal(
            merchant.id,
            form.get("name", ""),
            form.get("gateway_url", ""),
            form.get("api_key", ""),
            _mode(form.get("mode", "")),
            form.get("return_base_url", "") or None,
            actor=visit.viewer.name,
        )
    except InvalidInput as error:
        return await merchant_page(visit, merchant, error)
    return visit.go(f"/merchants/{merchant.id}?said=saved")


async def change_terminal(visit: Visit) -> web.StreamResponse:
    """Switches it on or off, or gives it another api_key."""
    merchant_id, terminal_id = _owned(visit, "terminal")
    setup, form = visit.services.setup, visit.form
    if form.get("api_key"):
        await setup.change_terminal(merchant_id, terminal_id, api_key=form["api_key"], actor=visit.viewer.name)
    elif form.get("enabled") in {"0", "1"}:
        enabled = form["enabled"] == "1"
        await setup.change_terminal(merchant_id, terminal_id, enabled=enabled, actor=visit.viewer.name)
    return visit.go(f"/merchants/{merchant_id}?said=saved")


async def test_terminal(visit: Visit) -> web.StreamResponse:
    """Whether the gateway takes its key, by asking for an invoice that cannot be."""
    merchant_id, terminal_id = _owned(visit, "terminal")
    terminal = await visit.services.store.terminal(merchant_id, terminal_id)

    async def work(_job: Job) -> Ended:
        findings = await visit.services.doctor.terminal(merchant_id, terminal_id)
        return Shows("findings.html", {"findings": findings, "merchant_id": merchant_id, "subject": terminal.name})

    await visit.note("terminal.test", {"terminal_id": terminal_id})
    return await visit.work("آزمودن کلید ترمینال", "Testing the terminal's key", work)


async def check_up(visit: Visit) -> web.StreamResponse:
    """The doctor's look at everything that a merchant has."""
    merchant = await merchant_of_path(visit)

    async def work(_job: Job) -> Ended:
        findings = await visit.services.doctor.merchant(merchant.id)
        findings.sort(key=lambda finding: list(Level)[::-1].index(finding.level))
        return Shows("findings.html", {"findings": findings, "merchant_id": merchant.id, "subject": merchant.name})

    await visit.note("doctor.check_up", {"merchant_id": merchant.id})
    return await visit.work("وارسی همهٔ تنظیمات پذیرنده", "Looking at the merchant's set-up", work)


async def add_token(visit: Visit) -> web.StreamResponse:
    merchant, form = await merchant_of_path(visit), visit.form
    try:
        token, text = await visit.services.setup.issue_token(
            merchant.id,
            form.get("storefront", ""),
            _mode(form.get("mode", "")),
            [scope for scope in Scope if form.get(f"scope:{scope}")],
            form.get("terminal_id") or None,
            None,
            AmountUnit.TOMAN if form.get("amount_unit") == AmountUnit.TOMAN else AmountUnit.RIAL,
            ReturnMethod.POST if form.get("return_method") == ReturnMethod.POST else ReturnMethod.GET,
            actor=visit.viewer.name,
        )
    except InvalidInput as error:
        return await merchant_page(visit, merchant, error)
    return secrets_page(visit, merchant, [Secret(("توکن API", "API token"), text)], token=token)


async def rotate_token(visit: Visit) -> web.StreamResponse:
    merchant_id, token_id = _owned(visit, "token")
    token, text = await visit.services.setup.rotate_token(merchant_id, token_id, actor=visit.viewer.name)
    merchant = await visit.services.store.merchant(merchant_id)
    return secrets_page(visit, merchant, [Secret(("توکن تازهٔ API", "New API token"), text)], token=token)


async def revoke_token(visit: Visit) -> web.StreamResponse:
    merchant_id, token_id = _owned(visit, "token")
    await visit.services.setup.revoke_token(merchant_id, token_id, actor=visit.viewer.name)
    return visit.go(f"/merchants/{merchant_id}?said=revoked")


async def add_endpoint(visit: Visit) -> web.StreamResponse:
    merchant, form = await merchant_of_path(visit), visit.form
    try:
        _, secret = await visit.services.setup.add_endpoint(
            merchant.id,
            form.get("url", ""),
            storefront=form.get("storefront") or None,
            event_types=[name for name in sorted(EVENT_TYPES) if form.get(f"type:{name}")],
            description=form.get("description", ""),
            actor=visit.viewer.name,
        )
    except InvalidInput as error:
        return await merchant_page(visit, merchant, error)
    return secrets_page(visit, merchant, [Secret(("راز وب‌هوک", "Webhook secret"), secret)])


async def change_endpoint(visit: Visit) -> web.StreamResponse:
    """Pauses it, or lets it go on: also one that was disabled."""
    endpoint = await visit.endpoint()
    paused = endpoint.state is EndpointState.ENABLED
    await visit.services.setup.change_endpoint(
        endpoint.merchant_id, endpoint.id, paused=paused, actor=visit.viewer.name
    )
    return visit.go(f"/endpoints/{endpoint.id}?said=saved")


async def delete_endpoint(visit: Visit) -> web.StreamResponse:
    """Removes it with its keys; what waited for it is dropped."""
    endpoint = await visit.endpoint()
    await visit.services.setup.delete_endpoint(endpoint.merchant_id, endpoint.id, actor=visit.viewer.name)
    return visit.go(f"/merchants/{endpoint.merchant_id}?said=deleted")


async def rotate_secret(visit: Visit) -> web.StreamResponse:
    """A new secret, shown once; the one before signs too for a day."""
    endpoint = await visit.endpoint()
    setup = visit.services.setup
    _, secret = await setup.rotate_secret(endpoint.merchant_id, endpoint.id, actor=visit.viewer.name)
    merchant = await visit.services.store.merchant(endpoint.merchant_id)
    return secrets_page(visit, merchant, [Secret(("راز تازهٔ وب‌هوک", "New webhook secret"), secret)])


async def merchant_of_path(visit: Visit) -> Merchant:
    """Raises NotFound."""
    return await visit.services.store.merchant(visit.request.match_info["merchant_id"])


def _owned(visit: Visit, kind: str) -> tuple[str, str]:
    """The merchant's id and the record's, which carries it. Raises NotFound."""
    record_id = visit.request.match_info[f"{kind}_id"]
    merchant_id = merchant_of_id(record_id)
    if merchant_id is None:
        raise NotFound(kind)
    return merchant_id, record_id


def _mode(text: str) -> Mode:
    if text not in set(Mode):
        raise invalid("mode", "not_a_choice", "must be live or test", "باید واقعی یا آزمایشی باشد")
    return Mode(text)
