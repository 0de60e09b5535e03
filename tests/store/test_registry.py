from dataclasses import replace

import pytest

from proxy.kernel.errors import NotFound, StaleVersion
from proxy.merchants.merchant import Scope
from proxy.stores.store import Store
from proxy.webhooks.endpoint import EndpointState
from store.records import (
    IDS,
    MERCHANT_ID,
    NOW,
    add_endpoint,
    add_merchant,
    new_audit,
    new_endpoint,
    new_merchant,
    new_terminal,
    new_token,
    sealed,
)

OTHER = IDS.merchant()


async def test_a_merchant_is_added_changed_and_listed_in_id_order(store: Store) -> None:
    first, second, third = (new_merchant(f"mer_0000000{number}") for number in (1, 2, 3))
    for merchant in (second, third, first):
        await store.merchants.add_merchant(merchant, [], new_audit(merchant.id))
    changed = replace(second, name="new", return_origins=(), updated_at=NOW + 1)
    await store.merchants.save_merchant(changed, new_audit(second.id))
    assert await store.merchants.merchant(second.id) == changed
    assert await store.merchants.list_merchants(None, 2) == [first, changed]
    assert await store.merchants.list_merchants(second.id, 2) == [third]
    with pytest.raises(NotFound):
        await store.merchants.save_merchant(new_merchant("mer_00000009"), new_audit())
    with pytest.raises(NotFound):
        await store.merchants.merchant("mer_00000009")


async def test_a_merchants_secrets_are_added_and_replaced_with_it(store: Store) -> None:
    merchant = new_merchant()
    first, second = sealed(MERCHANT_ID, "return"), sealed(MERCHANT_ID, "return")
    await store.merchants.add_merchant(merchant, [first], new_audit())
    assert await store.merchants.secrets(MERCHANT_ID, MERCHANT_ID) == [first]
    await store.merchants.save_merchant(merchant, new_audit(), [second])
    assert await store.merchants.secrets(MERCHANT_ID, MERCHANT_ID) == [second]


async def test_a_terminal_is_added_with_its_secret_changed_and_listed(store: Store) -> None:
    await add_merchant(store)
    terminals = [new_terminal() for _ in range(3)]
    secrets = [sealed(terminal.id, "api_key") for terminal in terminals]
    for terminal, secret in zip(terminals, secrets, strict=True):
        await store.merchants.add_terminal(terminal, secret, new_audit())
    changed = replace(terminals[0], name="n", return_base_url="https://shop.example", enabled=False, updated_at=NOW + 1)
    await store.merchants.save_terminal(changed, None, new_audit())
    assert await store.merchants.terminal(MERCHANT_ID, changed.id) == changed
    assert await store.merchants.secrets(MERCHANT_ID, changed.id) == [secrets[0]]
    rekeyed = sealed(changed.id, "api_key")
    await store.merchants.save_terminal(changed, rekeyed, new_audit())
    assert await store.merchants.secrets(MERCHANT_ID, changed.id) == [rekeyed]
    assert await store.merchants.list_terminals(MERCHANT_ID) == sorted(
        [changed, *terminals[1:]], key=lambda one: one.id
    )
    assert await store.merchants.list_terminals(OTHER) == []
    with pytest.raises(NotFound):
        await store.merchants.terminal(OTHER, changed.id)
    with pytest.raises(NotFound):
        await store.merchants.save_terminal(new_terminal(), None, new_audit())


async def test_a_token_is_found_by_digest_and_changed(store: Store) -> None:
    await add_merchant(store)
    token = replace(new_token(), terminal_id="trm_1", expires_at=NOW + 1)
    await store.merchants.add_token(token, new_audit())
    assert await store.merchants.token_by_digest(MERCHANT_ID, token.digest) == token
    assert await store.merchants.token(MERCHANT_ID, token.id) == token
    revoked = replace(token, revoked_at=NOW, scopes=frozenset({Scope.FACADE}), terminal_id=None)
    await store.merchants.save_token(revoked, new_audit())
    assert await store.merchants.list_tokens(MERCHANT_ID) == [revoked]
    assert await store.merchants.token_by_digest(MERCHANT_ID, b"other") is None
    assert await store.merchants.token_by_digest(OTHER, token.digest) is None
    with pytest.raises(NotFound):
        await store.merchants.token(OTHER, token.id)
    with pytest.raises(NotFound):
        await store.merchants.save_token(new_token(), new_audit())


async def test_an_endpoint_is_added_with_its_secrets_changed_and_listed(store: Store) -> None:
    await add_merchant(store)
    endpoint = new_endpoint(storefront="main", event_types=frozenset({"payment.paid"}), description="دکان")
    secrets = [sealed(endpoint.id, "v1"), sealed(endpoint.id, "v1a")]
    await store.webhooks.add_endpoint(endpoint, secrets, new_audit())
    assert await store.webhooks.endpoint(MERCHANT_ID, endpoint.id) == endpoint
    assert await store.merchants.secrets(MERCHANT_ID, endpoint.id) == secrets
    changed = replace(
        endpoint,
        url="https://b.example/",
        storefront=None,
        event_types=frozenset(),
        description="",
        header_names=(),
        state=EndpointState.DISABLED,
        state_reason="410",
        state_since=NOW + 1,
        updated_at=NOW + 1,
    )
    entry = new_audit(at=NOW + 1)
    await store.webhooks.save_endpoint(endpoint, changed, entry, [sealed(endpoint.id, "v1b")])
    assert {secret.name for secret in await store.merchants.secrets(MERCHANT_ID, endpoint.id)} == {"v1", "v1a", "v1b"}
    assert (await store.audit.list_audit(MERCHANT_ID, None, 1)) == [entry]
    assert await store.webhooks.list_endpoints(MERCHANT_ID) == [changed]
    assert await store.webhooks.list_endpoints(OTHER) == []
    with pytest.raises(NotFound):
        await store.webhooks.endpoint(OTHER, endpoint.id)
    for before in (endpoint, new_endpoint()):
        with pytest.raises(StaleVersion):
            await store.webhooks.save_endpoint(before, changed, new_audit())
    assert (await store.audit.list_audit(MERCHANT_ID, None, 1)) == [entry]


async def test_nothing_is_added_to_a_merchant_that_does_not_exist(store: Store) -> None:
    endpoint, terminal, token = new_endpoint(OTHER), new_terminal(OTHER), new_token(OTHER)
    with pytest.raises(NotFound):
        await store.merchants.add_terminal(terminal, sealed(terminal.id, "api_key", OTHER), new_audit(OTHER))
    with pytest.raises(NotFound):
        await store.merchants.add_token(token, new_audit(OTHER))
    with pytest.raises(NotFound):
        await store.webhooks.add_endpoint(endpoint, [sealed(endpoint.id, "v1", OTHER)], new_audit(OTHER))
    assert await store.audit.list_audit(None, None, 10) == []
    assert await store.merchants.kek_ids() == set()


async def test_a_refused_change_leaves_no_audit_entry(store: Store) -> None:
    await add_merchant(store)
    before = await store.audit.list_audit(None, None, 10)
    with pytest.raises(NotFound):
        await store.merchants.save_terminal(new_terminal(), sealed("trm_1", "api_key"), new_audit())
    with pytest.raises(NotFound):
        await store.webhooks.delete_endpoint(MERCHANT_ID, "ep_1", new_audit())
    assert await store.audit.list_audit(None, None, 10) == before


async def test_the_audit_log_is_newest_first_in_pages_for_one_merchant_or_all(store: Store) -> None:
    await add_merchant(store, OTHER)
    await add_merchant(store)
    entries = []
    for number in range(6):
        merchant_id = (MERCHANT_ID, OTHER)[number % 2]
        entries.append(new_audit(merchant_id, NOW + 1 + number, f"act {number}"))
        await store.merchants.save_merchant(new_merchant(merchant_id), entries[-1])
    newest = list(reversed(entries))
    first = await store.audit.list_audit(None, None, 4)
    assert first == newest[:4]
    assert (await store.audit.list_audit(None, first[-1].id, 2)) == newest[4:]
    mine = [entry for entry in newest if entry.merchant_id == MERCHANT_ID]
    assert await store.audit.list_audit(MERCHANT_ID, None, 2) == mine[:2]
    assert await store.audit.list_audit(MERCHANT_ID, mine[1].id, 1) == mine[2:]
    assert await store.audit.list_audit(None, "aud_unknown", 2) == []


async def test_every_write_of_the_operators_leaves_its_audit_entry(store: Store) -> None:
    await add_merchant(store)
    terminal, token, endpoint = new_terminal(), new_token(), new_endpoint()
    written = [new_audit(at=NOW + number) for number in range(1, 10)]
    await store.merchants.save_merchant(new_merchant(), written[0])
    await store.merchants.add_terminal(terminal, sealed(terminal.id), written[1])
    await store.merchants.save_terminal(terminal, None, written[2])
    await store.merchants.add_token(token, written[3])
    await store.merchants.save_token(token, written[4])
    await store.webhooks.add_endpoint(endpoint, [], written[5])
    await store.webhooks.save_endpoint(endpoint, replace(endpoint, updated_at=NOW + 1), written[6])
    await store.webhooks.delete_endpoint(MERCHANT_ID, endpoint.id, written[7])
    secret = (await store.merchants.secrets(MERCHANT_ID, terminal.id))[0]
    await store.merchants.rewrap(secret, replace(secret, kek_id="k2", blob=b"2"), written[8])
    assert await store.audit.list_audit(MERCHANT_ID, None, 9) == list(reversed(written))


async def test_secrets_under_other_keys_are_found_until_all_are_rewrapped(store: Store) -> None:
    await add_merchant(store)
    endpoint = await add_endpoint(store)
    await store.merchants.save_merchant(
        new_merchant(), new_audit(), [sealed("a", kek_id="k0"), sealed("b", kek_id="k2"), sealed("c", kek_id="k3")]
    )
    assert await store.merchants.kek_ids() == {"k0", "k1", "k2", "k3"}
    while found := await store.merchants.sealed_otherwise("k2", 2):
        assert len(found) <= 2
        for before in found:
            await store.merchants.rewrap(before, replace(before, kek_id="k2", blob=b"new" + before.blob), None)
    assert await store.merchants.kek_ids() == {"k2"}
    [secret] = await store.merchants.secrets(MERCHANT_ID, endpoint.id)
    assert secret.blob.startswith(b"new")


async def test_a_secret_that_was_set_meanwhile_is_not_replaced_by_a_rewrap(store: Store) -> None:
    await add_merchant(store)
    before = (await store.merchants.secrets(MERCHANT_ID, MERCHANT_ID))[0]
    newer = sealed(MERCHANT_ID, "return")
    await store.merchants.save_merchant(new_merchant(), new_audit(), [newer])
    audit = await store.audit.list_audit(None, None, 10)
    await store.merchants.rewrap(before, replace(before, kek_id="k2", blob=b"old money"), new_audit())
    assert await store.merchants.secrets(MERCHANT_ID, MERCHANT_ID) == [newer]
    assert await store.audit.list_audit(None, None, 10) == audit


async def test_a_ping_writes(store: Store) -> None:
    await store.heartbeat.ping()
