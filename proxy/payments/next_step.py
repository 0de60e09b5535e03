"""Where a payment's link leads its customer: to the gateway, back to the shop, or to a page. No HTTP."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from proxy.gateways.family import WayThere
from proxy.gateways.port import NotPaid
from proxy.gateways.shop_side import shop_url
from proxy.kernel.clock import Now
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import ascii_url
from proxy.merchants.merchant import Mode, ReturnMethod
from proxy.payments.checkout import Checkout, Checkup
from proxy.payments.payment import OPEN, Payment, Status
from proxy.payments.return_url import signed_return_url
from proxy.payments.serializers import shop_invoice, shop_side
from proxy.payments.storage.repository import PaymentRepository

MONEY_MOVED: Final = (Status.PAID, Status.NEEDS_REVIEW)


@dataclass(frozen=True, slots=True)
class SignedReturn:
    """Where the shop is: a link, or with `fields` a form to be posted."""

    url: str
    fields: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class GatewayRedirect:
    """The payment can be paid by this way."""

    payment: Payment
    way: WayThere


@dataclass(frozen=True, slots=True)
class ShopRedirect:
    """The outcome is known and the shop shows it."""

    payment: Payment
    signed_return: SignedReturn


@dataclass(frozen=True, slots=True)
class GatewayDown:
    """The gateway is not answering: the customer waits, or goes there all the same."""

    payment: Payment
    signed_return: SignedReturn | None


@dataclass(frozen=True, slots=True)
class Invitation:
    """The payment can be paid, and no customer has asked yet."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class OrderPaid:
    """The order is paid by `payment`, which has another link than the customer's."""

    payment: Payment
    signed_return: SignedReturn | None


@dataclass(frozen=True, slots=True)
class StatusPage:
    """The status of the payment, which may still change while it is in `OPEN`. `order_paid` is whether another payment
    paid the order of one whose money is given back.
    """

    payment: Payment
    signed_return: SignedReturn | None
    order_paid: bool = False


ReturnSecret = Callable[[str, Mode], Awaitable[str]]
"""The secret that signs a merchant's returns in one mode."""
NextStep = GatewayRedirect | ShopRedirect | GatewayDown | Invitation | OrderPaid | StatusPage


class NextSteps:
    """Decides the next step of a payment that was just read or checked."""

    def __init__(self, payments: PaymentRepository, checkout: Checkout, return_secret: ReturnSecret, now: Now) -> None:
        self._payments = payments
        self._checkout = checkout
        self._return_secret = return_secret
        self._now = now

    async def of_opening(self, payment: Payment, *, insists: bool) -> NextStep:
        """The step after a customer opened the pay link; with `insists` it leads to a gateway that is down, too."""
        if not self._can_be_paid(payment):
            return await self._page(payment)
        if (paid := await self._paid_by(payment)) is not None:
            return await self._order_paid(payment, paid)
        if not insists and self._checkout.gateway_is_down(payment):
            return GatewayDown(payment, await self._signed_return(payment))
        return GatewayRedirect(payment, await self._checkout.way_there(payment))

    async def of_return(self, checkup: Checkup) -> NextStep:
        """The step after a customer came back from the gateway."""
        payment = checkup.payment
        # "Not paid yet" is an answer, and the shop can show it; only an outcome that is unknown is waited for here.
        known = payment.status not in OPEN or isinstance(checkup.fact, NotPaid)
        if not known or (signed_return := await self._signed_return(payment)) is None:
            return await self._page(payment, returning=True)
        return ShopRedirect(payment, signed_return)

    async def of_preview(self, payment: Payment, *, returning: bool = False) -> NextStep:
        """The step of a preview or a scanner, which are nobody's customers: a page, never the gateway or the shop."""
        return await self._page(payment, returning=returning, invited=self._can_be_paid(payment))

    def _can_be_paid(self, payment: Payment) -> bool:
        return payment.status is Status.PENDING and self._now() < payment.expires_at

    async def _page(self, payment: Payment, *, returning: bool = False, invited: bool = False) -> NextStep:
        # A customer who is back may have paid this one too, which is being found out.
        may_be_paid = returning and payment.status in OPEN
        paid = None
        if payment.status not in MONEY_MOVED and (invited or not may_be_paid):
            paid = await self._paid_by(payment)
        if paid is None and invited:
            return Invitation(payment)
        if paid is None or may_be_paid:
            return StatusPage(payment, await self._signed_return(payment))
        if payment.status is Status.GIVEN_BACK:
            signed_return = await self._signed_return(paid) or await self._signed_return(payment)
            return StatusPage(payment, signed_return, order_paid=True)
        return await self._order_paid(payment, paid)

    async def _paid_by(self, payment: Payment) -> Payment | None:
        """The other payment by which this one's order is paid; None while it is not, or by this very one."""
        order = (payment.merchant_id, payment.storefront, payment.mode, payment.order_id)
        payment_id = await self._payments.order_paid_by(*order)
        if payment_id is None or payment_id == payment.id:
            return None
        return await self._payments.payment(payment.merchant_id, payment_id)

    async def _order_paid(self, payment: Payment, paid: Payment) -> OrderPaid:
        """Back to the shop by the paid payment's address, or by that of the customer's own."""
        return OrderPaid(paid, await self._signed_return(paid) or await self._signed_return(payment))

    async def _signed_return(self, payment: Payment) -> SignedReturn | None:
        """To a shop of the API with our signature; to one of the drop-in as the protocol has it."""
        return_url = payment.return_url
        if return_url is None:
            return None
        if payment.drop_in is None:
            secret = await self._return_secret(payment.merchant_id, payment.mode)
            return SignedReturn(signed_return_url(return_url, secret, payment))
        params = shop_side(payment).return_params(shop_invoice(payment))
        fields = None if payment.drop_in is ReturnMethod.GET else params
        url = shop_url(return_url, params) if payment.drop_in is not ReturnMethod.POST else ascii_url(return_url)
        return SignedReturn(url, fields)
