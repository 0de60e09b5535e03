"""The resold script with `invoice/request`, `invoice/pay` and `invoice/check`: the first family."""

from typing import Final

from proxy.gateways.family import Credential, Family, Probe, Traits, WayThere
from proxy.gateways.invoice_script.client import InvoiceScript
from proxy.gateways.invoice_script.codes import Code
from proxy.gateways.invoice_script.drop_in import return_params
from proxy.gateways.invoice_script.forms import FORMS
from proxy.gateways.invoice_script.wire import API_KEY, BODY, RETURN_FIELD, pay_url
from proxy.gateways.port import INVOICE_SCRIPT, Inquiry
from proxy.gateways.shop_side import ShopSide
from proxy.kernel.money import MAX_RIALS, MIN_RIALS

FAMILY: Final = Family(
    name=INVOICE_SCRIPT,
    title=("Invoice script", "اسکریپت صورتحساب"),
    gateway_url="",
    # As its keys were always taken.
    credentials=(
        Credential(
            API_KEY,
            ("API key", "کلید API"),
            ".{1,1000}",
            (
                "1 to 1000 visible characters without white space around them",
                "۱ تا ۱۰۰۰ نویسهٔ دیدنی و بی‌فاصله در دو سو",
            ),
        ),
    ),
    options=(RETURN_FIELD, BODY),
    traits=Traits(min_rials=MIN_RIALS, max_rials=MAX_RIALS, locks_ip=True, locks_domain=True),
    codes={code.value: code.meaning for code in Code},
    make=InvoiceScript,
    way_there=lambda gateway_url, invoice_key: WayThere(pay_url(gateway_url, invoice_key)),
    probe=Probe(
        inquiry=lambda text: Inquiry(f"doctor{text}", MIN_RIALS), unknown_codes=frozenset({Code.UNKNOWN_INVOICE})
    ),
    forms=FORMS,
    shop_side=ShopSide(key_field=API_KEY, return_params=return_params),
    simulator="proxy.gateways.invoice_script.simulator:InvoiceScriptSimulator",
)
