"""The bodies and queries that the control API takes. A field that is not known is refused by name."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from proxy.simulator.chaos import Chaos
from proxy.simulator.faults import Fault, Kind, Operation, Rule
from proxy.simulator.ledger import Invoice, ReturnExtra, ReturnMethod, State

MAX_PAGE = 10_000
_Rate = Annotated[float, Field(ge=0, le=1)]
_Seconds = Annotated[float, Field(ge=0, le=7 * 24 * 3600)]


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TerminalOrder(_Order):
    """Only the fields that are given change."""

    api_key: Annotated[str, Field(min_length=1, max_length=200)]
    enabled: bool = True
    registered_domain: str | None = None
    registered_ip: str | None = None
    return_method: ReturnMethod = ReturnMethod.GET
    return_extras: tuple[ReturnExtra, ...] = ()


class ListOrder(_Order):
    api_key: str | None = None
    state: State | None = None
    after: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1000

    def wants(self, invoice: Invoice) -> bool:
        return self.api_key in (None, invoice.api_key) and self.state in (None, invoice.state)


class RuleOrder(_Order):
    operation: Operation
    kind: Kind
    invoice_key: str | None = None
    api_key: str | None = None
    times: Annotated[int, Field(ge=1)] | None = None
    probability: _Rate = 1.0
    seed: int = 0
    seconds: _Seconds = 0.0
    code: int = 301
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
