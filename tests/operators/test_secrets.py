"""Secrets that the operator hands out and keeps: API tokens' lives, the vault and its keys, endpoints' secrets.

A token is rotated with an overlap, ended everywhere in time and known by its form. What is sealed opens only as what it
was, under a key that is the right one. An endpoint's secret is shown once and logged never.
"""

import asyncio
import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from databases.places import AnyStore
from security.older import older_seal
from support.clock import ManualClock
from support.command import Cli

from operators.conftest import Admin
from proxy.kernel.clock import MINUTE, SECOND
from proxy.kernel.errors import Conflict, InvalidInput, StoreUnavailable, Unauthenticated, VaultError
from proxy.kernel.ids import NO_MERCHANT, TOKEN_PATTERN, Ids, digest, token_kind
from proxy.kernel.read_through_cache import MAX_AGE_SECONDS
from proxy.merchants.cache import MerchantCache
from proxy.merchants.merchant import DEFAULT_SCOPES, AmountUnit, Merchant, Mode, ReturnMethod, Scope, Token
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.storage.repository import MerchantRepository
from proxy.merchants.vault import KeyRing, SealedSecret, Vault, generate_line
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


SECRET = "canary-api-key-8c1f"
ORIGIN = "https://pay.example.ir"


def ring_of(*lines: str) -> KeyRing:
    return KeyRing.parse("\n".join(lines))


def sealed_by(vault: Vault) -> SealedSecret:
    return vault.seal("mer_00000001", "trm_00000001", "signing:1", SECRET)


def sealed_for(vault: Vault, origin: str = ORIGIN) -> SealedSecret:
    return vault.seal("mer_00000001", "trm_00000001", "api_key", SECRET, origin)


def test_a_sealed_secret_opens_to_itself() -> None:
    vault = Vault(ring_of(generate_line("a")))
    for secret in (SECRET, "", "کلید فارسی", "x" * 10_000):
        assert vault.open(vault.seal("mer_1", "trm_1", "return_secret", secret)) == secret


def test_the_blob_does_not_hold_the_secret_and_never_repeats() -> None:
    vault = Vault(ring_of(generate_line("a")))
    first, second = sealed_by(vault), sealed_by(vault)
    assert SECRET.encode() not in first.blob
    assert first.blob != second.blob


@pytest.mark.parametrize(
    "elsewhere", [{"merchant_id": "mer_00000002"}, {"owner_id": "trm_00000002"}, {"name": "signing:2"}]
)
def test_a_ciphertext_moved_to_another_row_does_not_open(elsewhere: dict[str, str]) -> None:
    vault = Vault(ring_of(generate_line("a")))
    moved = replace(sealed_by(vault), **elsewhere)  # type: ignore[arg-type]  # mypy cannot tell which fields
    with pytest.raises(VaultError, match="not the one that was sealed"):
        vault.open(moved)
    with pytest.raises(VaultError, match="not the one that was sealed"):
        vault.rewrap(moved)


def test_no_byte_of_the_blob_can_be_altered() -> None:
    vault = Vault(ring_of(generate_line("a")))
    sealed = sealed_by(vault)
    for position in range(len(sealed.blob)):
        altered = bytearray(sealed.blob)
        altered[position] ^= 1
        with pytest.raises(VaultError):
            vault.open(replace(sealed, blob=bytes(altered)))


def test_a_blob_that_was_cut_short_does_not_open() -> None:
    vault = Vault(ring_of(generate_line("a")))
    sealed = sealed_by(vault)
    for length in range(len(sealed.blob)):
        with pytest.raises(VaultError):
            vault.open(replace(sealed, blob=sealed.blob[:length]))


@pytest.mark.parametrize(
    "origin", ["https://pay.example.ir:8443", "http://pay.example.ir", "https://evil.example", "", None]
)
def test_a_secret_with_a_destination_opens_for_its_origin_only(origin: str | None) -> None:
    vault = Vault(ring_of(generate_line("a")))
    sealed = sealed_for(vault)
    assert vault.open(sealed, ORIGIN) == SECRET
    with pytest.raises(VaultError):
        vault.open(sealed, origin)
    rewrapped = vault.rewrap(sealed)
    assert vault.open(rewrapped, ORIGIN) == SECRET
    with pytest.raises(VaultError):
        vault.open(rewrapped, origin)


def test_a_secret_without_a_destination_takes_no_origin() -> None:
    vault = Vault(ring_of(generate_line("a")))
    with pytest.raises(VaultError):
        vault.open(sealed_by(vault), ORIGIN)
    with pytest.raises(VaultError):
        vault.seal("mer_1", "mer_1", "return_secret", SECRET, ORIGIN)
    with pytest.raises(VaultError):
        vault.seal("mer_1", "trm_1", "api_key", SECRET)


def test_a_secret_of_the_version_before_opens_in_the_upgrade_only() -> None:
    old, vault = generate_line("old"), Vault(ring_of(generate_line("new")))
    both = Vault(ring_of(generate_line("new"), old))
    before = older_seal(ring_of(old), "mer_1", "trm_1", "api_key", SECRET)
    for act in (lambda: both.open(before, ORIGIN), lambda: both.open(before), lambda: both.rewrap(before)):
        with pytest.raises(VaultError):
            act()
    bound = both.bind(before, ORIGIN)
    assert bound is not None
    assert both.open(bound, ORIGIN) == SECRET
    assert both.bind(bound, "https://evil.example") is None
    with pytest.raises(VaultError, match="is not in the ring"):
        vault.bind(before, ORIGIN)


def test_the_first_key_of_the_ring_seals_and_the_others_still_open() -> None:
    old, new = generate_line("old"), generate_line("new")
    before = sealed_by(Vault(ring_of(old)))
    vault = Vault(ring_of(new, old))
    assert vault.open(before) == SECRET
    assert vault.kek_id.startswith("new-")
    assert sealed_by(vault).kek_id == vault.kek_id


def test_a_rewrapped_secret_needs_only_the_new_key() -> None:
    old, new = generate_line("old"), generate_line("new")
    before = sealed_by(Vault(ring_of(old)))
    after = Vault(ring_of(new, old)).rewrap(before)
    assert Vault(ring_of(new)).open(after) == SECRET
    with pytest.raises(VaultError):
        Vault(ring_of(old)).open(after)


def test_a_missing_key_is_named() -> None:
    old, new = generate_line("k2025"), generate_line("k2026")
    sealed = sealed_by(Vault(ring_of(old)))
    ring = ring_of(new)
    with pytest.raises(VaultError, match=f"the key {sealed.kek_id} is not in the ring"):
        ring.check([sealed.kek_id, ring.kek_id])
    with pytest.raises(VaultError, match=sealed.kek_id):
        Vault(ring).open(sealed)


def test_a_key_with_the_right_name_and_wrong_bytes_is_named() -> None:
    sealed = sealed_by(Vault(ring_of(generate_line("k2026"))))
    with pytest.raises(VaultError, match="the key k2026 of the ring is not the one that sealed"):
        ring_of(generate_line("k2026")).check([sealed.kek_id])


def test_a_ring_that_has_every_key_passes() -> None:
    ring = ring_of(generate_line("a"), generate_line("b"))
    ring.check(ring.keys)


def test_a_ring_may_have_comments_blank_lines_and_commas() -> None:
    a, b, c = generate_line("a"), generate_line("b"), generate_line("c")
    ring = KeyRing.parse(f"# the keys, newest first\n\n  {a} , {b}\n{c}\n")
    assert [kek_id[0] for kek_id in ring.keys] == ["a", "b", "c"]


def test_the_ring_and_the_vault_do_not_show_a_key() -> None:
    line = generate_line("a")
    ring = ring_of(line)
    shown = repr(ring) + repr(Vault(ring))
    assert line.partition(":")[2] not in shown
    assert repr(next(iter(ring.keys.values()))) not in shown


GOOD = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the key ring is empty"),
        ("# only a comment", "the key ring is empty"),
        (f"a:{GOOD}\nleaked-material", "line 2: write it as name:base64"),
        ("a:leaked-material!", "line 1: what follows the colon is not base64"),
        (f"\n\na:{base64.b64encode(bytes(31)).decode()}", "line 3: the key a has 31 bytes"),
        (f"bad name:{GOOD}", "line 1: a key's name"),
        (f"with-hyphen:{GOOD}", "line 1: a key's name"),
        (f"a:{GOOD}\na:{base64.b64encode(bytes([1] * 32)).decode()}", "line 2: the key a is there twice"),
        (f"a:{GOOD}\nb:{GOOD}", "line 2: the key b is there twice"),
    ],
)
def test_a_bad_ring_says_which_line_and_not_what_it_holds(text: str, told: str) -> None:
    with pytest.raises(VaultError, match=told) as caught:
        KeyRing.parse(text)
    assert "leaked" not in str(caught.value)
    assert GOOD not in str(caught.value)


HOOK = {"url": "https://shop.ir/hook"}


async def endpoint_of(admin: Admin) -> tuple[str, dict[str, object]]:
    merchant = await admin.made("/merchants", {"name": "Shop"})
    base = f"/merchants/{merchant['id']}/endpoints"
    made = await admin.made(base, HOOK | {"signatures": ["v1", "v1a"]})
    return f"{base}/{made['id']}", made


async def test_a_rotation_shows_the_new_secret_once_and_until_when_the_old_one_signs(admin: Admin) -> None:
    path, made = await endpoint_of(admin)
    status, rotated = await admin.call("POST", f"{path}/rotate-secret", {"overlap_seconds": 3600})
    assert status == 200
    assert str(rotated["secret"]).startswith("whsec_")
    assert rotated["secret"] != made["secret"]
    assert str(rotated["public_key"]).startswith("whpk_")
    assert rotated["public_key"] != made["public_key"]
    shown = {name: value for name, value in rotated.items() if name != "secret"}
    assert await admin.call("GET", path) == (200, shown)
    assert shown["previous_secret_until"] is not None
    _, log = await admin.call("GET", "/audit")
    assert log["data"][0]["action"] == "endpoint.rotate_secret"
    assert str(rotated["secret"]) not in str(log)


async def test_an_overlap_is_a_week_at_most_and_a_day_when_not_said(admin: Admin) -> None:
    path, _ = await endpoint_of(admin)
    assert (await admin.call("POST", f"{path}/rotate-secret"))[0] == 200
    status, problem = await admin.call("POST", f"{path}/rotate-secret", {"overlap_seconds": 604_801})
    assert (status, problem["errors"][0]["field"]) == (422, "overlap_seconds")
    unknown = path[:-4] + "0000"
    assert (await admin.call("POST", f"{unknown}/rotate-secret"))[0] == 404


async def test_the_commands_set_how_it_is_signed_and_rotate(cli: Cli) -> None:
    merchant = await cli.json("merchant", "create", "--name", "Shop")
    create = ("endpoint", "create", "--merchant", merchant["id"], "--url", "https://shop.ir/hook")
    made = await cli.json(*create, "--signature", "v1", "--signature", "v1a")
    assert (made["signatures"], made["public_key"][:5]) == (["v1", "v1a"], "whpk_")
    rotated = await cli.json("endpoint", "rotate-secret", made["id"], "--overlap-seconds", "60")
    assert rotated["secret"] != made["secret"]
    for_people = await cli.run("endpoint", "rotate-secret", made["id"])
    assert "shown once" in for_people.out
    shown = await cli.json("endpoint", "show", made["id"])
    assert "secret" not in shown
    paused = await cli.json("endpoint", "pause", made["id"])
    assert (paused["state"], paused["state_since"] > made["state_since"]) == ("paused", True)
    assert (await cli.json("endpoint", "resume", made["id"]))["state"] == "enabled"
    assert (await cli.json("endpoint", "update", made["id"], "--signature", "v1"))["public_key"] is None
