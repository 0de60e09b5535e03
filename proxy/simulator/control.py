"""The control API, under /control: terminals, the ledger, the customer's acts, faults.

It has no authentication, so the listener belongs on loopback.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from functools import wraps
from itertools import islice
from typing import Annotated, Any

import orjson
from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from proxy.gateways.port import INVOICE_SCRIPT
from proxy.gateways.simulation.chaos import Chaos
from proxy.gateways.simulation.dialect import Dialect
from proxy.gateways.simulation.faults import Fault, FaultKind, GatewayOperation, Rule
from proxy.gateways.simulation.gateway import Act, ActResult, SimulatedGateway
from proxy.gateways.simulation.ledger import (
    KEY_CHARS,
    HostReturnMethod,
    Invoice,
    Journal,
    SimulatedTerminal,
    State,
    statement,
)
from proxy.gateways.simulation.terms import (
    AlreadyCapturedError,
    LinkExpiredError,
    NothingPaidError,
    UnknownInvoiceError,
)
from proxy.kernel.urls import head_of

MAX_PAGE = 10_000
_CONFLICTS: Mapping[type[Exception], str] = {
    AlreadyCapturedError: "the invoice is captured",
    LinkExpiredError: "the time to pay is over",
    NothingPaidError: "nothing was paid",
}
_Rate = Annotated[float, Field(ge=0, le=1)]
_Seconds = Annotated[float, Field(ge=0, le=7 * 24 * 3600)]


def _origin(text: str) -> str:
    if not text or head_of(text) != text:
        raise ValueError("must be an origin such as https://pay.example.ir, and nothing behind it")
    return text.lower()


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TerminalOrder(_Order):
    """Only the fields that are given change."""

    api_key: Annotated[str, Field(min_length=1, max_length=200)]
    enabled: bool = True
    registered_domain: str | None = None
    registered_ip: str | None = None
    return_method: HostReturnMethod = HostReturnMethod.GET
    return_extras: tuple[str, ...] = ()
    referrer_origin: Annotated[str, AfterValidator(_origin)] | None = None
    key_chars: Annotated[int, Field(ge=8, le=64)] = KEY_CHARS
    family: str = INVOICE_SCRIPT
    credentials: dict[str, str] = Field(default_factory=dict)
    forms: dict[str, str] = Field(default_factory=dict)


class ListOrder(_Order):
    api_key: str | None = None
    state: State | None = None
    after: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1000

    def wants(self, invoice: Invoice) -> bool:
        return self.api_key in (None, invoice.api_key) and self.state in (None, invoice.state)


class RuleOrder(_Order):
    operation: GatewayOperation
    kind: FaultKind
    invoice_key: str | None = None
    api_key: str | None = None
    times: Annotated[int, Field(ge=1)] | None = None
    probability: _Rate = 1.0
    seed: int = 0
    seconds: _Seconds = 0.0
    code: int | None = None
    processed: bool | None = None
    amount_rials: int | None = None
    params: dict[str, str] = Field(default_factory=dict)

    def rule(self) -> Rule:
        """Raises ValueError when the kind does not happen on the operation."""
        fault = Fault(self.kind, self.seconds, self.code, self.processed, self.amount_rials, self.params)
        return Rule(self.operation, fault, self.invoice_key, self.api_key, self.times, self.probability, self.seed)


class ChaosOrder(_Order):
    seed: int
    rate: _Rate = 0.2
    delay_seconds: _Seconds = 15.0
    late_seconds: _Seconds = 60.0
    odd_money: bool = False

    def chaos(self) -> Chaos:
        return Chaos(self.seed, self.rate, self.delay_seconds, self.late_seconds, self.odd_money)


Handler = Callable[[web.Request], Awaitable[web.Response]]


class Control:
    """Reads and changes the gateway on behalf of a test or a person. Errors are `{"error": …}` with 400, 404 or 409."""

    def __init__(self, gateway: SimulatedGateway, journal: Journal, dialects: Mapping[str, Dialect]) -> None:
        self._gateway = gateway
        self._journal = journal
        self._dialects = dialects

    def add_routes(self, router: web.UrlDispatcher) -> None:
        invoice = "/control/invoices/{invoice_key}"
        for method, path, handler in (
            ("GET", "/control/terminals", self.terminals),
            ("POST", "/control/terminals", self.put_terminal),
            ("GET", "/control/invoices", self.invoices),
            ("GET", invoice, self.invoice),
            ("POST", f"{invoice}/{{act:pay|cancel|fail|back}}", self.act),
            ("POST", f"{invoice}/reverse", self.reverse),
            ("GET", "/control/faults", self.faults),
            ("POST", "/control/faults", self.add_fault),
            ("DELETE", "/control/faults", self.clear_faults),
            ("POST", "/control/chaos", self.start_chaos),
            ("GET", "/control/stats", self.stats),
            ("GET", "/control/statement.csv", self.statement),
        ):
            router.add_route(method, path, _guarded(handler))

    async def terminals(self, _: web.Request) -> web.Response:
        return await self._json({"terminals": [asdict(item) for item in self._gateway.bank.terminals.values()]})

    async def put_terminal(self, request: web.Request) -> web.Response:
        """Create the terminal, or change the fields that are given."""
        order = TerminalOrder.model_validate_json(await request.read())
        terminal = self._gateway.bank.terminals.get(order.api_key) or SimulatedTerminal(order.api_key)
        terminal = replace(terminal, **order.model_dump(exclude_unset=True))
        _check_terminal(terminal, self._dialects)
        self._gateway.bank.put_terminal(terminal)
        return await self._json(asdict(terminal))

    async def invoices(self, request: web.Request) -> web.Response:
        """A page of the ledger, oldest first; `next` is the `after` of the following page."""
        order = ListOrder.model_validate(dict(request.query))
        found = (invoice for invoice in self._gateway.bank.invoices() if order.wants(invoice))
        page = list(islice(found, order.after, order.after + order.limit + 1))
        rest = len(page) > order.limit
        listed = [asdict(invoice) for invoice in page[: order.limit]]
        return await self._json({"invoices": listed, "next": order.after + order.limit if rest else None})

    async def invoice(self, request: web.Request) -> web.Response:
        return await self._json(asdict(self._gateway.bank.invoice(request.match_info["invoice_key"])))

    async def act(self, request: web.Request) -> web.Response:
        """Pay, cancel, fail or go back as the customer would; faults on `pay` and `return` are reported instead of
        felt.
        """
        act = Act(request.match_info["act"])
        return await self._json(_visit(self._gateway.act(request.match_info["invoice_key"], act)))

    async def reverse(self, request: web.Request) -> web.Response:
        """The bank itself gives the money back, whatever the family's rules say."""
        return await self._json(asdict(self._gateway.bank.give_back(request.match_info["invoice_key"])))

    async def faults(self, _: web.Request) -> web.Response:
        faults = self._gateway.faults
        rules = [{"id": rule_id, **asdict(rule)} for rule_id, rule in faults.rules.items()]
        return await self._json({"rules": rules, "chaos": faults.chaos})

    async def add_fault(self, request: web.Request) -> web.Response:
        rule = RuleOrder.model_validate_json(await request.read()).rule()
        return await self._json({"id": self._gateway.faults.add(rule)})

    async def clear_faults(self, _: web.Request) -> web.Response:
        """End all faults, chaos too."""
        self._gateway.faults.clear()
        return await self._json({})

    async def start_chaos(self, request: web.Request) -> web.Response:
        chaos = ChaosOrder.model_validate_json(await request.read()).chaos()
        self._gateway.faults.chaos = chaos
        return await self._json(asdict(chaos))

    async def stats(self, _: web.Request) -> web.Response:
        invoices = self._gateway.bank.invoices()
        by_state = Counter({state.value: 0 for state in State})
        captured_rials = 0
        for invoice in invoices:
            by_state[invoice.state.value] += 1
            captured_rials += invoice.money_rials if invoice.state is State.CAPTURED else 0
        answered, struck = dict(self._gateway.answered), dict(self._gateway.faults.struck)
        return await self._json(
            {"invoices": by_state, "captured_rials": captured_rials, "answered": answered, "faults": struck}
        )

    async def statement(self, _: web.Request) -> web.Response:
        """The captured payments as a bank's file, for reconciling."""
        await self._journal.settled()
        return web.Response(text=statement(self._gateway.bank.invoices()), content_type="text/csv", charset="utf-8")

    async def _json(self, value: Any) -> web.Response:
        await self._journal.settled()
        return web.Response(body=orjson.dumps(value), content_type="application/json")


def _check_terminal(terminal: SimulatedTerminal, dialects: Mapping[str, Dialect]) -> None:
    """Raises ValueError for a family that is not simulated, and for return_extras and forms that it does not have."""
    dialect = dialects.get(terminal.family)
    if dialect is None:
        raise ValueError(f"family: one of {', '.join(dialects)}")
    if unknown := set(terminal.return_extras) - dialect.return_extras:
        raise ValueError(f"return_extras: {terminal.family} has no {', '.join(sorted(unknown))}")
    for name, way in terminal.forms.items():
        known = dialect.ways.get(name, ())
        if way not in known:
            raise ValueError(f"forms: {name} of {terminal.family} is one of {', '.join(known) or 'none'}")


def _guarded(handler: Handler) -> Handler:
    @wraps(handler)
    async def guarded(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except ValidationError as error:
            return _error(
                400, "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            )
        except UnknownInvoiceError:
            return _error(404, "no such invoice")
        except tuple(_CONFLICTS) as error:
            return _error(409, _CONFLICTS[type(error)])
        except ValueError as error:
            return _error(400, str(error))

    return guarded


def _error(status: int, text: str) -> web.Response:
    return web.Response(body=orjson.dumps({"error": text}), status=status, content_type="application/json")


def _visit(visit: ActResult) -> dict[str, Any]:
    returns = [
        {
            "return_method": trip.method,
            "return_url": trip.url,
            "params": trip.params,
            "delay_seconds": trip.delay_seconds,
        }
        for trip in visit.returns
    ]
    nowhere: dict[str, Any] = {"return_method": None, "return_url": None, "params": {}, "delay_seconds": 0.0}
    first = returns[0] if returns else nowhere
    return {**first, "returns": returns, "faults": visit.faults, "invoice": asdict(visit.invoice)}
