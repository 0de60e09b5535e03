"""Sadad (Bank Melli): a bank's gateway for terminals of one's own, by its REST protocol "VPG".

Its paths stand under https://sadad.shaparak.ir/VPG; the guide of 2020 has them at the host's root, which a terminal's
gateway_url without /VPG asks for. Its page wants a Referer of the registered domain, says a client that refuses to
start without (az-iranian-bank-gateways, 2025).
"""

from typing import Final
from urllib.parse import quote

from proxy.gateways.answers import parts_of
from proxy.gateways.family import Credential, Family, Probe, Traits, WayThere
from proxy.gateways.port import Inquiry
from proxy.gateways.sadad.answers import CARD, EVIDENCE, claim
from proxy.gateways.sadad.client import KEY, MERCHANT_ID, TERMINAL_ID, SadadClient
from proxy.gateways.sadad.codes import CODES
from proxy.gateways.sadad.forms import FORMS
from proxy.kernel.clock import MINUTE


def way_there(gateway_url: str, invoice_key: str) -> WayThere:
    return WayThere(f"{gateway_url.rstrip('/')}/Purchase?Token={quote(parts_of(invoice_key)[1], safe='')}")


FAMILY: Final = Family(
    name="sadad",
    title=("Sadad (Melli)", "سداد (بانک ملی)"),
    gateway_url="https://sadad.shaparak.ir/VPG",
    credentials=(
        Credential(MERCHANT_ID, ("Merchant number", "شمارهٔ پذیرنده"), "[0-9]{1,20}", ("digits", "رقم")),
        Credential(TERMINAL_ID, ("Terminal number", "شمارهٔ ترمینال"), "[0-9]{1,20}", ("digits", "رقم")),
        Credential(
            KEY,
            ("Terminal key", "کلید ترمینال"),
            "[A-Za-z0-9+/]{32}",
            ("24 bytes in base64: 32 letters, digits, + and /", "۲۴ بایت در base64: ۳۲ حرف، رقم، + و /"),
        ),
    ),
    traits=Traits(
        checks=False,
        confirms=True,
        confirms_unasked=True,
        gives_back_after=15 * MINUTE,
        evidence=EVIDENCE,
        card_evidence=CARD,
        tells_card=True,
        locks_ip=True,
        locks_domain=True,
        wants_referrer=True,
        needs_clock=True,
    ),
    codes=CODES,
    make=SadadClient,
    way_there=way_there,
    claim=claim,
    # The guide has one code for a wrong signature and for a token that is none.
    probe=Probe(
        inquiry=lambda text: Inquiry(f"1:doctor{text}", 1_000), unknown_is_unpaid=True, tells_credentials=False
    ),
    forms=FORMS,
    simulator="proxy.gateways.sadad.simulator:SadadSimulator",
)
