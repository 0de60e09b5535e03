"""What the script's hosts have each in a way of its own: how the customer comes back, and with what.

easypay90.me and panel.novinshoop.com come back by POST, the others by GET; some add a `status`, in which 0 means fine.
"""

from typing import Final

from proxy.gateways.forms import ANY, HTTP, NONE, HostForm, HostWay

FORMS: Final = (
    HostForm(
        "return_method",
        ("how its customers come back", "شیوهٔ بازگشت مشتری از آن"),
        tuple(
            HostWay(
                method, (f"its customers come back by {method}", f"مشتری از آن با {method} بازمی‌گردد"), {HTTP: method}
            )
            for method in ("GET", "POST")
        ),
        of_returns=True,
    ),
    HostForm(
        "return_status",
        ("whether a return brings a `status`", "اینکه بازگشت `status` می‌آورد یا نه"),
        (
            HostWay(
                "none",
                ("a return brings no `status`", "بازگشت `status` نمی‌آورد"),
                {HTTP: "GET|POST", "status": NONE},
            ),
            HostWay(
                "status",
                (
                    "a return brings a `status`, which is not believed",
                    "بازگشت `status` می‌آورد که به آن اعتماد نمی‌شود",
                ),
                {HTTP: "GET|POST", "status": ANY},
            ),
        ),
        of_returns=True,
    ),
)
