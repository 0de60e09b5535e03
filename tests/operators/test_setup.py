"""The set-up: what it makes, what it refuses, and what it leaves in the audit log."""

from dataclasses import replace
from typing import Any

import pytest
from databases.places import AnyStore
from support.clock import ManualClock

from proxy.audit.log import AuditEntry
from proxy.kernel.clock import DAY, SECOND
from proxy.kernel.errors import Conflict, InvalidInput, NotFound
from proxy.kernel.ids import digest, merchant_of_api_token
from proxy.merchants.merchant import Merchant, Mode, Scope, Terminal
from proxy.merchants.setup import HttpPolicy, MerchantSetup, tokens
from proxy.merchants.setup.tokens import RotationBatch
from proxy.merchants.vault import API_KEY, KeyRing, Vault, generate_line
from proxy.webhooks import endpoint_setup, request
from proxy.webhooks.endpoint import EndpointState
from proxy.webhooks.endpoint_setup import EndpointSetup

GATEWAY = "https://pay.example.ir"
HOOK = "https://shop.example.ir/hook"


async def a_merchant(setup: MerchantSetup) -> Merchant:
    return (await setup.create_merchant("Shop", ["https://shop.example.ir"], actor="sara"))[0]


async def a_terminal(setup: MerchantSetup, merchant: Merchant, mode: Mode = Mode.LIVE) -> Terminal:
    return await setup.add_terminal(merchant.id, "main", GATEWAY, "canary-key", mode, actor="sara")


async def secrets_of(store: AnyStore, vault: Vault, merchant_id: str, owner_id: str) -> dict[str, str]:
    """Of a terminal at GATEWAY, or an owner whose secrets leave for nowhere."""
    origins = {API_KEY: GATEWAY}
    return {
        each.name: vault.open(each, origins.get(each.name))
        for each in await store.merchants.secrets(merchant_id, owner_id)
    }


def fields_of(caught: pytest.ExceptionInfo[InvalidInput]) -> dict[str, str]:
    assert all(error.detail and error.detail_fa for error in caught.value.errors)
    return {error.field: error.code for error in caught.value.errors}


async def test_a_merchant_gets_a_return_secret_that_is_kept_sealed(
    setup: MerchantSetup, store: AnyStore, vault: Vault
) -> None:
    merchant, secret = await setup.create_merchant("  فروشگاه‌ها ", ["HTTPS://Shop.ir:443/"], actor="sara")
    assert await store.merchants.merchant(merchant.id) == merchant
    assert merchant.name == "فروشگاه‌ها"
    assert merchant.return_origins == ("https://shop.ir",)
    assert await secrets_of(store, vault, merchant.id, merchant.id) == {"return_secret": secret}
    assert len(secret) > 40


async def test_a_rotated_return_secret_replaces_the_old_one(
    setup: MerchantSetup, store: AnyStore, vault: Vault
) -> None:
    merchant, old = await setup.create_merchant("Shop", [], actor="sara")
    new = await setup.rotate_return_secret(merchant.id, actor="omid")
    assert new != old
    assert await secrets_of(store, vault, merchant.id, merchant.id) == {"return_secret": new}


async def test_everything_that_is_wrong_with_a_merchant_is_told_at_once(setup: MerchantSetup, store: AnyStore) -> None:
    with pytest.raises(InvalidInput) as caught:
        await setup.create_merchant("a\nb", ["https://shop.ir/thanks", "ftp://shop.ir", "https://ok.ir"], actor="sara")
    assert [error.field for error in caught.value.errors] == ["name", "return_origins", "return_origins"]
    assert await store.merchants.list_merchants(None, 10) == []
    assert await store.audit.list_audit(None, None, 10) == []


async def test_a_field_that_is_absent_from_a_change_stays(
    setup: MerchantSetup, store: AnyStore, changes: list[int]
) -> None:
    merchant = await a_merchant(setup)
    before = len(changes)
    changed = await setup.change_merchant(merchant.id, name="Other", actor="sara")
    assert changed.return_origins == merchant.return_origins
    assert await store.merchants.merchant(merchant.id) == replace(merchant, name="Other", updated_at=changed.updated_at)
    assert changed.updated_at > merchant.updated_at
    assert len(changes) > before


async def test_an_api_key_is_sealed_under_its_terminal(setup: MerchantSetup, store: AnyStore, vault: Vault) -> None:
    merchant = await a_merchant(setup)
    terminal = await setup.add_terminal(
        merchant.id, "main", "https://pay.example.ir/gw/", "canary-key", Mode.TEST, "https://pay.shop.ir/", actor="sara"
    )
    assert terminal.gateway_url == "https://pay.example.ir/gw"
    assert terminal.return_base_url == "https://pay.shop.ir"
    assert await store.merchants.terminal(merchant.id, terminal.id) == terminal
    assert await secrets_of(store, vault, merchant.id, terminal.id) == {"api_key": "canary-key"}


async def test_a_terminal_changes_its_key_and_nothing_else(setup: MerchantSetup, store: AnyStore, vault: Vault) -> None:
    merchant = await a_merchant(setup)
    terminal = await a_terminal(setup, merchant)
    changed = await setup.change_terminal(merchant.id, terminal.id, api_key="other-key", actor="sara")
    assert changed == replace(terminal, updated_at=changed.updated_at)
    assert await secrets_of(store, vault, merchant.id, terminal.id) == {"api_key": "other-key"}


async def test_a_terminal_is_switched_off_and_loses_its_return_base(setup: MerchantSetup) -> None:
    merchant = await a_merchant(setup)
    terminal = await setup.add_terminal(merchant.id, "m", GATEWAY, "k", Mode.LIVE, "https://pay.shop.ir", actor="sara")
    changed = await setup.change_terminal(merchant.id, terminal.id, enabled=False, return_base_url=None, actor="sara")
    assert (changed.enabled, changed.return_base_url) == (False, None)
    assert changed.gateway_url == GATEWAY


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"name": ""}, {"name": "text_invalid"}),
        ({"name": "n" * 101}, {"name": "text_invalid"}),
        ({"gateway_url": "http://pay.example.ir"}, {"gateway_url": "https_required"}),
        ({"gateway_url": "pay.example.ir"}, {"gateway_url": "url_invalid"}),
        ({"gateway_url": "https://pay.example.ir?x=1"}, {"gateway_url": "url_invalid"}),
        ({"gateway_url": "https://u:p@pay.example.ir"}, {"gateway_url": "url_invalid"}),
        ({"gateway_url": "https://pay.example.ir:99999"}, {"gateway_url": "url_invalid"}),
        ({"api_key": ""}, {"api_key": "secret_invalid"}),
        ({"api_key": "canary\nkey"}, {"api_key": "secret_invalid"}),
        ({"api_key": " canary"}, {"api_key": "secret_invalid"}),
        ({"return_base_url": "http://127.0.0.1"}, {"return_base_url": "https_required"}),
    ],
)
async def test_a_terminal_with_a_wrong_field_is_refused_by_name(
    setup: MerchantSetup, store: AnyStore, wrong: dict[str, Any], fields: dict[str, str]
) -> None:
    merchant = await a_merchant(setup)
    right = {"name": "main", "gateway_url": GATEWAY, "api_key": "k", "mode": Mode.LIVE}
    with pytest.raises(InvalidInput) as caught:
        await setup.add_terminal(merchant.id, **(right | wrong), actor="sara")
    assert fields_of(caught) == fields
    assert "canary" not in str(caught.value)
    assert await store.merchants.list_terminals(merchant.id) == []


async def test_a_terminal_of_nobody_is_not_found(setup: MerchantSetup) -> None:
    with pytest.raises(NotFound):
        await setup.add_terminal("mer_00000000", "main", GATEWAY, "k", Mode.LIVE, actor="sara")


async def test_a_token_is_shown_once_and_kept_as_a_digest(
    setup: MerchantSetup, store: AnyStore, clock: ManualClock
) -> None:
    merchant = await a_merchant(setup)
    token, text = await setup.issue_token(merchant.id, "web", Mode.TEST, [Scope.PAYMENTS_READ], actor="sara")
    assert text.startswith("dg_test_")
    assert merchant_of_api_token(text) == merchant.id
    assert await store.merchants.token_by_digest(merchant.id, digest(text)) == token
    assert text.startswith(token.prefix)
    assert len(token.prefix) <= len(text) - 24
    assert token.alive(clock())


async def test_a_bound_token_is_of_its_terminals_mode(setup: MerchantSetup) -> None:
    merchant = await a_merchant(setup)
    terminal = await a_terminal(setup, merchant, Mode.TEST)
    token, _ = await setup.issue_token(merchant.id, mode=Mode.TEST, terminal_id=terminal.id, actor="sara")
    assert token.terminal_id == terminal.id
    with pytest.raises(InvalidInput) as caught:
        await setup.issue_token(merchant.id, mode=Mode.LIVE, terminal_id=terminal.id, actor="sara")
    assert fields_of(caught) == {"terminal_id": "mode_differs"}


async def test_a_token_is_not_bound_to_another_merchants_terminal(setup: MerchantSetup) -> None:
    terminal = await a_terminal(setup, await a_merchant(setup))
    other = await a_merchant(setup)
    with pytest.raises(InvalidInput) as caught:
        await setup.issue_token(other.id, terminal_id=terminal.id, actor="sara")
    assert fields_of(caught) == {"terminal_id": "terminal_unknown"}


async def test_a_token_with_wrong_fields_is_refused(setup: MerchantSetup, store: AnyStore, clock: ManualClock) -> None:
    merchant = await a_merchant(setup)
    with pytest.raises(InvalidInput) as caught:
        await setup.issue_token(merchant.id, "Web Shop", scopes=[], expires_at=clock.now, actor="sara")
    assert fields_of(caught) == {
        "storefront": "storefront_invalid",
        "scopes": "too_few",
        "expires_at": "in_the_past",
    }
    assert await store.merchants.list_tokens(merchant.id) == []


async def test_a_revoked_token_is_dead_at_once(setup: MerchantSetup, store: AnyStore, clock: ManualClock) -> None:
    merchant = await a_merchant(setup)
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    await setup.revoke_token(merchant.id, token.id, actor="omid")
    assert not (await store.merchants.token(merchant.id, token.id)).alive(clock())


async def test_a_token_may_live_on_for_an_overlap_which_no_later_call_lengthens(
    setup: MerchantSetup, clock: ManualClock
) -> None:
    merchant = await a_merchant(setup)
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    overlapping = await setup.revoke_token(merchant.id, token.id, after_seconds=60, actor="sara")
    assert overlapping.alive(clock.now + 59 * SECOND)
    assert not overlapping.alive(clock.now + 61 * SECOND)
    assert await setup.revoke_token(merchant.id, token.id, after_seconds=3600, actor="sara") == overlapping
    ended = await setup.revoke_token(merchant.id, token.id, actor="sara")
    assert not ended.alive(clock())


@pytest.mark.parametrize("after_seconds", [-1, 7 * DAY // SECOND + 1])
async def test_an_overlap_has_bounds(setup: MerchantSetup, after_seconds: int) -> None:
    merchant = await a_merchant(setup)
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    with pytest.raises(InvalidInput) as caught:
        await setup.revoke_token(merchant.id, token.id, after_seconds, actor="sara")
    assert fields_of(caught) == {"after_seconds": "out_of_range"}


async def test_an_endpoint_has_both_signing_keys_sealed(
    setup: MerchantSetup, endpoints: EndpointSetup, store: AnyStore, vault: Vault
) -> None:
    merchant = await a_merchant(setup)
    endpoint, secret = await endpoints.add_endpoint(merchant.id, HOOK, actor="token:tok_1")
    keys = await secrets_of(store, vault, merchant.id, endpoint.id)
    assert keys["signing:1"] == secret
    assert secret.startswith("whsec_")
    assert request.public_key(keys["signing_v1a:1"]).startswith("whpk_")
    assert await store.webhooks.endpoint(merchant.id, endpoint.id) == endpoint


async def test_an_endpoint_keeps_what_it_is_given(setup: MerchantSetup, endpoints: EndpointSetup) -> None:
    merchant = await a_merchant(setup)
    endpoint, _ = await endpoints.add_endpoint(
        merchant.id,
        HOOK,
        storefront="web",
        event_types=["payment.paid", "ping"],
        description="the accounts",
        headers={"X-Team": "accounts"},
        actor="sara",
    )
    assert endpoint.wants("payment.paid", "live", "web")
    assert not endpoint.wants("payment.failed", "live", "web")
    assert not endpoint.wants("payment.paid", "live", "other")
    assert endpoint.header_names == ("x-team",)
    changed = await endpoints.change_endpoint(merchant.id, endpoint.id, storefront=None, event_types=[], actor="sara")
    assert changed.wants("payment.failed", "live", "other")
    assert changed.header_names == endpoint.header_names


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"url": "http://shop.example.ir/hook"}, {"url": "https_required"}),
        ({"url": "http://127.0.0.1:3000/hook"}, {"url": "https_required"}),
        ({"url": "https://u:p@shop.ir"}, {"url": "url_invalid"}),
        ({"url": "https://shop.ir/a b"}, {"url": "url_invalid"}),
        ({"url": "javascript:alert(1)"}, {"url": "url_invalid"}),
        ({"url": "https://shop.ir/" + "a" * 2000}, {"url": "url_too_long"}),
        ({"storefront": "-web"}, {"storefront": "storefront_invalid"}),
        ({"event_types": ["payment.paid", "payment.lost"]}, {"event_types": "event_type_unknown"}),
        ({"description": "d" * 201}, {"description": "text_invalid"}),
        ({"headers": {"Webhook-Id": "1"}}, {"headers.Webhook-Id": "header_reserved"}),
        ({"headers": {"Authorization": "Bearer canary"}}, {"headers.Authorization": "header_reserved"}),
        ({"headers": {"Transfer-Encoding": "chunked"}}, {"headers.Transfer-Encoding": "header_reserved"}),
        ({"headers": {"X-A": "canary\r\nX-B: 1"}}, {"headers.X-A": "header_invalid"}),
        ({"headers": {"X A": "1"}}, {"headers.X A": "header_invalid"}),
        ({"headers": {"X-A": "1", "x-a": "2"}}, {"headers": "header_repeated"}),
        ({"headers": {f"X-{number}": "1" for number in range(11)}}, {"headers": "too_many"}),
        ({"headers": {"X-A": "v" * 501}}, {"headers.X-A": "header_invalid"}),
    ],
)
async def test_an_endpoint_with_a_wrong_field_is_refused_by_name(
    setup: MerchantSetup, endpoints: EndpointSetup, store: AnyStore, wrong: dict[str, Any], fields: dict[str, str]
) -> None:
    merchant = await a_merchant(setup)
    with pytest.raises(InvalidInput) as caught:
        await endpoints.add_endpoint(merchant.id, **({"url": HOOK} | wrong), actor="sara")
    assert fields_of(caught) == fields
    assert "canary" not in str(caught.value)
    assert await store.webhooks.list_endpoints(merchant.id) == []
    endpoint, _ = await endpoints.add_endpoint(merchant.id, HOOK, actor="sara")
    with pytest.raises(InvalidInput) as caught:
        await endpoints.change_endpoint(merchant.id, endpoint.id, **wrong, actor="sara")
    assert fields_of(caught) == fields
    assert await store.webhooks.endpoint(merchant.id, endpoint.id) == endpoint


async def test_an_endpoint_is_paused_and_resumed_and_a_disabled_one_comes_back(
    setup: MerchantSetup, endpoints: EndpointSetup, store: AnyStore
) -> None:
    merchant = await a_merchant(setup)
    endpoint, _ = await endpoints.add_endpoint(merchant.id, HOOK, actor="sara")
    paused = await endpoints.change_endpoint(merchant.id, endpoint.id, paused=True, actor="sara")
    assert paused.state is EndpointState.PAUSED
    assert paused.state_since > endpoint.state_since
    disabled = replace(paused, state=EndpointState.DISABLED, state_reason="gone")
    entry = AuditEntry("aud_1", merchant.id, disabled.updated_at, "engine", "endpoint.disable", disabled.id, {})
    await store.webhooks.save_endpoint(paused, disabled, entry)
    still = await endpoints.change_endpoint(merchant.id, endpoint.id, paused=True, actor="sara")
    assert (still.state, still.state_reason) == (EndpointState.DISABLED, "gone")
    resumed = await endpoints.change_endpoint(merchant.id, endpoint.id, paused=False, actor="sara")
    assert (resumed.state, resumed.state_reason) == (EndpointState.ENABLED, None)


async def test_a_deleted_endpoint_leaves_no_secret(
    setup: MerchantSetup, endpoints: EndpointSetup, store: AnyStore
) -> None:
    merchant = await a_merchant(setup)
    endpoint, _ = await endpoints.add_endpoint(merchant.id, HOOK, actor="sara")
    await endpoints.delete_endpoint(merchant.id, endpoint.id, actor="sara")
    assert await store.merchants.secrets(merchant.id, endpoint.id) == []
    with pytest.raises(NotFound):
        await endpoints.delete_endpoint(merchant.id, endpoint.id, actor="sara")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/hook", "http://localhost/h", "http://[::1]:1/h", "http://shop:3000/h"]
)
async def test_development_lets_plain_http_to_loopback_and_named_targets(
    setup: MerchantSetup, development: EndpointSetup, url: str
) -> None:
    merchant = await a_merchant(setup)
    endpoint, _ = await development.add_endpoint(merchant.id, url, actor="sara")
    assert endpoint.url == url


@pytest.mark.parametrize("url", ["http://10.0.0.1/h", "http://shop:3001/h", "http://localhost.evil.example/h"])
async def test_development_lets_plain_http_nowhere_else(
    setup: MerchantSetup, development: EndpointSetup, url: str
) -> None:
    merchant = await a_merchant(setup)
    with pytest.raises(InvalidInput):
        await development.add_endpoint(merchant.id, url, actor="sara")


async def test_a_merchant_has_no_more_endpoints_than_the_limit(
    setup: MerchantSetup, endpoints: EndpointSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_setup, "MAX_ENDPOINTS", 3)
    monkeypatch.setattr(endpoint_setup, "MAX_ENDPOINTS_OF_STOREFRONT", 2)
    merchant = await a_merchant(setup)
    for _ in range(2):
        await endpoints.add_endpoint(merchant.id, HOOK, mode=Mode.TEST, storefront="main", actor="sara")
    with pytest.raises(Conflict):
        await endpoints.add_endpoint(merchant.id, HOOK, mode=Mode.TEST, storefront="main", actor="sara")
    await endpoints.add_endpoint(merchant.id, HOOK, mode=Mode.LIVE, storefront="main", actor="sara")
    with pytest.raises(Conflict):
        await endpoints.add_endpoint(merchant.id, HOOK, mode=Mode.LIVE, storefront="other", actor="sara")


async def test_a_merchant_has_no_more_tokens_than_the_limit(
    setup: MerchantSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 1)
    merchant = await a_merchant(setup)
    await setup.issue_token(merchant.id, actor="sara")
    with pytest.raises(Conflict):
        await setup.issue_token(merchant.id, actor="sara")


async def test_every_write_is_in_the_audit_log_with_who_did_it_and_no_secret(
    setup: MerchantSetup, endpoints: EndpointSetup, store: AnyStore
) -> None:
    merchant, secret = await setup.create_merchant("Shop", [], actor="sara")
    await setup.change_merchant(merchant.id, name="Other", actor="omid")
    await setup.rotate_return_secret(merchant.id, actor="omid")
    terminal = await a_terminal(setup, merchant)
    await setup.change_terminal(merchant.id, terminal.id, api_key="canary-key-2", enabled=False, actor="omid")
    token, text = await setup.issue_token(merchant.id, actor="sara")
    await setup.revoke_token(merchant.id, token.id, actor="omid")
    endpoint, signing = await endpoints.add_endpoint(merchant.id, HOOK, headers={"x-a": "canary"}, actor="token:tok_1")
    await endpoints.change_endpoint(merchant.id, endpoint.id, headers={"x-b": "canary"}, paused=True, actor="sara")
    await endpoints.delete_endpoint(merchant.id, endpoint.id, actor="sara")

    log = list(reversed(await store.audit.list_audit(merchant.id, None, 100)))
    assert [(entry.actor, entry.action, entry.target) for entry in log] == [
        ("sara", "merchant.create", merchant.id),
        ("omid", "merchant.update", merchant.id),
        ("omid", "merchant.rotate_return_secret", merchant.id),
        ("sara", "terminal.create", terminal.id),
        ("omid", "terminal.update", terminal.id),
        ("sara", "token.issue", token.id),
        ("omid", "token.revoke", token.id),
        ("token:tok_1", "endpoint.create", endpoint.id),
        ("sara", "endpoint.update", endpoint.id),
        ("sara", "endpoint.delete", endpoint.id),
    ]
    assert log[4].data == {"api_key": "set", "enabled": False}
    shown = repr([entry.data for entry in log])
    assert not any(hidden in shown for hidden in ("canary", secret, text, signing))


async def test_rotation_moves_every_secret_to_the_first_key_in_batches(
    setup: MerchantSetup, store: AnyStore, key_line: str, clock: ManualClock
) -> None:
    for _ in range(3):
        merchant = await a_merchant(setup)
        terminal = await a_terminal(setup, merchant)
    new_line = generate_line("k2")
    vault = Vault(KeyRing.parse(f"{new_line}\n{key_line}"))
    rotating = MerchantSetup(store.merchants, vault, clock)

    first = await rotating.rotate(4, actor="sara")
    assert (first.rewrapped, first.done) == (4, False)
    second = await rotating.rotate(4, actor="sara")
    assert second == RotationBatch(vault.kek_id, rewrapped=2, failed=(), done=True)
    assert await store.merchants.kek_ids() == {vault.kek_id}
    only_new = Vault(KeyRing.parse(new_line))
    assert await secrets_of(store, only_new, merchant.id, terminal.id) == {"api_key": "canary-key"}
    log = [entry for entry in await store.audit.list_audit(None, None, 100) if entry.action == "keys.rotate"]
    assert sum(int(str(entry.data["secrets"])) for entry in log) == 6
    assert {entry.actor for entry in log} == {"sara"}


async def test_rotation_of_what_is_under_the_first_key_already_does_nothing(
    setup: MerchantSetup, store: AnyStore
) -> None:
    await a_merchant(setup)
    before = await store.audit.list_audit(None, None, 100)
    rotated = await setup.rotate(actor="sara")
    assert (rotated.rewrapped, rotated.failed, rotated.done) == (0, (), True)
    assert await store.audit.list_audit(None, None, 100) == before


async def test_rotation_names_what_it_cannot_open_and_ends(
    setup: MerchantSetup, store: AnyStore, key_line: str, clock: ManualClock
) -> None:
    merchant = await a_merchant(setup)
    [sealed] = await store.merchants.secrets(merchant.id, merchant.id)
    [audit] = await store.audit.list_audit(None, None, 1)
    altered = replace(sealed, blob=bytes(len(sealed.blob)))
    await store.merchants.save_merchant(merchant, replace(audit, id=audit.id[:-4] + "zzzz"), [altered])
    vault = Vault(KeyRing.parse(f"{generate_line('k2')}\n{key_line}"))
    rotated = await MerchantSetup(store.merchants, vault, clock).rotate(1, actor="sara")
    assert rotated == RotationBatch(vault.kek_id, 0, (f"{merchant.id} return_secret",), done=True)
    assert await store.merchants.secrets(merchant.id, merchant.id) == [altered]


def test_plain_http_is_for_exact_targets_only() -> None:
    policy = HttpPolicy(targets=frozenset({"shop:3000", "[fd00::1]:80"}))
    assert policy.allows("shop", 3000)
    assert policy.allows("fd00::1", 80)
    assert not policy.allows("shop", 80)
    assert not policy.allows("localhost", 3000)
