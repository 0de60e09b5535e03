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
