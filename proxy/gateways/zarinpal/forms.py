"""What ZarinPal's sources leave open of its hosts: its page shows errors without an HTTP status, and public clients met
200 and 422; most of them read `errors` as an object, and one met an array of one.
"""

from typing import Final

from proxy.gateways.forms import CODE, HTTP, HostForm, HostWay

ERROR_STATUS: Final = "error_status"
ERROR_SHAPE: Final = "error_shape"

FORMS: Final = (
    HostForm(
        ERROR_STATUS,
        ("the HTTP status of its errors", "وضعیت HTTP خطاهای آن"),
        (
            HostWay(
                "4xx",
                ("its errors come with an HTTP status of 4xx", "خطاهای آن با وضعیت HTTP از گروه 4xx می‌آید"),
                {HTTP: "4..", "errors.code": CODE},
            ),
            HostWay(
                "200",
                ("its errors come with the HTTP status 200", "خطاهای آن با وضعیت HTTP 200 می‌آید"),
                {HTTP: "200", "errors.code": CODE},
            ),
        ),
    ),
    HostForm(
        ERROR_SHAPE,
        ("the shape of `errors`", "شکل `errors`"),
        (
            HostWay(
                "object",
                ("`errors` is an object", "`errors` یک شیء است"),
                {"errors": "object", "errors.code": CODE},
            ),
            HostWay(
                "array",
                ("`errors` is an array of one object", "`errors` آرایه‌ای با یک شیء است"),
                {"errors": "array", "errors.code": CODE},
            ),
        ),
    ),
)
