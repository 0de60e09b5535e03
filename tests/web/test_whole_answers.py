"""Answers that leave in one write, and requests that find their handler by one look-up: on the wire as any other's."""

from pathlib import Path

import pytest

from web.lab import Lab
from web.raw_answers import answers_to, statuses

LAST = b"Connection: close\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


def asked(target: bytes, *, method: bytes = b"GET", version: bytes = b"1.1", more: bytes = b"") -> bytes:
    return b"%s %s HTTP/%s\r\nHost: x\r\n%s\r\n" % (method, target, version, more)


def head_and_body(answered: bytes) -> tuple[bytes, bytes]:
    head, _, body = answered.partition(b"\r\n\r\n")
    return head.lower(), body


async def test_its_length_is_that_of_its_body(lab: Lab) -> None:
    head, body = head_and_body(await answers_to(lab.dargah.url, asked(b"/healthz", more=LAST)))
    assert body == b'{"status":"ok"}'
    assert b"\r\ncontent-length: 15" in head
    assert b"\r\ndate: " in head
    assert b"transfer-encoding" not in head


async def test_the_client_that_closes_is_told_that_it_is_closed(lab: Lab) -> None:
    head, _ = head_and_body(await answers_to(lab.dargah.url, asked(b"/healthz", more=LAST)))
    assert b"\r\nconnection: close" in head


async def test_head_has_the_length_and_no_body(lab: Lab) -> None:
    head, body = head_and_body(await answers_to(lab.dargah.url, asked(b"/healthz", method=b"HEAD", more=LAST)))
    assert (b"\r\ncontent-length: 15" in head, body) == (True, b"")


async def test_an_old_client_is_answered_in_its_version_and_closed(lab: Lab) -> None:
    head, body = head_and_body(await answers_to(lab.dargah.url, asked(b"/healthz", version=b"1.0")))
    assert head.startswith(b"http/1.0 200 ")
    assert (b"keep-alive" in head, body) == (False, b'{"status":"ok"}')


async def test_requests_in_a_row_are_answered_in_their_order(lab: Lab) -> None:
    row = asked(b"/healthz") + asked(b"/v1/nothing") + asked(b"/readyz") + asked(b"/healthz", more=LAST)
    assert statuses(await answers_to(lab.dargah.url, row)) == [200, 404, 200, 200]


@pytest.mark.parametrize("target", [b"/health%7A", b"http://elsewhere/healthz", b"/healthz?x=1", b"/healthz?"])
async def test_a_path_is_the_same_however_it_is_written(lab: Lab, target: bytes) -> None:
    assert statuses(await answers_to(lab.dargah.url, asked(target, more=LAST))) == [200]


async def test_who_waits_to_be_told_to_go_on_is_told(lab: Lab) -> None:
    body = b'{"amount":1}'
    more = b"Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(body) + LAST
    told = await answers_to(lab.dargah.url, asked(b"/v1/payments", method=b"POST", more=more) + body)
    assert statuses(told) == [100, 401]
