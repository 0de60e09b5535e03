"""What the operator says of a drop-in shop when its token is made, and sees in the list."""

from typing import Any

import pytest

from operators.conftest import Admin


@pytest.fixture
async def tokens(admin: Admin) -> str:
    merchant = await admin.made("/merchants", {"name": "shop"})
    return f"/merchants/{merchant['id']}/tokens"


async def test_a_token_sends_rial_and_returns_by_get_to_registered_origins_unless_told(
    admin: Admin, tokens: str
) -> None:
    made = await admin.made(tokens, {"scopes": ["facade"]})
    assert (made["amount_unit"], made["return_method"], made["any_https_return"]) == ("rial", "get", False)


async def test_what_was_told_is_in_the_list_and_in_the_audit_log(admin: Admin, tokens: str) -> None:
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
async def test_another_word_is_refused_by_its_fields_name(admin: Admin, tokens: str, field: str, value: Any) -> None:
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
