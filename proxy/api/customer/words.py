"""The texts of the customer's pages, in a type that every language fills: mypy reports a missing text.

No page says "failed" of a payment that may be paid: an unknown outcome is being confirmed.
"""

from collections.abc import Callable, Mapping
from typing import Final

from proxy.kernel.frozen import dataclass
from proxy.locale.persian import english_time, latin_toman, persian_number, persian_time, persian_toman
from proxy.merchants.contacts import ContactKind
from proxy.merchants.merchant import Language
from proxy.payments.payment import GivenBackReason, Payment, Status


@dataclass(frozen=True, slots=True)
class PageText:
    """The texts of one page, and its tone: ok, wait or off. `once_more` is whether a new link is worth asking for."""

    tone: str
    title: str
    text: str
    more: str = ""
    once_more: bool = False


@dataclass(frozen=True, slots=True)
class Labels:
    """The names of the things on a page."""

    anybody: str
    toman: str
    rial: str
    order: str
    bank_code: str
    copy: str
    copied: str
    created: str
    paid: str
    expires: str
    given_back: str
    given_back_by: str
    tehran: str
    test: str
    pay: str
    pay_anyway: str
    back: str
    look_again: str
    offline: str
    other_language: str
    to_pay: str
    preview: str
    once_more: str
    questions: str
    contacts: Mapping[ContactKind, str]


@dataclass(frozen=True, slots=True)
class Speech:
    """One language: its words, and how it writes amounts (from rials) and times (from ms since the epoch)."""

    language: Language
    direction: str
    outcomes: Mapping[Status, PageText]
    given_back: Mapping[GivenBackReason, PageText]
    invitation: PageText
    onward: PageText
    order_paid: PageText
    gateway_down: PageText
    time_is_up: PageText
    no_link: PageText
    lost: PageText
    nothing_here: PageText
    busy: PageText
    homeward: PageText
    odd: PageText
    labels: Labels
    rials: Callable[[int], str]
    toman: Callable[[int], str]
    time: Callable[[int], str]

    def of_payment(self, payment: Payment, *, order_paid: bool = False) -> PageText:
        """The words for the payment's status. Those for money that is given back are for its reason, or for an order
        that another payment paid.
        """
        gone = payment.status is Status.GIVEN_BACK or payment.is_reversed
        if not gone or payment.given_back is None:
            return self.outcomes[payment.status]
        return self.given_back[GivenBackReason.ORDER_PAID_TWICE if order_paid else payment.given_back.reason]


_LATE_MONEY: Final = "If money has left your account, do not worry: the shop is told as soon as the bank confirms it."
_NO_SECOND_PAYMENT: Final = "If you have paid, you need not pay again."
_ASK_YOUR_BANK: Final = "If it is not in your account after 72 hours, ask your bank."
_GIVEN_BACK: Final = {
    GivenBackReason.TOO_LATE: PageText(
        "off",
        "Your money comes back to you",
        "The payment could not be confirmed in time, so the bank gives the money back by itself. The order is not "
        "paid; you may pay again from the shop.",
        _ASK_YOUR_BANK,
        once_more=True,
    ),
    GivenBackReason.REVERSED: PageText(
        "off",
        "The bank gave your money back",
        "The bank did not keep this payment. The order is not paid; you may pay again from the shop.",
        _ASK_YOUR_BANK,
        once_more=True,
    ),
    GivenBackReason.AMOUNT_DIFFERS: PageText(
        "off",
        "Your money comes back to you",
        "The amount that was paid is not the order's, so it is not kept and goes back. The order is not paid.",
        _ASK_YOUR_BANK,
        once_more=True,
    ),
    GivenBackReason.MERCHANT_REVERSED: PageText(
        "off",
        "The shop gave your money back",
        "The payment was made, and the shop then had its money sent back to you.",
        f"{_ASK_YOUR_BANK} About the order, ask the shop.",
    ),
    GivenBackReason.ORDER_WITHDRAWN: PageText(
        "off",
        "Your money comes back to you",
        "The shop had withdrawn this order, so the payment is not kept and the money goes back.",
        f"{_ASK_YOUR_BANK} About the order, ask the shop.",
    ),
    GivenBackReason.ORDER_PAID_TWICE: PageText(
        "ok",
        "The order is paid, and this money comes back",
        "Another payment of this order is confirmed. This one is not kept, and its money goes back to you.",
        f"You need not pay again. {_ASK_YOUR_BANK}",
    ),
}

ENGLISH: Final = Speech(
    language=Language.ENGLISH,
    direction="ltr",
    outcomes={
        Status.CREATED: PageText(
            "wait", "The payment link is not ready yet", "Please wait a moment. This page updates by itself."
        ),
        Status.PENDING: PageText(
            "wait",
            "Your payment is being confirmed",
            "The bank has not told us the outcome yet. This page updates by itself.",
            _NO_SECOND_PAYMENT,
        ),
        Status.PAID: PageText("ok", "Paid", "Your payment is confirmed, and the shop is being told."),
        Status.FAILED: PageText(
            "off",
            "The payment could not begin",
            "The gateway gave no payment link for this order. Nothing was charged; ask the shop to try again.",
        ),
        Status.CANCELED: PageText(
            "off",
            "The payment was canceled",
            "No payment was recorded for this order.",
            _LATE_MONEY,
            once_more=True,
        ),
        Status.EXPIRED: PageText(
            "off",
            "The time to pay is over",
            "No payment was recorded for this order.",
            _LATE_MONEY,
            once_more=True,
        ),
        Status.NEEDS_REVIEW: PageText(
            "wait",
            "Your payment is being reviewed",
            "We received a payment of yours that a person must look at. The shop knows of it and will contact you.",
            "Keep the bank's reference.",
        ),
    },
    given_back={**_GIVEN_BACK, GivenBackReason.PAID_TWICE: _GIVEN_BACK[GivenBackReason.ORDER_PAID_TWICE]},
    invitation=PageText("pay", "Pay for your order", "You pay at the bank's gateway and then return to the shop."),
    onward=PageText("pay", "On to the bank's gateway", "You are taken there now. If nothing happens, use the button."),
    order_paid=PageText(
        "ok",
        "This order is paid",
        "Another payment of this order is confirmed, and the shop knows of it. You need not pay again.",
        "If you have paid twice, the shop is told as soon as the bank confirms it.",
    ),
    gateway_down=PageText(
        "wait",
        "The bank's gateway is not answering",
        "It may be back in a few minutes. This page updates by itself and takes you to the gateway.",
        _NO_SECOND_PAYMENT,
    ),
    time_is_up=PageText(
        "wait",
        "The time of this payment link is over",
        "This link can no longer be paid. If you have paid, the outcome is being confirmed.",
    ),
    no_link=PageText(
        "off", "This payment link was not found", "Check the address, or ask the shop for a new payment link."
    ),
    lost=PageText(
        "wait",
        "We do not know this payment any more",
        "Our records were put back to an earlier time, and this payment was made after it. If you have paid, do not "
        "pay again: keep the bank's receipt with its tracking number, and give it to the shop.",
        "If you have not paid, ask the shop for a new payment link. Whoever runs this site sees that you asked.",
    ),
    nothing_here=PageText(
        "off",
        "There is no payment at this address",
        "Open the payment link that the shop gave you, as a whole.",
        "If you have paid, you need not pay again: the shop is told of it. Ask the shop about your order.",
    ),
    busy=PageText(
        "wait", "Please wait a moment", "We cannot answer just now. This page updates by itself.", _NO_SECOND_PAYMENT
    ),
    homeward=PageText("wait", "Back to the shop", "You return to the shop in a moment."),
    odd=PageText("wait", "This page did not open", "Something went wrong. Try again in a moment.", _NO_SECOND_PAYMENT),
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
        given_back="Money back",
        given_back_by="Money back by",
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
        once_more="To try again, ask the shop for a new payment link.",
        questions="Questions? Reach the shop:",
        contacts={ContactKind.TELEPHONE: "Call", ContactKind.EMAIL: "E-mail", ContactKind.ADDRESS: "Open"},
    ),
    rials=lambda amount: f"{amount:,}",
    toman=latin_toman,
    time=english_time,
)


_LATE_MONEY_FA: Final = "اگر مبلغی از حساب شما کم شده است، نگران نباشید: همین که بانک تأیید کند، فروشگاه باخبر می‌شود."
_NO_SECOND_PAYMENT_FA: Final = "اگر پرداخت کرده‌اید، لازم نیست دوباره پرداخت کنید."
_ASK_YOUR_BANK_FA: Final = "اگر تا ۷۲ ساعت به حساب شما برنگشت، از بانک خود بپرسید."
_GIVEN_BACK_FA: Final = {
    GivenBackReason.TOO_LATE: PageText(
        "off",
        "پول شما برمی‌گردد",
        "پرداخت در مهلت بانک تأیید نشد و بانک پول را خودبه‌خود برمی‌گرداند. سفارش پرداخت نشده است؛ می‌توانید از فروشگاه "
        "دوباره پرداخت کنید.",
        _ASK_YOUR_BANK_FA,
        once_more=True,
    ),
    GivenBackReason.REVERSED: PageText(
        "off",
        "بانک پول شما را برگرداند",
        "بانک این پرداخت را نگه نداشت. سفارش پرداخت نشده است؛ می‌توانید از فروشگاه دوباره پرداخت کنید.",
        _ASK_YOUR_BANK_FA,
        once_more=True,
    ),
    GivenBackReason.AMOUNT_DIFFERS: PageText(
        "off",
        "پول شما برمی‌گردد",
        "مبلغ پرداخت‌شده با مبلغ سفارش یکی نیست؛ پس نگه داشته نمی‌شود و برمی‌گردد. سفارش پرداخت نشده است.",
        _ASK_YOUR_BANK_FA,
        once_more=True,
    ),
    GivenBackReason.MERCHANT_REVERSED: PageText(
        "off",
        "فروشگاه پول شما را برگرداند",
        "پرداخت انجام شده بود و سپس فروشگاه خواست پول به شما برگردد.",
        f"{_ASK_YOUR_BANK_FA} دربارهٔ سفارش از فروشگاه بپرسید.",
    ),
    GivenBackReason.ORDER_WITHDRAWN: PageText(
        "off",
        "پول شما برمی‌گردد",
        "فروشگاه این سفارش را پس گرفته بود؛ پس پرداخت نگه داشته نمی‌شود و پول برمی‌گردد.",
        f"{_ASK_YOUR_BANK_FA} دربارهٔ سفارش از فروشگاه بپرسید.",
    ),
    GivenBackReason.ORDER_PAID_TWICE: PageText(
        "ok",
        "سفارش پرداخت شده است و این پول برمی‌گردد",
        "پرداخت دیگری از این سفارش تأیید شده است. این یکی نگه داشته نمی‌شود و پول آن به شما برمی‌گردد.",
        f"لازم نیست دوباره پرداخت کنید. {_ASK_YOUR_BANK_FA}",
    ),
}

PERSIAN: Final = Speech(
    language=Language.PERSIAN,
    direction="rtl",
    outcomes={
        Status.CREATED: PageText(
            "wait", "پیوند پرداخت هنوز آماده نیست", "چند لحظه صبر کنید؛ این صفحه خودبه‌خود تازه می‌شود."
        ),
        Status.PENDING: PageText(
            "wait",
            "در حال تأیید پرداخت",
            "نتیجهٔ پرداخت هنوز از بانک نرسیده است. این صفحه خودبه‌خود تازه می‌شود.",
            _NO_SECOND_PAYMENT_FA,
        ),
        Status.PAID: PageText("ok", "پرداخت انجام شد", "پرداخت شما تأیید شد و به فروشگاه خبر داده می‌شود."),
        Status.FAILED: PageText(
            "off",
            "پرداخت آغاز نشد",
            "درگاه برای این سفارش پیوند پرداخت نداد. مبلغی از شما کم نشده است؛ از فروشگاه بخواهید دوباره تلاش کند.",
        ),
        Status.CANCELED: PageText(
            "off", "پرداخت لغو شد", "برای این سفارش پرداختی ثبت نشد.", _LATE_MONEY_FA, once_more=True
        ),
        Status.EXPIRED: PageText(
            "off", "مهلت پرداخت تمام شد", "برای این سفارش پرداختی ثبت نشد.", _LATE_MONEY_FA, once_more=True
        ),
        Status.NEEDS_REVIEW: PageText(
            "wait",
            "پرداخت شما در دست بررسی است",
            "پرداختی از شما رسیده که باید بررسی شود. فروشگاه از آن باخبر است و با شما هماهنگ می‌کند.",
            "کد پیگیری را نزد خود نگه دارید.",
        ),
    },
    given_back={**_GIVEN_BACK_FA, GivenBackReason.PAID_TWICE: _GIVEN_BACK_FA[GivenBackReason.ORDER_PAID_TWICE]},
    invitation=PageText("pay", "پرداخت سفارش", "برای پرداخت به درگاه بانک می‌روید و سپس به فروشگاه بازمی‌گردید."),
    onward=PageText("pay", "رفتن به درگاه بانک", "اکنون به درگاه می‌روید. اگر اتفاقی نیفتاد، دکمه را بزنید."),
    order_paid=PageText(
        "ok",
        "این سفارش پرداخت شده است",
        "پرداخت دیگری از این سفارش تأیید شده و فروشگاه از آن باخبر است. لازم نیست دوباره پرداخت کنید.",
        "اگر دو بار پرداخت کرده‌اید، همین که بانک تأیید کند، فروشگاه باخبر می‌شود.",
    ),
    gateway_down=PageText(
        "wait",
        "درگاه بانک پاسخ نمی‌دهد",
        "شاید تا چند دقیقهٔ دیگر درست شود. این صفحه خودبه‌خود تازه می‌شود و شما را به درگاه می‌برد.",
        _NO_SECOND_PAYMENT_FA,
    ),
    time_is_up=PageText(
        "wait",
        "مهلت این پیوند پرداخت تمام شده است",
        "دیگر نمی‌توان با این پیوند پرداخت کرد. اگر پرداخت کرده‌اید، نتیجهٔ آن در حال تأیید است.",
    ),
    no_link=PageText("off", "این پیوند پرداخت پیدا نشد", "نشانی را درست وارد کنید یا پیوند تازه‌ای از فروشگاه بگیرید."),
    lost=PageText(
        "wait",
        "این پرداخت دیگر نزد ما ثبت نیست",
        "اطلاعات ما به زمانی پیش از این پرداخت بازگردانده شده است. اگر پرداخت کرده‌اید، دوباره پرداخت نکنید: رسید "
        "بانک را با شمارهٔ پیگیری نگه دارید و به فروشگاه بدهید.",
        "اگر پرداخت نکرده‌اید، از فروشگاه پیوند تازه‌ای بگیرید. گردانندهٔ سامانه از مراجعهٔ شما باخبر می‌شود.",
    ),
    nothing_here=PageText(
        "off",
        "در این نشانی پرداختی نیست",
        "پیوند پرداختی را که فروشگاه داده است، به‌طور کامل باز کنید.",
        "اگر پرداخت کرده‌اید، لازم نیست دوباره پرداخت کنید و فروشگاه باخبر می‌شود. دربارهٔ سفارش از فروشگاه بپرسید.",
    ),
    busy=PageText(
        "wait", "کمی صبر کنید", "پاسخ‌گویی اکنون ممکن نیست. این صفحه خودبه‌خود تازه می‌شود.", _NO_SECOND_PAYMENT_FA
    ),
    homeward=PageText("wait", "بازگشت به فروشگاه", "تا چند لحظهٔ دیگر به فروشگاه بازمی‌گردید."),
    odd=PageText("wait", "این صفحه باز نشد", "خطایی رخ داد. چند لحظه دیگر دوباره امتحان کنید.", _NO_SECOND_PAYMENT_FA),
    labels=Labels(
        anybody="پرداخت اینترنتی",
        toman="تومان",
        rial="ریال",
        order="شمارهٔ سفارش",
        bank_code="کد پیگیری بانک",
        copy="رونوشت",
        copied="رونوشت شد",
        created="زمان سفارش",
        paid="زمان پرداخت",
        expires="مهلت پرداخت",
        given_back="زمان برگشت پول",
        given_back_by="برگشت پول تا",
        tehran="",
        test="پرداخت آزمایشی: پولی جابه‌جا نمی‌شود.",
        pay="رفتن به درگاه پرداخت",
        pay_anyway="با این حال به درگاه می‌روم",
        back="بازگشت به فروشگاه",
        look_again="همین حالا تازه کن",
        offline="اتصال اینترنت برقرار نیست. همین که برقرار شود، نتیجه همین‌جا نشان داده می‌شود.",
        other_language="English",
        to_pay="پرداخت {amount} تومان به {shop}",
        preview="برای دیدن و پرداخت این سفارش، پیوند را باز کنید.",
        once_more="برای تلاش دوباره، پیوند پرداخت تازه‌ای از فروشگاه بگیرید.",
        questions="پرسشی دارید؟ با فروشگاه تماس بگیرید:",
        contacts={ContactKind.TELEPHONE: "تلفن", ContactKind.EMAIL: "ایمیل", ContactKind.ADDRESS: "نشانی"},
    ),
    rials=persian_number,
    toman=persian_toman,
    time=persian_time,
)
