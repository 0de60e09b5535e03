"""The operators' API over real HTTP, on the real store, and who may use it.

Every route of the operators' listener has a role, every act has its name in the log.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from databases.places import AnyStore, rows_in
from structlog.testing import capture_logs
from support.clock import ManualClock
from support.command import Cli
from support.eventually import eventually

from operators.conftest import OPERATORS, Admin, Desk
from proxy.api.admin import app as admin_routes
from proxy.api.admin.app import BASE, create_admin_app, operations
from proxy.api.health import METRICS
from proxy.api.services import AdminServices
from proxy.kernel.clock import MINUTE, SECOND
from proxy.kernel.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from proxy.kernel.ids import Ids, digest, merchant_key
from proxy.kernel.read_through_cache import MAX_AGE_SECONDS
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.vault import KeyRing, Vault, generate_line
from proxy.operators import operators as operators_module
from proxy.operators.operators import Operators, TokenUsage
from proxy.operators.records import Role
from proxy.webhooks.resend import ResendActor, ResendChoice, ResendFilter, ResendRequest

MERCHANT = {"name": "فروشگاه نمونه", "return_origins": ["https://shop.example.ir"]}
TERMINAL = {"name": "main", "gateway_url": "https://pay.example.ir", "api_key": "canary-api-key-5b7e"}
HOOK = {"url": "https://shop.example.ir/hook"}
NOBODY = "mer_00000000"


async def rows(store: AnyStore) -> Any:
    """All that the set-up can change."""
    merchants = await store.merchants.list_merchants(None, 100)
    owned = [
        (
            await store.merchants.list_terminals(one.id),
            await store.merchants.list_tokens(one.id),
            await store.webhooks.list_endpoints(one.id),
        )
        for one in merchants
    ]
    return merchants, owned, await store.audit.list_audit(None, None, 100)


async def test_a_merchant_is_made_shown_changed_and_listed(admin: Admin) -> None:
    made = await admin.made("/merchants", MERCHANT)
    secret = made.pop("return_secret")
    assert made["name"] == MERCHANT["name"]
    assert await admin.call("GET", f"/merchants/{made['id']}") == (200, made)
    status, changed = await admin.call("PATCH", f"/merchants/{made['id']}", {"return_origins": []})
    assert (status, changed["return_origins"], changed["name"]) == (200, [], made["name"])
    assert await admin.call("GET", "/merchants") == (200, {"data": [changed], "next_cursor": None})
    status, rotated = await admin.call("POST", f"/merchants/{made['id']}/rotate-return-secret")
    assert status == 200
    assert rotated["return_secret"] not in {secret, None}


async def test_lists_of_merchants_and_audit_go_on_by_cursor(admin: Admin) -> None:
    made = [(await admin.made("/merchants", MERCHANT))["id"] for _ in range(5)]
    for path, field, expected in (("/merchants", "id", sorted(made)), ("/audit", "target", made[::-1])):
        seen, cursor = [], None
        while True:
            query = {"limit": "2"} if cursor is None else {"limit": "2", "cursor": cursor}
            status, page = await admin.call("GET", path, params=query)
            assert status == 200
            assert len(page["data"]) <= 2
            seen += [row[field] for row in page["data"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == expected


async def test_a_cursor_of_another_list_is_refused(admin: Admin) -> None:
    for _ in range(2):
        await admin.made("/merchants", MERCHANT)
    _, page = await admin.call("GET", "/merchants", params={"limit": "1"})
    for query in ({"cursor": page["next_cursor"]}, {"cursor": "!!"}, {"limit": "0"}, {"limit": "101"}, {"x": "1"}):
        status, problem = await admin.call("GET", "/audit", params=query)
        assert (status, [error["field"] for error in problem["errors"]]) == (422, list(query))


async def test_a_terminal_never_shows_its_api_key(admin: Admin) -> None:
    merchant = await admin.made("/merchants", MERCHANT)
    base = f"/merchants/{merchant['id']}/terminals"
    made = await admin.made(base, TERMINAL)
    assert made["mode"] == "live"
    assert await admin.call("GET", f"{base}/{made['id']}") == (200, made)
    status, changed = await admin.call("PATCH", f"{base}/{made['id']}", {"api_key": "canary-two", "enabled": False})
    assert (status, changed["enabled"]) == (200, False)
    assert await admin.call("GET", base) == (200, {"data": [changed], "next_cursor": None})
    assert "api_key" not in changed


async def test_a_token_is_shown_once_and_then_only_its_prefix(admin: Admin) -> None:
    merchant = await admin.made("/merchants", MERCHANT)
    base = f"/merchants/{merchant['id']}/tokens"
    made = await admin.made(base, {"storefront": "web", "mode": "test", "expires_at": "2030-01-01T00:00:00+03:30"})
    text = made.pop("token")
    assert text.startswith(made["prefix"])
    assert made["expires_at"] == "2029-12-31T20:30:00.000Z"
    assert made["scopes"] == ["payments:read", "payments:write", "webhooks"]
    assert await admin.call("GET", f"{base}/{made['id']}") == (200, made)
    status, revoked = await admin.call("DELETE", f"{base}/{made['id']}", params={"after_seconds": "60"})
    assert status == 200
    assert revoked["revoked_at"] is not None
    assert await admin.call("GET", base) == (200, {"data": [revoked], "next_cursor": None})
    assert not any(text.encode() in answer for answer in admin.answers[2:])


async def test_an_endpoint_is_made_paused_and_removed(admin: Admin) -> None:
    merchant = await admin.made("/merchants", MERCHANT)
    base = f"/merchants/{merchant['id']}/endpoints"
    made = await admin.made(base, HOOK | {"event_types": ["payment.paid"], "headers": {"X-A": "1"}})
    assert made.pop("secret").startswith("whsec_")
    assert await admin.call("GET", f"{base}/{made['id']}") == (200, made)
    status, paused = await admin.call("PATCH", f"{base}/{made['id']}", {"paused": True})
    assert (status, paused["state"], paused["header_names"]) == (200, "paused", ["x-a"])
    assert await admin.call("GET", base) == (200, {"data": [paused], "next_cursor": None})
    assert await admin.call("DELETE", f"{base}/{made['id']}") == (204, None)
    assert (await admin.call("GET", f"{base}/{made['id']}"))[0] == 404


async def test_the_audit_log_names_the_operator_whose_token_it_was(admin: Admin) -> None:
    merchant = await admin.made("/merchants", MERCHANT)
    other = await admin.made("/merchants", MERCHANT)
    await admin.call("PATCH", f"/merchants/{merchant['id']}", {"name": "New"}, token=OPERATORS["omid"])
    _, log = await admin.call("GET", "/audit", params={"merchant_id": merchant["id"]})
    assert [(entry["actor"], entry["action"]) for entry in log["data"]] == [
        ("omid", "merchant.update"),
        ("sara", "merchant.create"),
    ]
    assert log["data"][0]["data"] == {"name": "New"}
    _, everything = await admin.call("GET", "/audit")
    assert [entry["target"] for entry in everything["data"]] == [merchant["id"], other["id"], merchant["id"]]
    status, problem = await admin.call("GET", "/audit", params={"merchant_id": "everyone"})
    assert (status, problem["errors"][0]["field"]) == (422, "merchant_id")


@pytest.mark.parametrize(
    "token", [None, "", "wrong-token-0123456789abcdef", OPERATORS["sara"] + "x", OPERATORS["sara"][:-1], "توکن"]
)
async def test_no_path_lets_anyone_in_without_an_operators_token(
    admin: Admin, store: AnyStore, token: str | None
) -> None:
    merchant = await admin.made("/merchants", MERCHANT)
    before = await rows(store)
    for method, path in operations():
        if path == METRICS:
            continue  # the one that takes no token
        real = path.removeprefix("/admin/v1").replace("{merchant_id}", merchant["id"])
        for kind in ("terminal", "token", "endpoint", "payment", "operator", "resend"):
            real = real.replace(f"{{{kind}_id}}", f"trm_{'0' * 26}")
        status, problem = await admin.call(method, real, {}, token=token)
        assert (status, problem["code"]) == (401, "unauthenticated"), (method, path)
        assert "DARGAH_ADMIN_TOKEN" in problem["detail"]
    assert await rows(store) == before


async def test_a_merchants_token_is_no_operators_token(admin: Admin) -> None:
    merchant = await admin.made("/merchants", MERCHANT)
    token = await admin.made(f"/merchants/{merchant['id']}/tokens", {})
    assert (await admin.call("GET", "/merchants", token=token["token"]))[0] == 401


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "code"),
    [
        ("POST", "/merchants", {}, "name", "required"),
        ("POST", "/merchants", {"name": 7}, "name", "not_text"),
        ("POST", "/merchants", {"name": ""}, "name", "too_short"),
        ("POST", "/merchants", {"name": "   "}, "name", "text_invalid"),
        ("POST", "/merchants", {"name": "x", "flavour": "red"}, "flavour", "unknown_field"),
        ("POST", "/merchants", {"name": "x", "return_origins": "https://a.ir"}, "return_origins", "not_list"),
        ("POST", "/merchants", {"name": "x", "return_origins": [None]}, "return_origins.0", "not_text"),
        ("POST", "/merchants", {"name": "x", "return_origins": ["https://a.ir/p"]}, "return_origins", "origin_invalid"),
        ("PATCH", "{m}", {}, "body", "empty"),
        ("PATCH", "{m}", {"name": None}, "name", "not_text"),
        ("PATCH", "{m}", {"id": "mer_11111111"}, "id", "unknown_field"),
        ("POST", "{m}/terminals", TERMINAL | {"api_key": 7}, "api_key", "not_text"),
        ("POST", "{m}/terminals", TERMINAL | {"api_key": "canary\n"}, "api_key", "secret_invalid"),
        ("POST", "{m}/terminals", TERMINAL | {"mode": "real"}, "mode", "not_one_of"),
        ("POST", "{m}/terminals", TERMINAL | {"gateway_url": "http://g.ir"}, "gateway_url", "https_required"),
        ("POST", "{m}/terminals", TERMINAL | {"enabled": True}, "enabled", "unknown_field"),
        ("PATCH", "{m}/terminals/{t}", {"enabled": "yes"}, "enabled", "not_boolean"),
        ("PATCH", "{m}/terminals/{t}", {"mode": "test"}, "mode", "unknown_field"),
        ("PATCH", "{m}/terminals/{t}", {"api_key": ""}, "api_key", "too_short"),
        ("POST", "{m}/tokens", {"storefront": "Web"}, "storefront", "storefront_invalid"),
        ("POST", "{m}/tokens", {"scopes": ["everything"]}, "scopes.0", "not_one_of"),
        ("POST", "{m}/tokens", {"scopes": []}, "scopes", "too_few"),
        ("POST", "{m}/tokens", {"expires_at": 1}, "expires_at", "not_text"),
        ("POST", "{m}/tokens", {"expires_at": "tomorrow"}, "expires_at", "not_a_time"),
        ("POST", "{m}/tokens", {"expires_at": "2030-01-01T00:00:00"}, "expires_at", "not_a_time"),
        ("POST", "{m}/tokens", {"expires_at": "2001-01-01T00:00:00Z"}, "expires_at", "in_the_past"),
        ("POST", "{m}/tokens", {"terminal_id": "trm_nowhere"}, "terminal_id", "terminal_unknown"),
        ("DELETE", "{m}/tokens/{k}?after_seconds=-1", None, "after_seconds", "not_integer"),
        ("DELETE", "{m}/tokens/{k}?after_seconds=999999", None, "after_seconds", "out_of_range"),
        ("POST", "{m}/endpoints", {"url": "http://shop.ir"}, "url", "https_required"),
        ("POST", "{m}/endpoints", HOOK | {"event_types": ["x"]}, "event_types", "event_type_unknown"),
        ("POST", "{m}/endpoints", HOOK | {"headers": {"Cookie": "1"}}, "headers.Cookie", "header_reserved"),
        ("PATCH", "{m}/endpoints/{e}", {"paused": 1}, "paused", "not_boolean"),
        ("POST", "/keys/rotate", {"limit": 501}, "limit", "too_large"),
        ("POST", "/keys/rotate", {"limit": True}, "limit", "not_integer"),
    ],
)
async def test_a_wrong_field_is_named_in_two_languages_and_changes_nothing(
    admin: Admin, store: AnyStore, method: str, path: str, body: Any, field: str, code: str
) -> None:
    ids = await everything(admin)
    before = await rows(store)
    status, problem = await admin.call(method, path.format_map(ids), body)
    assert status == 422
    assert [(error["field"], error["code"]) for error in problem["errors"]] == [(field, code)]
    assert all(error["detail"] and error["detail_fa"] for error in problem["errors"])
    assert await rows(store) == before


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "malformed_json"),
        ({"data": b"[]", "headers": {"Content-Type": "application/json"}}, 400, "malformed_json"),
        ({"data": b"name=x", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type"),
        ({"data": b" " * 70_000, "headers": {"Content-Type": "application/json"}}, 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_no_json_or_too_large_is_refused(
    admin: Admin, store: AnyStore, options: dict[str, Any], status: int, code: str
) -> None:
    headers = options["headers"] | {"Authorization": f"Bearer {OPERATORS['sara']}"}
    url = f"{admin.url}/admin/v1/merchants"
    async with admin.session.post(url, data=options["data"], headers=headers) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (status, code)
    assert await store.merchants.list_merchants(None, 1) == []


async def test_another_merchants_record_is_not_found(admin: Admin, store: AnyStore) -> None:
    mine, other = await everything(admin), await admin.made("/merchants", MERCHANT)
    before = await rows(store)
    for owner in (other["id"], NOBODY, "mer_%27%20OR%201"):
        for kind, key in (("terminals", "t"), ("tokens", "k"), ("endpoints", "e")):
            record = mine[key]
            assert (await admin.call("GET", f"/merchants/{owner}/{kind}/{record}"))[0] == 404
            change = {"tokens": ("DELETE", None)}.get(
                kind, ("PATCH", {"name": "x"} if key == "t" else {"paused": True})
            )
            assert (await admin.call(change[0], f"/merchants/{owner}/{kind}/{record}", change[1]))[0] == 404
    for path, body in (("terminals", TERMINAL), ("tokens", {}), ("endpoints", HOOK)):
        assert (await admin.call("POST", f"/merchants/{NOBODY}/{path}", body))[0] == 404
        assert (await admin.call("GET", f"/merchants/{NOBODY}/{path}"))[0] == 404
    assert (await admin.call("GET", f"/merchants/{NOBODY}"))[0] == 404
    assert (await admin.call("PATCH", f"/merchants/{NOBODY}", {"name": "x"}))[0] == 404
    assert (await admin.call("POST", f"/merchants/{NOBODY}/rotate-return-secret"))[0] == 404
    assert await rows(store) == before


async def test_keys_are_rotated_while_it_runs(
    admin: Admin, serve_admin: Callable[[MerchantSetup], Any], store: AnyStore, key_line: str, clock: ManualClock
) -> None:
    await everything(admin)
    vault = Vault(KeyRing.parse(f"{generate_line('k2')}\n{key_line}"))
    newer: Admin = await serve_admin(MerchantSetup(store.merchants, vault, clock))
    total = 0
    while True:
        status, rotated = await newer.call("POST", "/keys/rotate", {"limit": 2})
        assert status == 200
        total += rotated["rewrapped"]
        if rotated["done"]:
            break
    assert total == 4  # the return secret, the api_key, and two signing keys
    assert rotated["kek_id"] == vault.kek_id
    assert await store.merchants.kek_ids() == {vault.kek_id}


async def test_an_api_key_is_in_no_answer_no_log_line_and_no_byte_of_the_database(admin: Admin, folder: Path) -> None:
    canaries = [b"canary-api-key-5b7e", b"canary-two"]
    with capture_logs() as lines:
        ids = await everything(admin)
        await admin.call("PATCH", "{m}/terminals/{t}".format_map(ids), {"api_key": "canary-two"})
        await admin.call("POST", "{m}/terminals".format_map(ids), TERMINAL | {"name": 1})
        await admin.call("POST", "{m}/terminals".format_map(ids), TERMINAL | {"api_key": "canary-two\n"})
        await admin.call("GET", "{m}/terminals".format_map(ids))
        await admin.call("GET", "/audit")
    assert len(lines) == len(admin.answers)
    kept = [file.read_bytes() for file in folder.iterdir() if file.is_file()]
    kept += [repr(rows).encode() for rows in rows_in(folder).values()]
    assert sum(map(len, kept)) > 4000
    for canary in canaries:
        assert not any(canary in answer for answer in admin.answers)
        assert canary not in repr(lines).encode()
        assert not any(canary in content for content in kept)


async def everything(admin: Admin) -> dict[str, str]:
    """A merchant with one of each: the paths and ids of a merchant (m), terminal (t), token (k) and endpoint (e)."""
    path = f"/merchants/{(await admin.made('/merchants', MERCHANT))['id']}"
    terminal = await admin.made(f"{path}/terminals", TERMINAL)
    token = await admin.made(f"{path}/tokens", {})
    endpoint = await admin.made(f"{path}/endpoints", HOOK)
    return {"m": path, "t": terminal["id"], "k": token["id"], "e": endpoint["id"]}


Route = tuple[str, str]
# What lets anybody in: a scraper has no token, and what it gets names nobody.
OPEN: frozenset[Route] = frozenset({("GET", METRICS)})


@pytest.fixture
def operators(store: AnyStore) -> Operators:
    return operators_of(store, ManualClock(1_900_000_000_000))


def operators_of(store: AnyStore, now: Callable[[], int]) -> Operators:
    return Operators(store.operators, store.audit, Ids(os.urandom), now, OPERATORS)


def table() -> dict[Route, Role]:
    return {(method, BASE + path): role for method, path, role, _ in admin_routes.ROUTES}


def unruled(app: web.Application) -> set[Route]:
    """The routes of an application that are neither in the table nor open to all."""
    served = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}
    as_get = {(method if method != "HEAD" else "GET", path) for method, path in served}
    return as_get - table().keys() - OPEN


async def test_every_route_has_the_role_that_it_needs(services: AdminServices) -> None:
    app = create_admin_app(services)
    assert unruled(app) == set()
    assert {path for _, path in OPEN} == {METRICS}


async def test_a_route_without_a_role_is_noticed(services: AdminServices) -> None:
    app = create_admin_app(services)

    async def leak(_request: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/admin/v1/secrets", leak)
    assert unruled(app) == {("GET", "/admin/v1/secrets")}


def real(path: str, ids: Mapping[str, str], operator_id: str) -> str:
    merchant_id = ids["m"].rpartition("/")[2]
    payment_id = f"pay_{merchant_key(merchant_id)}{'0' * 18}"
    return path.removeprefix(BASE).format(
        merchant_id=merchant_id,
        terminal_id=ids["t"],
        token_id=ids["k"],
        endpoint_id=ids["e"],
        payment_id=payment_id,
        operator_id=operator_id,
        resend_id=f"rsd_{'0' * 26}",
    )


async def test_routes_that_only_read_need_the_role_to_read() -> None:
    assert {role for (method, _), role in table().items() if method == "GET"} == {Role.READ}
    for (method, path), role in table().items():
        if method != "GET":
            assert role is not Role.READ, path


async def test_one_merchants_path_with_anothers_record_is_not_found_on_any_route(admin: Admin, store: AnyStore) -> None:
    mine, theirs = await everything(admin), await everything(admin)
    before = await rows(store)
    tried = 0
    for method, path in table():
        if "{merchant_id}/" not in path or path.count("{") == 1:
            continue
        for merchant, record in ((mine, theirs), (theirs, mine)):
            mixed = {**record, "m": merchant["m"]}
            status, problem = await admin.call(method, real(path, mixed, "opr_1"), {})
            assert (status, problem["code"]) == (404, "not_found"), (method, path)
            assert not any(record[key].rpartition("/")[2] in str(problem) for key in record)
            tried += 1
    assert tried >= 18
    assert await rows(store) == before


# Each act and what it is called in the log, in an order in which each can be done.
ACTS: tuple[tuple[str, str, Any, str], ...] = (
    ("POST", "/operators", {"name": "second", "role": "read"}, "operator.add"),
    ("POST", "/operators/{operator_id}/rotate", {}, "operator.rotate"),
    ("DELETE", "/operators/{operator_id}", None, "operator.revoke"),
    ("POST", "/merchants", MERCHANT, "merchant.create"),
    ("PATCH", "/merchants/{merchant_id}", {"name": "x"}, "merchant.update"),
    ("POST", "/merchants/{merchant_id}/archive", None, "merchant.archive"),
    ("POST", "/merchants/{merchant_id}/unarchive", None, "merchant.unarchive"),
    ("POST", "/merchants/{merchant_id}/rotate-return-secret", {}, "merchant.rotate_return_secret"),
    (
        "POST",
        "/merchants/{merchant_id}/terminals",
        {"name": "two", "gateway_url": "https://g.ir", "api_key": "k"},
        "terminal.create",
    ),
    ("PATCH", "/merchants/{merchant_id}/terminals/{terminal_id}", {"name": "x"}, "terminal.update"),
    ("POST", "/merchants/{merchant_id}/tokens", {}, "token.issue"),
    ("POST", "/merchants/{merchant_id}/tokens/{token_id}/rotate", {}, "token.rotate"),
    ("DELETE", "/merchants/{merchant_id}/tokens/{token_id}", None, "token.revoke"),
    ("POST", "/resends", {"since": "2026-11-24T00:00:00Z"}, "webhooks.resend"),
    ("POST", "/resends/{resend_id}/stop", {}, "webhooks.resend_stop"),
    ("POST", "/merchants/{merchant_id}/endpoints", HOOK, "endpoint.create"),
    ("PATCH", "/merchants/{merchant_id}/endpoints/{endpoint_id}", {"paused": True}, "endpoint.update"),
    ("POST", "/merchants/{merchant_id}/endpoints/{endpoint_id}/rotate-secret", {}, "endpoint.rotate_secret"),
    ("DELETE", "/merchants/{merchant_id}/endpoints/{endpoint_id}", None, "endpoint.delete"),
    ("POST", "/payments/{payment_id}/resolve", {"decision": "refunded", "note": "n"}, "payment.resolve"),
    ("POST", "/recover", {"since": "2026-11-24T00:00:00Z"}, "payments.recover"),
    (
        "POST",
        "/merchants/{merchant_id}/reconcile",
        {"rows": [{"bank_code": "1", "amount_rials": 1000}]},
        "payments.reconcile",
    ),
    ("POST", "/keys/rotate", {}, "keys.reseal"),
    ("POST", "/doctor", {}, "doctor.check_up"),
)


def test_every_act_is_among_those_that_are_looked_for_in_the_log() -> None:
    acts = {(method, BASE + path) for method, path, _, _ in ACTS}
    # Only a file has one, only who set channels up another, only who enrolled the third: tests of their own find them.
    acts |= {("POST", f"{BASE}/backup"), ("POST", f"{BASE}/alerts/test")}
    acts |= {("DELETE", f"{BASE}/operators/{{operator_id}}/second-factor")}
    assert acts == {route for route in table() if route[0] != "GET"}


async def test_each_act_is_in_the_audit_log_with_its_operators_name(office: Desk) -> None:
    _, added = await office.call("POST", "/operators", {"name": "doer", "role": "owner"})
    _, third = await office.call("POST", "/operators", {"name": "third", "role": "read"})
    ids = {
        "merchant_id": office.shop.merchant_id,
        "terminal_id": office.shop.terminal_id,
        "payment_id": (await office.odd())["id"],
        "operator_id": third["id"],
    }
    ids["resend_id"] = await _held_resend(office)
    for kind in ("token", "endpoint"):
        _, listed = await office.call("GET", f"/merchants/{ids['merchant_id']}/{kind}s")
        ids[f"{kind}_id"] = listed["data"][0]["id"]
    for method, path, body, action in ACTS:
        headers = {"Authorization": f"Bearer {added['token']}"}
        url = f"{office.dargah.admin_url}{BASE}{path.format_map(ids)}"
        async with office.shop.session.request(method, url, json=body, headers=headers) as answer:
            assert answer.status < 300, (path, await answer.text())
        entries = (await office.call("GET", "/audit"))[1]["data"]
        assert [entry["actor"] for entry in entries if entry["action"] == action][:1] == ["doer"], action
    ends = (await office.call("GET", "/audit/verify"))[1]["data"]
    assert [end["broken"] for end in ends] == [None] * len(ends)
    assert len(ends) >= 3


async def _held_resend(office: Desk) -> str:
    """One that waits for its endpoint, which is paused."""
    services = office.dargah.services
    [endpoint] = await services.store.webhooks.list_endpoints(office.shop.merchant_id)
    await services.endpoints.change_endpoint(endpoint.merchant_id, endpoint.id, paused=True, actor="test")
    choice = ResendChoice(ResendFilter(0, office.clock()), [(endpoint, 1)], [])
    resend, _ = await services.resends.begin(ResendRequest(choice, ResendActor("test")))
    return resend.id


async def test_the_settings_tokens_are_owners_by_name_and_in_no_list(admin: Admin) -> None:
    for name, token in OPERATORS.items():
        told = {"name": name, "role": "owner", "operator_id": None}
        assert await admin.call("GET", "/me", token=token) == (200, told)
    assert await admin.call("GET", "/operators") == (200, {"data": [], "next_cursor": None})
    status, problem = await admin.call("POST", "/operators", {"name": "sara", "role": "read"})
    assert (status, problem["code"]) == (409, "conflict")


async def test_an_operators_token_is_shown_once_and_kept_as_a_digest(admin: Admin, store: AnyStore) -> None:
    made = await admin.made("/operators", {"name": "new", "role": "operate", "expires_at": "2090-01-01T00:00:00Z"})
    text = made.pop("token")
    assert text.startswith(made["prefix"])
    assert made["expires_at"] == "2090-01-01T00:00:00.000Z"
    stored = await store.operators.operator_by_digest(digest(text))
    assert stored is not None
    assert (stored.id, stored.role) == (made["id"], Role.OPERATE)
    assert await admin.call("GET", f"/operators/{made['id']}") == (200, made)
    assert (await admin.call("GET", "/operators"))[1]["data"] == [made]
    told = {"name": "new", "role": "operate", "operator_id": made["id"]}
    assert await admin.call("GET", "/me", token=text) == (200, told)
    assert not any(text.encode() in answer for answer in admin.answers[1:])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "read"}, "name"),
        ({"name": "a", "role": "king"}, "role"),
        ({"name": "a b", "role": "read"}, "name"),
        ({"name": "a", "role": "read", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "a", "role": "read", "token": "mine"}, "token"),
    ],
)
async def test_a_wrong_field_of_an_operator_is_named(admin: Admin, body: Any, field: str) -> None:
    status, problem = await admin.call("POST", "/operators", body)
    assert (status, [error["field"] for error in problem["errors"]]) == (422, [field])
    assert (await admin.call("GET", "/operators"))[1]["data"] == []


async def test_a_name_is_one_persons_until_the_token_is_over(operators: Operators, store: AnyStore) -> None:
    first, _ = await operators.add("new", Role.READ, actor="sara")
    with pytest.raises(Conflict):
        await operators.add("new", Role.OWNER, actor="sara")
    await operators.revoke(first.id, actor="sara")
    again, _ = await operators.add("new", Role.OWNER, actor="sara")
    assert {each.role for each in await store.operators.list_operators()} == {Role.READ, Role.OWNER}
    assert again.id != first.id


async def test_there_are_no_more_operators_than_the_limit(
    operators: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.operators.operators.MAX_OPERATORS", 1)
    await operators.add("one", Role.READ, actor="sara")
    with pytest.raises(Conflict):
        await operators.add("two", Role.READ, actor="sara")


async def test_a_rotated_operator_has_two_tokens_for_the_overlap_and_then_one(store: AnyStore) -> None:
    clock = ManualClock(1_900_000_000_000)
    operators = operators_of(store, clock)
    before, old = await operators.add("new", Role.OPERATE, actor="sara")
    after, new = await operators.rotate(before.id, 60, actor="sara")
    assert (after.name, after.role) == ("new", Role.OPERATE)
    assert {(await operators.authenticate(text)).name for text in (old, new)} == {"new"}
    clock.now += 60 * SECOND
    with pytest.raises(Unauthenticated):
        await operators.authenticate(old)
    assert (await operators.authenticate(new)).operator_id == after.id
    with pytest.raises(Conflict):
        await operators.rotate(before.id, actor="sara")


async def test_a_revoked_operator_is_out_at_once_here_and_within_two_seconds_elsewhere(store: AnyStore) -> None:
    clock = ManualClock(1_900_000_000_000)
    here, elsewhere = operators_of(store, clock), operators_of(store, clock)
    operator, text = await here.add("new", Role.OWNER, actor="sara")
    await here.authenticate(text)
    await elsewhere.authenticate(text)
    await here.revoke(operator.id, actor="sara")
    with pytest.raises(Unauthenticated):
        await here.authenticate(text)
    clock.now += MAX_AGE_SECONDS * SECOND - 1
    await elsewhere.authenticate(text)
    clock.now += 1
    with pytest.raises(Unauthenticated):
        await elsewhere.authenticate(text)


async def test_an_earlier_end_of_an_operator_stands(operators: Operators) -> None:
    operator, _ = await operators.add("new", Role.READ, actor="sara")
    ended = await operators.revoke(operator.id, 5, actor="sara")
    assert await operators.revoke(operator.id, 600, actor="sara") == ended
    for seconds in (-1, 604_801):
        with pytest.raises(InvalidInput):
            await operators.revoke(operator.id, seconds, actor="sara")
    with pytest.raises(NotFound):
        await operators.revoke("opr_nobody", actor="sara")


async def test_an_operators_last_use_is_noted_beside_the_requests(store: AnyStore) -> None:
    clock = ManualClock(1_900_000_000_000)
    token_usage = TokenUsage(store.operators.note_token_uses, clock)
    operators = Operators(store.operators, store.audit, Ids(os.urandom), clock, {}, token_usage.operator_used)
    operator, text = await operators.add("new", Role.READ, actor="sara")
    for _ in range(3):
        await operators.authenticate(text)
        await token_usage.step()
        clock.now += 10 * SECOND
    assert (await store.operators.operator(operator.id)).last_used_at == 1_900_000_000_000
    clock.now += MINUTE
    await operators.authenticate(text)
    await token_usage.step()
    assert (await store.operators.operator(operator.id)).last_used_at == clock.now


async def test_operators_are_run_by_the_command(cli: Cli) -> None:
    added = await cli.json("operator", "add", "--name", "new", "--role", "operate")
    theirs = cli.given(DARGAH_ADMIN_TOKEN=added["token"])
    assert (await theirs.json("operator", "whoami"))["role"] == "operate"
    refused = await theirs.run("operator", "add", "--name", "x", "--role", "owner")
    assert refused.code == 1
    assert "needs the role `owner`" in refused.error
    rotated = await cli.json("operator", "rotate", added["id"], "--overlap-seconds", "0")
    assert (await theirs.run("operator", "whoami")).code == 1
    revoked = await cli.run("operator", "revoke", rotated["id"], "--yes")
    assert (revoked.code, revoked.out.startswith(f"{rotated['id']} ends at")) == (0, True)
    assert [each["name"] for each in await cli.json("operator", "list")] == ["new", "new"]
    assert (await cli.run("operator", "revoke", "sara", "--yes")).code == 2


@pytest.fixture
def written_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses are written ten times a second, where it is waited for."""
    monkeypatch.setattr(operators_module, "WRITTEN_EVERY", SECOND // 10)


@pytest.mark.usefixtures("written_often")
async def test_a_running_dargah_notes_who_used_what(office: Desk) -> None:
    _, added = await office.call("POST", "/operators", {"name": "new", "role": "read"})
    theirs = office.cli.given(DARGAH_ADMIN_TOKEN=added["token"])
    assert (await theirs.json("operator", "whoami"))["name"] == "new"
    await office.shop.created()

    async def noted() -> tuple[str, str] | None:
        _, operators = await office.call("GET", "/operators")
        _, tokens = await office.call("GET", f"/merchants/{office.shop.merchant_id}/tokens")
        times = operators["data"][0]["last_used_at"], tokens["data"][0]["last_used_at"]
        return times if all(times) else None

    await eventually(noted)


def test_roles_cover_what_stands_below_them() -> None:
    assert [[role.covers(needed) for needed in Role] for role in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
