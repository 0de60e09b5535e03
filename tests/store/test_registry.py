"""Merchants with their terminals, tokens, endpoints and secrets; operators with their acts and sessions.

And the chain of audit entries, which each write makes longer.
"""

import asyncio
from dataclasses import replace

import pytest
from support.clock import ManualClock

from proxy.audit.log import INSTALLATION, AuditEntry, AuditLog, Head
from proxy.kernel.clock import HOUR, MINUTE
from proxy.kernel.errors import Conflict, NotFound, StaleVersion
from proxy.kernel.ids import NO_MERCHANT, OPERATOR, digest
from proxy.merchants.merchant import Scope
from proxy.operators.records import Operator, Role, SessionKind, TokenUse
from proxy.operators.sessions import IDLE, LONGEST, Sessions, form_token, is_form_token
from proxy.payments.change import Entry
from proxy.payments.payment import Decision, OperatorDecision
from proxy.stores.store import Store
from proxy.webhooks.endpoint import EndpointState
from proxy.webhooks.event import EventFilter
from store.records import (
    IDS,
    MERCHANT_ID,
    NOW,
    add_endpoint,
    add_merchant,
    captured,
    change,
    new_audit,
    new_endpoint,
    new_merchant,
    new_terminal,
    new_token,
    pending,
    sealed,
    step,
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
        await store.merchants.add_terminal(terminal, [secret], new_audit())
    changed = replace(terminals[0], name="n", return_base_url="https://shop.example", enabled=False, updated_at=NOW + 1)
    await store.merchants.save_terminal(changed, [], new_audit())
    assert await store.merchants.terminal(MERCHANT_ID, changed.id) == changed
    assert await store.merchants.secrets(MERCHANT_ID, changed.id) == [secrets[0]]
    rekeyed = sealed(changed.id, "api_key")
    await store.merchants.save_terminal(changed, [rekeyed], new_audit())
    assert await store.merchants.secrets(MERCHANT_ID, changed.id) == [rekeyed]
    assert await store.merchants.list_terminals(MERCHANT_ID) == sorted(
        [changed, *terminals[1:]], key=lambda one: one.id
    )
    assert await store.merchants.list_terminals(OTHER) == []
    with pytest.raises(NotFound):
        await store.merchants.terminal(OTHER, changed.id)
    with pytest.raises(NotFound):
        await store.merchants.save_terminal(new_terminal(), [], new_audit())


async def test_a_terminal_keeps_its_family_its_options_and_a_secret_of_each_name(store: Store) -> None:
    await add_merchant(store)
    terminal = replace(new_terminal(), gateway="bank", options={"body": "json"})
    secrets = [sealed(terminal.id, f"credential.{name}") for name in ("password", "terminal_id")]
    await store.merchants.add_terminal(terminal, secrets, new_audit())
    assert await store.merchants.terminal(MERCHANT_ID, terminal.id) == terminal
    assert await store.merchants.secrets(MERCHANT_ID, terminal.id) == secrets
    rekeyed = sealed(terminal.id, "credential.password")
    changed = replace(terminal, options={"body": "form"})
    await store.merchants.save_terminal(changed, [rekeyed], new_audit())
    assert await store.merchants.list_terminals(MERCHANT_ID) == [changed]
    assert await store.merchants.secrets(MERCHANT_ID, terminal.id) == [rekeyed, secrets[1]]
    assert await store.merchants.credential_names(MERCHANT_ID) == {terminal.id: ["password", "terminal_id"]}
    assert await store.merchants.credential_names(OTHER) == {}


async def test_the_secrets_of_all_terminals_are_walked_in_the_order_of_their_key(store: Store) -> None:
    await add_merchant(store)
    walked = []
    for names in (("api_key",), ("credential.a", "credential.b", "credential.c")):
        terminal = new_terminal()
        secrets = [sealed(terminal.id, name) for name in names]
        await store.merchants.add_terminal(terminal, secrets, new_audit())
        walked += [(secret, terminal.gateway_url) for secret in secrets]
    walked.sort(key=lambda each: (each[0].owner_id, each[0].name))
    found, after = [], ("", "", "")
    while batch := await store.merchants.terminal_secrets(after, 3):
        found += batch
        after = batch[-1][0].merchant_id, batch[-1][0].owner_id, batch[-1][0].name
    assert found == walked


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
        max_in_flight=64,
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
        await store.merchants.add_terminal(terminal, [sealed(terminal.id, "api_key", OTHER)], new_audit(OTHER))
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
        await store.merchants.save_terminal(new_terminal(), [sealed("trm_1", "api_key")], new_audit())
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
    await store.merchants.add_terminal(terminal, [sealed(terminal.id)], written[1])
    await store.merchants.save_terminal(terminal, [], written[2])
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


LATER = NOW + 5


def new_operator(name: str = "sara", at: int = NOW) -> Operator:
    text = IDS.operator_token()
    return Operator(IDS.record(OPERATOR, NO_MERCHANT, at), name, Role.OPERATE, text[:10], digest(text), at, None, None)


def installation_audit() -> AuditEntry:
    return replace(new_audit(NO_MERCHANT), merchant_id=INSTALLATION)


async def added(store: Store, name: str = "sara", at: int = NOW) -> Operator:
    operator = new_operator(name, at)
    await store.operators.add_operator(operator, installation_audit(), 10)
    return operator


async def test_an_operator_is_found_by_digest_and_id_and_listed(store: Store) -> None:
    first, second = await added(store), await added(store, "omid", NOW + 1)
    assert await store.operators.operator(first.id) == first
    assert await store.operators.operator_by_digest(second.digest) == second
    assert await store.operators.operator_by_digest(bytes(32)) is None
    assert await store.operators.list_operators() == [first, second]
    with pytest.raises(NotFound):
        await store.operators.operator("opr_nobody")


async def test_a_name_in_use_and_a_full_house_are_conflicts_and_leave_no_trace(store: Store) -> None:
    first = await added(store)
    before = await store.audit.list_audit(INSTALLATION, None, 10)
    with pytest.raises(Conflict):
        await store.operators.add_operator(new_operator(), installation_audit(), 10)
    with pytest.raises(Conflict):
        await store.operators.add_operator(new_operator("omid"), installation_audit(), 1)
    assert await store.operators.list_operators() == [first]
    assert await store.audit.list_audit(INSTALLATION, None, 10) == before
    assert (await AuditLog(store.audit).verify(INSTALLATION)).broken is None


async def test_of_two_who_add_one_name_at_once_one_is_told(store: Store) -> None:
    adding = [store.operators.add_operator(new_operator(), installation_audit(), 10) for _ in range(4)]
    results = await asyncio.gather(*adding, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Conflict", "Conflict", "NoneType"]
    assert len(await store.operators.list_operators()) == 1


async def test_an_end_stands_against_a_later_one_and_gives_the_name_free(store: Store) -> None:
    operator = await added(store)
    await store.operators.end_operator(replace(operator, revoked_at=LATER), installation_audit())
    await store.operators.end_operator(replace(operator, revoked_at=LATER + 100), installation_audit())
    assert (await store.operators.operator(operator.id)).revoked_at == LATER
    again = new_operator(at=LATER)
    await store.operators.add_operator(again, installation_audit(), 10)
    with pytest.raises(NotFound):
        await store.operators.end_operator(new_operator("nobody"), installation_audit())


async def test_a_replaced_operator_and_token_have_their_successors(store: Store) -> None:
    await add_merchant(store)
    before, after = await added(store), new_operator(at=NOW + 1)
    await store.operators.replace_operator(replace(before, revoked_at=LATER), after, installation_audit())
    assert await store.operators.list_operators() == [replace(before, revoked_at=LATER), after]
    old, new = new_token(), new_token()
    await store.merchants.add_token(old, new_audit())
    await store.merchants.replace_token(replace(old, revoked_at=LATER), new, new_audit())
    assert (await store.merchants.token(MERCHANT_ID, old.id)).revoked_at == LATER
    assert await store.merchants.token_by_digest(MERCHANT_ID, new.digest) == new
    await store.merchants.save_token(replace(old, revoked_at=LATER + 9), new_audit())
    assert (await store.merchants.token(MERCHANT_ID, old.id)).revoked_at == LATER
    entries = await store.audit.list_audit(MERCHANT_ID, None, 100)
    with pytest.raises(NotFound):
        await store.merchants.replace_token(replace(new_token(), revoked_at=NOW), new_token(), new_audit())
    assert await store.audit.list_audit(MERCHANT_ID, None, 100) == entries


async def test_a_use_is_noted_once_a_minute(store: Store) -> None:
    await add_merchant(store)
    token, operator = new_token(), await added(store)
    await store.merchants.add_token(token, new_audit())

    async def used(at: int) -> tuple[int | None, int | None]:
        await store.operators.note_token_uses(
            [TokenUse(MERCHANT_ID, token.id, at), TokenUse(INSTALLATION, operator.id, at)]
        )
        return (await store.merchants.token(MERCHANT_ID, token.id)).last_used_at, (
            await store.operators.operator(operator.id)
        ).last_used_at

    assert await used(NOW) == (NOW, NOW)
    assert await used(NOW + MINUTE - 1) == (NOW, NOW)
    assert await used(NOW + MINUTE) == (NOW + MINUTE, NOW + MINUTE)
    assert await used(NOW) == (NOW + MINUTE, NOW + MINUTE)
    await store.operators.note_token_uses([])
    await store.merchants.save_token(replace(token, expires_at=LATER), new_audit())
    assert (await store.merchants.token(MERCHANT_ID, token.id)).last_used_at == NOW + MINUTE


async def test_entries_that_are_written_at_once_are_one_whole_chain_per_merchant(store: Store) -> None:
    others = ("mer_OTHER001", "mer_OTHER002")
    for merchant_id in (MERCHANT_ID, *others):
        await add_merchant(store, merchant_id)
    entries = [new_audit(merchant_id) for merchant_id in (MERCHANT_ID, *others) for _ in range(20)]
    await asyncio.gather(*(store.audit.add_audit(entry) for entry in entries))
    log = AuditLog(store.audit)
    assert sorted(await log.chains("", 10)) == sorted([INSTALLATION, MERCHANT_ID, *others])
    for merchant_id in (MERCHANT_ID, *others):
        verified = await log.verify(merchant_id)
        assert (verified.broken, verified.reached.number) == (None, 21)
    links, head = await store.audit.audit_links(MERCHANT_ID, 19, 10)
    assert [link.number for link in links] == [20, 21]
    assert head == Head(21, links[-1].hash)
    assert await store.audit.audit_links("mer_NOBODY00", 0, 10) == ([], None)


RESOLVED = OperatorDecision(Decision.ACCEPTED, "کالا فرستاده شد", "sara")


async def test_a_transition_stores_its_audit_entry(store: Store) -> None:
    before = await pending(store)
    reviewed = await step(store, before, replace(captured(before), amount_rials=1000))
    audit = new_audit(action="payment.resolve")
    await store.payments.transition(change(reviewed, RESOLVED, audit=audit))
    assert await store.audit.list_audit(MERCHANT_ID, None, 10) == [audit]


async def test_a_transition_that_lost_its_race_leaves_no_audit_entry_and_no_event(store: Store) -> None:
    before = await pending(store)
    reviewed = await step(store, before, replace(captured(before), amount_rials=1000))
    await store.payments.transition(change(reviewed, RESOLVED, audit=new_audit()))
    events = await store.webhooks.list_events(MERCHANT_ID, EventFilter())
    with pytest.raises(StaleVersion):
        await store.payments.transition(change(reviewed, RESOLVED, audit=new_audit()))
    assert len(await store.audit.list_audit(MERCHANT_ID, None, 10)) == 1
    assert await store.webhooks.list_events(MERCHANT_ID, EventFilter()) == events


async def test_a_long_timeline_gives_its_newest_entries_oldest_first(store: Store) -> None:
    before = await pending(store)
    entries = [Entry(before.created_at + number, "return", None, {"n": number}) for number in range(30)]
    await store.payments.transition(replace(change(before, captured(before)), after=before, events=(), entries=entries))
    assert await store.payments.timeline(MERCHANT_ID, before.id, 10) == entries[-10:]
    assert await store.payments.timeline(MERCHANT_ID, before.id) == entries


OPERATOR_KIND, PORTAL, LINK = SessionKind.OPERATOR, SessionKind.PORTAL, SessionKind.LINK


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def sessions(store: Store, clock: ManualClock) -> Sessions:
    return Sessions(store.operators, IDS, clock)


async def test_a_session_is_found_by_what_the_browser_holds_and_by_nothing_else(
    sessions: Sessions, store: Store
) -> None:
    secret, session = await sessions.open(PORTAL, MERCHANT_ID, "tok_1", "https://shop.example")
    assert await sessions.find(secret, PORTAL) == session
    assert secret.encode() not in session.digest
    others = ["", "x", secret[:-1], secret + "0", secret[::-1], "\ud800", f"{NO_MERCHANT[4:]}{secret[8:]}"]
    assert [await sessions.find(other, PORTAL) for other in others] == [None] * len(others)
    assert [await sessions.find(secret, kind) for kind in (OPERATOR_KIND, LINK)] == [None, None]


async def test_an_operators_session_is_the_installations(sessions: Sessions) -> None:
    secret, session = await sessions.open(OPERATOR_KIND, INSTALLATION, "digest")
    assert session.merchant_id == INSTALLATION
    assert await sessions.find(secret, OPERATOR_KIND) == session


async def test_an_idle_session_ends_and_one_in_use_does_not(sessions: Sessions, clock: ManualClock) -> None:
    secret, _ = await sessions.open(OPERATOR_KIND, INSTALLATION, "digest")
    for _ in range(4):
        clock.now += IDLE - MINUTE
        assert await sessions.find(secret, OPERATOR_KIND) is not None
    clock.now += IDLE
    assert await sessions.find(secret, OPERATOR_KIND) is None


@pytest.mark.parametrize("kind", SessionKind)
async def test_every_session_ends_when_it_is_old(sessions: Sessions, clock: ManualClock, kind: SessionKind) -> None:
    secret, session = await sessions.open(kind, MERCHANT_ID, "tok_1")
    while clock.now + 20 * MINUTE < session.expires_at:
        clock.now += 20 * MINUTE
        assert await sessions.find(secret, kind) is not None
    clock.now = session.expires_at - 1
    assert await sessions.find(secret, kind) is not None
    clock.now = session.expires_at
    assert await sessions.find(secret, kind) is None
    assert session.expires_at - NOW == LONGEST[kind] <= 12 * HOUR


async def test_who_logged_out_is_out(sessions: Sessions) -> None:
    secret, _ = await sessions.open(OPERATOR_KIND, INSTALLATION, "digest")
    other, _ = await sessions.open(OPERATOR_KIND, INSTALLATION, "digest")
    await sessions.close(secret)
    await sessions.close("nonsense")
    assert await sessions.find(secret, OPERATOR_KIND) is None
    assert await sessions.find(other, OPERATOR_KIND) is not None


async def test_there_is_a_limit_to_sessions_that_lets_new_ones_in_as_old_ones_end(
    sessions: Sessions, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.operators.sessions.MAX_SESSIONS", 3)
    monkeypatch.setattr("proxy.operators.sessions.MAX_SESSIONS_OF_SUBJECT", 2)
    for _ in range(2):
        await sessions.open(LINK, MERCHANT_ID, "tok_1")
    with pytest.raises(Conflict):
        await sessions.open(LINK, MERCHANT_ID, "tok_1")
    await sessions.open(LINK, MERCHANT_ID, "tok_2")  # what one token opens keeps no other out
    with pytest.raises(Conflict):
        await sessions.open(LINK, MERCHANT_ID, "tok_3")
    await sessions.open(LINK, IDS.merchant(), "tok_1")
    clock.now += LONGEST[LINK]
    await sessions.open(LINK, MERCHANT_ID, "tok_1")


def test_a_forms_token_is_its_sessions_and_tells_nothing_of_the_secret() -> None:
    token = form_token("secret-a")
    assert is_form_token("secret-a", token)
    assert not is_form_token("secret-b", token)
    assert not is_form_token("secret-a", "")
    assert not is_form_token("secret-a", "\ud800")
    assert "secret" not in token


@pytest.mark.parametrize("kind", list(SessionKind))
async def test_a_session_that_was_opened_or_used_by_a_clock_that_was_ahead_has_ended(
    sessions: Sessions, clock: ManualClock, kind: SessionKind
) -> None:
    secret, _ = await sessions.open(kind, MERCHANT_ID, "tok_1")
    clock.now -= MINUTE
    assert await sessions.find(secret, kind) is not None
    clock.now -= MINUTE
    assert await sessions.find(secret, kind) is None
    clock.now += 2 * MINUTE
    assert await sessions.find(secret, kind) is None  # and it does not come back


async def test_a_session_that_was_seen_by_a_clock_that_was_ahead_has_ended(
    sessions: Sessions, clock: ManualClock
) -> None:
    secret, _ = await sessions.open(OPERATOR_KIND, INSTALLATION, "digest")
    clock.now += IDLE - MINUTE
    assert await sessions.find(secret, OPERATOR_KIND) is not None
    clock.now = NOW
    assert await sessions.find(secret, OPERATOR_KIND) is None
