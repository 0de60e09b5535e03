"""What a terminal takes of a call: its amount, the address that it comes from, and the site that it sends back to."""

from typing import Any

from proxy.gateways.simulation.ledger import MAX_AMOUNT_RIALS, SimulatedTerminal
from proxy.kernel.text import refused_in
from proxy.kernel.urls import ascii_host, host_of

MIN_AMOUNT_RIALS = 1000


def parse_amount(value: Any, least: int = MIN_AMOUNT_RIALS) -> int | None:
    """A whole number from a number or a string of ASCII digits; None for anything else, or out of range."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_AMOUNT_RIALS)):
        value = int(value)
    if type(value) is not int or not least <= value <= MAX_AMOUNT_RIALS:
        return None
    return value


def sendable_url(url: object) -> str | None:
    """The URL if it is of the web and can be sent in a Location header as it is."""
    if not isinstance(url, str) or not host_of(url) or " " in url or refused_in(url) is not None:
        return None
    return url


def ip_allowed(terminal: SimulatedTerminal, caller_ip: str) -> bool:
    """Whether a call from this address is the terminal's: any, unless one is registered."""
    return terminal.registered_ip in (None, caller_ip)


def domain_allowed(terminal: SimulatedTerminal, url: str, *, below: bool = True) -> bool:
    """Whether the URL is of the terminal's registered domain, or `below` it: any, unless one is registered."""
    if terminal.registered_domain is None:
        return True
    host, registered = _one_form(host_of(url)), _one_form(terminal.registered_domain)
    return host == registered or (below and host.endswith(f".{registered}"))


def _one_form(host: str) -> str:
    """The host in ASCII; in lower case where it has no such form."""
    try:
        return ascii_host(host)
    except ValueError:
        return host.lower()
