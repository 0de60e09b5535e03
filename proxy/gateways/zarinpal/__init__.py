"""ZarinPal v4: a payment is an authority of 36 characters, and verify.json keeps its money."""

from typing import Final
from urllib.parse import quote

from proxy.gateways.family import Credential, Family, Probe, ReturnClaim, Traits, WayThere
from proxy.gateways.port import Evidence, Inquiry
from proxy.gateways.zarinpal.client import MERCHANT_ID, ZarinPalClient
from proxy.gateways.zarinpal.codes import CODES, UNKNOWN_AUTHORITY
from proxy.gateways.zarinpal.drop_in import SHOP_SIDE
from proxy.gateways.zarinpal.forms import FORMS
from proxy.kernel.clock import MINUTE

_CLAIMS: Final = {"OK": ReturnClaim.PAID, "NOK": ReturnClaim.UNPAID}


def claim(authority: str, evidence: Evidence) -> ReturnClaim:
    """What `?Authority=…&Status=OK` or `NOK` says: nothing without this authority."""
    named = evidence.get("Authority")
    if not named:
        return ReturnClaim.NOTHING
    return _CLAIMS.get(evidence.get("Status", ""), ReturnClaim.NOTHING) if named == authority else ReturnClaim.FOREIGN


def way_there(gateway_url: str, authority: str) -> WayThere:
    return WayThere(f"{gateway_url.rstrip('/')}/pg/StartPay/{quote(authority, safe='')}")


FAMILY: Final = Family(
    name="zarinpal",
    title=("ZarinPal", "زرین‌پال"),
    gateway_url="https://payment.zarinpal.com",
    sandbox_url="https://sandbox.zarinpal.com",
    credentials=(
        Credential(
            MERCHANT_ID,
            ("Merchant ID", "کد پذیرنده (merchant_id)"),
            pattern=r"[0-9A-Za-z-]{36}",
            hint=(
                "36 characters, as ZarinPal's panel shows it; any 36 in the sandbox",
                "۳۶ نویسه، چنان که پنل زرین‌پال نشان می‌دهد؛ در محیط آزمایشی هر ۳۶ نویسه‌ای",
            ),
        ),
    ),
    traits=Traits(
        max_rials=1_000_000_000,  # -41 is "100,000,000 tomans"
        confirms=True,
        reverses=True,
        # It keeps unverified money, as its post of 2021-05-09 on zarinpal.com/blog/unverified explains.
        gives_back_after=None,
        reverse_within=30 * MINUTE,
        evidence=("Authority", "Status"),
        tells_card=True,
        locks_ip=True,
        locks_domain=True,
        sandbox=True,
    ),
    codes=CODES,
    make=ZarinPalClient,
    way_there=way_there,
    claim=claim,
    # An authority is 36 characters that begin with A, or S in the sandbox.
    probe=Probe(
        inquiry=lambda text: Inquiry(f"doctor{text:0>30}", 1_000), unknown_codes=frozenset({UNKNOWN_AUTHORITY})
    ),
    forms=FORMS,
    shop_side=SHOP_SIDE,
    simulator="proxy.gateways.zarinpal.simulator:ZarinPalSimulator",
)
