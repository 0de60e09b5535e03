"""What a family's simulator is: the wire that it adds to the engine. A family's `simulator.py` extends Dialect."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from aiohttp import web

from proxy.gateways.family import Family
from proxy.gateways.simulation.faults import GatewayCall, GatewayOperation
from proxy.gateways.simulation.gateway import Act, SimulatedGateway, Truth
from proxy.gateways.simulation.ledger import HostReturnMethod, Invoice, Journal, SimulatedTerminal
from proxy.gateways.simulation.pages import page_answer, pay_page, unknown_invoice, wrong_button, wrong_referrer
from proxy.gateways.simulation.replies import WireReply
from proxy.gateways.simulation.terms import AlreadyCapturedError, LinkExpiredError, Terms, UnknownInvoiceError
from proxy.gateways.simulation.wire import play, send_back

MAX_BODY_BYTES: Final = 64 * 1024
_SHOWN_BYTES: Final = 200


class Dialect:
    """A family's calls, pay page and return, over the engine's bank and faults.

    A call is a pure method that gives `self.answer(…)`, and a route that plays it by `self.send`. `errors` are the
    codes that chaos draws for each operation, `return_extras` the names that a terminal of the family may have as such,
    and `ways` those of the family's forms that a terminal may choose among, with the ways of each, the usual one first.
    `report` gets a line for each call, with no credential in it.
    """

    family: ClassVar[Family]
    sample: ClassVar[Mapping[str, str]] = {}
    """Credentials of a terminal to try it with, the main id first."""
    errors: ClassVar[Mapping[GatewayOperation, tuple[int, ...]]] = {}
    return_extras: ClassVar[frozenset[str]] = frozenset()
    ways: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(
        self, gateway: SimulatedGateway, journal: Journal | None = None, report: Callable[[str], None] | None = None
    ) -> None:
        self.gateway = gateway
        self.bank = gateway.bank
        self._journal = journal
        self._report = report
        self.bank.terms[self.family.name] = self.terms()
        gateway.ways_back[self.family.name] = self._way_back

    def terms(self) -> Terms:
        """The bank's rules for the family, which its traits say."""
        return Terms.of(self.family.traits)

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """The family's paths below `prefix`: its calls, and its pay page by `add_pay_page`."""
        raise NotImplementedError

    def error(self, operation: GatewayOperation, code: int | None, /) -> WireReply:
        """The family's own error answer to an operation; without a code, the one of a gateway that is out of order."""
        raise NotImplementedError

    def return_params(self, invoice: Invoice, terminal: SimulatedTerminal, /) -> dict[str, str]:
        """The parameters of the customer's return, as the invoice is now."""
        raise NotImplementedError

    def forged_params(self, invoice: Invoice, terminal: SimulatedTerminal, /) -> dict[str, str]:
        """A return that claims a success for another invoice, such as somebody writes who never paid.

        By default it is the true return of the family's newest other invoice.
        """
        return self.return_params(self.bank.other_invoice(invoice.invoice_key, captured=False) or invoice, terminal)

    def return_method(self, invoice: Invoice, terminal: SimulatedTerminal, /) -> HostReturnMethod:
        """How the customer comes back: as the shop chose for the invoice, else as the terminal is set."""
        return invoice.return_method or terminal.return_method

    def key_of(self, request: web.Request, _form: Mapping[str, Any], /) -> str:
        """The key of the invoice that a request for the pay page is about; the path's `invoice_key` by default."""
        return request.match_info["invoice_key"]

    def page_fields(self, _invoice: Invoice, /) -> Mapping[str, str]:
        """Hidden fields of the pay page's form, where `key_of` reads the form."""
        return {}

    def terminal(self, terminal_id: object) -> SimulatedTerminal | None:
        """The family's terminal of that main id."""
        terminal = self.bank.terminals.get(str(terminal_id))
        return terminal if terminal is not None and terminal.family == self.family.name else None

    def way(self, form: str, terminal: SimulatedTerminal | None) -> str:
        """Which way the terminal's host has of a form."""
        return self.ways[form][0] if terminal is None else terminal.forms.get(form, self.ways[form][0])

    def answer(
        self, operation: GatewayOperation, subject: str, terminal_id: str, work: Callable[[Truth], WireReply]
    ) -> WireReply:
        """The answer to one call, with the fault that strikes it, counted by its code.

        `subject` is the invoice's key, or for a request whatever tells it from others. `work` does the call; it gets a
        function through which it must look at an invoice before it tells of its amount or receipt.
        """
        call = GatewayCall(operation, subject, terminal_id, self.errors.get(operation, ()))
        return self.gateway.answer(call, work, lambda code: self.error(operation, code))

    async def send(self, request: web.Request, call: str, reply: WireReply) -> web.StreamResponse:
        """Plays a reply when what it tells of is durable. `call` names it in the report."""
        await self.settled()
        if self._report is not None:
            shown = "reset" if reply.reset else reply.body[-_SHOWN_BYTES:].decode(errors="replace").strip()
            self._report(f"{call} -> {shown}")
        return await play(request, reply)

    async def settled(self) -> None:
        """Waits until everything that the bank did is durable."""
        if self._journal is not None:
            await self._journal.settled()

    def add_pay_page(self, router: web.UrlDispatcher, path: str) -> None:
        """The page where customers pay, by GET and POST: a form of it with `action` is the customer's act."""
        router.add_get(path, self.page)
        router.add_post(path, self.page)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The pay page; the customer's act where one of its buttons was pressed."""
        form = await request.post()
        try:
            invoice = self.bank.invoice(self.key_of(request, form))
            if "action" in form:
                return await self._act(request, invoice, str(form["action"]))
        except (UnknownInvoiceError, KeyError):
            return unknown_invoice()
        # Shops post a form here as often as they redirect.
        if not self.gateway.lets_in(invoice, request.headers.get("Referer", "")):
            return wrong_referrer()
        await self.settled()
        return self._shown(invoice)

    def _shown(self, invoice: Invoice, status: int = 200) -> web.Response:
        can_pay = self.bank.can_pay(invoice)
        return page_answer(pay_page(invoice, self.page_fields(invoice), can_pay=can_pay), status)

    async def _act(self, request: web.Request, invoice: Invoice, action: str) -> web.StreamResponse:
        try:
            act = Act(action)
        except ValueError:
            return wrong_button()
        try:
            visit = self.gateway.act(invoice.invoice_key, act)
        except (AlreadyCapturedError, LinkExpiredError):
            return self._shown(self.bank.invoice(invoice.invoice_key), 409)
        await self.settled()
        if self._report is not None:
            told = f"{act} {invoice.invoice_key} -> {visit.invoice.state} {' '.join(visit.faults)}"
            self._report(told.rstrip())
        return await send_back(request, visit)

    def _way_back(self, invoice: Invoice, forged: bool) -> tuple[HostReturnMethod, Mapping[str, str]]:
        terminal = self.bank.terminal_of(invoice)
        params = (self.forged_params if forged else self.return_params)(invoice, terminal)
        return self.return_method(invoice, terminal), params
