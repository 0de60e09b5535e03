"""The settings between the listeners and the network: proxies in front, and limits."""

import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from proxy.kernel.rate_limits import Quotas
from proxy.kernel.urls import parse_networks

Trusted = IPv4Network | IPv6Network | Literal["unix"]
PerMinute = Annotated[int, Field(ge=0, le=1_000_000)]
_OFF: Final = "0: no limit. Per process."


def parse_names(value: object) -> tuple[str, ...]:
    """Host names, without a port, by comma or line. Raises ValueError."""
    if isinstance(value, tuple):
        return value
    names = tuple(filter(None, (piece.strip().rstrip(".").lower() for piece in re.split(r"[,\n]", str(value)))))
    for name in names:
        if not re.fullmatch(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*", name):
            raise ValueError(f"{name!r}: write names alone, such as dargah.internal.example.ir")
    return names


class WireSettings(BaseSettings):
    """Part of Settings."""

    trusted_proxies: Annotated[tuple[Trusted, ...], BeforeValidator(parse_networks), NoDecode] = Field(
        (),
        description="Addresses or networks of the proxies in front, comma separated, which say who calls; unix for one "
        "that comes by a socket file.",
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = Field(
        "x-forwarded-for",
        description="The header in which they say it, x-forwarded-for or forwarded. The proxy must set or remove it.",
    )
    admin_hosts: Annotated[tuple[str, ...], BeforeValidator(parse_names), NoDecode] = Field(
        (),
        description="Names by which the admin listener is reached, comma separated, beside localhost and IP addresses.",
    )
    hsts_seconds: Annotated[int, Field(ge=0, le=10 * 365 * 24 * 3600)] = Field(
        0, description="Strict-Transport-Security for so long; 0: none. For a DARGAH_PUBLIC_URL of https."
    )
    max_connections: Annotated[int, Field(ge=16, le=100_000)] = Field(
        4096, description="Connections to the public listener. When full, who waits for the longest time is closed."
    )
    max_address_connections: Annotated[int, Field(ge=0, le=100_000)] = Field(
        512, description="Of them from one address that is no proxy of DARGAH_TRUSTED_PROXIES; 0: no limit of its own."
    )
    head_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        10, description="How long a request's headers may take, from their first byte or from a connection's begin."
    )
    idle_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        180, description="How long a connection may be idle. Longer than the proxy in front keeps one."
    )
    token_creates_per_minute: PerMinute = Field(12_000, description=f"Payments that one token may ask for. {_OFF}")
    address_creates_per_minute: PerMinute = Field(24_000, description=f"Payments asked for from one address. {_OFF}")
    token_calls_per_minute: PerMinute = Field(24_000, description=f"Other calls with one token. {_OFF}")
    address_calls_per_minute: PerMinute = Field(48_000, description=f"Other calls from one address. {_OFF}")
    address_auth_failures_per_minute: PerMinute = Field(
        100, description=f"Calls from one address whose token is wrong; over it, such calls wait. {_OFF}"
    )
    link_visits_per_minute: PerMinute = Field(60, description=f"Visits of one payment's pages. {_OFF}")
    address_unknown_links_per_minute: PerMinute = Field(
        120, description=f"Visits from one address of links that do not exist. {_OFF}"
    )

    @property
    def quotas(self) -> Quotas:
        return Quotas(
            token_creates=self.token_creates_per_minute,
            address_creates=self.address_creates_per_minute,
            token_calls=self.token_calls_per_minute,
            address_calls=self.address_calls_per_minute,
            auth_failures=self.address_auth_failures_per_minute,
            link_visits=self.link_visits_per_minute,
            unknown_links=self.address_unknown_links_per_minute,
        )

    @property
    def hsts(self) -> str | None:
        """The header's value."""
        return f"max-age={self.hsts_seconds}" if self.hsts_seconds else None
