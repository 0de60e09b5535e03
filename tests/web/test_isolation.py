"""No token reaches what is not its own: every route of the router, with somebody else's ids wherever one can stand.

A route that `isolation.CASES` does not have fails here: whoever adds one says how it is tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from e2e.playground import UNLIMITED

from proxy.ids import merchant_key
from proxy.merchant import ALL_SCOPES, DEFAULT_SCOPES, Mode, Scope
from proxy.web import facade, public
from web.isolation import CASES, MERCHANT, Case, Route, Try, filled, template
from web.lab import API_KEY, Answer, Lab, link_of

CANARIES = {
    "order_id": "canary-order-b1",
    "description": "canary-description-b2",
    "metadata": "canary-metadata-b3",
    "hook": "canary-hook-b4",
    "name": "canary-name-b5",
    "return": "canary-return-b6",
}


@dataclass(frozen=True)
class Victim:
    """`ids` is all that a stranger may have come to know; `canaries` what no answer to one may show."""

    merchant_id: str
    ids: Mapping[str, str]
    canaries: frozenset[str]

    def rows(self, lab: Lab) -> dict[str, list[Any]]:
        """Every row of every table that is about this merchant."""
        key = merchant_key(self.merchant_id)
        return {name: [row for row in rows if key in repr(row)] for name, rows in lab.rows().items()}


async def victim_of(lab: Lab, merchant_id: str, token: str, terminal_id: str) -> Victim:
    """One payment that was paid, its events and its deliveries, which a paused endpoint holds."""
    hook = await lab.call(
        "POST",
        "/v1/webhook-endpoints",
        json={"url": f"https://{CANARIES['hook']}.example.ir", "description": CANARIES["hook"]},
        token=token,
    )
    await lab.call("PATCH", f"/v1/webhook-endpoints/{hook.json['id']}", json={"paused": True}, token=token)
    payment = await lab.created(
        key="canary-idempotency-key",
        token=token,
        order_id=CANARIES["order_id"],
        description=CANARIES["description"],
        metadata={"note": CANARIES["metadata"]},
        terminal_id=terminal_id,
    )
    await lab.call("GET", await lab.act(payment, "pay"))
    path = f"/v1/payments/{payment['id']}"
    paid = (await lab.call("GET", path, token=token)).json
    assert paid["status"] == "paid"
    [event] = (await lab.call("GET", "/v1/events", token=token)).json["data"]
    deliveries = f"/v1/webhook-endpoints/{hook.json['id']}/deliveries"
    [delivery] = (await lab.call("GET", deliveries, token=token)).json["data"]
    ids = {
        "payment_id": payment["id"],
        "event_id": event["id"],
        "delivery_id": delivery["id"],
        "endpoint_id": hook.json["id"],
        "terminal_id": terminal_id,
        "merchant_id": merchant_id,
        "order_id": paid["order_id"],
        "invoice_key": paid["invoice_key"],
        "storefront": paid["storefront"],
        "idempotency_key": "canary-idempotency-key",
        "link": payment["id"],
        "name": payment["id"],
        "digest": "0" * 64,
    }
    shown = {*CANARIES.values(), token, hook.json["secret"], paid["invoice_key"], paid["bank_code"], link_of(payment)}
    return Victim(merchant_id, ids, frozenset(shown))


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """No limits: a stranger who tries everything would soon be told to wait, and what is behind would go untried."""
    return dict(UNLIMITED)


async def another_merchant(lab: Lab) -> Victim:
    """Another merchant than the lab's."""
    setup = lab.dargah.services.setup
    origin = f"https://{CANARIES['return']}.example.ir"
    merchant, _ = await setup.create_merchant(CANARIES["name"], [origin], actor="test")
    terminal = await setup.add_terminal(merchant.id, "main", lab.gateway_url, API_KEY, Mode.LIVE, actor="test")
    token = await lab.issue("canary-shop", merchant_id=merchant.id)
    return await victim_of(lab, merchant.id, token, terminal.id)


@pytest.fixture
async def other(lab: Lab) -> Victim:
    return await another_merchant(lab)


@pytest.fixture
async def neighbour(lab: Lab) -> Victim:
    """The lab's own merchant's main storefront, live, at its first terminal."""
    return await victim_of(lab, lab.merchant_id, lab.token, lab.terminal_id)


def routes(lab: Lab) -> list[Route]:
    """Every route of the public router as it is served, lists first, since later ones make something to be listed."""
    router = public.create_public_app(lab.dargah.services).router
    found = {
        (route.method, template(route.resource.canonical)) for route in router.routes() if route.resource is not None
    }
    return sorted(found, key=lambda route: (route[0] not in {"GET", "HEAD"}, route[1], route[0]))


def case_of(route: Route) -> Case:
    """HEAD is answered as GET is."""
    method, path = route
    return CASES["GET" if method == "HEAD" else method, path]


async def attempt(lab: Lab, route: Route, one: Try, victim: Victim, token: str) -> Answer:
    method, path = route
    ids = {**victim.ids, "token": token}
    query = f"?{filled(one.query, ids)}" if one.query else ""
    return await lab.call(
        "POST" if method == "*" else method,
        filled(path, ids) + query,
        json=filled(one.body, ids),
        headers=filled(dict(one.headers), ids),
        token=token,
    )


def assert_nothing_of(victim: Victim, answer: Answer, sent: str) -> None:
    said = repr(dict(answer.headers)) + answer.text
    assert [canary for canary in victim.canaries if canary in said and canary not in sent] == []


async def assert_kept_out(lab: Lab, victim: Victim, token: str, wanted: list[Route]) -> None:
    """Each of these routes gives the stranger nothing, and changes nothing of the victim's."""
    before = victim.rows(lab)
    assert sum(map(len, before.values())) > 8
    for route in wanted:
        for one in case_of(route).tries:
            answer = await attempt(lab, route, one, victim, token)
            assert answer.status == one.status, (route, one, answer.body)
            sent = repr(filled([one.query, one.body, one.headers], {**victim.ids, "token": ""})) if token else ""
            assert_nothing_of(victim, answer, sent + filled(route[1], victim.ids))
            if answer.status == 200 and route[0] != "HEAD":
                assert_empty(route, answer)
    if victim.merchant_id != lab.merchant_id:
        assert victim.rows(lab) == before


def assert_empty(route: Route, answer: Answer) -> None:
    match route[1]:
        case facade.REQUEST | facade.CHECK:
            assert answer.json["status"] == 0
            assert answer.json["errorCode"] in {103, 200}
        case "/healthz" | "/readyz" | "/docs" | "/docs/openapi.json":
            pass
        case _:
            assert answer.json["data"] == [], route


async def test_every_route_says_how_it_is_tried(lab: Lab) -> None:
    served = {(method, path) for method, path in routes(lab) if method != "HEAD"}
    assert served == CASES.keys()
    assert {path for method, path in routes(lab) if method == "HEAD"} <= {
        path for method, path in CASES if method == "GET"
    }


async def test_a_route_that_nobody_thought_of_is_noticed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    added = ("GET", "/v1/secrets/{payment_id}", public.ROUTES[0][2])
    monkeypatch.setattr(public, "ROUTES", (*public.ROUTES, added))
    with pytest.raises(AssertionError, match="v1/secrets"):
        await test_every_route_says_how_it_is_tried(lab)


@pytest.mark.parametrize("mode", list(Mode))
async def test_another_merchants_ids_open_nothing_on_any_route(lab: Lab, other: Victim, mode: Mode) -> None:
    token = await lab.issue("stranger", mode=mode, scopes=ALL_SCOPES)
    await assert_kept_out(lab, other, token, routes(lab))


async def test_an_id_that_is_somebodys_is_answered_as_one_that_is_nobodys(lab: Lab, other: Victim) -> None:
    token = await lab.issue("stranger", scopes=ALL_SCOPES)
    nobodys = {
        name: text[:-4] + "zzzz" if text.startswith(("pay_", "evt_", "dlv_", "ep_", "trm_")) else text
        for name, text in other.ids.items()
    }
    stranger = Victim(other.merchant_id, nobodys, other.canaries)
    for route in routes(lab):
        for one in case_of(route).tries:
            if one.status == 201:
                continue
            real, none = [await attempt(lab, route, one, each, token) for each in (other, stranger)]
            assert (real.status, steady(real, other)) == (none.status, steady(none, stranger)), route


def steady(answer: Answer, victim: Victim) -> str:
    """The answer without what names the call itself."""
    text = answer.text
    for name in victim.ids.values():
        text = text.replace(name, "…")
    return text.replace(answer.headers["X-Request-Id"], "…")


async def test_a_walk_that_is_let_in_is_noticed(lab: Lab, other: Victim) -> None:
    [token] = [canary for canary in other.canaries if canary.startswith("dg_live_")]
    wanted = [("GET", "/v1/payments/{payment_id}")]
    with pytest.raises(AssertionError):
        await assert_kept_out(lab, other, token, wanted)


async def test_what_happens_to_a_merchant_goes_to_no_endpoint_of_another(lab: Lab, other: Victim) -> None:
    hook = {"url": "https://stranger.example.ir/hook", "storefront": "canary-shop"}
    mine = (await lab.call("POST", "/v1/webhook-endpoints", json=hook)).json
    await lab.call("PATCH", f"/v1/webhook-endpoints/{mine['id']}", json={"paused": True})
    [token] = [canary for canary in other.canaries if canary.startswith("dg_live_")]
    made = await lab.call("POST", "/v1/events/test", json={"type": "payment.paid"}, token=token)
    assert made.status == 201
    assert (await lab.call("GET", f"/v1/webhook-endpoints/{mine['id']}/deliveries")).json["data"] == []


@pytest.mark.parametrize("stranger", ["storefront", "mode", "terminal"])
async def test_within_a_merchant_a_token_sees_its_storefronts_modes_and_terminals_payments_only(
    lab: Lab, neighbour: Victim, stranger: str
) -> None:
    token = await stranger_within(lab, stranger)
    wanted = [route for route in routes(lab) if case_of(route).own != MERCHANT]
    if stranger == "storefront":
        wanted.remove(("POST", "/v1/payments"))  # a terminal is the merchant's, for any of its storefronts
    payments = [row for row in neighbour.rows(lab)["payments"] if "stranger" not in row]
    await assert_kept_out(lab, neighbour, token, wanted)
    assert [row for row in neighbour.rows(lab)["payments"] if "stranger" not in row] == payments


async def stranger_within(lab: Lab, stranger: str) -> str:
    match stranger:
        case "storefront":
            return await lab.issue("stranger", scopes=ALL_SCOPES)
        case "mode":
            return await lab.issue(mode=Mode.TEST, scopes=ALL_SCOPES)
        case _:
            setup = lab.dargah.services.setup
            second = await setup.add_terminal(
                lab.merchant_id, "second", lab.gateway_url, API_KEY, Mode.LIVE, actor="test"
            )
            return await lab.issue(scopes=ALL_SCOPES, terminal_id=second.id)


async def test_the_key_of_another_terminals_create_does_not_show_its_answer(lab: Lab) -> None:
    first = await lab.issue(terminal_id=lab.terminal_id)
    body = {"order_id": "same", "amount": 15_000}
    mine = await lab.create(key="same-key", token=first, **body)
    assert mine.status == 201
    again = await lab.create(key="same-key", token=await stranger_within(lab, "terminal"), **body)
    assert (again.status, again.json["code"]) == (422, "idempotency_key_reused")
    assert mine.json["id"] not in again.text
    assert (await lab.create(key="same-key", token=first, **body)).body == mine.body


async def test_a_list_goes_on_past_what_other_terminals_took(lab: Lab) -> None:
    token = await stranger_within(lab, "terminal")
    mine = [(await lab.created(token=token))["id"]]
    for _ in range(3):
        await lab.created(terminal_id=lab.terminal_id)
        lab.clock.forward(1)
    seen, cursor = [], ""
    for _ in range(3):
        page = (await lab.call("GET", f"/v1/payments?limit=2{cursor}", token=token)).json
        seen += [payment["id"] for payment in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == mine


async def test_a_token_without_a_routes_scope_is_told_so_and_does_nothing(lab: Lab, neighbour: Victim) -> None:
    before = neighbour.rows(lab)
    tokens = {scope: await lab.issue("main", scopes=ALL_SCOPES - {scope}) for scope in Scope}
    for route in routes(lab):
        case = case_of(route)
        if case.scope is None:
            continue
        for one in case.tries:
            answer = await attempt(lab, route, one, neighbour, tokens[case.scope])
            if case.scope is Scope.FACADE:
                assert (answer.status, answer.json["errorCode"]) == (200, 101)
            else:
                assert answer.status == 403, route
                if route[0] != "HEAD":
                    assert answer.json["code"] == "forbidden"
                    assert f"`{case.scope}`" in answer.json["detail"]
    after = neighbour.rows(lab)
    assert {name for name in after if after[name] != before[name]} <= {"tokens", "audit", "audit_heads"}


async def test_no_route_with_a_scope_is_open_without_a_token_or_with_one_that_is_over(
    lab: Lab, neighbour: Victim
) -> None:
    setup = lab.dargah.services.setup
    token, revoked = await setup.issue_token(lab.merchant_id, scopes=ALL_SCOPES, actor="test")
    await setup.revoke_token(lab.merchant_id, token.id, actor="test")
    later = lab.clock.now + 10
    _, expired = await setup.issue_token(lab.merchant_id, scopes=ALL_SCOPES, expires_at=later, actor="test")
    lab.clock.forward(10)
    for text in ("", revoked, expired, revoked[:-1] + "_", "dg_live_short"):
        for route in routes(lab):
            case = case_of(route)
            if case.scope is None:
                continue
            answer = await attempt(lab, route, case.tries[0], neighbour, text)
            if case.scope is Scope.FACADE:
                assert (answer.status, orjson.loads(answer.body)["errorCode"]) == (200, 101)
            else:
                assert answer.status == 401, (route, text)


def test_a_default_token_has_no_drop_in() -> None:
    assert Scope.FACADE not in DEFAULT_SCOPES
