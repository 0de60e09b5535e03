"""Signing in to the console by a provider of OpenID Connect, which runs as a process of its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import pytest_asyncio
from support.clock import ManualClock
from support.ports import free_port
from support.provider import CLIENT_ID, CLIENT_SECRET, Provider, provider, signing_key

from proxy.config.sign_in import CALLBACK
from proxy.kernel.clock import HOUR, MINUTE, SECOND, system_now
from web.clients import Browser, console, words
from web.lab import SHARED, Answer, Lab, lab_in

STATE = "dargah-sign-in"
pytestmark = SHARED


@dataclass(frozen=True)
class Place:
    lab: Lab
    provider: Provider
    keys: tuple[dict[str, Any], ...]

    async def leaves(self, browser: Browser, wanted: str = "") -> str:
        """The provider's URL that the login's button leads to."""
        left = await browser.get(f"/console/login/oidc?next={wanted}")
        assert left.status == 303, left.text
        return left.location

    async def brought(self, browser: Browser, login: str = "owners-sara", wanted: str = "") -> str:
        """Where the provider sends a browser back to."""
        redirect_uri = f"{self.lab.dargah.admin_url}{CALLBACK}"
        return await self.provider.answers(await self.leaves(browser, wanted), redirect_uri, login)

    async def signs_in(self, login: str = "owners-sara") -> tuple[Browser, Answer]:
        browser = console(self.lab)
        return browser, await browser.get(await self.brought(browser, login), **{"Sec-Fetch-Site": "cross-site"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder: Path = tmp_path_factory.mktemp("provider")
    port, keys = free_port(), (signing_key("first"), signing_key("second"))
    url = f"http://127.0.0.1:{port}"
    async with (
        provider(f"{url}{CALLBACK}", keys[:1]) as made,
        lab_in(
            folder,
            ManualClock(system_now()),
            admin_listen=f"127.0.0.1:{port}",
            console_url=url,
            oidc_issuer=made.issuer,
            oidc_client_id=CLIENT_ID,
            oidc_client_secret=CLIENT_SECRET,
            oidc_roles="owners=owner,staff=read",
            address_auth_failures_per_minute=1000,
            trusted_proxies="127.0.0.1",
        ) as lab,
    ):
        yield Place(lab, made, keys)


def refused(answer: Answer, status: int, text: str) -> None:
    """Refused on the login's page, without a session."""
    assert answer.status == status, answer.text
    assert text in words(answer)
    assert not any(name == "Set-Cookie" and "session" in value for name, value in answer.headers.items())
    assert 'name="token"' in answer.text


async def test_the_button_leads_to_the_provider_and_back_to_the_wanted_page(place: Place) -> None:
    browser = console(place.lab)
    page = await browser.get("/console/login?next=/console/reviews&lang=en")
    assert f'href="{place.lab.dargah.admin_url}/console/login/oidc?next=%2Fconsole%2Freviews"' in page.text
    entered = await browser.get(await place.brought(browser, wanted="/console/reviews"))
    assert (entered.status, STATE in browser.cookies) == (200, False)
    assert 'url=/console/reviews"' in entered.text
    shown = await browser.get("/console/operators")
    assert (shown.status, "oidc:sara" in shown.text) == (200, True)
    [entry, *_] = await place.lab.dargah.services.store.audit.list_audit("installation", None, 1)
    assert (entry.actor, entry.action, entry.data["sub"]) == ("oidc:sara", "console.login", "owners-sara")
    assert CLIENT_SECRET not in repr(place.lab.rows())


async def test_the_request_has_pkce_a_state_and_a_nonce_of_this_browser(place: Place) -> None:
    browser, other = console(place.lab), console(place.lab)
    query, others = [parse_qs(urlsplit(await place.leaves(each)).query) for each in (browser, other)]
    assert (query["code_challenge_method"], query["response_type"]) == (["S256"], ["code"])
    assert not any(query[name] == others[name] for name in ("state", "nonce", "code_challenge"))
    cookie = browser.cookies[STATE]
    assert not any(cookie.partition(".")[0] in value for [value] in query.values())


async def test_a_group_gives_its_role_and_no_group_no_session(place: Place) -> None:
    browser, answer = await place.signs_in("staff-ali")
    assert answer.status == 200
    assert (await browser.get("/console/operators")).status == 200
    assert (await browser.post("/console/operators", {"name": "x", "role": "read"})).status == 403
    _, answer = await place.signs_in("guests-reza")
    refused(answer, 403, "گروه")
    assert "owners" not in answer.text


async def test_an_answer_is_good_for_the_browser_that_began_and_once(place: Place) -> None:
    browser, thief = console(place.lab), console(place.lab)
    brought = await place.brought(browser)
    await place.leaves(thief)
    refused(await console(place.lab).get(brought), 401, "همین مرورگر")
    refused(await thief.get(brought), 401, "همین مرورگر")
    forged = brought.replace("state=", "state=x")
    refused(await browser.get(forged), 401, "همین مرورگر")
    kept = dict(browser.cookies)
    assert (await browser.get(brought)).status == 200
    again = Browser(place.lab.session, place.lab.dargah.admin_url, kept)
    refused(await again.get(brought), 401, "پیش‌تر به کار رفته")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"iss": "https://evil.example"}, "سامانهٔ ورود دیگری"),
        ({"iss": None}, "سامانهٔ ورود دیگری"),
        ({"code": "made-up"}, "پیش‌تر به کار رفته"),
        ({"code": None}, "پیش‌تر به کار رفته"),
    ],
)
async def test_a_changed_answer_is_refused(place: Place, change: dict[str, str | None], text: str) -> None:
    browser = console(place.lab)
    brought = urlsplit(await place.brought(browser))
    query = {name: value for name, value in (dict(parse_qsl(brought.query)) | change).items() if value is not None}
    refused(await browser.get(f"{CALLBACK}?{urlencode(query)}"), 401, text)


async def test_a_code_of_another_sign_in_is_refused(place: Place) -> None:
    """Injected into one's own answer: PKCE's verifier is another's."""
    browser, other = console(place.lab), console(place.lab)
    mine, stolen = [urlsplit(await place.brought(each)) for each in (browser, other)]
    query = dict(parse_qsl(mine.query)) | {"code": dict(parse_qsl(stolen.query))["code"]}
    refused(await browser.get(f"{CALLBACK}?{urlencode(query)}"), 401, "پیش‌تر به کار رفته")


async def test_who_turns_back_at_the_provider_is_told_so(place: Place) -> None:
    browser = console(place.lab)
    refused(await browser.get(await place.brought(browser, login="")), 401, "بازگشتید")


async def test_a_new_key_is_fetched_and_one_that_was_taken_out_is_refused(place: Place) -> None:
    first, second = place.keys
    try:
        assert (await place.signs_in())[1].status == 200
        await place.provider.use(second)
        place.lab.clock.forward(6 * SECOND)
        assert (await place.signs_in())[1].status == 200
        # By now the first one is unknown here: the provider signs with it, and does not publish it.
        await place.provider.use(first)
        refused((await place.signs_in())[1], 401, "امضای آن را ندارد")
        place.lab.clock.forward(MINUTE)
        assert (await place.signs_in())[1].status == 200
    finally:
        await place.provider.use(first)


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_wrong_is_told(place: Place, hours: int) -> None:
    place.lab.clock.forward(hours * HOUR)
    try:
        refused((await place.signs_in())[1], 401, "ساعت")
    finally:
        place.lab.clock.forward(-hours * HOUR)


async def test_a_session_of_the_provider_ends_at_its_time_like_any_other(place: Place) -> None:
    browser, _ = await place.signs_in()
    assert (await browser.get("/console/payments")).status == 200
    place.lab.clock.forward(31 * MINUTE)
    try:
        assert (await browser.get("/console/payments")).status == 303
    finally:
        place.lab.clock.forward(-31 * MINUTE)


async def test_the_doctor_says_whether_the_provider_can_be_asked(place: Place) -> None:
    found = await findings(place.lab)
    assert found["sign_in"]["level"] == "ok"


async def findings(lab: Lab) -> dict[str, Any]:
    headers = {"Authorization": "Bearer operator-token-of-the-tests"}
    async with lab.session.post(f"{lab.dargah.admin_url}/admin/v1/doctor", json={}, headers=headers) as answer:
        return {each["check"]: each for each in (await answer.json())["findings"]}


async def test_a_provider_that_is_down_or_another_one_ends_in_a_page_and_a_sentence(
    place: Place, tmp_path: Path
) -> None:
    for issuer, why in ((f"http://127.0.0.1:{free_port()}", "refused"), (f"{place.provider.issuer}/", "other_issuer")):
        folder = tmp_path / why
        folder.mkdir()
        async with lab_in(
            folder,
            console_url="http://127.0.0.1:8081",
            oidc_issuer=issuer,
            oidc_client_id=CLIENT_ID,
            oidc_roles="owners=owner",
        ) as lab:
            refused(await console(lab).get("/console/login/oidc"), 503, why)
            found = (await findings(lab))["sign_in"]
            assert (found["level"], "DARGAH_OIDC_ISSUER" in found["advice"]) == ("problem", True)
            assert (await console(lab).log_in()).status == 303


async def test_a_flood_of_wrong_tokens_and_answers_from_many_addresses_keeps_nobody_out(place: Place) -> None:
    url = f"{place.lab.dargah.admin_url}{CALLBACK}?state=x&code=y"
    for number in range(60):
        attacker = console(place.lab)
        address: Any = {"X-Forwarded-For": f"203.0.113.{number}"}
        wrong = await attacker.post("/console/login", {"token": f"dg_op_wrong-{number}"}, csrf="", **address)
        assert (wrong.status, (await attacker.get(url, **address)).status) == (401, 401)
    assert (await console(place.lab).log_in()).status == 303
    assert (await place.signs_in())[1].status == 200


async def test_a_person_of_the_provider_keeps_filters_over_sessions(place: Place) -> None:
    sara, _ = await place.signs_in("owners-sara")
    await sara.get("/console/filters")
    form = {"list": "payments", "name": "mine of the provider", "query": "status=paid"}
    assert (await sara.post("/console/filters", form)).status == 303
    again, _ = await place.signs_in("owners-sara")
    assert "mine of the provider" in words(await again.get("/console/payments"))
    token = console(place.lab)
    assert (await token.log_in()).status == 303
    assert "mine of the provider" not in words(await token.get("/console/payments"))
