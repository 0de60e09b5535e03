"""`dargah health`: what a container's HEALTHCHECK and a script see."""

import asyncio
from pathlib import Path

from aiohttp import web
from e2e.playground import server

from operators.command import Cli


async def at(url: str, folder: Path, *arguments: str) -> tuple[int, str]:
    ran = await Cli({"DARGAH_LISTEN": url.removeprefix("http://")}, folder).run("health", *arguments)
    return ran.code, ran.out + ran.error


def answering(**statuses: int) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        status = statuses[request.path.strip("/")]
        return web.json_response({"says": status}, status=status)

    app = web.Application()
    for name in statuses:
        app.router.add_get(f"/{name}", answer)
    return app


async def test_it_asks_whether_the_process_lives_or_may_be_sent_work(tmp_path: Path) -> None:
    async with server(answering(healthz=200, readyz=503)) as url:
        assert await at(url, tmp_path) == (0, '{"says": 200}\n')
        code, said = await at(url, tmp_path, "--ready")
        assert (code, "/readyz says 503" in said) == (1, True)


async def test_a_process_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    gone = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    code, said = await at(f"http://127.0.0.1:{port}", tmp_path)
    assert (code, said.count("\n"), "nothing answers" in said) == (1, 1, True)


async def test_a_wildcard_is_asked_on_loopback(tmp_path: Path) -> None:
    async with server(answering(healthz=200)) as url:
        assert (await at(url.replace("127.0.0.1", "0.0.0.0"), tmp_path))[0] == 0  # noqa: S104  listened on, not called
