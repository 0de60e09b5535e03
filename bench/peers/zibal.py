"""A Zibal as quick as it can be, in this process, and its ledger: who paid, and whose verify kept the money."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

FIRST_TRACK_ID: Final = 10_000_000_000_000
FIRST_REFERENCE: Final = 700_000_000
SUCCESS, VERIFIED_BEFORE, NOT_PAID, UNKNOWN = 100, 201, 202, 203
WAITING, PAID_AND_VERIFIED, PAID = -1, 1, 2


@dataclass(slots=True)
class Invoice:
    track_id: int
    amount: int
    callback_url: str
    order_id: str
    paid: bool = False
    verified: bool = False


@dataclass(slots=True)
class Zibal:
    """The gateway's ledger, and its three calls."""

    url: str = ""
    invoices: dict[int, Invoice] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(FIRST_TRACK_ID))

    def pay(self, track_id: int) -> str:
        """The customer pays; gives the URL that the gateway sends their browser to."""
        invoice = self.invoices[track_id]
        invoice.paid = True
        mark = "&" if "?" in invoice.callback_url else "?"
        return f"{invoice.callback_url}{mark}trackId={track_id}&success=1&status={PAID}&orderId={invoice.order_id}"

    def answer(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        if path == "/v1/request":
            number = next(self._numbers)
            amount, order_id = int(fields["amount"]), str(fields.get("orderId") or "")
            self.invoices[number] = Invoice(number, amount, fields["callbackUrl"], order_id)
            return {"result": SUCCESS, "message": "success", "trackId": number}
        invoice = self.invoices.get(int(fields["trackId"]))
        if invoice is None:
            return {"result": UNKNOWN, "message": "unknown trackId"}
        if path == "/v1/inquiry":
            return {"result": SUCCESS, "message": "success", "wage": 0, **numbers(invoice)}
        return self._verify(invoice, data_again=fields.get("dataOnDoubleVerify") is True)

    @staticmethod
    def _verify(invoice: Invoice, *, data_again: bool) -> dict[str, Any]:
        if not invoice.paid:
            return {"result": NOT_PAID, "message": "not paid"}
        if invoice.verified:
            told = numbers(invoice) if data_again else {}
            return {"result": VERIFIED_BEFORE, "message": "verified before", **told}
        invoice.verified = True
        return {"result": SUCCESS, "message": "success", **numbers(invoice)}


def numbers(invoice: Invoice) -> dict[str, Any]:
    status = PAID_AND_VERIFIED if invoice.verified else PAID if invoice.paid else WAITING
    return {
        "amount": invoice.amount,
        "status": status,
        "refNumber": invoice.track_id % 10**12 + FIRST_REFERENCE if invoice.paid else None,
        "cardNumber": "603799******1234" if invoice.paid else None,
        "orderId": invoice.order_id or None,
        "description": "",
    }


class Wire(asyncio.Protocol):
    """One connection to the gateway, kept alive."""

    def __init__(self, gateway: Zibal) -> None:
        self._gateway, self._buffer = gateway, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
            whole = end + 4 + length
            if len(self._buffer) < whole:
                return
            path = self._buffer.split(b" ", 2)[1].decode()
            told = self._gateway.answer(path, json.loads(self._buffer[end + 4 : whole]))
            self._buffer = self._buffer[whole:]
            body = json.dumps(told).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._transport.write(head + body)


@asynccontextmanager
async def listening() -> AsyncIterator[Zibal]:
    """A gateway with an empty ledger."""
    gateway = Zibal()
    server = await asyncio.get_running_loop().create_server(lambda: Wire(gateway), "127.0.0.1", 0)
    async with server:
        gateway.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield gateway
