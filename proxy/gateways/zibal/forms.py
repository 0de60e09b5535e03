"""What Zibal's sources leave open of its hosts: `dataOnDoubleVerify` is in public clients alone, and one of these wants
refNumber to be a text where the samples have a number.
"""

from typing import Final

from proxy.gateways.forms import ANY, NONE, HostForm, HostWay
from proxy.gateways.zibal.codes import VERIFIED_BEFORE

REPEATED_VERIFY: Final = "repeated_verify"
REF_NUMBER: Final = "ref_number"
_BEFORE: Final = f'"?{VERIFIED_BEFORE}"?'

FORMS: Final = (
    HostForm(
        REPEATED_VERIFY,
        ("what a repeated verify (201) tells", "آنچه تأیید دوباره (201) می‌گوید"),
        (
            HostWay(
                "numbers",
                (
                    "a repeated verify (201) tells the payment's numbers",
                    "تأیید دوباره (201) مبلغ و شمارهٔ پیگیری را هم می‌گوید",
                ),
                {"result": _BEFORE, "amount": ANY},
            ),
            HostWay(
                "bare",
                (
                    "a repeated verify (201) tells no numbers, so that the inquiry is asked for them",
                    "تأیید دوباره (201) عددی نمی‌گوید و آن را از استعلام می‌پرسیم",
                ),
                {"result": _BEFORE, "amount": NONE},
            ),
        ),
    ),
    HostForm(
        REF_NUMBER,
        ("the type of refNumber", "نوع refNumber"),
        (
            HostWay("number", ("refNumber is a number", "refNumber عدد است"), {"refNumber": "-?[0-9]+|number"}),
            HostWay("text", ("refNumber is a text", "refNumber متن است"), {"refNumber": '"[0-9]*"|text'}),
        ),
    ),
)
