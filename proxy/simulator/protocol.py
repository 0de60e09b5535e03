"""The script's three paths over HTTP."""

import asyncio
import socket
import struct
from collections.abc import Callable

from aiohttp import web

from proxy.simulator import pages
from proxy.simulator.bank import AlreadyCapturedError, UnknownInvoiceError
from proxy.simulator.gateway import Act, Gateway, Visit
from proxy.simulator.journal import Journal
from proxy.simulator.ledger import ReturnMethod
from proxy.simulator.reply import Reply, plain
from proxy.wire import parse_fields, refusal

MAX_BODY_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024


class Protocol:
    """Request, pay and check, each answered only when what it did is durable. `tell` gets a line per call."""

    def __init__(self, gateway: Gateway, journal: Journal, tell: Callable[[str], None] | None) -> None:
        self._gateway = gateway
        self._journal = journal
        self._tell = tell

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        for slash in ("", "/"):
            router.add_route("*", f"{prefix}/invoice/request{slash}", self.request)
            router.add_route("*", f"{prefix}/invoice/check/{{invoice_key}}{slash}", self.check)
            router.add_get(f"{prefix}/invoice/pay/{{invoice_key}}{slash}", self.page)
            router.add_post(f"{prefix}/invoice/pay/{{invoice_key}}{slash}", self.act)

    async def request(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return await play(request, plain(refusal(100)))
        fields = await _fields(request)
        reply = self._gateway.request(fields, request.remote or "")
        return await self._answer(request, "request", reply)

    async def check(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return await play(request, plain(refusal(100)))
        invoice_key = request.match_info["invoice_key"]
        fields = await _fields(request)
        reply = self._gateway.check(invoice_key, fields, request.remote or "")
        return await self._answer(request, f"check {invoice_key}", reply)

    async def page(self, request: web.Request) -> web.StreamResponse:
        try:
            invoice = self._gateway.bank.invoice(request.match_info["invoice_key"])
        except UnknownInvoiceError:
            return _unknown_invoice()
        await self._journal.settled()
        return _html(pages.pay_page(invoice))

    async def act(self, request: web.Request) -> web.StreamResponse:
        invoice_key = request.match_info["invoice_key"]
        try:
            act = Act(str((await request.post()).get("action")))
            visit = self._gateway.act(invoice_key, act)
        except UnknownInvoiceError:
            return _unknown_invoice()
        except AlreadyCapturedError:
            return _html(pages.pay_page(self._gateway.bank.invoice(invoice_key)), 409)
        except ValueError:
            return _html(pages.message_page("درخواست نادرست", "یکی از دکمه‌های صفحه پرداخت را بزنید."), 400)
        await self._journal.settled()
        if self._tell is not None:
            self._tell(f"{act} {invoice_key} -> {visit.invoice.state} {' '.join(visit.faults)}".rstrip())
        return await _send_back(request, visit)

    async def _answer(self, request: web.Request, call: str, reply: Reply) -> web.StreamResponse:
        await self._journal.settled()
        if self._tell is not None:
            shown = "reset" if reply.reset else reply.body[-200:].decode(errors="replace").strip()
            self._tell(f"{call} -> {shown}")
        return await play(request, reply)


async def play(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Put a reply on the wire, with its delay, drip or reset."""
    if reply.delay_seconds:
        await asyncio.sleep(reply.delay_seconds)
    if reply.reset:
        return _reset(request)
    if not reply.drip_seconds and len(reply.body) <= _CHUNK_BYTES:
        return web.Response(body=reply.body, status=reply.status, content_type=reply.content_type, charset="utf-8")
    return await _stream(request, reply)


async def _stream(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status)
    response.content_type = reply.content_type
    response.content_length = len(reply.body)
    step = 1 if reply.drip_seconds else _CHUNK_BYTES
    try:
        await response.prepare(request)
        for start in range(0, len(reply.body), step):
            await response.write(reply.body[start : start + step])
            await asyncio.sleep(reply.drip_seconds)
        await response.write_eof()
    except ConnectionError:
        # The caller had enough, which is what these faults are for.
        _reset(request)
    return response


def _reset(request: web.Request) -> web.Response:
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # No lingering: the kernel sends RST instead of a tidy FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _fields(request: web.Request) -> dict[str, object]:
    return parse_fields(await request.read(), request.headers.get("Content-Type", ""))


async def _send_back(request: web.Request, visit: Visit) -> web.StreamResponse:
    if visit.broken is not None:
        return await play(request, visit.broken)
    if not visit.returns:
        return _html(pages.message_page("عملیات بانک پایان یافت", "می‌توانید این صفحه را ببندید."))
    trip = visit.returns[-1]
    if trip.delay_seconds:
        await asyncio.sleep(trip.delay_seconds)
    if len(visit.returns) == 1 and trip.method is ReturnMethod.GET:
        return web.Response(status=303, headers={**pages.HEADERS, "Location": trip.url})
    return _html(pages.return_page(visit.returns))


def _unknown_invoice() -> web.Response:
    return _html(pages.message_page("شناسه پرداخت صحیح نیست", "از سایت پذیرنده دوباره پرداخت را آغاز کنید."), 404)


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=pages.HEADERS)
