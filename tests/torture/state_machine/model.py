"""What the state machine expects: payments, orders, endpoints and events as a shop would keep them on paper."""

from dataclasses import dataclass, field
from typing import Any, Final

from proxy.kernel.clock import MINUTE
from proxy.payments.check_schedule import FROM_LINK, GAPS, SOON

OPEN, CAPTURED, CANCELED = "open", "captured", "canceled"
EXPIRES_IN: Final = 30 * MINUTE


@dataclass(slots=True, eq=False)
class Sale:
    """One Idempotency-Key and what came of it. `bank` is the invoice's state at the gateway, since `acted_at`."""

    storefront: str
    key: str
    order: dict[str, Any]
    made_at: int
    id: str = ""
    invoice_key: str = ""
    link: str = ""
    reply: tuple[int, bytes] | None = None
    status: str = "created"
    late: bool = False
    review: str | None = None
    resolved: bool = False
    bank: str = OPEN
    acted_at: int = 0
    linked_at: int = 0
    events: list[str] = field(default_factory=list)

    @property
    def order_key(self) -> tuple[str, str]:
        return self.storefront, self.order["order_id"]

    @property
    def rials(self) -> int:
        amount: int = self.order["amount"]
        return amount * 10 if self.order["currency"] == "IRT" else amount

    @property
    def expires_at(self) -> int:
        return self.made_at + EXPIRES_IN


@dataclass(slots=True, eq=False)
class Hook:
    """An endpoint. `due` are the sales' events, counted by the model when they happened while it was there."""

    name: str
    id: str
    storefront: str | None
    types: tuple[str, ...]
    paused: bool = False
    gone: bool = False
    due: set[tuple[str, str]] = field(default_factory=set)

    def wants(self, sale: Sale, kind: str) -> bool:
        return not self.gone and self.storefront in {None, sale.storefront} and (not self.types or kind in self.types)


@dataclass(slots=True)
class Model:
    """The shop's paper."""

    sales: list[Sale] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    paid_orders: dict[tuple[str, str], Sale] = field(default_factory=dict)
    unclear: int = 0

    def of(self, storefront: str) -> list[Sale]:
        """A storefront's payments, as a list shows them."""
        return sorted((sale for sale in self.sales if sale.storefront == storefront), key=lambda sale: sale.id)[::-1]

    def settle(self, sale: Sale, now: int, *, amount_differs: bool = False) -> None:
        """The gateway was asked and answered clearly."""
        if sale.status in {"created", "failed", "paid", "needs_review"}:
            return
        self.unclear = 0
        if sale.bank == CAPTURED:
            self._captured(sale, amount_differs=amount_differs)
        elif sale.status == "pending" and sale.bank == CANCELED:
            self.tell(sale, "canceled")
        elif sale.status == "pending" and now >= sale.expires_at:
            self.tell(sale, "expired")

    def must_be_settled(self, sale: Sale, now: int) -> bool:
        """Whether the watch has looked since the customer last did something at the bank, or since the expiry."""
        # A watch waits no longer than the gap of its point, which is that of its time or an earlier one.
        gap = next(gap for gap, delay in zip(GAPS, FROM_LINK, strict=True) if sale.acted_at < sale.linked_at + delay)
        expiring = sale.status == "pending" and now >= sale.expires_at
        return expiring or now >= sale.acted_at + max(gap, SOON[-1])

    def tell(self, sale: Sale, status: str) -> None:
        """`sale` becomes `status`, and every endpoint that wants to know is owed it."""
        sale.status = status
        self._owe(sale, f"payment.{status}")

    def resolve(self, sale: Sale) -> None:
        """The operator has decided: the status stays, and the merchant is told."""
        sale.resolved = True
        self._owe(sale, "payment.review_resolved")

    def _owe(self, sale: Sale, kind: str) -> None:
        sale.events.append(kind)
        for hook in self.hooks:
            if hook.wants(sale, kind):
                hook.due.add((sale.id, kind))

    def _captured(self, sale: Sale, *, amount_differs: bool) -> None:
        owner = self.paid_orders.get(sale.order_key)
        if amount_differs or owner is not None:
            sale.review = "amount_differs" if amount_differs else "order_paid_twice"
            self.tell(sale, "needs_review")
            return
        sale.late = sale.status != "pending"
        self.paid_orders[sale.order_key] = sale
        self.tell(sale, "paid")
