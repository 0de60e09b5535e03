"""The script's three paths over HTTP."""

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import Callable

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from proxy.gateways.invoice_script.codes import Code
from proxy.gateways.invoice_script.wire import host_of, parse_fields, refusal
from proxy.http.forms import UnreadableForm
from proxy.simulator.bank import AlreadyCapturedError, UnknownInvoiceError
from proxy.simulator.faults import WireReply, plain
from proxy.simulator.gateway import Act, ActResult, Return, SimulatedGateway
from proxy.simulator.ledger import HostReturnMethod, Invoice, Journal, State

_PERSIAN = str.maketrans("0123456789,", "۰۱۲۳۴۵۶۷۸۹٬")
_NOTICES = {
    State.OPEN: None,
    State.CANCELED: "این پرداخت پیش‌تر لغو شده است. هنوز می‌توانید آن را پرداخت کنید.",
    State.FAILED: "تلاش پیشین در بانک ناموفق بود. می‌توانید دوباره پرداخت کنید.",
    State.CAPTURED: "این صورتحساب پرداخت شده است.",
}
# Repeats go first, into hidden frames; then the customer's own trip.
_GO = (
    "document.querySelectorAll('form[hidden]').forEach(function(f){f.submit()});"
    "var g=document.getElementById('go');g.submit?g.submit():location.replace(g.href);"
)
_GO_HASH = base64.b64encode(hashlib.sha256(_GO.encode()).digest()).decode()

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # No form-action: Chrome holds it against the redirect that follows the form, which leads to the shop.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-src http: https:; base-uri 'none'; "
        f"frame-ancestors 'none'; script-src 'sha256-{_GO_HASH}'"
    ),
}


def persian_number(number: int) -> str:
    """Persian digits, grouped by thousands."""
    return f"{number:,}".translate(_PERSIAN)


def persian_tomans(amount_rials: int) -> str:
    """The amount in toman, ten rials each; the odd rials as a decimal."""
    tomans, odd_rials = divmod(amount_rials, 10)
    return persian_number(tomans) + (f"٫{persian_number(odd_rials)}" if odd_rials else "")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("proxy.simulator"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(rials=persian_number, tomans=persian_tomans)
    return environment


_PAGES = _environment()


def pay_page(invoice: Invoice) -> str:
    """The page with amount, merchant and buttons; for a captured invoice only the way back."""
    return _PAGES.get_template("pay.html").render(
        amount_rials=invoice.amount_rials,
        invoice_key=invoice.invoice_key,
        shop=host_of(invoice.return_url),
        notice=_NOTICES[invoice.state],
        captured=invoice.state is State.CAPTURED,
    )


def return_page(returns: tuple[Return, ...]) -> str:
    """A page that goes back to the shop by itself, or by a button where scripts are off.

    The last trip is the visible one.
    """
    return _PAGES.get_template("return.html").render(trip=returns[-1], repeats=returns[:-1], script=Markup(_GO))  # noqa: S704  # a constant


def message_page(title: str, text: str) -> str:
    return _PAGES.get_template("message.html").render(title=title, text=text)


MAX_BODY_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
_WRONG_REFERRER = "این درگاه مشتری را فقط از نشانی ثبت‌شده می‌پذیرد (سرآیند Referer)؛ به سایت پذیرنده بازگردید."


class ScriptRoutes:
    """Request, pay and check, each answered only when what it did is durable. `report` gets a line per call."""

    def __init__(self, gateway: SimulatedGateway, journal: Journal, report: Callable[[str], None] | None) -> None:
        self._gateway = gateway
        self._journal = journal
        self._report = report

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        for path in _paths(prefix, "request"):
            router.add_route("*", path, self.request)
        for path in _paths(prefix, "check", "{invoice_key}"):
            router.add_route("*", path, self.check)
        for path in _paths(prefix, "pay", "{invoice_key}"):
            router.add_get(path, self.page)
            router.add_post(path, self.act)

    async def request(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return await play(request, plain(refusal(Code.NOT_POST)))
        fields = await _fields(request)
        reply = self._gateway.request(fields, request.remote or "")
        return await self._answer(request, "request", reply)

    async def check(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return await play(request, plain(refusal(Code.NOT_POST)))
        invoice_key = request.match_info["invoice_key"]
        fields = await _fields(request)
        reply = self._gateway.check(invoice_key, fields, request.remote or "")
        return await self._answer(request, f"check {invoice_key}", reply)

    async def page(self, request: web.Request) -> web.StreamResponse:
        try:
            invoice = self._gateway.bank.invoice(request.match_info["invoice_key"])
        except UnknownInvoiceError:
            return _unknown_invoice()
        if not self._gateway.lets_in(invoice, request.headers.get("Referer", "")):
            return _html(message_page("از این سایت نمی‌توان پرداخت کرد", _WRONG_REFERRER), 403)
        await self._journal.settled()
        return _html(pay_page(invoice))

    async def act(self, request: web.Request) -> web.StreamResponse:
        invoice_key = request.match_info["invoice_key"]
        form = await request.post()
        if "action" not in form:
            # Shops post a form here as often as they redirect.
            return await self.page(request)
        try:
            act = Act(str(form["action"]))
            visit = self._gateway.act(invoice_key, act)
        except UnknownInvoiceError:
            return _unknown_invoice()
        except AlreadyCapturedError:
            return _html(pay_page(self._gateway.bank.invoice(invoice_key)), 409)
        except ValueError:
            return _html(message_page("درخواست نادرست", "یکی از دکمه‌های صفحه پرداخت را بزنید."), 400)
        await self._journal.settled()
        if self._report is not None:
            self._report(f"{act} {invoice_key} -> {visit.invoice.state} {' '.join(visit.faults)}".rstrip())
        return await _send_back(request, visit)

    async def _answer(self, request: web.Request, call: str, reply: WireReply) -> web.StreamResponse:
        await self._journal.settled()
        if self._report is not None:
            shown = "reset" if reply.reset else reply.body[-200:].decode(errors="replace").strip()
            self._report(f"{call} -> {shown}")
        return await play(request, reply)


def _paths(prefix: str, *parts: str) -> tuple[str, str]:
    """A path of the script as it should be, and with slashes doubled or behind it, as shops put addresses together."""
    names = [*prefix.strip("/").split("/"), "invoice", *parts] if prefix else ["invoice", *parts]
    slashes = [f"{{slashes{number}:/+}}" for number in range(1, len(names))]
    lenient = "".join(name + mark for name, mark in zip(names, [*slashes, "{last:/*}"], strict=True))
    return "/" + "/".join(names), "/{first:/*}" + lenient


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


async def _fields(request: web.Request) -> dict[str, object]:
    try:
        return parse_fields(await request.read(), request.headers.get("Content-Type", ""))
    except UnreadableForm:
        return {}


async def _send_back(request: web.Request, visit: ActResult) -> web.StreamResponse:
    if visit.broken is not None:
        return await play(request, visit.broken)
    if not visit.returns:
        return _html(message_page("عملیات بانک پایان یافت", "می‌توانید این صفحه را ببندید."))
    trip = visit.returns[-1]
    if trip.delay_seconds:
        await asyncio.sleep(trip.delay_seconds)
    if len(visit.returns) == 1 and trip.method is HostReturnMethod.GET:
        return web.Response(status=303, headers={**HEADERS, "Location": trip.url})
    return _html(return_page(visit.returns))


def _unknown_invoice() -> web.Response:
    return _html(message_page("شناسه پرداخت صحیح نیست", "از سایت پذیرنده دوباره پرداخت را آغاز کنید."), 404)


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)
