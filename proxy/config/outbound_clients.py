"""The outbound clients from the settings: TLS contexts, the egress proxy, and the allowed receivers."""

import ssl
from collections.abc import Iterable

from proxy.config.outbound import HostFile
from proxy.config.settings import Settings, SettingsError
from proxy.gateways.family import Family
from proxy.gateways.port import GatewayClient
from proxy.gateways.registry import Families
from proxy.http.outbound.connector import ClientOptions, tls_context
from proxy.http.outbound.egress_proxy import Egress
from proxy.http.outbound.ssrf_guard import Guard
from proxy.kernel.clock import Now
from proxy.webhooks.sender import HttpSender


def gateway_client(settings: Settings, egress: Egress | None, now: Now) -> Families:
    """The clients of all families. Raises SettingsError."""
    authorities = own_tls(("DARGAH_GATEWAY_CA_FILES", settings.gateway_ca_files))
    options = ClientOptions(now=now, own_tls=authorities, egress=egress)

    def make(family: Family) -> GatewayClient:
        made: GatewayClient = family.make(
            options, request_seconds=settings.request_timeout_seconds, check_seconds=settings.check_timeout_seconds
        )
        return made

    return Families(make)


def webhook_sender(settings: Settings, egress: Egress | None, now: Now) -> HttpSender:
    """Raises SettingsError."""
    guard = Guard([str(target) for target in settings.webhook_allow], development=settings.development)
    return HttpSender(guard, ClientOptions(now=now, own_tls=webhook_tls(settings), egress=egress))


def webhook_tls(settings: Settings) -> dict[str, ssl.SSLContext]:
    """Raises SettingsError."""
    return own_tls(
        ("DARGAH_WEBHOOK_CA_FILES", settings.webhook_ca_files),
        ("DARGAH_WEBHOOK_CLIENT_CERT_FILES", settings.webhook_client_cert_files),
    )


def egress_of(settings: Settings) -> Egress | None:
    if settings.egress_proxy is None:
        return None
    address, credentials = settings.egress_proxy.address, settings.egress_proxy_credentials
    return Egress(
        address.host,
        address.port,
        None if credentials is None else credentials.get_secret_value(),
        Guard(map(str, settings.egress_direct)),
        plain_http=settings.development,
    )


Setting = tuple[str, Iterable[HostFile]]


def own_tls(authorities: Setting, certificates: Setting = ("", ())) -> dict[str, ssl.SSLContext]:
    """The contexts of the hosts (or host:port) of a setting. A context of a host holds for each of its ports."""
    contexts = {}
    for host in {each.host for _, files in (authorities, certificates) for each in files}:
        context = _context(*_file_of(host, authorities))
        certificate_of, certificate = _file_of(host, certificates)
        if certificate is not None:
            _show(context, certificate_of, certificate)
        contexts[host] = context
    return contexts


def _file_of(host: str, setting: Setting) -> tuple[str, HostFile | None]:
    name, files = setting
    by_host = {each.host: each for each in files}
    return name, by_host.get(host) or by_host.get(host.partition(":")[0])


def _context(name: str, authority: HostFile | None) -> ssl.SSLContext:
    try:
        return tls_context(None if authority is None else authority.file)
    except OSError as error:  # TLS errors are of this class too
        raise SettingsError(f"{name}: {authority}: {error}") from None


def _show(context: ssl.SSLContext, name: str, certificate: HostFile) -> None:
    """Has the context show our certificate to a server that wants one."""

    def passphrase() -> str:
        # Without this OpenSSL asks the terminal, and waits.
        raise SettingsError(f"{name}: {certificate}: its key has a passphrase; write it without one")

    try:
        context.load_cert_chain(certificate.file, password=passphrase)
    except OSError as error:
        raise SettingsError(f"{name}: {certificate}: no certificate with its key: {error}") from None
