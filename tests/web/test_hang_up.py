"""Callers who hang up in the middle: a network's everyday, and no error of ours."""

import asyncio

from structlog.testing import capture_logs

from web.lab import Lab


async def test_a_body_that_ends_in_the_middle_is_not_logged_as_our_error(lab: Lab) -> None:
    before = lab.rows()
    with capture_logs() as lines:
        await _hang_up_in_the_body(lab)
        async with asyncio.timeout(10):
            while not (told := [line for line in lines if line.get("route") == "/v1/payments"]):  # noqa: ASYNC110  a log
                await asyncio.sleep(0.01)
    assert [line["log_level"] for line in told] == ["info"]
    assert lab.rows() == before


async def _hang_up_in_the_body(lab: Lab) -> None:
    host, _, port = lab.dargah.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"
        b"Content-Length: 100\r\nAuthorization: Bearer %s\r\n\r\n{" % lab.token.encode()
    )
    await writer.drain()
    writer.transport.abort()
