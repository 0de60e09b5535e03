"""Merchants with their terminals, tokens and endpoints: pages to view and to change them."""

from typing import Final

from aiohttp import web

from proxy.api.responses import first_page
from proxy.console.jobs import Ended, Job, JobPage
from proxy.console.language import LANGUAGES, RETURN_SECRETS
from proxy.console.page_context import PageContext, Secret, secrets_page
from proxy.console.terminal_form import GATEWAY, chosen_family, chosen_gateway, credentials_of, mode_of, options_of
from proxy.console.viewer import shops_of
from proxy.gateways.registry import FAMILIES
from proxy.kernel.errors import InvalidInput, NotFound
from proxy.kernel.ids import merchant_of_id
from proxy.merchants.merchant import Merchant, Mode, Scope, Terminal
from proxy.merchants.setup import TerminalChanges
from proxy.merchants.setup.tokens import PROTOCOLS
from proxy.operations.doctor.base import Level
from proxy.webhooks.endpoint import DEFAULT_IN_FLIGHT, MOST_IN_FLIGHT
from proxy.webhooks.event import EVENT_TYPES

PAGE: Final = 50


async def list_merchants(context: PageContext) -> web.StreamResponse:
    """Those that are not archived, or with `archived=1` those that are."""
    after, archived = context.request.query.get("after", ""), context.request.query.get("archived") == "1"
    found = await context.services.store.merchants.list_merchants(after, PAGE + 1, archived=archived)
    merchants, following = first_page(found, PAGE)
    return context.page("merchants.html", merchants=merchants, following=following, archived=archived)


async def show_merchant(context: PageContext) -> web.StreamResponse:
    return await merchant_page(context, await merchant_of_path(context))


async def merchant_page(context: PageContext, merchant: Merchant, error: InvalidInput | None = None) -> web.Response:
    """The merchant's page, with the error of a refused form."""
    store = context.services.store
    tokens = await store.merchants.list_tokens(merchant.id)
    return context.page(
        "merchant.html",
        status=200 if error is None else 422,
        merchant=merchant,
        terminals=await store.merchants.list_terminals(merchant.id),
        tokens=tokens,
        shop=shops_of(tokens)[0],
        totals=await context.services.merchant_totals.periods(merchant.id),
        endpoints=await store.webhooks.list_endpoints(merchant.id),
        lost=await store.recovery.lost_payments(merchant.id),
        event_types=sorted(EVENT_TYPES),
        scopes=sorted(Scope),
        protocols={name: FAMILIES[name] for name in PROTOCOLS},
        languages=LANGUAGES,
        in_flight=(DEFAULT_IN_FLIGHT, MOST_IN_FLIGHT),
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
    mode = mode_of(context.form.get("mode", Mode.LIVE.value))
    text = await context.services.setup.rotate_return_secret(merchant.id, mode, actor=context.viewer.name)
    return secrets_page(context, merchant, [Secret(RETURN_SECRETS[mode], text)])


async def add_terminal(context: PageContext) -> web.StreamResponse:
    merchant, form = await merchant_of_path(context), context.form
    try:
        await context.services.setup.add_terminal(
            merchant.id,
            form.get("name", ""),
            form.get("gateway_url", "").strip() or None,
            None,
            mode_of(form.get("mode", "")),
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
    """Gives it other credentials, options and another address."""
    merchant_id, terminal_id = ids_of_path(context, "terminal")
    store = context.services.store.merchants
    changes = _terminal_changes(context, await store.terminal(merchant_id, terminal_id))
    if changes:
        try:
            await context.services.setup.change_terminal(merchant_id, terminal_id, actor=context.viewer.name, **changes)
        except InvalidInput as error:
            return await merchant_page(context, await store.merchant(merchant_id), error)
    return context.go(f"/merchants/{merchant_id}?said=saved")


async def switch_terminal_off(context: PageContext) -> web.StreamResponse:
    return await _switch(context, on=False)


async def switch_terminal_on(context: PageContext) -> web.StreamResponse:
    return await _switch(context, on=True)


async def _switch(context: PageContext, *, on: bool) -> web.StreamResponse:
    merchant_id, terminal_id = ids_of_path(context, "terminal")
    await context.services.setup.change_terminal(merchant_id, terminal_id, enabled=on, actor=context.viewer.name)
    return context.go(f"/merchants/{merchant_id}?said={'on' if on else 'off'}")


def _terminal_changes(context: PageContext, terminal: Terminal) -> TerminalChanges:
    """What the form would change; an empty field leaves what is there. An address is taken with credentials only."""
    form, changes = context.form, TerminalChanges()
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
    merchant_id, terminal_id = ids_of_path(context, "terminal")
    terminal = await context.services.store.merchants.terminal(merchant_id, terminal_id)

    async def work(_job: Job) -> Ended:
        findings = await context.services.doctor.terminal(merchant_id, terminal_id)
        return JobPage("findings.html", {"findings": findings, "merchant_id": merchant_id, "subject": terminal.name})

    await context.note("terminal.test", {"terminal_id": terminal_id})
    return await context.work("آزمودن کلید ترمینال", "Testing the terminal's key", work)


async def check_up(context: PageContext) -> web.StreamResponse:
    """The doctor's look at everything that a merchant has."""
    merchant, language = await merchant_of_path(context), context.words.language

    async def work(_job: Job) -> Ended:
        findings = await context.services.doctor.merchant(merchant.id)
        findings.sort(key=lambda finding: list(Level)[::-1].index(finding.level))
        return JobPage(
            "findings.html", {"findings": findings, "merchant_id": merchant.id, "subject": merchant.called(language)}
        )

    await context.note("doctor.check_up", {"merchant_id": merchant.id})
    return await context.work("وارسی همهٔ تنظیمات پذیرنده", "Looking at the merchant's set-up", work)


async def merchant_of_path(context: PageContext) -> Merchant:
    """Raises NotFound."""
    return await context.services.store.merchants.merchant(context.request.match_info["merchant_id"])


def ids_of_path(context: PageContext, kind: str) -> tuple[str, str]:
    """The merchant's id and the record's, which carries it. Raises NotFound."""
    record_id = context.request.match_info[f"{kind}_id"]
    merchant_id = merchant_of_id(record_id)
    if merchant_id is None:
        raise NotFound(kind)
    return merchant_id, record_id
