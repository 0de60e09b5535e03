"""The sessions of the console as people see and end them."""

import re
from dataclasses import dataclass
from typing import Any

from proxy.operators.sessions import MAX_SESSIONS_OF_OPERATOR
from web.clients import Browser, console, operator, portal, words
from web.lab import Lab

FIREFOX: Any = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


@dataclass
class Operator(Browser):
    """The browser of somebody, who has the token still."""

    token: str = ""


async def again(lab: Lab, operator: Operator) -> Browser:
    """The session of another browser of the same operator."""
    other = console(lab)
    entered = await other.post("/console/login", {"token": operator.token}, csrf="", **FIREFOX)
    assert entered.status == 303
    await other.get("/console/sessions")
    return other


async def hired(lab: Lab, name: str, role: str) -> Operator:
    headers = {"Authorization": "Bearer operator-token-of-the-tests"}
    url = f"{lab.dargah.admin_url}/admin/v1/operators"
    async with lab.session.post(url, json={"name": name, "role": role}, headers=headers) as answer:
        token = (await answer.json())["token"]
    browser = Operator(lab.session, lab.dargah.admin_url, token=token)
    assert (await browser.log_in(token)).status == 303
    return browser


async def ends(browser: Browser) -> list[str]:
    return re.findall(r'action="/console(/sessions/[0-9a-f]{64}/end)"', (await browser.get("/console/sessions")).text)


async def test_an_operator_sees_their_own_sessions_and_an_owner_all(lab: Lab) -> None:
    sara, ali, owner = await hired(lab, "sara", "read"), await hired(lab, "ali", "operate"), await operator(lab)
    await again(lab, sara)
    shown = await sara.get("/console/sessions?lang=en")
    assert len(await ends(sara)) == 2
    assert words(shown).count("This browser") == 1
    assert ("Firefox, Linux" in shown.text, "127.0.0.1" in shown.text, "ali" in words(shown)) == (True, True, False)
    assert len(await ends(ali)) == 1
    everybodys = words(await owner.get("/console/sessions"))
    assert len(await ends(owner)) == 4
    assert ("sara" in everybodys, "ali" in everybodys) == (True, True)


async def test_an_ended_session_is_over_at_once_and_in_the_audit_log(lab: Lab) -> None:
    sara = await hired(lab, "sara", "read")
    other = await again(lab, sara)
    [mine] = set(await ends(sara)) - {f"/sessions/{await current(other)}/end"}
    answer = await other.post(f"/console{mine}")
    assert (answer.status, answer.location) == (303, "/console/sessions?said=session_ended")
    assert (await sara.get("/console/sessions")).status == 303
    assert (await other.get("/console/sessions")).status == 200
    entries = await lab.dargah.services.store.audit.list_audit("installation", None, 10)
    [entry] = [each for each in entries if each.action == "session.end"]
    assert (entry.actor, entry.data) == ("sara", {"of": ["sara"], "count": 1})


async def current(browser: Browser) -> str:
    page = (await browser.get("/console/sessions?lang=en")).text
    row = next(row for row in page.split("<tr>") if "This browser" in row)
    found = re.search(r"/sessions/([0-9a-f]{64})/end", row)
    assert found is not None
    return found[1]


async def test_nobody_but_an_owner_ends_the_session_of_another(lab: Lab) -> None:
    sara, ali, owner = await hired(lab, "sara", "read"), await hired(lab, "ali", "operate"), await operator(lab)
    [hers] = await ends(sara)
    assert (await ali.post(f"/console{hers}")).status == 404
    assert (await sara.get("/console/payments")).status == 200
    assert (await owner.post(f"/console{hers}")).status == 303
    assert (await sara.get("/console/payments")).status == 303
    assert (await owner.post(f"/console{hers}")).status == 404


async def test_all_other_sessions_of_ones_own_end_and_nobody_elses(lab: Lab) -> None:
    sara, ali = await hired(lab, "sara", "owner"), await hired(lab, "ali", "read")
    other = await again(lab, sara)
    assert (await sara.post("/console/sessions/end-others")).status == 303
    assert (await other.get("/console/payments")).status == 303
    assert (await sara.get("/console/payments")).status == 200
    assert (await ali.get("/console/payments")).status == 200
    assert (await sara.post("/console/sessions/end-others")).status == 303


async def test_a_session_opened_with_the_token_before_is_ones_own_still(lab: Lab) -> None:
    sara, owner = await hired(lab, "sara", "read"), await operator(lab)
    [row] = await lab.dargah.services.store.operators.list_operators()
    headers = {"Authorization": "Bearer operator-token-of-the-tests"}
    async with lab.session.post(
        f"{lab.dargah.admin_url}/admin/v1/operators/{row.id}/rotate", json={}, headers=headers
    ) as answer:
        token = (await answer.json())["token"]
    fresh = console(lab)
    await fresh.log_in(token)
    await fresh.get("/console/sessions")
    assert (len(await ends(fresh)), len(await ends(owner))) == (2, 3)
    assert (await fresh.post("/console/sessions/end-others")).status == 303
    assert (await sara.get("/console/payments")).status == 303


async def test_the_secret_of_a_session_is_on_no_page(lab: Lab) -> None:
    sara, owner = await hired(lab, "sara", "read"), await operator(lab)
    held = sara.cookies["dargah-session"]
    assert held not in (await owner.get("/console/sessions")).text
    [hers] = await ends(sara)
    thief = Browser(lab.session, lab.dargah.admin_url, {"dargah-session": hers.split("/")[2]})
    assert (await thief.get("/console/payments")).status == 303


async def test_a_merchants_sessions_are_not_in_the_list_and_not_ended_there(lab: Lab) -> None:
    shop, owner = await portal(lab), await operator(lab)
    assert len(await ends(owner)) == 1
    row = next(row for row in lab.rows()["sessions"] if lab.merchant_id in row)
    digest = next(value for value in row if isinstance(value, bytes)).hex()
    assert (await owner.post(f"/console/sessions/{digest}/end")).status == 404
    assert (await shop.get("/portal/payments")).status == 200


async def test_sessions_of_one_token_keep_nobody_out(lab: Lab) -> None:
    sara = await hired(lab, "sara", "read")
    for _ in range(MAX_SESSIONS_OF_OPERATOR):
        lab.clock.forward(1)
        assert (await console(lab).log_in(sara.token)).status == 303
    assert (await sara.get("/console/payments")).status == 303  # the oldest made room
    owner = await operator(lab)
    assert len(await ends(owner)) == MAX_SESSIONS_OF_OPERATOR + 1
