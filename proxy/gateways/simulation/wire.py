"""Replies on the wire as their faults have them, and the customer's trip back."""

import asyncio
import socket
import struct
from typing import Any

import orjson
from aiohttp import web

from proxy.gateways.simulation.gateway import ActResult
from proxy.gateways.simulation.ledger import HostReturnMethod
from proxy.gateways.simulation.pages import HEADERS, end_page, page_answer, return_page
from proxy.gateways.simulation.replies import WireReply

_CHUNK_BYTES = 64 * 1024


async def json_fields(request: web.Request) -> dict[str, Any]:
    """The fields of a JSON body, whatever its content type says; none when it is no JSON object."""
    try:
        fields = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


async def named_fields(request: web.Request) -> dict[str, Any]:
    """The same with the names in lower case, for families whose hosts read them in any."""
    return {name.lower(): value for name, value in (await json_fields(request)).items()}


async def play(request: web.Request, reply: WireReply) -> web.StreamResponse:
    """Put a reply on the wire, with its delay, drip or reset."""
    if reply.delay_seconds:
        await asyncio.sleep(reply.delay_seconds)
    if reply.reset:
        return _reset(request)
    if not reply.drip_seconds and len(reply.body) <= _CHUNK_BYTES:
        return web.Response(body=reply.body, status=reply.status, content_type=reply.content_type, charset="utf-8")
    return await _stream(request, reply)


async def _stream(request: web.Request, reply: WireReply) -> web.StreamResponse:
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


async def send_back(request: web.Request, visit: ActResult) -> web.StreamResponse:
    """The answer that takes the customer back to the shop, or that an act's fault has instead."""
    if visit.broken is not None:
        return await play(request, visit.broken)
    if not visit.returns:
        return end_page()
    trip = visit.returns[-1]
    if trip.delay_seconds:
        await asyncio.sleep(trip.delay_seconds)
    if len(visit.returns) == 1 and trip.method is HostReturnMethod.GET:
        return web.Response(status=303, headers={**HEADERS, "Location": trip.url})
    return page_answer(return_page(visit.returns))
