"""Who gets into the console and the portal, what lets them out again, and which forms are believed."""

import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from proxy.api.rate_limiting import unlimited
from proxy.console.merchant_view import BASE, is_viewed
from proxy.console.routes import OPEN, ROUTES, add_routes
from proxy.console.services import ConsoleServices
from proxy.console.viewer import Side
from proxy.kernel.clock import MINUTE
from proxy.merchants.merchant import ALL_SCOPES, Scope
from proxy.operators.records import Role
from web.clients import OPERATOR_TOKEN, Browser, console, operator, portal
from web.lab import ORIGIN, Answer, Lab

SESSION = "dargah-session"


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"address_auth_failures_per_minute": 30}


def cookie_of(answer: Answer) -> str:
    [cookie] = [
        value
        for name, value in answer.headers.items()
        if name == "Set-Cookie" and SESSION in value and "Max-Age=0" not in value
    ]
    return cookie


def path_of(route: str, ids: Mapping[str, str] | None = None) -> str:
    """A route's path with ids that are nobody's where none are given."""
    return re.sub(r"{(\w+)}", lambda name: (ids or {}).get(name[1], "x"), route)


async def test_nobody_sees_a_page_or_sends_a_form_without_a_session(lab: Lab) -> None:
    before = lab.rows()
    for side, origin in ((Side.CONSOLE, lab.dargah.admin_url), (Side.PORTAL, lab.dargah.url)):
        for route in ROUTES:
            lab.clock.forward(MINUTE)  # wrong sessions are counted as wrong tokens are
            for cookies in ({}, {SESSION: "0" * 51}, {f"__Host-{SESSION}": "nonsense"}):
                browser = Browser(lab.session, origin, dict(cookies))
                path = f"{side}{path_of(route.path)}"
                answer = await (browser.get(path) if route.method == "GET" else browser.post(path, csrf="0" * 64))
                if side is Side.CONSOLE:
                    assert answer.status == 303, path
                    assert answer.headers["Location"].startswith("/console/login?next=%2Fconsole")
                else:
                    assert answer.status == (401 if route.scope is not None else 404), path
    assert lab.rows() == before


def test_every_route_of_the_pages_is_in_the_table_or_open_to_all() -> None:
    for side in Side:
        app = web.Application()
        add_routes(app, cast("ConsoleServices", None), side, unlimited())
        served = {
            (route.method, route.resource.canonical)
            for route in app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
        ruled = {(route.method, f"{side}{route.path}") for route in ROUTES if side is Side.CONSOLE or route.scope}
        if side is Side.CONSOLE:
            ruled |= {(route.method, f"{side}{BASE}{route.path}") for route in filter(is_viewed, ROUTES)}
        assert served - ruled - OPEN == {("GET", f"{side}/assets/{{name}}"), ("GET", side.value)}
        assert ruled <= served


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_is_kept_from_what_it_does_not_cover(lab: Lab, role: Role) -> None:
    browser = await operator(lab, role)
    before = lab.rows()
    for route in ROUTES:
        if route.path == "/logout":
            continue
        answer = await (
            browser.get(f"/console{path_of(route.path)}")
            if route.method == "GET"
            else browser.post(f"/console{path_of(route.path)}")
        )
        if role.covers(route.role):
            assert answer.status not in {401, 403}, route.path
        else:
            assert answer.status == 403, route.path
    if role is Role.READ:
        changed = {name for name, rows in lab.rows().items() if rows != before[name]}
        assert changed <= {"audit", "audit_heads", "sessions", "operators"}


def test_what_only_looks_needs_no_more_than_to_read_and_what_acts_needs_more() -> None:
    looks = {route.path for route in ROUTES if route.role is Role.READ}
    forms = {route.path for route in ROUTES if route.method == "POST" and route.role is Role.READ}
    own = {"/second-factor", "/second-factor/end", "/second-factor/recovery-codes"}
    own |= {"/filters", "/filters/{filter_id}/delete"}
    assert forms == own | {"/audit/verify", "/logout", "/sessions/end-others", "/sessions/{session_id}/end"}
    acts = {route.path for route in ROUTES if route.method == "POST"}
    owners = {route.path for route in ROUTES if route.method == "GET"} - looks
    assert {path for path in owners if path not in acts} == set()
    assert "/merchants/new" in owners


@pytest.mark.parametrize(
    "scopes",
    [{Scope.PAYMENTS_READ}, {Scope.PAYMENTS_READ, Scope.PAYMENTS_WRITE}, {Scope.PAYMENTS_READ, Scope.WEBHOOKS}],
)
async def test_a_merchants_token_does_in_the_portal_what_it_may_and_no_more(lab: Lab, scopes: set[Scope]) -> None:
    token = await lab.issue(scopes=frozenset(scopes))
    browser = await portal(lab, token)
    for route in ROUTES:
        if route.path == "/logout":
            continue
        answer = await (
            browser.get(f"/portal{path_of(route.path)}")
            if route.method == "GET"
            else browser.post(f"/portal{path_of(route.path)}")
        )
        if route.scope is None:
            assert answer.status == 404, route.path
        elif route.scope in scopes:
            assert answer.status in {200, 303, 404, 409}, route.path  # 409: there is nothing to send again
        else:
            assert answer.status == 403, route.path


def test_what_is_the_operators_alone_is_no_merchants() -> None:
    for route in ROUTES:
        if route.role is Role.OWNER or route.path.startswith(("/merchants", "/audit", "/settings", "/terminals")):
            assert route.scope is None, route.path
        elif route.scope is not None:
            assert route.scope in ALL_SCOPES


async def test_a_form_is_believed_only_from_a_page_of_the_same_session_and_host(lab: Lab) -> None:
    browser, other = await operator(lab), await operator(lab)
    path = "/console/audit/verify"
    foreign: list[dict[str, Any]] = [
        {"csrf": ""},
        {"csrf": "0" * 64},
        {"csrf": other.csrf},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ]
    before = lab.rows()
    for sent in foreign:
        csrf = sent.pop("csrf", None)
        assert (await browser.post(path, csrf=csrf, **sent)).status == 403, sent
    assert lab.rows() == before
    assert (await browser.post(path)).status in {200, 303}


@pytest.mark.parametrize(
    ("origin", "status"),
    [(None, 303), ("https://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403)],
)
async def test_a_browser_without_fetch_metadata_is_known_by_its_origin(
    lab: Lab, origin: str | None, status: int
) -> None:
    headers = {"Origin": origin or lab.dargah.admin_url, "Content-Type": "application/x-www-form-urlencoded"}
    url = f"{lab.dargah.admin_url}/console/login"
    body = f"token={OPERATOR_TOKEN}"
    async with lab.session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
        assert answer.status == status


async def test_a_form_that_says_nothing_of_where_it_comes_from_is_refused(lab: Lab) -> None:
    url = f"{lab.dargah.admin_url}/console/login"
    async with lab.session.post(url, data={"token": OPERATOR_TOKEN}, allow_redirects=False) as answer:
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers


async def test_the_cookie_is_kept_from_scripts_other_sites_and_the_rest_of_the_host(lab: Lab) -> None:
    plain = await console(lab).log_in()
    cookie = cookie_of(plain)
    assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert OPERATOR_TOKEN not in cookie
    origin = lab.dargah.admin_url.replace("http://", "https://")
    secure = cookie_of(await console(lab).post("/console/login", {"token": OPERATOR_TOKEN}, csrf="", Origin=origin))
    assert secure.startswith(f"__Host-{SESSION}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Secure"} <= set(secure.split("; "))


async def test_what_the_browser_holds_is_in_no_row_and_neither_is_the_token(lab: Lab) -> None:
    browser = await operator(lab)
    held = browser.cookies[SESSION]
    assert held not in repr(lab.rows())
    assert OPERATOR_TOKEN not in repr(lab.rows())
    assert browser.csrf not in repr(lab.rows())


async def test_a_wrong_token_is_told_so_and_counts_against_its_address(lab: Lab) -> None:
    browser = console(lab)
    wrong = await browser.log_in("dg_op_wrong")
    assert wrong.status == 401
    assert 'role="alert"' in wrong.text
    assert "dg_op_wrong" not in wrong.text
    for _ in range(29):
        await browser.log_in("wrong")
    over = await browser.log_in("wrong")
    assert (over.status, int(over.headers["Retry-After"]) > 0) == (429, True)
    assert (await browser.log_in()).status == 303
    lab.clock.forward(MINUTE)
    assert (await browser.log_in("wrong")).status == 401


async def test_the_login_leads_back_to_where_somebody_wanted_to_go_and_nowhere_else(lab: Lab) -> None:
    for wanted, led in [
        ("/console/reviews", "/console/reviews"),
        ("https://evil.example/console/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/console\\@evil.example", "/console/"),
        ("/console/\r\nSet-Cookie: x=1", "/console/"),
        ("/admin/v1/me", "/console/"),
    ]:
        answer = await console(lab).post("/console/login", {"token": OPERATOR_TOKEN, "next": wanted}, csrf="")
        assert answer.headers["Location"] == led


async def test_logging_out_ends_the_session_for_whoever_holds_the_cookie(lab: Lab) -> None:
    browser = await operator(lab)
    thief = Browser(lab.session, lab.dargah.admin_url, dict(browser.cookies))
    assert (await thief.get("/console/payments")).status == 200
    out = await browser.post("/console/logout")
    assert (out.status, out.headers["Location"]) == (303, "/console/login")
    assert SESSION not in browser.cookies
    assert (await thief.get("/console/payments")).status == 303


async def test_a_session_ends_when_it_is_idle_and_when_it_is_old(lab: Lab) -> None:
    browser = await operator(lab)
    lab.clock.forward(31 * MINUTE)
    assert (await browser.get("/console/payments")).status == 303
    browser = await operator(lab)
    for _ in range(12 * 3 - 1):
        lab.clock.forward(20 * MINUTE)
        assert (await browser.get("/console/payments")).status == 200
    lab.clock.forward(20 * MINUTE)
    assert (await browser.get("/console/payments")).status == 303


async def test_a_session_ends_with_the_token_that_opened_it(lab: Lab) -> None:
    browser = await operator(lab, "owner")
    [row] = await lab.dargah.services.store.operators.list_operators()
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    url = f"{lab.dargah.admin_url}/admin/v1/operators/{row.id}"
    async with lab.session.delete(url, headers=headers) as answer:
        assert answer.status == 200
    assert (await browser.get("/console/payments")).status == 303

    token = await lab.issue()
    shop = await portal(lab, token)
    [made] = [
        each
        for each in await lab.dargah.services.store.merchants.list_tokens(lab.merchant_id)
        if token.startswith(each.prefix)
    ]
    await lab.dargah.services.setup.revoke_token(lab.merchant_id, made.id, actor="test")
    assert (await shop.get("/portal/payments")).status == 401


async def test_an_operators_session_is_none_of_the_portal_and_the_reverse(lab: Lab) -> None:
    theirs, shop = await operator(lab), await portal(lab)
    assert (await Browser(lab.session, lab.dargah.url, theirs.cookies).get("/portal/payments")).status == 401
    assert (await Browser(lab.session, lab.dargah.admin_url, shop.cookies).get("/console/payments")).status == 303


async def test_a_link_to_the_portal_lives_for_five_minutes_and_is_no_session(lab: Lab) -> None:
    link = (await lab.call("POST", "/v1/portal-links", json={})).json
    path = urlsplit(link["url"]).path
    secret = path.rpartition("/")[2]
    nobody = Browser(lab.session, lab.dargah.url, {SESSION: secret})
    assert (await nobody.get("/portal/payments")).status == 401
    lab.clock.forward(5 * MINUTE)
    late = await Browser(lab.session, lab.dargah.url).get(path)
    assert (late.status, "Set-Cookie" in late.headers) == (401, False)
    assert secret not in repr(lab.rows())


async def test_guesses_at_links_count_against_their_address(lab: Lab) -> None:
    browser = Browser(lab.session, lab.dargah.url)
    answers = [(await browser.get(f"/portal/enter/{lab.merchant_id[4:]}{number:043}")).status for number in range(31)]
    assert answers == [401] * 30 + [429]


async def test_the_portal_is_framed_only_by_the_origin_that_was_registered_and_named(lab: Lab) -> None:
    alone = await portal(lab)
    assert "frame-ancestors 'none'" in (await alone.get("/portal/payments")).headers["Content-Security-Policy"]
    framed = await portal(lab, embed_origin=ORIGIN)
    assert list(framed.cookies) == [f"__Host-{SESSION}"]
    page = await framed.get("/portal/payments")
    assert page.headers["Content-Security-Policy"].endswith(f"frame-ancestors {ORIGIN}")
    refused = await lab.call("POST", "/v1/portal-links", json={"embed_origin": "https://evil.example"})
    assert (refused.status, refused.field_codes()) == (422, {"embed_origin": "origin_not_registered"})


async def test_a_framed_sessions_cookie_goes_along_in_that_frame_alone(lab: Lab) -> None:
    link = (await lab.call("POST", "/v1/portal-links", json={"embed_origin": ORIGIN})).json
    cookie = cookie_of(await Browser(lab.session, lab.dargah.url).get(urlsplit(link["url"]).path))
    assert {"HttpOnly", "Secure", "SameSite=None", "Partitioned", "Path=/"} <= set(cookie.split("; "))


async def test_every_answer_holds_the_browser_to_our_own_host(lab: Lab) -> None:
    browser = await operator(lab)
    for path in ("/console/login", "/console/", "/console/payments", "/console/nothing", "/console/settings"):
        answer = await browser.get(path)
        policy = answer.headers.get("Content-Security-Policy", "")
        if answer.status == 303:
            continue
        assert policy.startswith(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; font-src 'self'; "
        )
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "style=" not in answer.text
        scripts = re.findall("<script[^>]*>[^<]*", answer.text)
        assert len(scripts) == 1
        assert re.fullmatch(r'<script src="/console/assets/console\.[0-9a-f]{12}\.js" defer>', scripts[0])


async def test_a_login_is_in_the_audit_log(lab: Lab) -> None:
    await operator(lab)
    [entry, *_] = await lab.dargah.services.store.audit.list_audit("installation", None, 10)
    assert (entry.actor, entry.action) == ("admin", "console.login")
