"""The operator's API over real HTTP, on the real store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases.places import AnyStore, rows_in
from structlog.testing import capture_logs
from support.clock import ManualClock

from operators.conftest import OPERATORS, Admin
from proxy.api.admin.app import operations
from proxy.api.health import METRICS
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.vault import KeyRing, Vault, generate_line

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
        for kind in ("terminal", "token", "endpoint", "payment", "operator"):
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
