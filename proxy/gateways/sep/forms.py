"""What SEP's sources leave open of its hosts: the guide does not show the answer with ResultCode 2, and some clients
read OriginalAmount where it writes OrginalAmount.
"""

from typing import Final

from proxy.gateways.forms import ANY, NONE, HostForm, HostWay
from proxy.gateways.sep.codes import REPEATED

REPEATED_VERIFY: Final = "repeated_verify"
AMOUNT_NAME: Final = "amount_name"
_REPEATED: Final = f'"?{REPEATED}"?'

FORMS: Final = (
    HostForm(
        REPEATED_VERIFY,
        ("what a repeated VerifyTransaction (2) tells", "آنچه VerifyTransaction دوباره (2) می‌گوید"),
        (
            HostWay(
                "details",
                (
                    "a repeated VerifyTransaction (2) has the payment's details",
                    "VerifyTransaction دوباره (2) جزئیات پرداخت را هم دارد",
                ),
                {"ResultCode": _REPEATED, "TransactionDetail": "object"},
            ),
            HostWay(
                "bare",
                (
                    "a repeated VerifyTransaction (2) has no details, so that it cannot count as paid",
                    "VerifyTransaction دوباره (2) جزئیات ندارد و نمی‌توان آن را پرداخت‌شده دانست",
                ),
                {"ResultCode": _REPEATED, "TransactionDetail": NONE},
            ),
        ),
    ),
    HostForm(
        AMOUNT_NAME,
        ("the name of the asked amount in its details", "نام مبلغ خواسته‌شده در جزئیات"),
        tuple(
            HostWay(
                name,
                (f"the asked amount is called {name}", f"نام مبلغ خواسته‌شده {name} است"),
                {f"TransactionDetail.{name}": ANY},
            )
            for name in ("OrginalAmount", "OriginalAmount")
        ),
    ),
)
