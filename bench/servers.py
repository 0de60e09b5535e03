"""What stands around Dargah, each as a process: `gateway`, and `pass-through URL` of a gateway.

The gateway is as quick as it can be, from a raw protocol: a new invoice_key for each request, and every invoice is
paid. The pass-through is an aiohttp server that makes one aiohttp client POST per request and stores nothing.
"""

import asyncio
import itertools
import sys
from typing import Final, cast

import aiohttp
import uvloop
from aiohttp import web

CHECK: Final = b"/invoice/check/"
numbers = itertools.count(1)


def answer(path: bytes) -> bytes:
    if path.startswith(CHECK):
        # The bank_code of an invoice is the same as often as it is asked, and no other invoice's.
        return b'{"status":1,"amount":150000,"bank_code":"%s"}' % path.removeprefix(CHECK)
    return b'{"status":1,"invoice_key":"inv%012d"}' % next(numbers)


class Gateway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            path = self.buffer[: self.buffer.index(b"\r\n")].split(b" ")[1]
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            body = answer(path)
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )


async def gateway() -> None:
    server = await asyncio.get_running_loop().create_server(Gateway, "127.0.0.1", 0)
    print(f"ready on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


async def pass_through(url: str) -> None:
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
    )

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        async with session.post(f"{url}/invoice/request", data=body) as answer:
            return web.Response(body=await answer.read(), content_type="application/json", status=201)

    app = web.Application()
    app.router.add_post("/v1/payments", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"ready on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(gateway() if sys.argv[1] == "gateway" else pass_through(sys.argv[2]))
