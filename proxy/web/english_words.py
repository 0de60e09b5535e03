"""The customer's pages in English."""

from typing import Final

from proxy.jalali import english_time
from proxy.merchant import Language
from proxy.payment import Status
from proxy.persian import latin_toman
from proxy.web.page_words import Labels, Speech, Words

_LATE_MONEY: Final = "If money has left your account, do not worry: the shop is told as soon as the bank confirms it."
_NO_SECOND_PAYMENT: Final = "If you have paid, you need not pay again."

ENGLISH: Final = Speech(
    language=Language.ENGLISH,
    direction="ltr",
    outcomes={
        Status.CREATED: Words(
            "wait", "The payment link is not ready yet", "Please wait a moment. This page updates by itself."
        ),
        Status.PENDING: Words(
            "wait",
            "Your payment is being confirmed",
            "The bank has not told us the outcome yet. This page updates by itself.",
            _NO_SECOND_PAYMENT,
        ),
        Status.PAID: Words("ok", "Paid", "Your payment is confirmed, and the shop is being told."),
        Status.FAILED: Words(
            "off",
            "The payment could not begin",
            "The gateway gave no payment link for this order. Nothing was charged; ask the shop to try again.",
        ),
        Status.CANCELED: Words(
            "off", "The payment was canceled", "No payment was recorded for this order.", _LATE_MONEY
        ),
        Status.EXPIRED: Words("off", "The time to pay is over", "No payment was recorded for this order.", _LATE_MONEY),
        Status.NEEDS_REVIEW: Words(
            "wait",
            "Your payment is being reviewed",
            "We received a payment of yours that a person must look at. The shop knows of it and will contact you.",
            "Keep the bank's reference.",
        ),
    },
    invitation=Words("pay", "Pay for your order", "You pay at the bank's gateway and then return to the shop."),
    gateway_down=Words(
        "wait",
        "The bank's gateway is not answering",
        "It may be back in a few minutes. This page updates by itself and takes you to the gateway.",
        _NO_SECOND_PAYMENT,
    ),
    time_is_up=Words(
        "wait",
        "The time of this payment link is over",
        "This link can no longer be paid. If you have paid, the outcome is being confirmed.",
    ),
    no_link=Words(
        "off", "This payment link was not found", "Check the address, or ask the shop for a new payment link."
    ),
    busy=Words(
        "wait", "Please wait a moment", "We cannot answer just now. This page updates by itself.", _NO_SECOND_PAYMENT
    ),
    homeward=Words("wait", "Back to the shop", "You return to the shop in a moment."),
    odd=Words("wait", "This page did not open", "Something went wrong. Try again in a moment.", _NO_SECOND_PAYMENT),
    labels=Labels(
        anybody="Online payment",
        toman="toman",
        rial="rial",
        order="Order",
        bank_code="Bank reference",
        copy="Copy",
        copied="Copied",
        created="Ordered",
        paid="Paid",
        expires="Pay before",
        tehran="Tehran time",
        test="Test payment: no money moves.",
        pay="Go to the payment gateway",
        pay_anyway="Go to the gateway anyway",
        back="Back to the shop",
        look_again="Update now",
        offline="You are offline. As soon as you are connected again, the outcome is shown here.",
        other_language="فارسی",
        to_pay="Pay {amount} toman to {shop}",
        preview="Open the link to see and pay this order.",
    ),
    rials=lambda amount: f"{amount:,}",
    toman=latin_toman,
    time=english_time,
)
