"""An API token's life: rotated with an overlap, ended everywhere in time, known by its form, and when it was used."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from databases.places import AnyStore

from operators.command import Cli
from operators.conftest import OPERATORS, Admin, Clock
from proxy.adapters.vault import RingVault
from proxy.clock import MINUTE, SECOND
from proxy.directory import MAX_AGE_SECONDS, Directory
from proxy.errors import Conflict, InvalidInput, StoreUnavailable, Unauthenticated
from proxy.ids import NO_MERCHANT, TOKEN_PATTERN, Ids, digest, token_kind
from proxy.last_used import MAX_NOTED, WRITTEN_EVERY, LastUsed
from proxy.merchant import AmountUnit, Merchant, Mode, ReturnMethod, Scope, Token
from proxy.operators.records import Use
from proxy.setup import Setup


class Still:
    """A clock that moves only when it is told to."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.fixture
async def merchant(setup: Setup) -> Merchant:
    made, _ = await setup.create_merchant("فروشگاه", [], actor="sara")
    return made


async def test_a_rotated_token_may_do_the_same_and_the_old_one_ends_after_the_overlap(
    setup: Setup, store: AnyStore, merchant: Merchant, changes: list[int]
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
    assert await store.token_by_digest(merchant.id, digest(new_text)) == after
    ended = await store.token(merchant.id, before.id)
    assert ended.revoked_at == after.created_at + 60 * SECOND
    assert ended.alive(ended.revoked_at - 1)
    assert not ended.alive(ended.revoked_at)
    assert len(changes) == told + 1
    [entry, *_] = await store.list_audit(merchant.id, None, 1)
    assert (entry.actor, entry.action, entry.target) == ("omid", "token.rotate", after.id)
    assert entry.data["replaces"] == before.id
    assert text not in repr(entry)
    assert new_text not in repr(entry)


async def test_a_rotation_does_not_lengthen_the_life_of_a_token_that_was_ending(
    setup: Setup, store: AnyStore, merchant: Merchant
) -> None:
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    ending = await setup.revoke_token(merchant.id, token.id, 5, actor="sara")
    await setup.rotate_token(merchant.id, token.id, 3600, actor="sara")
    assert (await store.token(merchant.id, token.id)).revoked_at == ending.revoked_at


async def test_a_token_that_is_over_is_not_rotated(setup: Setup, store: AnyStore, merchant: Merchant) -> None:
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    await setup.revoke_token(merchant.id, token.id, actor="sara")
    before = await store.list_tokens(merchant.id)
    with pytest.raises(Conflict):
        await setup.rotate_token(merchant.id, token.id, actor="sara")
    for seconds in (-1, 604_801):
        with pytest.raises(InvalidInput):
            await setup.rotate_token(merchant.id, token.id, seconds, actor="sara")
    assert await store.list_tokens(merchant.id) == before


async def test_two_revocations_at_once_leave_the_earlier_end(setup: Setup, store: AnyStore, merchant: Merchant) -> None:
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    ends = [setup.revoke_token(merchant.id, token.id, seconds, actor="sara") for seconds in (0, 600)]
    now, later = await asyncio.gather(*ends)
    stored = await store.token(merchant.id, token.id)
    assert stored.revoked_at == now.revoked_at
    assert later.revoked_at is not None
    assert later.revoked_at >= (now.revoked_at or 0)


async def test_a_revocation_is_honoured_at_once_here_and_within_two_seconds_elsewhere(
    store: AnyStore, vault: RingVault
) -> None:
    clock = Still(1_800_000_000_000)
    here, elsewhere = Directory(store, vault, clock), Directory(store, vault, clock)
    setup = Setup(store, vault, clock, changed=here.forget)
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


async def test_an_expiry_needs_no_store_to_be_honoured(store: AnyStore, vault: RingVault) -> None:
    clock = Still(1_800_000_000_000)
    setup, directory = Setup(store, vault, clock), Directory(store, vault, clock)
    merchant, _ = await setup.create_merchant("فروشگاه", [], actor="sara")
    _, text = await setup.issue_token(merchant.id, expires_at=clock.now + 10, actor="sara")
    await directory.authenticate(text)
    clock.now += 10
    with pytest.raises(Unauthenticated):
        await directory.authenticate(text)


class Watched:
    """A store that counts what it is asked by digest."""

    def __init__(self, store: AnyStore) -> None:
        self._store = store
        self.asked = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def token_by_digest(self, merchant_id: str, hashed: bytes) -> Token | None:
        self.asked += 1
        return await self._store.token_by_digest(merchant_id, hashed)


async def test_a_wrong_checksum_is_refused_before_the_store_is_asked(
    setup: Setup, store: AnyStore, vault: RingVault, merchant: Merchant, clock: Clock
) -> None:
    watched = Watched(store)
    directory = Directory(watched, vault, clock)  # type: ignore[arg-type]  # the rest is the store's
    _, text = await setup.issue_token(merchant.id, actor="sara")
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    for bad in (wrong, "", "dg_live_", text + "x", f"Bearer {text}", text.upper()):
        with pytest.raises(Unauthenticated):
            await directory.authenticate(bad)
    assert watched.asked == 0
    await directory.authenticate(text)
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
    setup: Setup, store: AnyStore, vault: RingVault, merchant: Merchant, admin: Admin
) -> None:
    clock = Still(1_900_000_000_000)
    token, text = await setup.issue_token(merchant.id, actor="sara")
    directory, last_used = Directory(store, vault, clock), LastUsed(store.note_uses, clock)
    directory.on_use = last_used.token_used
    path = f"/merchants/{merchant.id}/tokens/{token.id}"
    await directory.authenticate(text)
    assert (await admin.call("GET", path))[1]["last_used_at"] is None
    assert await last_used.step() == clock.now + WRITTEN_EVERY
    assert (await admin.call("GET", path))[1]["last_used_at"] == "2030-03-17T17:46:40.000Z"
    cli = Cli({"DARGAH_ADMIN_URL": admin.url, "DARGAH_ADMIN_TOKEN": OPERATORS["sara"]}, Path())
    [listed] = await cli.json("token", "list", "--merchant", merchant.id)
    assert listed["last_used_at"] == "2030-03-17T17:46:40.000Z"


async def test_a_use_is_written_once_a_minute_at_most_by_all_replicas_together(
    setup: Setup, store: AnyStore, vault: RingVault, merchant: Merchant
) -> None:
    clock = Still(1_900_000_000_000)
    token, text = await setup.issue_token(merchant.id, actor="sara")
    written: list[Use] = []

    async def write(uses: Sequence[Use]) -> None:
        written.extend(uses)
        await store.note_uses(uses)

    replicas = []
    for _ in range(2):
        directory, last_used = Directory(store, vault, clock), LastUsed(write, clock)
        directory.on_use = last_used.token_used
        replicas.append((directory, last_used))
    seen = set()
    for _ in range(60):  # two minutes
        for directory, last_used in replicas:
            await directory.authenticate(text)
            await last_used.step()
            seen.add((await store.token(merchant.id, token.id)).last_used_at)
        clock.now += 2 * SECOND
    assert sorted(seen, key=str) == [1_900_000_000_000, 1_900_000_000_000 + MINUTE]
    assert len(written) <= 4


async def test_a_token_that_is_refused_is_not_noted_as_used(
    setup: Setup, store: AnyStore, vault: RingVault, merchant: Merchant
) -> None:
    clock = Still(1_900_000_000_000)
    used: list[Token] = []
    token, text = await setup.issue_token(merchant.id, actor="sara")
    await setup.revoke_token(merchant.id, token.id, actor="sara")
    directory = Directory(store, vault, clock)
    directory.on_use = used.append
    with pytest.raises(Unauthenticated):
        await directory.authenticate(text)
    assert used == []


async def test_what_is_noted_is_bounded_and_no_error_at_the_end(merchant: Merchant, setup: Setup) -> None:
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    written: list[Use] = []

    async def write(uses: Sequence[Use]) -> None:
        written.extend(uses)
        raise StoreUnavailable

    last_used = LastUsed(write, Still(1_900_000_000_000))
    for number in range(MAX_NOTED + 10):
        last_used._note(merchant.id, f"tok_{number}", None)
    last_used.token_used(token)
    await last_used.end()
    assert len(written) == MAX_NOTED
