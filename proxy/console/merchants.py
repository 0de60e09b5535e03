"""Merchants with their terminals, tokens and endpoints: pages to view and to change them."""

from typing import Final

from aiohttp import web

from proxy.api.responses import first_page
from proxy.console.jobs import Ended, Job, JobPage
from proxy.console.language import LANGUAGES
from proxy.console.page_context import PageContext, Secret, secrets_page
from proxy.console.terminal_form import GATEWAY, chosen_family, chosen_gateway, credentials_of, options_of
from proxy.gateways.registry import FAMILIES
from proxy.http.headers import SECURITY_HEADERS
from proxy.kernel.errors import InvalidInput, NotFound, invalid
from proxy.kernel.ids import merchant_of_id
from proxy.merchants.merchant import AmountUnit, Language, Merchant, Mode, ReturnMethod, Scope, Terminal
from proxy.merchants.setup import BrandingChanges, TerminalChanges
from proxy.operations.doctor.base import Level
from proxy.webhooks.endpoint import EndpointState
from proxy.webhooks.event import EVENT_TYPES

PAGE: Final = 50
RETURN_SECRET_LABELS: Final = {
    Mode.LIVE: ("راز تازهٔ راه بازگشت", "New return secret"),
    Mode.TEST: ("راز تازهٔ راه بازگشت آزمایشی", "New return secret of test payments"),
}


async def list_merchants(context: PageContext) -> web.StreamResponse:
    after = context.request.query.get("after", "")
    found = await context.services.store.merchants.list_merchants(after, PAGE + 1)
    merchants, following = first_page(found, PAGE)
    return context.page("merchants.html", merchants=merchants, following=following)


async def show_merchant(context: PageContext) -> web.StreamResponse:
    return await merchant_page(context, await merchant_of_path(context))


async def merchant_page(context: PageContext, merchant: Merchant, error: InvalidInput | None = None) -> web.Response:
    """The merchant's page, with the error of a refused form."""
    store = context.services.store
    return context.page(
        "merchant.html",
        status=200 if error is None else 422,
        merchant=merchant,
        terminals=await store.merchants.list_terminals(merchant.id),
        tokens=await store.merchants.list_tokens(merchant.id),
        endpoints=await store.webhooks.list_endpoints(merchant.id),
        lost=await store.recovery.lost_payments(merchant.id),
        event_types=sorted(EVENT_TYPES),
        scopes=sorted(Scope),
        languages=LANGUAGES,
        family=chosen_family(context),
        adding=GATEWAY in context.request.query,
        errors=() if error is None else error.errors,
        form=context.form,
        now=context.services.now(),
    )


async def change_merchant(context: PageContext) -> web.StreamResponse:
    merchant = await merchant_of_path(context)
    origins = context.form.get("return_origins", "").split()
    try:
        await context.services.setup.change_merchant(
            merchant.id, name=context.form.get("name", ""), return_origins=origins, actor=context.viewer.name
        )
    except InvalidInput as error:
        return await merchant_page(context, merchant, error)
    return context.go(f"/merchants/{merchant.id}?said=saved")


async def rotate_return_secret(context: PageContext) -> web.StreamResponse:
    """A new one, shown once. There is no overlap: the next customers come back signed with it."""
    merchant = await merchant_of_path(context)
    mode = _mode(context.form.get("mode", Mode.LIVE.value))
    text = await context.services.setup.rotate_return_secret(merchant.id, mode, actor=context.viewer.name)
    return secrets_page(context, merchant, [Secret(RETURN_SECRET_LABELS[mode], text)])


async def add_terminal(context: PageContext) -> web.StreamResponse:
    merchant, form = await merchant_of_path(context), context.form
    try:
        await context.services.setup.add_terminal(
            merchant.id,
            form.get("name", ""),
            form.get("gateway_url", "").strip() or None,
            None,
            _mode(form.get("mode", "")),
            form.get("return_base_url", "") or None,
            gateway=chosen_gateway(context),
            credentials=credentials_of(form, chosen_family(context)),
            options=options_of(form, chosen_family(context)),
            actor=context.viewer.name,
        )
    except InvalidInput as error:
        return await merchant_page(context, merchant, error)
    return context.go(f"/merchants/{merchant.id}?said=saved")


async def change_terminal(context: PageContext) -> web.StreamResponse:
    """Switches it on or off, or gives it other credentials, options and another address."""
    merchant_id, terminal_id = _ids_of_path(context, "terminal")
    store = context.services.store.merchants
    changes = _terminal_changes(context, await store.terminal(merchant_id, terminal_id))
    if changes:
        try:
            await context.services.setup.change_terminal(merchant_id, terminal_id, actor=context.viewer.name, **changes)
        except InvalidInput as error:
            return await merchant_page(context, await store.merchant(merchant_id), error)
    return context.go(f"/merchants/{merchant_id}?said=saved")


def _terminal_changes(context: PageContext, terminal: Terminal) -> TerminalChanges:
    """What the form would change; an empty field leaves what is there. An address is taken with credentials only."""
    form, changes = context.form, TerminalChanges()
    if form.get("enabled") in {"0", "1"}:
        changes["enabled"] = form["enabled"] == "1"
    if family := FAMILIES.get(terminal.gateway):
        options = options_of(form, family)
        if options.items() - terminal.options.items():
            changes["options"] = options
        if credentials := credentials_of(form, family):
            changes["credentials"] = credentials
            if url := form.get("gateway_url", "").strip():
                changes["gateway_url"] = url
    return changes


async def test_terminal(context: PageContext) -> web.StreamResponse:
    """Whether the gateway takes its credentials, by asking for an invoice that cannot be."""
    merchant_id, terminal_id = _ids_of_path(context, "terminal")
    terminal = await context.services.store.merchants.terminal(merchant_id, terminal_id)

    async def work(_job: Job) -> Ended:
        findings = await context.services.doctor.terminal(merchant_id, terminal_id)
        return JobPage("findings.html", {"findings": findings, "merchant_id": merchant_id, "subject": terminal.name})

    await context.note("terminal.test", {"terminal_id": terminal_id})
    return await context.work("آزمودن کلید ترمینال", "Testing the terminal's key", work)


async def check_up(context: PageContext) -> web.StreamResponse:
    """The doctor's look at everything that a merchant has."""
    merchant = await merchant_of_path(context)

    async def work(_job: Job) -> Ended:
        findings = await context.services.doctor.merchant(merchant.id)
        findings.sort(key=lambda finding: list(Level)[::-1].index(finding.level))
        return JobPage("findings.html", {"findings": findings, "merchant_id": merchant.id, "subject": merchant.name})

    await context.note("doctor.check_up", {"merchant_id": merchant.id})
    return await context.work("وارسی همهٔ تنظیمات پذیرنده", "Looking at the merchant's set-up", work)


async def add_token(context: PageContext) -> web.StreamResponse:
    merchant, form = await merchant_of_path(context), context.form
    try:
        token, text = await context.services.setup.issue_token(
            merchant.id,
            form.get("storefront", ""),
            _mode(form.get("mode", "")),
            [scope for scope in Scope if form.get(f"scope:{scope}")],
            form.get("terminal_id") or None,
            None,
            AmountUnit.TOMAN if form.get("amount_unit") == AmountUnit.TOMAN else AmountUnit.RIAL,
            next((method for method in ReturnMethod if form.get("return_method") == method), ReturnMethod.GET),
            actor=context.viewer.name,
        )
    except InvalidInput as error:
        return await merchant_page(context, merchant, error)
    return secrets_page(context, merchant, [Secret(("توکن API", "API token"), text)], token=token)


async def rotate_token(context: PageContext) -> web.StreamResponse:
    merchant_id, token_id = _ids_of_path(context, "token")
    token, text = await context.services.setup.rotate_token(merchant_id, token_id, actor=context.viewer.name)
    merchant = await context.services.store.merchants.merchant(merchant_id)
    return secrets_page(context, merchant, [Secret(("توکن تازهٔ API", "New API token"), text)], token=token)


async def revoke_token(context: PageContext) -> web.StreamResponse:
    merchant_id, token_id = _ids_of_path(context, "token")
    await context.services.setup.revoke_token(merchant_id, token_id, actor=context.viewer.name)
    return context.go(f"/merchants/{merchant_id}?said=revoked")


async def add_endpoint(context: PageContext) -> web.StreamResponse:
    merchant, form = await merchant_of_path(context), context.form
    try:
        _, secret = await context.services.endpoints.add_endpoint(
            merchant.id,
            form.get("url", ""),
            mode=_mode(form.get("mode", Mode.LIVE.value)),
            storefront=form.get("storefront") or None,
            event_types=[name for name in sorted(EVENT_TYPES) if form.get(f"type:{name}")],
            description=form.get("description", ""),
            actor=context.viewer.name,
        )
    except InvalidInput as error:
        return await merchant_page(context, merchant, error)
    return secrets_page(context, merchant, [Secret(("راز وب‌هوک", "Webhook secret"), secret)])


async def change_endpoint(context: PageContext) -> web.StreamResponse:
    """Pauses it, or lets it go on: also one that was disabled."""
    endpoint = await context.endpoint()
    paused = endpoint.state is EndpointState.ENABLED
    await context.services.endpoints.change_endpoint(
        endpoint.merchant_id, endpoint.id, paused=paused, actor=context.viewer.name
    )
    return context.go(f"/endpoints/{endpoint.id}?said=saved")


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


async def merchant_of_path(context: PageContext) -> Merchant:
    """Raises NotFound."""
    return await context.services.store.merchants.merchant(context.request.match_info["merchant_id"])


def _ids_of_path(context: PageContext, kind: str) -> tuple[str, str]:
    """The merchant's id and the record's, which carries it. Raises NotFound."""
    record_id = context.request.match_info[f"{kind}_id"]
    merchant_id = merchant_of_id(record_id)
    if merchant_id is None:
        raise NotFound(kind)
    return merchant_id, record_id


def _mode(text: str) -> Mode:
    if text not in set(Mode):
        raise invalid("mode", "not_a_choice", "must be live or test", "باید واقعی یا آزمایشی باشد")
    return Mode(text)


# Changed logos keep this address, so a browser asks each time.
_PICTURE: Final = {**SECURITY_HEADERS, "Content-Type": "image/png", "Cache-Control": "no-store"}


async def change_looks(context: PageContext) -> web.StreamResponse:
    """Sets all of them as the form has them; the logo only where a file came, or is to go."""
    merchant = await merchant_of_path(context)
    try:
        await context.services.setup.change_merchant(merchant.id, actor=context.viewer.name, **_looks(context))
    except InvalidInput as error:
        return await merchant_page(context, merchant, error)
    return context.go(f"/merchants/{merchant.id}?said=saved")


async def show_logo(context: PageContext) -> web.StreamResponse:
    """The logo, which the public listener has too, but a page of this one may load nothing from there."""
    merchant = await merchant_of_path(context)
    if merchant.branding.logo is None:
        raise NotFound("logo")
    image = await context.services.store.merchants.logo(merchant.id, merchant.branding.logo)
    return web.Response(body=image, headers=_PICTURE)


def _looks(context: PageContext) -> BrandingChanges:
    form, language = context.form, context.form.get("language", "")
    if language and language not in set(Language):
        raise invalid("language", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    branding = BrandingChanges(
        name_fa=form.get("name_fa", "").strip() or None,
        colour=form.get("colour", "").strip() or None,
        language=Language(language) if language else None,
        contact=form.get("contact", "").strip() or None,
    )
    if image := context.files.get("logo"):
        branding["logo"] = image
    elif form.get("no_logo"):
        branding["logo"] = None
    return branding
