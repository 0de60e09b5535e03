"""What browsers are held to: every answer of every route that a customer's browser may come to, and of the APIs."""

import re
from pathlib import Path
from typing import Any

import pytest

from proxy.web import facade, public
from web.lab import RETURN_URL, Answer, Lab, link_of

PAGES = {
    (method, path)
    for method, path in public.operations()
    if path.startswith(public.CUSTOMER_PATHS) or path == facade.PAY
}
UNKNOWN = "0" * 37


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


def assert_is_kept_in(answer: Answer) -> None:
    """What every answer to a browser has, a redirect and a HEAD too."""
    headers = answer.headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert not any("unsafe" in value or "*" in value or "http" in value for value in policy.values()), policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    powers = headers["Permissions-Policy"]
    assert re.fullmatch(r"[a-z-]+=\(\)(, [a-z-]+=\(\))*", powers)
    assert {"camera=()", "geolocation=()", "payment=()"} <= set(powers.split(", "))
    assert headers["Server"] == "dargah"
    assert "Set-Cookie" not in headers
    assert "Strict-Transport-Security" not in headers


def assert_is_a_page(answer: Answer) -> None:
    assert_is_kept_in(answer)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"


def at(path: str, link: str) -> str:
    return path.replace("{link}", link).replace("{invoice_key}", link)


def test_the_walk_has_all_of_them() -> None:
    assert {
        ("GET", "/pay/{link}"),
        ("GET", "/return/{link}"),
        ("POST", "/return/{link}"),
        ("GET", "/invoice/pay/{invoice_key}"),
        ("POST", "/invoice/pay/{invoice_key}"),
    } == PAGES


@pytest.mark.parametrize(("method", "path"), sorted(PAGES))
async def test_every_page_in_every_state_keeps_the_browser_in(lab: Lab, method: str, path: str) -> None:
    open_, paid = (await lab.created(), await lab.created(return_url=RETURN_URL))
    await lab.act(paid, "pay")
    unclear = await lab.created()
    assert_is_a_page(await lab.call(method, at(path, UNKNOWN), token=""))
    for payment in (open_, paid):
        answer = await lab.call(method, at(path, link_of(payment)), token="")
        (assert_is_kept_in if answer.status == 303 else assert_is_a_page)(answer)
    await lab.fault("check", "http_500")
    lab.clock.forward(31 * 60_000)
    assert_is_a_page(await lab.call(method, at(path, link_of(unclear)), token=""))
    if method == "GET":
        assert_is_kept_in(await lab.call("HEAD", at(path, link_of(open_)), token=""))


async def test_a_redirect_leaves_the_shops_window_its_opener(lab: Lab) -> None:
    answer = await lab.call("GET", f"/pay/{link_of(await lab.created())}", token="")
    assert answer.status == 303
    assert "Cross-Origin-Opener-Policy" not in answer.headers


async def test_an_error_page_is_a_page(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(type(lab.dargah.services.checkout), "opened", broken)
    answer = await lab.call("GET", f"/pay/{link_of(await lab.created())}", token="")
    assert answer.status == 500
    assert_is_a_page(answer)


@pytest.mark.parametrize("path", ["/v1/payments", "/v1/nothing", "/healthz", "/readyz", "/"])
async def test_an_apis_answers_are_neither_kept_nor_sniffed(lab: Lab, path: str) -> None:
    headers = (await lab.call("GET", path)).headers
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


class TestHsts:
    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {"public_url": "https://pay.example.ir", "hsts_seconds": 31_536_000}

    @pytest.mark.parametrize("path", ["/healthz", "/nothing", f"/pay/{UNKNOWN}", "/v1/payments"])
    async def test_it_is_on_every_answer_where_it_is_set(self, lab: Lab, path: str) -> None:
        answer = await lab.call("GET", path)
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
