"""Behpardakht Mellat's gateway: SOAP, a customer who is sent there and back by POST, and money in two steps."""

from typing import Final

from proxy.gateways.answers import parts_of
from proxy.gateways.family import Credential, Family, Probe, Traits, WayThere
from proxy.gateways.mellat.answers import CARD, EVIDENCE, REF_ID, SALE_ORDER_ID, SALE_REFERENCE_ID, claim
from proxy.gateways.mellat.client import PASSWORD, TERMINAL_ID, USERNAME, MellatClient
from proxy.gateways.mellat.codes import CODES
from proxy.gateways.mellat.forms import FORMS
from proxy.gateways.port import Inquiry
from proxy.kernel.clock import HOUR, MINUTE


def _way_there(gateway_url: str, invoice_key: str) -> WayThere:
    _, ref_id = parts_of(invoice_key)
    return WayThere(f"{gateway_url.rstrip('/')}/pgwchannel/startpay.mellat", {REF_ID: ref_id})


_NOBODYS: Final = "9" * 18
"""The number of an order that nobody makes: Dargah's are below 2**53."""


def _impossible(_text: str) -> Inquiry:
    """A sale that cannot be, for bpVerifyRequest, with a return that names it."""
    told = {SALE_ORDER_ID: _NOBODYS, REF_ID: "doctor", SALE_REFERENCE_ID: _NOBODYS}
    return Inquiry(f"{_NOBODYS}:doctor", 1_000, told)


FAMILY: Final = Family(
    name="mellat",
    title=("Behpardakht Mellat", "به‌پرداخت ملت"),
    gateway_url="https://bpm.shaparak.ir",
    credentials=(
        Credential(
            TERMINAL_ID,
            ("Terminal number", "شمارهٔ پایانه"),
            r"[1-9][0-9]{0,17}",
            ("digits", "رقم"),
        ),
        Credential(USERNAME, ("Username", "نام کاربری")),
        Credential(PASSWORD, ("Password", "رمز")),
    ),
    traits=Traits(
        checks=False,
        confirms=True,
        settles=True,
        reverses=True,
        needs_return=True,
        gives_back_after=20 * MINUTE,
        reverse_within=3 * HOUR,
        evidence=EVIDENCE,
        card_evidence=CARD,
        tells_card=True,
        locks_ip=True,
        locks_domain=True,
        wants_referrer=True,
        needs_clock=True,
    ),
    codes=CODES,
    make=MellatClient,
    way_there=_way_there,
    claim=claim,
    probe=Probe(inquiry=_impossible, unknown_is_unpaid=True),
    forms=FORMS,
    simulator="proxy.gateways.mellat.simulator:MellatSimulator",
)
