"""What Behpardakht's guides leave open: the code of `bpVerifyRequest` for a payment that nobody made, and whether a
terminal's returns have the FinalAmount that older ones do not know.
"""

from typing import Final

from proxy.gateways.forms import ANY, HTTP, NONE, HostForm, HostWay
from proxy.gateways.mellat.codes import INVALID_SALE, NO_REFERENCE, SALE_NOT_FOUND

UNKNOWN_SALE: Final = "unknown_sale"
FINAL_AMOUNT: Final = "final_amount"
RETURN: Final = "return"
"""The text of a SOAP answer, by its name there."""

FORMS: Final = (
    HostForm(
        UNKNOWN_SALE,
        ("the code of a verify of what nobody paid", "کد تأیید چیزی که کسی نپرداخته است"),
        tuple(
            HostWay(
                str(code),
                (
                    f"a verify of what nobody paid has the code {code}",
                    f"کد تأیید چیزی که کسی نپرداخته {code} است",
                ),
                {RETURN: f'"{code}"'},
            )
            for code in (NO_REFERENCE, SALE_NOT_FOUND, INVALID_SALE)
        ),
    ),
    HostForm(
        FINAL_AMOUNT,
        ("whether a return brings FinalAmount", "اینکه بازگشت FinalAmount می‌آورد یا نه"),
        (
            HostWay("there", ("a return brings FinalAmount", "بازگشت FinalAmount می‌آورد"), {"FinalAmount": ANY}),
            HostWay(
                "missing",
                (
                    "a return brings no FinalAmount, so that a discount is not seen before the money is taken",
                    "بازگشت FinalAmount نمی‌آورد و تخفیف پیش از گرفتن پول دیده نمی‌شود",
                ),
                {HTTP: "GET|POST", "FinalAmount": NONE},
            ),
        ),
        of_returns=True,
    ),
)
