"""The query parameters by which both APIs filter payments: of lists, totals and files."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from proxy.api.fields import DEFAULT_LIMIT, Cursor, Input, Limit, Printable, Time, digits
from proxy.api.v1.schemas import Storefront
from proxy.gateways.registry import FAMILIES
from proxy.http.parsing import refuse
from proxy.kernel.clock import parse_rfc3339
from proxy.kernel.money import MAX_RIALS, RIALS_PER_TOMAN, Currency
from proxy.payments.payment import Status
from proxy.payments.search import Bounds, PaymentFilter


def _statuses(text: Any) -> Any:
    """Names with commas between them, each once."""
    names = text.split(",") if isinstance(text, str) else []
    if not names or len(set(names)) < len(names) or not set(names) <= set(Status):
        raise refuse(
            "not_one_of",
            f"must be one of {', '.join(Status)}, or several with commas between them",
            f"باید یکی از {'، '.join(Status)} یا چند تا از آن‌ها با ویرگول (,) میانشان باشد",
        )
    return tuple(map(Status, names))


def _family(name: str) -> str:
    if name not in FAMILIES:
        raise refuse("not_one_of", f"must be one of {', '.join(FAMILIES)}", f"باید یکی از {'، '.join(FAMILIES)} باشد")
    return name


Statuses = Annotated[tuple[Status, ...], BeforeValidator(_statuses), Field(strict=False)]
Amount = Annotated[int, BeforeValidator(digits), Field(ge=0, le=MAX_RIALS)]
_AMOUNTS: Final = ("amount", "amount_min", "amount_max")


class PaymentConditions(Input):
    """What both APIs filter payments by. Amounts are in the given currency; a span's begin is in it, its end is not."""

    order_id: Printable | None = None
    status: Statuses = ()
    storefront: Storefront | None = None
    terminal_id: Printable | None = None
    gateway: Annotated[str, AfterValidator(_family)] | None = None
    bank_code: Printable | None = None
    currency: Annotated[Currency, Field(strict=False)] | None = None
    amount: Amount | None = None
    amount_min: Amount | None = None
    amount_max: Amount | None = None
    created_after: Time | None = None
    created_before: Time | None = None
    paid_after: Time | None = None
    paid_before: Time | None = None
    sort: Literal["newest", "oldest"] = "newest"

    @model_validator(mode="after")
    def _has_a_currency(self) -> "PaymentConditions":
        if self.currency is None and any(getattr(self, name) is not None for name in _AMOUNTS):
            raise refuse(
                "currency_missing",
                "an amount needs its `currency`: IRR (rial) or IRT (toman)",
                "مبلغ یکای خود را می‌خواهد: ‎`currency`‎ برابر IRR (ریال) یا IRT (تومان)",
            )
        return self

    def filter(self) -> PaymentFilter:
        """The filter of all but the page."""
        return PaymentFilter(
            storefront=self.storefront,
            order_id=self.order_id,
            statuses=self.status,
            terminal_id=self.terminal_id,
            gateway=self.gateway,
            bank_code=self.bank_code,
            amount=self._amount(),
            created=Bounds(_at(self.created_after), _at(self.created_before)),
            paid=Bounds(_at(self.paid_after), _at(self.paid_before)),
            oldest_first=self.sort == "oldest",
        )

    def _amount(self) -> Bounds:
        unit = RIALS_PER_TOMAN if self.currency is Currency.IRT else 1
        least = self.amount_min if self.amount is None else self.amount
        most = self.amount_max if self.amount is None else self.amount
        return Bounds(None if least is None else least * unit, None if most is None else most * unit + 1)

    def scope(self) -> tuple[str, ...]:
        """The filter's part of a cursor's scope."""
        return tuple(f"{name}={value}" for name, value in self.model_dump(exclude={"limit", "cursor"}).items())


class PaymentQuery(PaymentConditions):
    """`GET /v1/payments?…`"""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


def _at(text: str | None) -> int | None:
    return None if text is None else parse_rfc3339(text)
