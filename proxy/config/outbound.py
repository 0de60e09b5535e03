"""The settings of the way out, to gateways and to webhooks' receivers: TLS' authorities and certificates, a proxy."""

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from proxy.config.values import Target, parse_address, parse_webhook_allow
from proxy.http.listeners import Address
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import ascii_host

_WRITE: Final = "write host=file, such as gateway.example.ir=/etc/dargah/gateway-ca.pem"


@dataclass(frozen=True, slots=True)
class HostFile:
    """A PEM file for `host`, a name or name:port."""

    host: str
    file: Path

    def __str__(self) -> str:
        return f"{self.host}={self.file}"


def parse_host_files(value: object) -> tuple[HostFile, ...]:
    """`host=file` or `host:port=file`, by comma or line. Raises ValueError."""
    if isinstance(value, tuple):
        return value
    found = []
    for entry in filter(None, (piece.strip() for piece in re.split(r"[,\n]", str(value)))):
        host, mark, file = (part.strip() for part in entry.partition("="))
        if not mark or not file:
            raise ValueError(f"{entry!r}: {_WRITE}")
        try:
            found.append(HostFile(_host_and_port(host), Path(file)))
        except ValueError as error:
            raise ValueError(f"{entry!r}: {_WRITE}") from error
    if len({each.host for each in found}) != len(found):
        raise ValueError("a host stands twice; put all its certificates into one file")
    return tuple(found)


def _host_and_port(text: str) -> str:
    name, colon, port = text.partition(":")
    if not re.fullmatch(r":[0-9]{1,5}|", colon + port):
        raise ValueError("is no port")
    return ascii_host(name) + colon + port


@dataclass(frozen=True, slots=True)
class ProxyUrl:
    """Where the egress proxy listens."""

    address: Address

    def __str__(self) -> str:
        return f"http://{self.address}"


def parse_proxy(value: object) -> ProxyUrl | None:
    """`http://host:port` without more. Raises ValueError, which does not repeat it: it may hold a password."""
    if value is None or isinstance(value, ProxyUrl):
        return value
    scheme, _, rest = str(value).strip().rstrip("/").partition("://")
    if "@" in rest:
        raise ValueError("put user:password into DARGAH_EGRESS_PROXY_CREDENTIALS; here stands http://host:port alone")
    try:
        address = parse_address(rest)
    except ValueError:
        address = None
    if scheme != "http" or address is None or not address.port:
        raise ValueError("write http://host:port, such as http://10.0.0.5:3128")
    return ProxyUrl(address)


HostFiles = Annotated[tuple[HostFile, ...], BeforeValidator(parse_host_files), NoDecode]


class OutboundSettings(BaseSettings):
    """Part of Settings."""

    gateway_ca_files: HostFiles = Field(
        (),
        description="Gateways whose certificates come from an authority of their own: host=file.pem, comma separated. "
        "For such a host only the authorities in the file count.",
    )
    webhook_ca_files: HostFiles = Field((), description="The same for webhooks' receivers.")
    webhook_client_cert_files: HostFiles = Field(
        (),
        description="Receivers that want a client certificate (mTLS): host=file.pem, comma separated. A file "
        "has the certificate, its chain and its key without a passphrase.",
    )
    egress_proxy: Annotated[ProxyUrl | None, BeforeValidator(parse_proxy), NoDecode] = Field(
        None,
        description="The proxy that webhooks and gateways' calls go through by CONNECT, such as http://10.0.0.5:3128. "
        "Names are resolved, and addresses judged, here.",
    )
    egress_proxy_credentials: SecretStr | None = Field(None, description="user:password for that proxy.")
    egress_direct: Annotated[tuple[Target, ...], BeforeValidator(parse_webhook_allow), NoDecode] = Field(
        (), description="What is reached without that proxy, comma separated: exact host:port, or CIDR."
    )

    @field_validator("egress_proxy_credentials")
    @classmethod
    def _credentials(cls, value: SecretStr | None) -> SecretStr | None:
        text = "" if value is None else value.get_secret_value()
        if value is not None and (":" not in text or not text.isprintable()):
            raise ValueError("write user:password")
        return value
