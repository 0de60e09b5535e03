"""What Sadad's sources leave open of its hosts: the guide prints the code of a repeated verify as `010` and shows no
answer with it, and Sadad's own sample in PHP reads `token` of the return where the guide has Token.
"""

from typing import Final

from proxy.gateways.forms import ANY, NONE, HostForm, HostWay

REPEATED_VERIFY: Final = "repeated_verify"
REPEATED_NUMBERS: Final = "repeated_numbers"
RETURN_TOKEN: Final = "return_token"  # noqa: S105  a form's name
_CODES: Final = {"100": '"?100"?', "10": '"?10"?', "010": '"010"'}
_REPEATED: Final = "|".join(_CODES.values())

FORMS: Final = (
    HostForm(
        REPEATED_VERIFY,
        ("the code of a repeated verify", "کد تأیید دوباره"),
        tuple(
            HostWay(
                name, (f"a repeated verify has the code {name}", f"کد تأیید دوباره {name} است"), {"ResCode": pattern}
            )
            for name, pattern in _CODES.items()
        ),
    ),
    HostForm(
        REPEATED_NUMBERS,
        ("what a repeated verify tells", "آنچه تأیید دوباره می‌گوید"),
        (
            HostWay(
                "numbers",
                ("a repeated verify tells the payment's amount", "تأیید دوباره مبلغ پرداخت را هم می‌گوید"),
                {"ResCode": _REPEATED, "Amount": ANY},
            ),
            HostWay(
                "bare",
                (
                    "a repeated verify tells no amount, so that the asked one is taken",
                    "تأیید دوباره مبلغی نمی‌گوید و همان مبلغ خواسته‌شده گرفته می‌شود",
                ),
                {"ResCode": _REPEATED, "Amount": NONE},
            ),
        ),
    ),
    HostForm(
        RETURN_TOKEN,
        ("the name of the token in a return", "نام توکن در بازگشت"),
        tuple(
            HostWay(
                name, (f"a return brings the token as `{name}`", f"بازگشت توکن را با نام `{name}` می‌آورد"), {name: ANY}
            )
            for name in ("token", "Token")
        ),
        of_returns=True,
    ),
)
