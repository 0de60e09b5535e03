"""Nothing that a stranger sends takes more than milliseconds to refuse: the bytes, on a live port."""

import asyncio
import gc
import json
import time
import tracemalloc
from pathlib import Path
from typing import Final

import pytest
from web.drop_in import drop_in
from web.lab import Lab
from web.raw_answers import answers_to, posted, statuses

# What a refusal may take of the processor that the tests share; the attacks took seconds.
CPU_SECONDS: Final = 0.1
MULTIPART: Final = "multipart/form-data; boundary=b"
JSON: Final = "application/json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: all of this is refused before any store."""
    return tmp_path


def nested(depth: int) -> bytes:
    """Multiparts within multiparts."""
    opening = (f"--b{n}\r\nContent-Type: multipart/mixed; boundary=b{n + 1}\r\n\r\n" for n in range(depth))
    return b"--b\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n" + "".join(opening).encode()


UNREADABLE: Final = {
    "the issue's 300 bytes": (b"--b\n\n" * 60, MULTIPART + ";a=b" * 3800, 415),
    "the same body under a short type": (b"--b\n\n" * 12_000, MULTIPART, 400),
    "nested multiparts": (nested(900), MULTIPART, 400),
    "a type of 201 characters": (b"", MULTIPART + ";" * 170, 415),
    "too many parts": (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 900 + b"--b--", MULTIPART, 400),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_hostile_form_at_the_drop_in_is_refused_at_once(lab: Lab, name: str) -> None:
    body, content_type, status = UNREADABLE[name]
    started = time.process_time()
    answer = await answers_to(lab.dargah.url, posted("/invoice/request", body, content_type))
    assert time.process_time() - started < CPU_SECONDS
    assert statuses(answer) == [status]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errorCode"] == 101


@pytest.mark.parametrize("path", ["/v1/payments", "/v1/webhook-endpoints", "/v1/events/test"])
@pytest.mark.parametrize("tail", [";a=b" * 3800, ";" + "(" * 15_000, ";" + '"' * 15_000, ";(((("])
async def test_a_hostile_content_type_of_a_json_route_is_refused_at_once(lab: Lab, path: str, tail: str) -> None:
    headers = {"Authorization": f"Bearer {lab.token}", "Idempotency_Key": "k"}
    started = time.process_time()
    answer = await answers_to(lab.dargah.url, posted(path, b"{}", JSON + tail, **headers))
    assert time.process_time() - started < CPU_SECONDS
    # A short one is JSON with parameters that nobody reads; what is wrong then is the order.
    assert statuses(answer) == [415 if len(tail) > 200 else 422]


async def test_a_content_type_that_says_two_things_is_refused(lab: Lab) -> None:
    headers = {"Authorization": f"Bearer {lab.token}", "Idempotency_Key": "k"}
    answer = await answers_to(lab.dargah.url, posted("/v1/payments", b"{}", JSON, "text/plain", **headers))
    assert statuses(answer) == [400]


@pytest.mark.parametrize("where", ["console", "portal"])
async def test_a_hostile_content_type_of_a_form_is_refused_at_once(lab: Lab, where: str) -> None:
    url = lab.dargah.admin_url if where == "console" else lab.dargah.url
    path = "/console/login" if where == "console" else "/portal/logout"
    started = time.process_time()
    form = posted(path, b"token=x", "application/x-www-form-urlencoded" + ";(" * 7000, Sec_Fetch_Site="same-origin")
    answer = await answers_to(url, form)
    assert time.process_time() - started < CPU_SECONDS
    assert statuses(answer) == ([415] if where == "console" else [401])


@pytest.mark.parametrize("depth", [255, 600, 1023, 1024, 1025, 20_000])
@pytest.mark.parametrize("shape", ['{"a":', "["])
async def test_json_that_is_too_deep_is_refused(lab: Lab, depth: int, shape: str) -> None:
    closing = "}" if shape.startswith("{") else "]"
    body = '{"amount":' + shape * depth + "1" + closing * depth + "}"
    headers = {"Idempotency-Key": "k", "Content-Type": JSON}
    answer = await lab.call("POST", "/v1/payments", data=body[:65_536].encode(), headers=headers)
    assert (answer.status, answer.json["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("number", ["9" * 4000, "9" * 5000, "-" + "9" * 30_000, "1e999999", "0." + "3" * 20_000])
async def test_numbers_of_thousands_of_digits_are_refused(lab: Lab, number: str) -> None:
    body = f'{{"amount": {number}, "currency": "IRT", "order_id": "1"}}'.encode()
    headers = {"Idempotency-Key": "k", "Content-Type": JSON}
    answer = await lab.call("POST", "/v1/payments", data=body, headers=headers)
    assert answer.status in {400, 422}


CHUNKED: Final = b"POST /invoice/request HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
MALFORMED: Final = {
    "trailers": CHUNKED + b"0\r\n" + b"X: y\r\n" * 40_000,
    "a chunk's length": CHUNKED + b"z" * 240_000,
    "a head": b"GET / HTTP/1.1\r\n" + b"\x00" * 240_000,
    "headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 40_000,
    "no HTTP": b"\xff" * 240_000,
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_cannot_be_read_leaves_no_memory_behind(lab: Lab, name: str) -> None:
    """Not until a collector comes either, which is seldom."""
    await answers_to(lab.dargah.url, MALFORMED[name])
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(10):
            await answers_to(lab.dargah.url, MALFORMED[name])
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert left < len(MALFORMED[name])


async def test_others_are_served_meanwhile(lab: Lab) -> None:
    body, content_type, _ = UNREADABLE["the issue's 300 bytes"]
    attack = posted("/invoice/request", body, content_type)
    async with asyncio.timeout(5):
        answers = await asyncio.gather(
            *(answers_to(lab.dargah.url, attack) for _ in range(50)),
            answers_to(lab.dargah.url, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        )
    assert statuses(answers[-1]) == [200]
    assert {status for answer in answers[:-1] for status in statuses(answer)} <= {415, 200}
    assert (await drop_in(lab)).token  # the process lives
