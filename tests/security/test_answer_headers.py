"""No answer tells the server's software, and none that is about somebody is kept: redirects and the login too."""

from pathlib import Path

import pytest
from web.browsing import console
from web.lab import Lab
from web.raw_answers import answers_to

ASKED = [
    ("admin", "GET /console HTTP/1.1"),
    ("admin", "GET /console/ HTTP/1.1"),
    ("admin", "GET /console/payments?x=1 HTTP/1.1"),
    ("admin", "GET /nothing HTTP/1.1"),
    ("admin", "POST /metrics HTTP/1.1"),
    ("public", "GET /portal HTTP/1.1"),
    ("public", "GET /portal/ HTTP/1.1"),
    ("public", "GET /portal/enter/x HTTP/1.1"),
    ("public", "GET /pay/x HTTP/1.1"),
    ("public", "HEAD /return/x HTTP/1.1"),
    ("public", "OPTIONS /v1/payments HTTP/1.1"),
    ("public", "GET //nothing/../ HTTP/1.1"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.mark.parametrize(("listener", "line"), ASKED)
async def test_every_answer_says_who_serves_it_and_that_it_is_not_kept(lab: Lab, listener: str, line: str) -> None:
    url = lab.dargah.url if listener == "public" else lab.dargah.admin_url
    told = await answers_to(url, f"{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head = told.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert b"server: dargah" in head
    assert b"cache-control: no-store" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"aiohttp" not in told.lower()


async def test_the_answers_with_a_sessions_cookie_are_not_kept(lab: Lab) -> None:
    browser = console(lab)
    entered = await browser.log_in()
    assert "Set-Cookie" in entered.headers
    left = await browser.post("/console/logout")
    for answer in (entered, left, await browser.get("/console/")):
        assert answer.status == 303
        assert (answer.headers["Cache-Control"], answer.headers["Server"]) == ("no-store", "dargah")
