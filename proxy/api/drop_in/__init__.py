"""Dargah as a gateway to shops that speak a gateway's protocol, so that they change one URL."""

import re
from typing import Final

from aiohttp import web

from proxy.api.drop_in import invoice_script, zarinpal, zibal
from proxy.api.drop_in.calls import CHECKS, JUMPS
from proxy.api.drop_in.protocol import Protocol, unanswered
from proxy.kernel.errors import DargahError
from proxy.payments.drop_in import AmountJumps, DropInChecks

_PROTOCOLS: Final = (invoice_script.PROTOCOL, zarinpal.PROTOCOL, zibal.PROTOCOL)
_MOVES_MONEY: Final = re.compile(r"/(verify|reverse)(\.json)?/?$")
OPERATIONS: Final = invoice_script.OPERATIONS
"""Those of openapi.yaml. The other protocols have documents of their own."""


def add_routes(app: web.Application) -> None:
    """Adds the protocols' paths to the public listener's application."""
    app[JUMPS] = AmountJumps()
    app[CHECKS] = DropInChecks()
    for protocol in _PROTOCOLS:
        protocol.add_routes(app)


def answered_by(path: str) -> Protocol | None:
    """The protocol in whose form errors at this path are; None where it is none's."""
    return next((protocol for protocol in _PROTOCOLS if protocol.calls.search(path)), None)


def pays(path: str) -> bool:
    """Whether this path is a customer's."""
    return any(protocol.pages.search(path) for protocol in _PROTOCOLS)


def error_response(protocol: Protocol, error: DargahError, path: str) -> web.Response:
    """An error of the tree in the protocol's terms; outside of them where a verify or a reverse would say nothing."""
    told = unanswered(error) if _MOVES_MONEY.search(path) else None
    return told or protocol.error_response(error)
