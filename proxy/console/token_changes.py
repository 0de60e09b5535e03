"""A merchant's API tokens: making one, which is shown once, making it anew, and ending it."""

from aiohttp import web

from proxy.console.confirmation import proof, require_proof
from proxy.console.merchants import ids_of_path, merchant_of_path, merchant_page
from proxy.console.page_context import PageContext, Secret, secrets_page
from proxy.console.terminal_form import mode_of
from proxy.gateways.port import INVOICE_SCRIPT
from proxy.kernel.errors import InvalidInput
from proxy.merchants.merchant import AmountUnit, ReturnMethod, Scope


async def add_token(context: PageContext) -> web.StreamResponse:
    merchant, form = await merchant_of_path(context), context.form
    protocol = form.get("protocol") or INVOICE_SCRIPT
    try:
        token, text = await context.services.setup.issue_token(
            merchant.id,
            form.get("storefront", ""),
            mode_of(form.get("mode", "")),
            # Shops of another protocol have the drop-in alone, whatever else is ticked.
            [scope for scope in Scope if form.get(f"scope:{scope}")] if protocol == INVOICE_SCRIPT else None,
            form.get("terminal_id") or None,
            None,
            AmountUnit.TOMAN if form.get("amount_unit") == AmountUnit.TOMAN else AmountUnit.RIAL,
            next((method for method in ReturnMethod if form.get("return_method") == method), ReturnMethod.GET),
            protocol=protocol,
            actor=context.viewer.name,
        )
    except InvalidInput as error:
        return await merchant_page(context, merchant, error)
    return secrets_page(context, merchant, [Secret(("توکن API", "API token"), text)], token=token)


async def rotate_token(context: PageContext) -> web.StreamResponse:
    merchant_id, token_id = ids_of_path(context, "token")
    token, text = await context.services.setup.rotate_token(merchant_id, token_id, actor=context.viewer.name)
    merchant = await context.services.store.merchants.merchant(merchant_id)
    return secrets_page(context, merchant, [Secret(("توکن تازهٔ API", "New API token"), text)], token=token)


async def revoke_token(context: PageContext) -> web.StreamResponse:
    """Ends it now. The page offers to take that back, unless an end was set before."""
    merchant_id, token_id = ids_of_path(context, "token")
    before = await context.services.store.merchants.token(merchant_id, token_id)
    token = await context.services.setup.revoke_token(merchant_id, token_id, actor=context.viewer.name)
    path = f"/tokens/{token_id}/restore"
    proven = proof(context, path) if before.revoked_at is None else None
    return context.page("revoked.html", token=token, path=path, proof=proven)


async def restore_token(context: PageContext) -> web.StreamResponse:
    """Takes a revocation back, from the page of the session that revoked it."""
    merchant_id, token_id = ids_of_path(context, "token")
    require_proof(context)
    await context.services.setup.restore_token(merchant_id, token_id, actor=context.viewer.name)
    return context.go(f"/merchants/{merchant_id}?said=restored")
