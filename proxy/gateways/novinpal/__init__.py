"""NovinPal's gateway: the invoice script grown up, with a refId in place of the invoice_key, and a verify."""

from typing import Final

from proxy.gateways.family import Credential, Family, Probe, Traits, WayThere
from proxy.gateways.invoice_script.wire import API_KEY, BODY
from proxy.gateways.novinpal.answers import EVIDENCE, claim
from proxy.gateways.novinpal.client import NovinPalClient, start_url
from proxy.gateways.novinpal.codes import CODES
from proxy.gateways.novinpal.forms import FORMS
from proxy.gateways.port import Inquiry

FAMILY: Final = Family(
    name="novinpal",
    title=("NovinPal", "نوین‌پال"),
    gateway_url="https://api.novinpal.ir",
    sandbox_url="https://api.novinpal.ir",
    credentials=(
        Credential(
            API_KEY,
            ("API key", "کلید API"),
            hint=(
                "printable ASCII without spaces; sandbox in test mode",
                "نویسه‌های ASCII بدون فاصله؛ در حالت آزمایشی sandbox",
            ),
            sandbox="sandbox",
        ),
    ),
    options=(BODY,),
    traits=Traits(
        min_rials=10_000,
        checks=False,
        confirms=True,
        confirms_unasked=True,
        evidence=EVIDENCE,
        tells_card=True,
        locks_ip=True,
        locks_domain=True,
        sandbox=True,
    ),
    codes=CODES,
    make=NovinPalClient,
    way_there=lambda gateway_url, invoice_key: WayThere(start_url(gateway_url, invoice_key)),
    claim=claim,
    # An errorCode tells of a wrong api_key. What a right one gets is not documented, and other servers say 404, too.
    probe=Probe(
        inquiry=lambda text: Inquiry(f"doctor{text}", 10_000),
        unknown_status=404,
        unknown_is_unpaid=True,
        tells_credentials=False,
    ),
    forms=FORMS,
    simulator="proxy.gateways.novinpal.simulator:NovinPalSimulator",
)
