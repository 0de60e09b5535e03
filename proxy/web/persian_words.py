"""The customer's pages in Persian."""

from typing import Final

from proxy.jalali import persian_time
from proxy.merchant import Language
from proxy.payment import Status
from proxy.persian import persian_number, persian_toman
from proxy.web.page_words import Labels, Speech, Words

_LATE_MONEY: Final = "اگر مبلغی از حساب شما کم شده است، نگران نباشید: همین که بانک تأیید کند، فروشگاه باخبر می‌شود."
_NO_SECOND_PAYMENT: Final = "اگر پرداخت کرده‌اید، لازم نیست دوباره پرداخت کنید."

PERSIAN: Final = Speech(
    language=Language.PERSIAN,
    direction="rtl",
    outcomes={
        Status.CREATED: Words(
            "wait", "پیوند پرداخت هنوز آماده نیست", "چند لحظه صبر کنید؛ این صفحه خودبه‌خود تازه می‌شود."
        ),
        Status.PENDING: Words(
            "wait",
            "در حال تأیید پرداخت",
            "نتیجهٔ پرداخت هنوز از بانک نرسیده است. این صفحه خودبه‌خود تازه می‌شود.",
            _NO_SECOND_PAYMENT,
        ),
        Status.PAID: Words("ok", "پرداخت انجام شد", "پرداخت شما تأیید شد و به فروشگاه خبر داده می‌شود."),
        Status.FAILED: Words(
            "off",
            "پرداخت آغاز نشد",
            "درگاه برای این سفارش پیوند پرداخت نداد. مبلغی از شما کم نشده است؛ از فروشگاه بخواهید دوباره تلاش کند.",
        ),
        Status.CANCELED: Words("off", "پرداخت لغو شد", "برای این سفارش پرداختی ثبت نشد.", _LATE_MONEY),
        Status.EXPIRED: Words("off", "مهلت پرداخت تمام شد", "برای این سفارش پرداختی ثبت نشد.", _LATE_MONEY),
        Status.NEEDS_REVIEW: Words(
            "wait",
            "پرداخت شما در دست بررسی است",
            "پرداختی از شما رسیده که باید بررسی شود. فروشگاه از آن باخبر است و با شما هماهنگ می‌کند.",
            "کد پیگیری را نزد خود نگه دارید.",
        ),
    },
    invitation=Words("pay", "پرداخت سفارش", "برای پرداخت به درگاه بانک می‌روید و سپس به فروشگاه بازمی‌گردید."),
    gateway_down=Words(
        "wait",
        "درگاه بانک پاسخ نمی‌دهد",
        "شاید تا چند دقیقهٔ دیگر درست شود. این صفحه خودبه‌خود تازه می‌شود و شما را به درگاه می‌برد.",
        _NO_SECOND_PAYMENT,
    ),
    time_is_up=Words(
        "wait",
        "مهلت این پیوند پرداخت تمام شده است",
        "دیگر نمی‌توان با این پیوند پرداخت کرد. اگر پرداخت کرده‌اید، نتیجهٔ آن در حال تأیید است.",
    ),
    no_link=Words("off", "این پیوند پرداخت پیدا نشد", "نشانی را درست وارد کنید یا پیوند تازه‌ای از فروشگاه بگیرید."),
    busy=Words("wait", "کمی صبر کنید", "پاسخ‌گویی اکنون ممکن نیست. این صفحه خودبه‌خود تازه می‌شود.", _NO_SECOND_PAYMENT),
    homeward=Words("wait", "بازگشت به فروشگاه", "تا چند لحظهٔ دیگر به فروشگاه بازمی‌گردید."),
    odd=Words("wait", "این صفحه باز نشد", "خطایی رخ داد. چند لحظه دیگر دوباره امتحان کنید.", _NO_SECOND_PAYMENT),
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
    ),
    rials=persian_number,
    toman=persian_toman,
    time=persian_time,
)
