"""Zibal v1: a payment is a trackId, and `verify` keeps its money.

How long Zibal waits for `verify` before the money goes back stands in its document for the "lazy" method only: 20
minutes after the payment. Its ordinary method, which is used here, has status 18 (reversed) too, and no such number.
The 20 minutes are taken for it, so that looks are early enough; that money did go back is known from a status alone.

Since 2026-09 its page turns customers away that come without a Referer of the registered domain.
"""

from typing import Final
from urllib.parse import quote

from proxy.gateways.family import Credential, Family, Probe, ReturnClaim, Traits, WayThere
from proxy.gateways.port import Evidence, Inquiry
from proxy.gateways.zibal.client import MERCHANT, ZibalClient
from proxy.gateways.zibal.codes import CODES, UNKNOWN_TRACK_ID
from proxy.gateways.zibal.drop_in import SHOP_SIDE
from proxy.gateways.zibal.forms import FORMS
from proxy.kernel.clock import MINUTE

# One public client takes 2 for a success, too.
_CLAIMS: Final = {"1": ReturnClaim.PAID, "2": ReturnClaim.PAID, "0": ReturnClaim.UNPAID}


def claim(track_id: str, evidence: Evidence) -> ReturnClaim:
    """What `?trackId=…&success=1` or `0` says: nothing without this trackId."""
    named = evidence.get("trackId")
    if not named:
        return ReturnClaim.NOTHING
    return _CLAIMS.get(evidence.get("success", ""), ReturnClaim.NOTHING) if named == track_id else ReturnClaim.FOREIGN


def way_there(gateway_url: str, track_id: str) -> WayThere:
    return WayThere(f"{gateway_url.rstrip('/')}/start/{quote(track_id, safe='')}")


FAMILY: Final = Family(
    name="zibal",
    title=("Zibal", "زیبال"),
    gateway_url="https://gateway.zibal.ir",
    credentials=(
        Credential(
            MERCHANT,
            ("Merchant", "کد درگاه (merchant)"),
            pattern=r"[0-9A-Za-z_-]{1,64}",
            hint=(
                "as Zibal's panel shows it; `zibal` is the one for tests",
                "چنان که پنل زیبال نشان می‌دهد؛ `zibal` برای آزمایش است",
            ),
            sandbox="zibal",
        ),
    ),
    traits=Traits(
        confirms=True,
        gives_back_after=20 * MINUTE,
        evidence=("trackId", "success", "status"),
        tells_card=True,
        locks_ip=True,
        locks_domain=True,
        wants_referrer=True,
        sandbox=True,
    ),
    codes=CODES,
    make=ZibalClient,
    way_there=way_there,
    claim=claim,
    # Zibal counts its payments, and is far beyond the first.
    probe=Probe(inquiry=lambda _: Inquiry("1", 1_000), unknown_codes=frozenset({UNKNOWN_TRACK_ID})),
    forms=FORMS,
    shop_side=SHOP_SIDE,
    simulator="proxy.gateways.zibal.simulator:ZibalSimulator",
)
