"""Every operation of both listeners, asked for by every kind of caller: each gets what the table says and no more.

An operation of openapi.yaml that no table has fails here: whoever adds one says what each caller gets of it.
"""

from collections.abc import Iterable, Sequence

import pytest
from web.lab import Lab
from web.openapi_check import operations

from proxy.api import public
from proxy.api.drop_in.invoice_script import CHECK
from security.conftest import House
from security.principals import (
    ACTS,
    BACKUP,
    CALLS,
    OUTSIDERS,
    ROLES,
    TOKENS,
    Act,
    Call,
    Code,
    Outcome,
    Principal,
    Records,
    filled,
    is_outcome,
)
from security.test_protocol_shops import OPERATIONS

ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
CALLERS = (*TOKENS, Principal.SCOPELESS, *OUTSIDERS, Principal.PORTAL, *ROLES)
REFUSALS = frozenset({401, 403, 404, 409, 422})


def untabled(known: Iterable[tuple[str, str]]) -> set[str]:
    """The operations that no table has, and those of the tables that are not known."""
    tabled = {one.operation for one in CALLS} | {act.operation for act in ACTS}
    return {f"{method} {path}" for method, path in known} ^ tabled


def test_every_operation_is_in_the_table() -> None:
    assert untabled(operations()) == set()


def test_an_operation_that_is_not_in_the_table_is_noticed() -> None:
    assert untabled({*operations(), ("GET", "/v1/secrets")}) == {"GET /v1/secrets"}


def unserved(lab: Lab) -> set[tuple[str, str]]:
    """The routes of the public listener's router that are no operation of the table's."""
    tabled = {tuple(one.operation.split(" ")) for one in CALLS} | OPERATIONS
    paths = {path for _, path in tabled}
    found = set[tuple[str, str]]()
    for route in public.create_public_app(lab.dargah.services).router.routes():
        if route.resource is not None:
            # The drop-in is known under any prefix, with a slash behind it, and its check without a key.
            path = route.resource.canonical.removeprefix("/{prefix}").replace("{end}", "").rstrip("/")
            path = path if path.startswith("/") or not path else f"/{path}"
            path = CHECK if path == CHECK.rpartition("/")[0] else path
            method = "GET" if route.method == "HEAD" else route.method
            if path not in paths or (method != "*" and (method, path) not in tabled):
                found.add((method, path))
    return found


@ONE_LOOP
async def test_every_route_that_is_served_is_in_the_table(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unserved(house.lab) == set()
    added = ("GET", "/v1/secrets/{payment_id}", public.ROUTES[0][2])
    monkeypatch.setattr(public, "ROUTES", (*public.ROUTES, added))
    assert unserved(house.lab) == {added[:2]}


@ONE_LOOP
@pytest.mark.parametrize("principal", CALLERS)
async def test_each_operation_answers_each_caller_as_the_table_says(house: House, principal: Principal) -> None:
    records = await house.records() if principal is Principal.OWN else house.victim
    assert records is not None
    refused = [one for one in CALLS if is_refusal(one.outcome(principal))]
    before = house.rows()
    await asked(house, principal, records, refused)
    assert house.rows() == before
    await asked(house, principal, records, [one for one in CALLS if one not in refused])
    lost = before - house.rows()
    canaries = records.canaries(principal)
    assert [row for row in lost if principal is not Principal.OWN or any(each in row[1] for each in canaries)] == []


@ONE_LOOP
@pytest.mark.parametrize("principal", [Principal.OWN, *OUTSIDERS, Principal.PORTAL, *ROLES])
async def test_each_operation_of_operators_answers_each_caller_as_the_table_says(
    house: House, principal: Principal
) -> None:
    records = await house.acted_on()
    refused = [act for act in ACTS if act.outcome(principal) in {401, 403}]
    before = house.rows()
    for act in refused:
        await acted(house, principal, act, records)
    assert house.rows() == before
    for act in ACTS:
        if act not in refused:
            await acted(house, principal, act, records)
    if principal not in {Principal.OPERATE, Principal.OWNER}:
        assert house.rows() == before


async def acted(house: House, principal: Principal, act: Act, records: Records) -> None:
    path, body = (filled(each, records.ids) for each in (act.path, act.body))
    answer = await house.act(principal, act.method, path, body)
    expected = act.outcome(principal)
    if act.operation == BACKUP and expected == 200 and not house.is_file:
        expected = 409
    assert answer.status == expected, (act.operation, answer.body[:500])
    if expected == 401:
        assert [each for each in records.canaries(Principal.NOBODY) if each in answer.text and each not in path] == []
    if expected == 403:
        assert f"`{act.role}`" in answer.json["detail"]


@ONE_LOOP
async def test_no_operation_of_one_listener_is_known_on_the_other(house: House) -> None:
    records = await house.acted_on()
    for principal in (Principal.NOBODY, Principal.OWN, Principal.OWNER):
        token = house.token(principal)
        for act in ACTS:
            path, body = (filled(each, records.ids) for each in (act.path, act.body))
            assert (await house.lab.call(act.method, path, json=body, token=token)).status == 404, act.operation
        for one in CALLS:
            path = filled(one.path, records.ids)
            answer = await house.act(principal, one.method, path, None)
            assert answer.status == 404, one.operation


def is_refusal(outcome: Outcome) -> bool:
    return isinstance(outcome, Code) or outcome in REFUSALS


async def asked(house: House, principal: Principal, records: Records, calls: Sequence[Call]) -> None:
    for one in calls:
        answer = await house.ask(principal, one, records)
        expected = one.outcome(principal)
        assert is_outcome(expected, answer), (one.operation, one.path, expected, answer.status, answer.body[:500])
        said = repr(dict(answer.headers)) + answer.text
        ids = {**records.ids, "token": "", "my_terminal_id": "", "fresh_key": ""}
        sent = repr([filled(each, ids) for each in (one.path, one.body, dict(one.headers))])
        leaked = [each for each in records.canaries(principal) if each in said and each not in sent]
        assert leaked == [], (one.operation, one.path)
        if one.method == "GET" and expected != 401:
            assert (await house.ask(principal, one, records, "HEAD")).status == answer.status, one.path
