"""The settings of what stands between the listeners and the world: proxies in front, limits, and TLS to gateways."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from proxy.addresses import parse_networks
from proxy.rate_limits import Quotas

PerMinute = Annotated[int, Field(ge=0, le=1_000_000)]
_OFF: Final = "0: no limit. Per process."


@dataclass(frozen=True, slots=True)
class OwnAuthority:
    """The file of the only certificate authorities that vouch for the gateways at `host`, a name or name:port."""

    host: str
    file: Path

    def __str__(self) -> str:
        return f"{self.host}={self.file}"


def parse_authorities(value: object) -> tuple[OwnAuthority, ...]:
    """`host=file` or `host:port=file`, by comma or line. Raises ValueError."""
    if isinstance(value, tuple):
        return value
    found = []
    for entry in filter(None, (piece.strip() for piece in re.split(r"[,\n]", str(value)))):
        host, mark, file = (part.strip() for part in entry.partition("="))
        if not mark or not file or not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", host):
            raise ValueError(f"{entry!r}: write host=file, such as gateway.example.ir=/etc/dargah/gateway-ca.pem")
        found.append(OwnAuthority(host.lower(), Path(file)))
    if len({authority.host for authority in found}) != len(found):
        raise ValueError("a host stands twice; put all its certificates into one file")
    return tuple(found)


class WireSettings(BaseSettings):
    """Part of Settings."""

    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(parse_networks), NoDecode] = (
        Field((), description="Addresses or networks of the proxies in front, comma separated, which say who calls.")
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = Field(
        "x-forwarded-for",
        description="The header in which they say it, x-forwarded-for or forwarded. The proxy must set or remove it.",
    )
    hsts_seconds: Annotated[int, Field(ge=0, le=10 * 365 * 24 * 3600)] = Field(
        0, description="Strict-Transport-Security for so long; 0: none. For a DARGAH_PUBLIC_URL of https."
    )
    gateway_ca_files: Annotated[tuple[OwnAuthority, ...], BeforeValidator(parse_authorities), NoDecode] = Field(
        (),
        description="Gateways whose certificates come from an authority of their own: host=file.pem, comma separated. "
        "For such a host only the authorities in the file count.",
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
        100, description=f"Calls from one address whose token is wrong; over it, all its calls wait. {_OFF}"
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
