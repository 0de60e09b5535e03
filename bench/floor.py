"""The floor: an aiohttp server that makes one aiohttp client POST per request and stores nothing. Benchmarks only."""

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web


async def main(upstream: str) -> None:
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
    )

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        async with session.post(f"{upstream}/invoice/request", data=body) as answer:
            return web.Response(body=await answer.read(), content_type="application/json", status=201)

    app = web.Application()
    app.router.add_post("/v1/payments", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"ready on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
