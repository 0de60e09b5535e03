"""SEP (Saman Electronic Payment): a bank's gateway for terminals of one's own, by its REST protocol "OnlinePG"."""

from typing import Final

from proxy.gateways.answers import parts_of
from proxy.gateways.family import Credential, Family, Probe, Traits, WayThere
from proxy.gateways.port import Inquiry
from proxy.gateways.sep.answers import CONFIRM_WITHIN, EVIDENCE, REVERSE_WITHIN, claim
from proxy.gateways.sep.client import LINK_LASTS, TERMINAL_ID, SepClient
from proxy.gateways.sep.codes import CODES
from proxy.gateways.sep.forms import FORMS


def way_there(gateway_url: str, invoice_key: str) -> WayThere:
    """A form: a GET cannot say how the customer comes back. An empty GetMethod says by POST, which no log keeps."""
    return WayThere(
        f"{gateway_url.rstrip('/')}/OnlinePG/OnlinePG", {"Token": parts_of(invoice_key)[1], "GetMethod": ""}
    )


def impossible(text: str) -> Inquiry:
    """A receipt that SEP never gave, for VerifyTransaction, with a return that names it."""
    return Inquiry("1:doctor", 1_000, {"ResNum": "1", "State": "OK", "RefNum": f"doctor{text}"})


FAMILY: Final = Family(
    name="sep",
    title=("SEP (Saman)", "سپ (پرداخت الکترونیک سامان)"),
    gateway_url="https://sep.shaparak.ir",
    credentials=(
        Credential(TERMINAL_ID, ("Terminal number", "شمارهٔ ترمینال"), r"[1-9][0-9]{0,14}", ("digits", "رقم")),
    ),
    traits=Traits(
        link_lasts=LINK_LASTS,
        checks=False,
        confirms=True,
        reverses=True,
        needs_return=True,
        gives_back_after=CONFIRM_WITHIN,
        reverse_within=REVERSE_WITHIN,
        evidence=EVIDENCE,
        tells_card=True,
        locks_ip=True,
    ),
    codes=CODES,
    make=SepClient,
    way_there=way_there,
    claim=claim,
    probe=Probe(inquiry=impossible, unknown_is_unpaid=True),
    forms=FORMS,
    simulator="proxy.gateways.sep.simulator:SepSimulator",
)
