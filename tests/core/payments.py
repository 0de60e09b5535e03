"""Payments in every state, for the tests of the core."""

from dataclasses import replace
from typing import Final

from proxy.kernel.money import Currency
from proxy.merchants.merchant import Mode
from proxy.payments.payment import (
    CallIntent,
    Decision,
    Failure,
    FailureReason,
    GatewayStep,
    GivenBack,
    GivenBackReason,
    Payment,
    Resolution,
    Review,
    ReviewReason,
    Status,
)

CREATED_AT: Final = 1_800_000_000_000
EXPIRES_AT: Final = CREATED_AT + 30 * 60_000
ASKED: Final = 150_000

CREATED: Final = Payment(
    id="pay_MERCHANTaaaaaaaaaaaaaaaaaa",
    merchant_id="mer_MERCHANT",
    storefront="main",
    terminal_id="trm_MERCHANTaaaaaaaaaaaaaaaaaa",
    mode=Mode.LIVE,
    order_id="order-17",
    amount_rials=ASKED,
    currency=Currency.IRR,
    description=None,
    metadata={},
    return_url=None,
    link="MERCHANTbbbbbbbbbbbbbbbbbbbbbb",
    expires_at=EXPIRES_AT,
    created_at=CREATED_AT,
    updated_at=CREATED_AT,
)
FAILED: Final = replace(CREATED, status=Status.FAILED, version=2, failure=Failure(FailureReason.NO_INVOICE))
FAILED_WITH_SPARE: Final = replace(FAILED, version=3, spare_invoice_keys=("inv_2",), linked_at=EXPIRES_AT)
PENDING: Final = replace(
    CREATED,
    status=Status.PENDING,
    version=2,
    invoice_key="inv_1",
    spare_invoice_keys=("inv_2",),
    linked_at=CREATED_AT,
)
CANCELED: Final = replace(PENDING, status=Status.CANCELED, version=3)
EXPIRED: Final = replace(PENDING, status=Status.EXPIRED, version=3)
PAID: Final = replace(
    PENDING,
    status=Status.PAID,
    version=3,
    captured_invoice_keys=("inv_1",),
    bank_code="777",
    captured_rials=ASKED,
    paid_at=CREATED_AT + 1,
)
REVIEW: Final = replace(
    PENDING,
    status=Status.NEEDS_REVIEW,
    version=3,
    captured_invoice_keys=("inv_1",),
    bank_code="777",
    captured_rials=15_000,
    review=Review(ReviewReason.AMOUNT_DIFFERS, ASKED, 15_000, "777", "inv_1"),
)
REVIEWED: Final = replace(
    REVIEW,
    version=4,
    review=Review(
        ReviewReason.AMOUNT_DIFFERS,
        ASKED,
        15_000,
        "777",
        "inv_1",
        resolution=Resolution(Decision.REFUNDED, "returned by card", "sara", CREATED_AT + 2),
    ),
)
CONFIRMING: Final = replace(PENDING, version=3, intent=CallIntent(GatewayStep.CONFIRM, "inv_1", CREATED_AT + 5))
SETTLING: Final = replace(CONFIRMING, version=4, intent=CallIntent(GatewayStep.SETTLE, "inv_1", CREATED_AT + 6))
REVERSING: Final = replace(
    CONFIRMING,
    version=4,
    intent=CallIntent(GatewayStep.REVERSE, "inv_1", CREATED_AT + 6),
    given_back=GivenBack(GivenBackReason.AMOUNT_DIFFERS, "inv_1", 15_000),
)
ASKED_BACK: Final = replace(
    PAID,
    version=4,
    intent=CallIntent(GatewayStep.REVERSE, "inv_1", CREATED_AT + 6),
    given_back=GivenBack(GivenBackReason.MERCHANT_REVERSED, "inv_1", ASKED),
)
UNDONE: Final = replace(
    PAID, version=5, given_back=GivenBack(GivenBackReason.MERCHANT_REVERSED, "inv_1", ASKED, at=CREATED_AT + 9)
)
WITHDRAWN: Final = replace(CANCELED, withdrawn_at=CREATED_AT + 3)
LAPSING: Final = replace(
    PENDING,
    version=3,
    status=Status.GIVEN_BACK,
    given_back=GivenBack(GivenBackReason.AMOUNT_DIFFERS, "inv_1", 15_000, by=EXPIRES_AT + 1),
)
RETURNED: Final = replace(
    PENDING,
    version=3,
    status=Status.GIVEN_BACK,
    given_back=GivenBack(GivenBackReason.REVERSED, "inv_1", at=CREATED_AT + 9),
)
