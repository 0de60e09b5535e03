"""The second factor of operators, over real HTTP: enrolled, asked for at the login, ended and removed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.dargah import running_by, settings

from proxy.kernel.clock import DAY, MINUTE
from proxy.operators.second_factor import WRONG_CODES
from web.clients import OPERATOR_TOKEN, Browser, console, operator, words
from web.lab import Lab
from web.second_factors import (
    CODE_PATH,
    STEP,
    admin,
    confirmed,
    enrolled,
    enrols,
    hired,
    offered,
    opened_before,
    recovery_codes,
    scanned,
)

SESSION, TICKET, BROWSER = "dargah-session", "dargah-login", "dargah-browser"


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"address_auth_failures_per_minute": 1000}


async def acts(lab: Lab) -> list[tuple[str, str]]:
    """The newest entries of the audit log that are of second factors, the oldest first."""
    entries = await lab.dargah.services.store.audit.list_audit("installation", None, 100)
    return [(each.actor, each.action) for each in reversed(entries) if each.action.startswith("second_factor.")]


async def test_an_operator_enrols_an_app_and_logs_in_with_its_codes(lab: Lab) -> None:
    sara = await enrolled(lab)
    assert len(set(sara.codes)) == 10
    browser = await sara.begins()
    page = await browser.get(f"{CODE_PATH}?next=%2Fconsole%2Freviews")
    assert 'autocomplete="one-time-code"' in page.text
    assert 'inputmode="numeric"' in page.text
    lab.clock.forward(STEP)
    entered = await browser.post(f"{CODE_PATH}?next=%2Fconsole%2Freviews", {"code": sara.code()}, csrf="")
    assert (entered.status, entered.location) == (303, "/console/reviews")
    assert (await browser.get("/console/reviews")).status == 200
    shown = await browser.get("/console/second-factor?lang=en")
    assert "Recovery codes left" in words(shown)
    assert await acts(lab) == [("sara", "second_factor.enrol")]
    [login, *_] = await lab.dargah.services.store.audit.list_audit("installation", None, 1)
    assert (login.action, login.data["second_factor"]) == ("console.login", "code")


async def test_nothing_is_stored_before_the_code_is_right_neither_at_enrolment_nor_at_login(lab: Lab) -> None:
    _, token = await hired(lab, "sara")
    browser = console(lab)
    await browser.log_in(token)
    before = lab.rows()
    page = await browser.get("/console/second-factor")
    app = scanned(page)
    wrong = await browser.post("/console/second-factor", {"offered": offered(page), "code": app.wrong(lab.clock.now)})
    assert (wrong.status, scanned(wrong)) == (422, app)
    assert lab.rows() == before
    await browser.post("/console/second-factor", {"offered": offered(wrong), "code": app.code(lab.clock.now)})
    before = lab.rows()
    asked = await console(lab).post("/console/login", {"token": token}, csrf="")
    assert asked.status == 303
    assert lab.rows()["sessions"] == before["sessions"]
    assert lab.rows()["audit"] == before["audit"]


async def test_neither_the_secret_nor_a_recovery_code_is_in_a_row(lab: Lab) -> None:
    sara = await enrolled(lab)
    stored = repr(lab.rows())
    assert sara.app.secret not in stored
    assert not any(code in stored or code.replace("-", "") in stored for code in sara.codes)


async def test_a_secret_is_enrolled_only_in_the_session_that_was_shown_it(lab: Lab) -> None:
    (_, token), (_, other) = await hired(lab, "sara"), await hired(lab, "ali")
    thief, browser = console(lab), console(lab)
    await thief.log_in(other)
    await browser.log_in(token)
    known = await thief.get("/console/second-factor")
    app = scanned(known)
    for each in (offered(known), offered(known)[:-2] + "00", "x.zz", ".", ""):
        answer = await browser.post("/console/second-factor", {"offered": each, "code": app.code(lab.clock.now)})
        assert answer.status == 422
    assert lab.rows()["second_factors"] == []


async def test_enrolling_ends_the_operators_other_sessions_and_nobody_elses(lab: Lab) -> None:
    _, token = await hired(lab, "sara")
    browser, other, owner = console(lab), console(lab), await operator(lab)
    await browser.log_in(token)
    await other.log_in(token)
    await enrols(lab, browser)
    assert (await other.get("/console/payments")).status == 303
    assert (await browser.get("/console/payments")).status == 200
    assert (await owner.get("/console/payments")).status == 200


async def test_a_session_that_was_opened_without_the_code_ends_even_where_enrolling_missed_it(lab: Lab) -> None:
    """As a login at the very same time, or of an older version at another replica, would open one."""
    sara = await enrolled(lab)
    sessions = lab.dargah.services.store.operators
    [row] = [each for each in await sessions.list_sessions("installation", 0, 0) if each.name == "sara"]
    browser = await sara.logs_in()
    await sessions.end_session("installation", row.digest)
    assert (await browser.get("/console/payments")).status == 200
    made = await opened_before(lab, sara.token, "sara")
    assert (await made.get("/console/payments")).status == 303


async def test_an_old_session_enrols_only_with_the_token(lab: Lab) -> None:
    _, token = await hired(lab, "sara")
    _, alis = await hired(lab, "ali")
    browser = console(lab)
    await browser.log_in(token)
    lab.clock.forward(11 * MINUTE)
    page = await browser.get("/console/second-factor")
    app = scanned(page)
    form = {"offered": offered(page), "code": app.code(lab.clock.now)}
    for given in ("", "dg_op_wrong", alis, OPERATOR_TOKEN):
        assert (await browser.post("/console/second-factor", {**form, "token": given})).status == 422
    assert lab.rows()["second_factors"] == []
    assert (await browser.post("/console/second-factor", {**form, "token": token})).status == 200


async def test_a_code_works_once(lab: Lab) -> None:
    sara = await enrolled(lab)
    code = sara.code()
    first = await sara.begins()
    assert (await sara.gives(first, code)).status == 401, "the one that confirmed the enrolment"
    lab.clock.forward(STEP)
    code = sara.code()
    assert (await sara.gives(first, code)).status == 303
    again = await sara.gives(await sara.begins(), code)
    assert (again.status, SESSION in repr(again.headers)) == (401, False)
    assert 'role="alert"' in again.text


async def test_one_code_at_two_replicas_at_once_opens_one_session(lab: Lab) -> None:
    sara = await enrolled(lab)
    lab.clock.forward(STEP)
    async with two_of(lab) as urls:
        browsers = [Browser(lab.session, urls[number % 2]) for number in range(8)]
        for browser in browsers:
            await sara.begins(browser)
        statuses = sorted([answer.status for answer in await asyncio.gather(*map(sara.gives, browsers))])
    assert statuses == [303] + [401] * 7


@asynccontextmanager
async def two_of(lab: Lab) -> AsyncIterator[list[str]]:
    """The operator's URLs of two replicas, where the database has room for them."""
    made, url = settings(lab.folder), lab.dargah.admin_url
    if not str(made.database).startswith("postgresql"):
        yield [url, url]
        return
    async with running_by(lab.clock, made) as other:
        yield [url, other.admin_url]


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 303), (0, 303), (1, 303), (2, 401)])
async def test_a_phones_clock_may_be_off_by_one_step(lab: Lab, steps: int, status: int) -> None:
    sara = await enrolled(lab)
    lab.clock.forward(10 * STEP)
    answer = await sara.gives(await sara.begins(), sara.app.code(lab.clock.now + steps * STEP))
    assert answer.status == status


async def test_persian_and_arabic_digits_and_spaces_are_taken(lab: Lab) -> None:
    sara = await enrolled(lab)
    for digits in ("۰۱۲۳۴۵۶۷۸۹", "٠١٢٣٤٥٦٧٨٩"):
        lab.clock.forward(STEP)
        code = sara.code().translate(str.maketrans("0123456789", digits))
        assert (await sara.gives(await sara.begins(), f" {code[:3]} {code[3:]} ")).status == 303


async def spend(sara: Any, browser: Browser, count: int = WRONG_CODES) -> None:
    for _ in range(count):
        assert (await sara.gives(browser, sara.app.wrong(sara.lab.clock.now))).status == 401


async def test_guesses_end_after_so_many_and_the_owner_still_gets_in(lab: Lab) -> None:
    """Somebody with the token guesses; sara has a browser that she has logged in with, and her recovery codes."""
    sara = await enrolled(lab)
    known = await sara.logs_in()
    known.cookies.pop(SESSION)
    thief = await sara.begins()
    await spend(sara, thief)
    lab.clock.forward(STEP)
    spent = await sara.gives(thief)
    assert (spent.status, 0 < int(spent.headers["Retry-After"]) <= DAY // 1000) == (429, True), "even the right code"
    assert (await sara.gives(await sara.begins())).status == 429, "nor with a new login"
    first = words(await (await operator(lab)).get("/console/?lang=en"))
    assert "Somebody gives wrong codes of a second factor" in first
    assert "sara" in first
    await sara.begins(known)
    assert (await sara.gives(known)).status == 303, "her browser has guesses of its own"
    assert (await sara.gives(await sara.begins(), sara.codes[0])).status == 303, "and a recovery code always works"
    lab.clock.forward(DAY)
    assert (await sara.gives(await sara.begins())).status == 303
    assert await acts(lab) == [
        ("sara", "second_factor.enrol"), ("sara", "second_factor.block"), ("sara", "second_factor.recover")
    ]  # fmt: skip


async def test_guesses_at_once_are_all_counted(lab: Lab) -> None:
    sara = await enrolled(lab)
    lab.clock.forward(10 * STEP)
    async with two_of(lab) as urls:
        browsers = [await sara.begins(Browser(lab.session, urls[number % 2])) for number in range(2)]
        wrong = sara.app.wrong(lab.clock.now)
        answers = await asyncio.gather(*(sara.gives(browsers[number % 2], wrong) for number in range(30)))
    statuses = [answer.status for answer in answers]
    assert (statuses.count(401), statuses.count(429)) == (WRONG_CODES, 10)


async def test_a_known_browsers_guesses_are_counted_too(lab: Lab) -> None:
    sara = await enrolled(lab)
    known = await sara.begins(await sara.logs_in())
    await spend(sara, known)
    lab.clock.forward(STEP)
    assert (await sara.gives(known)).status == 429
    assert (await sara.gives(await sara.begins())).status == 303, "another browser has its own"


async def test_what_is_no_code_is_no_guess(lab: Lab) -> None:
    sara = await enrolled(lab)
    browser = await sara.begins()
    for typed in ("", "12345", "hello", "x" * 5000, "AAAA-AAAA-AAAA-AAAA"):
        assert (await sara.gives(browser, typed)).status == 401
    assert lab.rows()["code_guesses"] == []


async def test_right_codes_leave_nothing_of_the_guesses_used(lab: Lab) -> None:
    sara = await enrolled(lab)
    for _ in range(WRONG_CODES + 1):
        await sara.logs_in()
    assert [row[-1] for row in lab.rows()["code_guesses"]] == [0]


async def test_a_recovery_code_works_once_and_as_people_type_it(lab: Lab) -> None:
    sara = await enrolled(lab)
    typed = sara.codes[3].lower().replace("-", " ")
    assert (await sara.gives(await sara.begins(), typed)).status == 303
    for code in (typed, sara.codes[3]):
        assert (await sara.gives(await sara.begins(), code)).status == 401
    browsers = [await sara.begins() for _ in range(4)]
    answers = await asyncio.gather(*(sara.gives(browser, sara.codes[4]) for browser in browsers))
    assert sorted(answer.status for answer in answers) == [303, 401, 401, 401]
    assert len(lab.rows()["recovery_codes"]) == 8
    assert (await acts(lab)).count(("sara", "second_factor.recover")) == 2


async def test_anothers_recovery_code_is_none(lab: Lab) -> None:
    sara, ali = await enrolled(lab), await enrolled(lab, "ali")
    assert (await sara.gives(await sara.begins(), ali.codes[0])).status == 401
    lab.clock.forward(STEP)
    assert (await sara.gives(await sara.begins(), ali.code())).status == 401


async def test_what_a_browser_holds_after_the_token_alone_opens_nothing(lab: Lab) -> None:
    sara = await enrolled(lab)
    browser = await sara.begins()
    assert SESSION not in browser.cookies
    held = {**browser.cookies, BROWSER: (await sara.logs_in()).cookies[BROWSER]}
    for cookies in (held, {SESSION: held[TICKET]}, {SESSION: held[BROWSER]}, {TICKET: held[BROWSER]}):
        taken = Browser(lab.session, lab.dargah.admin_url, dict(cookies))
        assert (await taken.get("/console/payments")).status == 303
    stranger = Browser(lab.session, lab.dargah.admin_url, {TICKET: held[BROWSER]})
    lab.clock.forward(STEP)
    assert (await sara.gives(stranger)).location.startswith("/console/login?")


async def test_a_ticket_that_is_altered_over_or_anothers_leads_to_the_login(lab: Lab) -> None:
    sara, ali = await enrolled(lab), await enrolled(lab, "ali")
    browser = await sara.begins()
    operator_id, until, mac = browser.cookies[TICKET].split(".")
    assert operator_id == sara.id
    lab.clock.forward(STEP)
    for altered in (f"{ali.id}.{until}.{mac}", f"{operator_id}.{int(until) + DAY}.{mac}", "nonsense", ""):
        forged = Browser(lab.session, lab.dargah.admin_url, {TICKET: altered})
        for answer in (await sara.gives(forged), await forged.get(CODE_PATH)):
            assert (answer.status, answer.location) == (303, "/console/login?next=%2Fconsole%2F")
        assert SESSION not in forged.cookies
    lab.clock.forward(5 * MINUTE)
    assert (await sara.gives(browser)).location.startswith("/console/login?")


async def test_the_cookies_are_kept_from_scripts_other_sites_and_the_rest_of_the_host(lab: Lab) -> None:
    sara = await enrolled(lab)
    browser = console(lab)
    asked = await browser.post("/console/login", {"token": sara.token}, csrf="")
    ticket = asked.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/console/login", "Max-Age=300"} <= set(ticket)
    assert sara.token not in asked.headers["Set-Cookie"]
    lab.clock.forward(STEP)
    entered = await sara.gives(browser)
    cookies = {each.partition("=")[0]: each.split("; ") for each in entered.headers.getall("Set-Cookie")}  # type: ignore[attr-defined]
    assert {"HttpOnly", "SameSite=Strict", "Path=/console", f"Max-Age={30 * DAY // 1000}"} <= set(cookies[BROWSER])
    assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= set(cookies[SESSION])
    assert "Max-Age=0" in cookies[TICKET]
    origin = lab.dargah.admin_url.replace("http://", "https://")
    secure = await console(lab).post("/console/login", {"token": sara.token}, csrf="", Origin=origin)
    assert secure.headers["Set-Cookie"].startswith(f"__Host-{TICKET}=")


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
async def test_a_code_from_another_sites_form_is_not_taken(lab: Lab, headers: Any) -> None:
    sara = await enrolled(lab)
    browser = await sara.begins()
    lab.clock.forward(STEP)
    assert (await browser.post(CODE_PATH, {"code": sara.code()}, csrf="", **headers)).status == 403
    assert (await sara.gives(browser)).status == 303


async def test_a_token_that_is_revoked_between_token_and_code_opens_nothing(lab: Lab) -> None:
    sara = await enrolled(lab)
    browser = await sara.begins()
    await admin(lab, "DELETE", f"/{sara.id}")
    lab.clock.forward(STEP)
    assert (await sara.gives(browser)).location.startswith("/console/login?")
    assert (await sara.gives(browser, sara.codes[0])).location.startswith("/console/login?")


async def test_a_new_token_keeps_the_second_factor(lab: Lab) -> None:
    sara = await enrolled(lab)
    rotated = await admin(lab, "POST", f"/{sara.id}/rotate", {"overlap_seconds": 60})
    browser = await sara.begins()  # the token before, in its overlap
    lab.clock.forward(STEP)
    sara.token = rotated.json["token"]
    assert rotated.json["second_factor_at"] is not None
    assert (await sara.gives(browser)).status == 303
    await sara.logs_in()


async def test_a_name_that_is_free_again_comes_without_the_second_factor_of_before(lab: Lab) -> None:
    sara = await enrolled(lab)
    await admin(lab, "DELETE", f"/{sara.id}")
    _, token = await hired(lab, "sara")
    assert (lab.rows()["second_factors"], lab.rows()["recovery_codes"]) == ([], [])
    assert not [row for row in lab.rows()["secrets"] if row[0] == "installation"]
    browser = console(lab)
    assert (await browser.log_in(token)).location == "/console/"
    assert (await browser.get("/console/payments")).status == 200
    assert (await sara.browser.get("/console/payments")).status == 303


async def test_an_operator_ends_it_with_a_code_and_their_other_sessions_with_it(lab: Lab) -> None:
    sara = await enrolled(lab)
    browser, other = await sara.logs_in(), await sara.logs_in()
    wrong = await confirmed(browser, "/console/second-factor/end", sara.app.wrong(lab.clock.now))
    assert (wrong.status, 'role="alert"' in wrong.text) == (422, True)
    used = await confirmed(browser, "/console/second-factor/end", sara.code())
    assert used.status == 422
    assert (await browser.confirmed("/console/second-factor/end")).status == 422, "nor without one"
    lab.clock.forward(STEP)
    ended = await confirmed(browser, "/console/second-factor/end", sara.code())
    assert ended.status == 303
    assert (await browser.get("/console/payments")).status == 200
    assert (await other.get("/console/payments")).status == 303
    assert (await console(lab).log_in(sara.token)).location == "/console/"
    rows = lab.rows()
    assert [rows[name] for name in ("second_factors", "recovery_codes", "code_guesses")] == [[], [], []]
    assert (await acts(lab))[-1] == ("sara", "second_factor.end")


async def test_a_session_cannot_guess_its_way_out_of_the_second_factor(lab: Lab) -> None:
    sara = await enrolled(lab)
    browser = await sara.logs_in()
    for _ in range(WRONG_CODES):
        await confirmed(browser, "/console/second-factor/end", sara.app.wrong(lab.clock.now))
    lab.clock.forward(STEP)
    assert (await confirmed(browser, "/console/second-factor/end", sara.code())).status == 422
    assert len(lab.rows()["second_factors"]) == 1


async def test_new_recovery_codes_take_the_place_of_the_others(lab: Lab) -> None:
    sara = await enrolled(lab)
    browser = await sara.logs_in()
    lab.clock.forward(STEP)
    page = await confirmed(browser, "/console/second-factor/recovery-codes", sara.code())
    codes = recovery_codes(page)
    assert (page.status, len(set(codes) - set(sara.codes))) == (200, 10)
    assert (await sara.gives(await sara.begins(), sara.codes[0])).status == 401
    assert (await sara.gives(await sara.begins(), codes[0])).status == 303
    assert ("sara", "second_factor.new_recovery_codes") in await acts(lab)


async def test_an_owner_removes_anothers_with_their_sessions(lab: Lab) -> None:
    sara, owner = await enrolled(lab), await operator(lab)
    browser, begun = await sara.logs_in(), await sara.begins()
    path = f"/console/operators/{sara.id}/remove-second-factor"
    assert path in (await owner.get("/console/operators")).text
    assert (await owner.confirmed(path)).status == 303
    assert (await browser.get("/console/payments")).status == 303
    lab.clock.forward(STEP)
    assert (await sara.gives(begun)).location.startswith("/console/login?"), "the token is given anew"
    assert (await console(lab).log_in(sara.token)).location == "/console/"
    assert (await acts(lab))[-1] == ("admin", "second_factor.remove")
    assert (await owner.get(path)).status == 409


async def test_an_owner_removes_it_by_the_api_and_again_without_effect(lab: Lab) -> None:
    sara = await enrolled(lab)
    listed = (await admin(lab, "GET", "")).json["data"]
    assert [each["second_factor_at"] is not None for each in listed] == [True]
    lab.clock.forward(1)
    for _ in range(2):
        answer = await admin(lab, "DELETE", f"/{sara.id}/second-factor")
        assert (answer.status, answer.json["second_factor_at"]) == (200, None)
    assert [each for each in await acts(lab) if each[1] == "second_factor.remove"] == [
        ("admin", "second_factor.remove")
    ]
    assert (await admin(lab, "DELETE", "/opr_nobody/second-factor")).status == 404


async def test_ones_own_ends_by_a_code_alone_even_for_an_owner(lab: Lab) -> None:
    sara = await enrolled(lab, role="owner")
    browser = await sara.logs_in()
    path = f"/console/operators/{sara.id}/remove-second-factor"
    assert path not in (await browser.get("/console/operators")).text
    assert (await browser.confirmed(path)).status == 409
    assert len(lab.rows()["second_factors"]) == 1


async def test_who_is_enrolled_again_has_no_use_of_the_codes_and_browsers_of_before(lab: Lab) -> None:
    sara = await enrolled(lab)
    known = await sara.logs_in()
    lab.clock.forward(STEP)
    await confirmed(known, "/console/second-factor/end", sara.code())
    app, _ = await enrols(lab, known, token=sara.token)
    lab.clock.forward(STEP)
    for code in (sara.codes[0], sara.code()):
        assert (await sara.gives(await sara.begins(), code)).status == 401
    sara.app = app
    thief = await sara.begins(Browser(lab.session, lab.dargah.admin_url, {BROWSER: known.cookies[BROWSER]}))
    assert (await sara.gives(thief, app.wrong(lab.clock.now))).status == 401
    assert "" in [row[1] for row in lab.rows()["code_guesses"]], "it counts as an unknown one"


async def test_enrolling_twice_at_once_makes_one(lab: Lab) -> None:
    _, token = await hired(lab, "sara")
    browsers = [console(lab) for _ in range(3)]
    forms = []
    for browser in browsers:
        await browser.log_in(token)
        page = await browser.get("/console/second-factor")
        forms.append({"offered": offered(page), "code": scanned(page).code(lab.clock.now)})
    sent = (browser.post("/console/second-factor", form) for browser, form in zip(browsers, forms, strict=True))
    answers = await asyncio.gather(*sent)
    assert [answer.status for answer in answers].count(200) == 1
    rows = lab.rows()
    assert (len(rows["second_factors"]), len(rows["recovery_codes"])) == (1, 10)


async def test_tokens_of_the_api_need_no_code(lab: Lab) -> None:
    sara = await enrolled(lab)
    me = await lab.call("GET", f"{lab.dargah.admin_url}/admin/v1/me", token=sara.token)
    assert (me.status, me.json["name"]) == (200, "sara")


async def test_the_settings_tokens_have_none(lab: Lab) -> None:
    owner = await operator(lab)
    page = await owner.get("/console/second-factor?lang=en")
    assert "Tokens of DARGAH_ADMIN_TOKEN have none" in words(page)
    assert (await owner.post("/console/second-factor", {"offered": "", "code": ""})).status == 409
