"""An API token's life: rotated with an overlap, ended everywhere in time, known by its form, and when it was used.

And what the operator says of a drop-in shop when its token is made.
"""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from databases.places import AnyStore
from support.clock import ManualClock
from support.command import Cli

from operators.conftest import Admin
from proxy.kernel.clock import MINUTE, SECOND
from proxy.kernel.errors import Conflict, InvalidInput, StoreUnavailable, Unauthenticated
from proxy.kernel.ids import NO_MERCHANT, TOKEN_PATTERN, Ids, digest, token_kind
from proxy.kernel.read_through_cache import MAX_AGE_SECONDS
from proxy.merchants.cache import MerchantCache
from proxy.merchants.merchant import DEFAULT_SCOPES, AmountUnit, Merchant, Mode, ReturnMethod, Scope, Token
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.storage.repository import MerchantRepository
from proxy.merchants.vault import Vault
from proxy.operators.operators import MAX_NOTED, WRITTEN_EVERY, TokenUsage
from proxy.operators.records import TokenUse


@pytest.fixture
async def merchant(setup: MerchantSetup) -> Merchant:
    made, _ = await setup.create_merchant("فروشگاه", [], actor="sara")
    return made


async def test_a_rotated_token_may_do_the_same_and_the_old_one_ends_after_the_overlap(
    setup: MerchantSetup, store: AnyStore, merchant: Merchant, changes: list[int]
) -> None:
    terminal = await setup.add_terminal(merchant.id, "t", "https://g.ir", "key", Mode.TEST, actor="sara")
    before, text = await setup.issue_token(
        *(merchant.id, "web", Mode.TEST, [Scope.FACADE], terminal.id, 2_000_000_000_000),
        *(AmountUnit.TOMAN, ReturnMethod.POST),
        any_https_return=True,
        actor="sara",
    )
    told = len(changes)
    after, new_text = await setup.rotate_token(merchant.id, before.id, 60, actor="omid")
    assert (after.id, new_text, after.prefix) != (before.id, text, before.prefix)
    same = (
        "storefront",
        "mode",
        "scopes",
        "terminal_id",
        "expires_at",
        "amount_unit",
        "return_method",
        "any_https_return",
    )
    assert {name: getattr(after, name) for name in same} == {name: getattr(before, name) for name in same}
    assert await store.merchants.token_by_digest(merchant.id, digest(new_text)) == after
    ended = await store.merchants.token(merchant.id, before.id)
    assert ended.revoked_at == after.created_at + 60 * SECOND
    assert ended.alive(ended.revoked_at - 1)
    assert not ended.alive(ended.revoked_at)
    assert len(changes) == told + 1
    [entry, *_] = await store.audit.list_audit(merchant.id, None, 1)
    assert (entry.actor, entry.action, entry.target) == ("omid", "token.rotate", after.id)
    assert entry.data["replaces"] == before.id
    assert text not in repr(entry)
    assert new_text not in repr(entry)


async def test_a_token_of_one_terminal_is_issued_without_webhooks(
    setup: MerchantSetup, store: AnyStore, merchant: Merchant
) -> None:
    url, key = "https://pay.example.ir", "canary-api-key"
    terminal = await setup.add_terminal(merchant.id, "main", url, key, Mode.LIVE, actor="sara")
    token, _ = await setup.issue_token(merchant.id, terminal_id=terminal.id, actor="sara")
    assert token.scopes == {Scope.PAYMENTS_READ, Scope.PAYMENTS_WRITE}
    before = await store.merchants.list_tokens(merchant.id)
    with pytest.raises(InvalidInput) as refused:
        await setup.issue_token(merchant.id, scopes=DEFAULT_SCOPES, terminal_id=terminal.id, actor="sara")
    assert [(error.field, error.code) for error in refused.value.errors] == [("scopes", "webhooks_of_one_terminal")]
    assert await store.merchants.list_tokens(merchant.id) == before


async def test_a_rotation_does_not_lengthen_the_life_of_a_token_that_was_ending(
    setup: MerchantSetup, store: AnyStore, merchant: Merchant
) -> None:
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    ending = await setup.revoke_token(merchant.id, token.id, 5, actor="sara")
    await setup.rotate_token(merchant.id, token.id, 3600, actor="sara")
    assert (await store.merchants.token(merchant.id, token.id)).revoked_at == ending.revoked_at


async def test_a_token_that_is_over_is_not_rotated(setup: MerchantSetup, store: AnyStore, merchant: Merchant) -> None:
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    await setup.revoke_token(merchant.id, token.id, actor="sara")
    before = await store.merchants.list_tokens(merchant.id)
    with pytest.raises(Conflict):
        await setup.rotate_token(merchant.id, token.id, actor="sara")
    for seconds in (-1, 604_801):
        with pytest.raises(InvalidInput):
            await setup.rotate_token(merchant.id, token.id, seconds, actor="sara")
    assert await store.merchants.list_tokens(merchant.id) == before


async def test_two_revocations_at_once_leave_the_earlier_end(
    setup: MerchantSetup, store: AnyStore, merchant: Merchant
) -> None:
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    ends = [setup.revoke_token(merchant.id, token.id, seconds, actor="sara") for seconds in (0, 600)]
    now, later = await asyncio.gather(*ends)
    stored = await store.merchants.token(merchant.id, token.id)
    assert stored.revoked_at == now.revoked_at
    assert later.revoked_at is not None
    assert later.revoked_at >= (now.revoked_at or 0)


async def test_a_revocation_is_honoured_at_once_here_and_within_two_seconds_elsewhere(
    store: AnyStore, vault: Vault
) -> None:
    clock = ManualClock()
    here, elsewhere = MerchantCache(store.merchants, vault, clock), MerchantCache(store.merchants, vault, clock)
    setup = MerchantSetup(store.merchants, vault, clock, changed=here.forget)
    merchant, _ = await setup.create_merchant("فروشگاه", [], actor="sara")
    token, text = await setup.issue_token(merchant.id, actor="sara")
    assert (await here.authenticate(text)).id == (await elsewhere.authenticate(text)).id == token.id
    await setup.revoke_token(merchant.id, token.id, actor="sara")
    with pytest.raises(Unauthenticated):
        await here.authenticate(text)
    clock.now += MAX_AGE_SECONDS * SECOND - 1
    assert (await elsewhere.authenticate(text)).id == token.id
    clock.now += 1
    with pytest.raises(Unauthenticated):
        await elsewhere.authenticate(text)
    assert MAX_AGE_SECONDS <= 2  # what the documents say


async def test_an_expiry_needs_no_store_to_be_honoured(store: AnyStore, vault: Vault) -> None:
    clock = ManualClock()
    setup, merchant_cache = MerchantSetup(store.merchants, vault, clock), MerchantCache(store.merchants, vault, clock)
    merchant, _ = await setup.create_merchant("فروشگاه", [], actor="sara")
    _, text = await setup.issue_token(merchant.id, expires_at=clock.now + 10, actor="sara")
    await merchant_cache.authenticate(text)
    clock.now += 10
    with pytest.raises(Unauthenticated):
        await merchant_cache.authenticate(text)


class Watched:
    """A store that counts what it is asked by digest."""

    def __init__(self, merchants: MerchantRepository) -> None:
        self._merchants = merchants
        self.asked = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._merchants, name)

    async def token_by_digest(self, merchant_id: str, hashed: bytes) -> Token | None:
        self.asked += 1
        return await self._merchants.token_by_digest(merchant_id, hashed)


async def test_a_wrong_checksum_is_refused_before_the_store_is_asked(
    setup: MerchantSetup, store: AnyStore, vault: Vault, merchant: Merchant, clock: ManualClock
) -> None:
    watched = Watched(store.merchants)
    merchant_cache = MerchantCache(watched, vault, clock)  # type: ignore[arg-type]  # the rest is the store's
    _, text = await setup.issue_token(merchant.id, actor="sara")
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    for bad in (wrong, "", "dg_live_", text + "x", f"Bearer {text}", text.upper()):
        with pytest.raises(Unauthenticated):
            await merchant_cache.authenticate(bad)
    assert watched.asked == 0
    await merchant_cache.authenticate(text)
    assert watched.asked == 1


def test_every_kind_of_token_is_found_by_the_pattern_and_known_by_its_checksum() -> None:
    ids = Ids(lambda count: bytes(range(3, 3 + count)))
    tokens = {kind: ids.api_token(NO_MERCHANT, kind) for kind in ("live", "test")} | {"op": ids.operator_token()}
    for kind, text in tokens.items():
        leak = f'curl -H "Authorization: Bearer {text}" # {text[:-3]}…'
        assert re.findall(TOKEN_PATTERN, leak) == [text]
        assert token_kind(text) == kind
        assert token_kind(f"{text[:-1]}_") is None
        assert token_kind(text[:-1] + ("A" if text[-1] != "A" else "B")) is None
        assert token_kind(f" {text}") is None


async def test_the_command_knows_a_token_by_its_form_and_never_shows_it(tmp_path: Path) -> None:
    cli, ids = Cli({}, tmp_path), Ids(lambda count: bytes(range(3, 3 + count)))
    text = ids.api_token(NO_MERCHANT, "live")
    for ran in (await cli.run("token", "check", text), await cli.run("token", "check", stdin=f"{text}\n")):
        assert (ran.code, ran.out) == (0, "well formed: a live merchant's token\n")
    assert (await cli.json("token", "check", ids.operator_token())) == {"well_formed": True, "kind": "op"}
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    ran = await cli.run("token", "check", wrong)
    assert ran.code == 1
    assert wrong not in ran.out + ran.error


async def test_a_tokens_last_use_is_shown_and_is_written_beside_the_requests(
    setup: MerchantSetup, store: AnyStore, vault: Vault, merchant: Merchant, admin: Admin, cli: Cli
) -> None:
    clock = ManualClock(1_900_000_000_000)
    token, text = await setup.issue_token(merchant.id, actor="sara")
    token_usage = TokenUsage(store.operators.note_token_uses, clock)
    merchant_cache = MerchantCache(store.merchants, vault, clock, token_usage.token_used)
    path = f"/merchants/{merchant.id}/tokens/{token.id}"
    await merchant_cache.authenticate(text)
    assert (await admin.call("GET", path))[1]["last_used_at"] is None
    assert await token_usage.step() == clock.now + WRITTEN_EVERY
    assert (await admin.call("GET", path))[1]["last_used_at"] == "2030-03-17T17:46:40.000Z"
    [listed] = await cli.json("token", "list", "--merchant", merchant.id)
    assert listed["last_used_at"] == "2030-03-17T17:46:40.000Z"


async def test_a_use_is_written_once_a_minute_at_most_by_all_replicas_together(
    setup: MerchantSetup, store: AnyStore, vault: Vault, merchant: Merchant
) -> None:
    clock = ManualClock(1_900_000_000_000)
    token, text = await setup.issue_token(merchant.id, actor="sara")
    written: list[TokenUse] = []

    async def write(uses: Sequence[TokenUse]) -> None:
        written.extend(uses)
        await store.operators.note_token_uses(uses)

    replicas = []
    for _ in range(2):
        token_usage = TokenUsage(write, clock)
        replicas.append((MerchantCache(store.merchants, vault, clock, token_usage.token_used), token_usage))
    seen = set()
    for _ in range(60):  # two minutes
        for merchant_cache, token_usage in replicas:
            await merchant_cache.authenticate(text)
            await token_usage.step()
            seen.add((await store.merchants.token(merchant.id, token.id)).last_used_at)
        clock.now += 2 * SECOND
    assert sorted(seen, key=str) == [1_900_000_000_000, 1_900_000_000_000 + MINUTE]
    assert len(written) <= 4


async def test_a_token_that_is_refused_is_not_noted_as_used(
    setup: MerchantSetup, store: AnyStore, vault: Vault, merchant: Merchant
) -> None:
    clock = ManualClock(1_900_000_000_000)
    used: list[Token] = []
    token, text = await setup.issue_token(merchant.id, actor="sara")
    await setup.revoke_token(merchant.id, token.id, actor="sara")
    merchant_cache = MerchantCache(store.merchants, vault, clock, used.append)
    with pytest.raises(Unauthenticated):
        await merchant_cache.authenticate(text)
    assert used == []


async def test_noted_uses_are_bounded_and_no_error_at_the_end(merchant: Merchant, setup: MerchantSetup) -> None:
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    written: list[TokenUse] = []

    async def write(uses: Sequence[TokenUse]) -> None:
        written.extend(uses)
        raise StoreUnavailable

    token_usage = TokenUsage(write, ManualClock(1_900_000_000_000))
    for number in range(MAX_NOTED + 10):
        token_usage._note(merchant.id, f"tok_{number}", None)
    token_usage.token_used(token)
    await token_usage.end()
    assert len(written) == MAX_NOTED


@pytest.fixture
async def tokens(admin: Admin) -> str:
    merchant = await admin.made("/merchants", {"name": "shop"})
    return f"/merchants/{merchant['id']}/tokens"


async def test_a_token_sends_rial_and_returns_by_get_to_registered_origins_unless_told(
    admin: Admin, tokens: str
) -> None:
    made = await admin.made(tokens, {"scopes": ["facade"]})
    assert (made["amount_unit"], made["return_method"], made["any_https_return"]) == ("rial", "get", False)


async def test_a_drop_in_tokens_options_are_in_the_list_and_in_the_audit_log(admin: Admin, tokens: str) -> None:
    told = {"amount_unit": "toman", "return_method": "post", "any_https_return": True}
    made = await admin.made(tokens, {"scopes": ["facade"], **told})
    [listed] = (await admin.call("GET", tokens))[1]["data"]
    assert {name: listed[name] for name in told} == told
    assert listed["id"] == made["id"]
    entries = (await admin.call("GET", "/audit"))[1]["data"]
    [issued] = [entry for entry in entries if entry["action"] == "token.issue"]
    assert {name: issued["data"][name] for name in told} == told


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount_unit", "IRT"), ("amount_unit", 10), ("return_method", "GET"), ("any_https_return", "yes")],
)
async def test_a_wrong_option_of_a_drop_in_token_is_refused_by_name(
    admin: Admin, tokens: str, field: str, value: Any
) -> None:
    status, problem = await admin.call("POST", tokens, {field: value})
    assert (status, [error["field"] for error in problem["errors"]]) == (422, [field])
    assert (await admin.call("GET", tokens))[1]["data"] == []


async def test_a_terminals_scope_binds_the_token_to_it_and_is_shown(admin: Admin, tokens: str) -> None:
    path = tokens.removesuffix("/tokens")
    terminal = await admin.made(f"{path}/terminals", {"name": "one", "gateway_url": "https://g.ir", "api_key": "k"})
    scope = f"terminal:{terminal['id']}"
    made = await admin.made(tokens, {"scopes": ["payments:read", scope]})
    assert (made["scopes"], made["terminal_id"]) == (["payments:read", scope], terminal["id"])
    assert (await admin.made(tokens, {"terminal_id": terminal["id"]}))["scopes"][-1] == scope
    entries = (await admin.call("GET", "/audit"))[1]["data"]
    assert entries[1]["data"]["scopes"] == ["payments:read", scope]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"scopes": ["payments:read", "terminal:trm_nowhere"]}, "terminal_id"),
        ({"scopes": ["terminal:trm_a"]}, "scopes"),
        ({"scopes": ["webhooks", "terminal:trm_a", "terminal:trm_b"]}, "body"),
        ({"scopes": ["webhooks", "terminal:trm_a"], "terminal_id": "trm_b"}, "body"),
        ({"scopes": ["webhooks", "terminal:trm_a"], "terminal_id": ["trm_b"]}, "scopes.1"),
    ],
)
async def test_a_terminals_scope_that_cannot_be_is_refused(
    admin: Admin, tokens: str, fields: dict[str, Any], field: str
) -> None:
    status, problem = await admin.call("POST", tokens, fields)
    assert (status, problem["errors"][0]["field"]) == (422, field)
    assert (await admin.call("GET", tokens))[1]["data"] == []
