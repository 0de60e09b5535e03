"""What NovinPal's sources leave open of its hosts: public clients disagree on the status of a success, and met errors
with HTTP status 200 and 4xx.
"""

from typing import Final

from proxy.gateways.forms import ANY, HTTP, HostForm, HostWay

SUCCESS_STATUS: Final = "success_status"
ERROR_STATUS: Final = "error_status"
_ERROR: Final = '"?[1-9][0-9]{0,5}"?'

FORMS: Final = (
    HostForm(
        SUCCESS_STATUS,
        ("the `status` of a success of verify", "`status` تأیید موفق"),
        tuple(
            HostWay(
                status,
                (f"a success of verify has the `status` {status}", f"`status` تأیید موفق {status} است"),
                {"status": f'"?{status}"?', "refNumber": ANY},
            )
            for status in ("1", "100")
        ),
    ),
    HostForm(
        ERROR_STATUS,
        ("the HTTP status of its errors", "وضعیت HTTP خطاهای آن"),
        (
            HostWay(
                "4xx",
                ("its errors come with an HTTP status of 4xx", "خطاهای آن با وضعیت HTTP از گروه 4xx می‌آید"),
                {HTTP: "4..", "errorCode": _ERROR},
            ),
            HostWay(
                "200",
                ("its errors come with the HTTP status 200", "خطاهای آن با وضعیت HTTP 200 می‌آید"),
                {HTTP: "200", "errorCode": _ERROR},
            ),
        ),
    ),
)
