"""Acts that cannot be taken back ask on a page of their own, and do nothing without the answer to it."""

from proxy.console.confirmation import PROVEN_FOR
from proxy.merchants.setup.tokens import RESTORABLE_FOR
from web.clients import answered, operator, words
from web.lab import Lab


async def test_each_act_asks_first_and_a_form_without_the_answer_changes_nothing(lab: Lab) -> None:
    setup, browser = lab.dargah.services.setup, await operator(lab)
    endpoint, _ = await lab.dargah.services.endpoints.add_endpoint(
        lab.merchant_id, "https://own.example.ir/hook", actor="test"
    )
    token, _ = await setup.issue_token(lab.merchant_id, actor="test")
    await operator(lab, "read")
    [hired] = await lab.dargah.services.store.operators.list_operators()
    acts = [
        *(f"/tokens/{token.id}/{act}" for act in ("revoke", "rotate")),
        *(f"/endpoints/{endpoint.id}/{act}" for act in ("pause", "delete", "rotate-secret")),
        *(f"/operators/{hired.id}/{act}" for act in ("revoke", "rotate")),
        f"/terminals/{lab.terminal_id}/switch-off",
        f"/merchants/{lab.merchant_id}/rotate-return-secret",
    ]
    before = lab.rows()
    for act in acts:
        page = await browser.get(f"/console{act}?lang=en")
        assert (page.status, 'name="asked"' in page.text) == (200, True), act
        unasked = await browser.post(f"/console{act}")
        assert (unasked.status, 'name="asked"' in unasked.text) == (200, True), act
        forged = await browser.post(f"/console{act}", {"asked": f"{lab.clock.now}.{'0' * 64}"})
        assert forged.status == 422, act
    other = answered(await browser.get(f"/console/endpoints/{endpoint.id}/pause"))
    assert (await browser.post(f"/console/endpoints/{endpoint.id}/delete", other)).status == 422
    assert lab.rows() == before


async def test_what_was_asked_too_long_ago_is_asked_again(lab: Lab) -> None:
    browser = await operator(lab)
    path = f"/console/terminals/{lab.terminal_id}/switch-off"
    yes = answered(await browser.get(path))
    lab.clock.forward(PROVEN_FOR + 1)
    assert (await browser.post(path, yes)).status == 422
    merchants = lab.dargah.services.store.merchants
    assert (await merchants.terminal(lab.merchant_id, lab.terminal_id)).enabled
    assert (await browser.confirmed(path)).status == 303
    assert not (await merchants.terminal(lab.merchant_id, lab.terminal_id)).enabled
    await browser.post(f"/console/terminals/{lab.terminal_id}/switch-on")
    assert (await merchants.terminal(lab.merchant_id, lab.terminal_id)).enabled


async def test_a_live_token_is_revoked_by_typing_its_last_characters_and_can_be_taken_back(lab: Lab) -> None:
    browser = await operator(lab, "operate")
    [token] = await lab.dargah.services.store.merchants.list_tokens(lab.merchant_id)
    path = f"/console/tokens/{token.id}/revoke"
    yes = answered(await browser.get(f"{path}?lang=en"))
    assert (await browser.post(path, yes | {"typed": "wrong"})).status == 422
    assert (await lab.call("GET", "/v1/payments")).status == 200
    done = await browser.post(path, yes)
    assert "The token is revoked" in words(done)
    assert (await lab.call("GET", "/v1/payments")).status == 401
    back = await browser.post(f"/console/tokens/{token.id}/restore", answered(done))
    assert back.headers["Location"].endswith("said=restored")
    assert (await lab.call("GET", "/v1/payments")).status == 200
    audit = await lab.dargah.services.store.audit.list_audit(lab.merchant_id, None, 100)
    assert "token.restore" in {entry.action for entry in audit}
    again = await browser.post(f"/console/tokens/{token.id}/restore", answered(done))
    assert again.status == 409


async def test_a_revocation_is_for_good_after_ten_minutes(lab: Lab) -> None:
    browser = await operator(lab)
    [token] = await lab.dargah.services.store.merchants.list_tokens(lab.merchant_id)
    done = await browser.confirmed(f"/console/tokens/{token.id}/revoke")
    lab.clock.forward(RESTORABLE_FOR + 1)
    assert (await browser.post(f"/console/tokens/{token.id}/restore", answered(done))).status == 409
    assert (await lab.call("GET", "/v1/payments")).status == 401


async def test_an_end_that_was_set_before_does_not_become_none_by_an_undoing(lab: Lab) -> None:
    browser = await operator(lab)
    [token] = await lab.dargah.services.store.merchants.list_tokens(lab.merchant_id)
    await browser.confirmed(f"/console/tokens/{token.id}/rotate")
    done = await browser.confirmed(f"/console/tokens/{token.id}/revoke")
    assert "/restore" not in done.text
