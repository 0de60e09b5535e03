"""The settings of second factors: where one is required, and where the tokens of the settings open no console."""

from typing import Any

import pytest

from proxy.console.routes import ROUTES
from web.clients import OPERATOR_TOKEN, Browser, console, operator, words
from web.lab import Lab
from web.second_factors import STEP, admin, confirmed, enrolled, enrols, hired, opened_before
from web.test_console_doors import path_of


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"second_factor": "required"}


@pytest.fixture
async def newcomer(lab: Lab) -> Browser:
    """Of an owner without a second factor."""
    _, token = await hired(lab, "sara", "owner")
    browser = console(lab)
    assert (await browser.log_in(token)).status == 303
    return browser


async def test_an_operator_without_one_can_do_nothing_but_enrol_and_leave(lab: Lab, newcomer: Browser) -> None:
    page = await newcomer.get("/console/second-factor?lang=en")
    assert "enrol yours before anything else" in words(page)
    before = lab.rows()
    for route in ROUTES:
        if route.path in {"/second-factor", "/logout"}:
            continue
        path = f"/console{path_of(route.path)}"
        answer = await (newcomer.get(path) if route.method == "GET" else newcomer.post(path, {"name": "x"}))
        assert (answer.status, answer.headers.get("Location")) == (303, "/console/second-factor"), path
    assert lab.rows() == before
    assert (await newcomer.post("/console/logout")).location == "/console/login"


async def test_after_enrolling_the_console_is_open_at_once(lab: Lab, newcomer: Browser) -> None:
    await enrols(lab, newcomer)
    assert (await newcomer.get("/console/operators")).status == 200


async def test_who_ends_it_must_enrol_another(lab: Lab) -> None:
    sara = await enrolled(lab)
    lab.clock.forward(STEP)
    ended = await confirmed(sara.browser, "/console/second-factor/end", sara.code())
    assert ended.status == 303
    assert (await sara.browser.get("/console/payments")).location == "/console/second-factor"
    again = await sara.browser.get("/console/second-factor")
    assert "otpauth:" in again.text


async def test_the_settings_tokens_stay_the_way_back_in(lab: Lab) -> None:
    owner, sara = await operator(lab), await enrolled(lab)
    assert (await owner.get("/console/payments")).status == 200
    assert (await owner.confirmed(f"/console/operators/{sara.id}/remove-second-factor")).status == 303


class TestWithoutSettingsTokens:
    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {"console_settings_tokens": False}

    async def test_they_open_no_console_and_are_told_so(self, lab: Lab) -> None:
        browser = console(lab)
        answer = await browser.log_in()
        assert (answer.status, browser.cookies) == (403, {})
        assert "DARGAH_CONSOLE_SETTINGS_TOKENS" in answer.text
        assert lab.rows()["sessions"] == []

    async def test_a_session_from_before_the_setting_is_over(self, lab: Lab) -> None:
        assert (await (await opened_before(lab, OPERATOR_TOKEN, "admin")).get("/console/payments")).status == 303

    async def test_they_go_on_at_the_api_and_operators_at_the_console(self, lab: Lab) -> None:
        me = await lab.call("GET", f"{lab.dargah.admin_url}/admin/v1/me", token=OPERATOR_TOKEN)
        assert me.json["operator_id"] is None
        sara = await enrolled(lab)
        assert (await admin(lab, "DELETE", f"/{sara.id}/second-factor")).status == 200
        assert (await console(lab).log_in(sara.token)).location == "/console/"
