"""Every page and form of the console and the portal, with the session of every kind of caller."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from aiohttp import web
from store.records import new_audit
from web.clients import Browser, console, portal
from web.lab import Answer

from proxy.api.rate_limiting import unlimited
from proxy.console.routes import add_routes
from proxy.console.services import ConsoleServices
from proxy.console.viewer import Side
from proxy.kernel.clock import rfc3339
from proxy.merchants.merchant import ALL_SCOPES, Scope
from security.conftest import House, hire
from security.principals import (
    OPEN,
    OUTSIDERS,
    OVER,
    PAGES,
    ROLES,
    TOKENS,
    Page,
    Principal,
    Records,
    filled,
)

ONE_LOOP = pytest.mark.asyncio(loop_scope="module")


def served(side: Side) -> set[str]:
    """The routes of a side as they hang in its listener."""
    app = web.Application()
    add_routes(app, cast("ConsoleServices", None), side, unlimited())
    routes = [route for route in app.router.routes() if route.resource is not None and route.method != "HEAD"]
    return {f"{route.method} {cast('Any', route.resource).canonical}" for route in routes}


def test_every_page_is_in_the_table() -> None:
    for side in Side:
        shown = [one for one in PAGES if side is Side.CONSOLE or one.scope is not None]
        tabled = {" ".join((one.method, side + one.operation.partition(" ")[2])) for one in shown}
        assert served(side) == tabled | OPEN[side].keys()


@ONE_LOOP
@pytest.mark.parametrize("principal", [*TOKENS, Principal.SCOPELESS, *OUTSIDERS, *ROLES])
async def test_each_page_of_the_portal_answers_each_session_as_the_table_says(
    house: House, principal: Principal
) -> None:
    records = await house.acted_on()
    each = Scope if principal is Principal.SCOPELESS else ()
    sessions = dict.fromkeys((None, *Scope), await portal_session(house, principal, None))
    sessions |= {scope: await portal_session(house, principal, scope) for scope in each}
    refused = [one for one in PAGES if one.in_portal(principal) in {401, 403, 404}]
    before = house.rows()
    for pages in (refused, [one for one in PAGES if one not in refused]):
        for one in pages:
            answer = await opened(sessions[one.scope], Side.PORTAL, one, records)
            assert answer.status == one.in_portal(principal), (one.operation, one.path, answer.text[-1500:])
            assert_no_canary(records, principal, one, answer)
        if pages is refused or principal is not Principal.OWN:
            assert house.rows() == before


@ONE_LOOP
@pytest.mark.parametrize("principal", [Principal.PORTAL, *OUTSIDERS, *ROLES])
async def test_each_page_of_the_console_answers_each_session_as_the_table_says(
    house: House, principal: Principal
) -> None:
    records = await house.acted_on()
    browser = await console_session(house, principal)
    refused = [one for one in PAGES if principal not in ROLES or one.in_console(principal) == 403]
    before = house.rows()
    await looked_through(browser, principal, refused, records)
    assert house.rows() == before
    await looked_through(browser, principal, [one for one in PAGES if one not in refused], records)


async def looked_through(browser: Browser, principal: Principal, pages: Sequence[Page], records: Records) -> None:
    for one in pages:
        answer = await opened(browser, Side.CONSOLE, one, records)
        assert answer.status == one.in_console(principal), (one.operation, one.path, answer.text[-1500:])
        if principal not in ROLES:
            assert answer.headers["Location"].startswith("/console/login"), one.operation


@ONE_LOOP
async def test_what_needs_no_session_shows_nobody_anything(house: House) -> None:
    assert house.victim is not None
    for side in Side:
        browser = Browser(
            house.lab.session, house.lab.dargah.url if side is Side.PORTAL else house.lab.dargah.admin_url
        )
        for operation, status in OPEN[side].items():
            method, _, path = operation.partition(" ")
            at = filled(path, {"name": house.victim.ids["payment_id"], "link": house.victim.ids["link"]})
            answer = await (browser.get(at) if method == "GET" else browser.post(at, {"token": "dg_op_wrong"}, csrf=""))
            assert answer.status == status, operation
            assert_no_canary(house.victim, Principal.NOBODY, at, answer)


async def opened(browser: Browser, side: Side, one: Page, records: Records) -> Answer:
    path = f"{side}{filled(one.path, records.ids)}"
    if one.method == "GET":
        return await browser.get(path)
    return await browser.confirmed(path, filled(dict(one.form), records.ids))


def assert_no_canary(records: Records, principal: Principal, one: Page | str, answer: Answer) -> None:
    sent = one if isinstance(one, str) else repr([filled(each, records.ids) for each in (one.path, dict(one.form))])
    said = repr(dict(answer.headers)) + answer.body.decode("utf-8", "replace")
    assert [each for each in records.canaries(principal) if each in said and each not in sent] == [], one


async def portal_session(house: House, principal: Principal, scope: Scope | None) -> Browser:
    """The browser of a portal's session, or of an operator's at the portal. One that lacks a scope lost it since."""
    lab = house.lab
    setup = lab.dargah.services.setup
    if principal in TOKENS:
        return await portal(lab, house.tokens[principal])
    if principal in ROLES:
        browser = await console_session(house, principal)
        return Browser(lab.session, lab.dargah.url, browser.cookies, browser.csrf)
    if principal is Principal.NOBODY:
        return Browser(lab.session, lab.dargah.url)
    over = lab.clock.now + 10 if principal is Principal.EXPIRED else None
    token, text = await setup.issue_token(lab.merchant_id, scopes=ALL_SCOPES, expires_at=over, actor="test")
    browser = await portal(lab, text)
    if principal is Principal.REVOKED:
        await setup.revoke_token(lab.merchant_id, token.id, actor="test")
    elif principal is Principal.SCOPELESS and scope is not None:
        less = replace(token, scopes=ALL_SCOPES - {scope})
        await lab.dargah.services.store.merchants.save_token(
            less, new_audit(lab.merchant_id, lab.clock.now, "token.scopes")
        )
    lab.clock.forward(10 if principal is Principal.EXPIRED else 0)
    return browser


async def console_session(house: House, principal: Principal) -> Browser:
    """The browser of an operator's session, which may be over by now, or of a portal's at the console."""
    browser = console(house.lab)
    if principal in ROLES:
        assert (await browser.log_in(house.operators[principal])).status == 303
    elif principal is Principal.PORTAL:
        browser.cookies = (await portal(house.lab, house.tokens[Principal.OWN])).cookies
    elif principal in OVER:
        over = {"expires_at": rfc3339(house.lab.clock.now + 10)} if principal is Principal.EXPIRED else {}
        operator_id, text = await hire(house.lab, f"{principal.name.lower()}-at-the-console", "owner", **over)
        assert (await browser.log_in(text)).status == 303
        if principal is Principal.REVOKED:
            await house.act(Principal.OWNER, "DELETE", f"/admin/v1/operators/{operator_id}", None)
        house.lab.clock.forward(10)
    return browser
