"""The outbound clients from the settings: TLS contexts, the egress proxy, and the allowed receivers."""

import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from proxy.config.outbound import HostFile
from proxy.config.settings import Settings, SettingsError
from proxy.config.sign_in import CALLBACK
from proxy.gateways.family import Family
from proxy.gateways.port import GatewayClient
from proxy.gateways.registry import Families
from proxy.http.outbound.connector import ClientOptions, tls_context
from proxy.http.outbound.egress_proxy import Egress
from proxy.http.outbound.ssrf_guard import Guard
from proxy.kernel.clock import Now
from proxy.kernel.ids import Ids
from proxy.webhooks.sender import MAX_BODY_BYTES, HttpSender

if TYPE_CHECKING:
    from proxy.operators.oidc.sign_in import SignIn

# A bot API's answer decides by its body, which is all there a moment after its head.
ANSWER_SECONDS: Final = 5.0


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


def sign_in_by(settings: Settings, egress: Egress | None, ids: Ids, now: Now) -> "SignIn | None":
    """The sign-in by the provider of the settings, where they name one. Raises SettingsError."""
    if settings.oidc_issuer is None:
        return None
    # Its libraries take 100 ms and 5 MB, which a console without a provider does not pay.
    from proxy.operators.oidc.provider import OidcClient, Provider  # noqa: PLC0415
    from proxy.operators.oidc.sign_in import SignIn  # noqa: PLC0415

    secret, authorities = settings.oidc_client_secret, settings.oidc_ca_file
    client = OidcClient(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id or "",
        client_secret=None if secret is None else secret.get_secret_value(),
        redirect_uri=f"{settings.console_url}{CALLBACK}",
        scopes=settings.oidc_scopes,
        groups_claim=settings.oidc_groups_claim,
        roles=settings.oidc_roles,
        button=settings.oidc_button,
    )
    tls = None if authorities is None else _context("DARGAH_OIDC_CA_FILE", HostFile("", authorities))
    return SignIn(client, Provider(client, ClientOptions(now=now, tls=tls, egress=egress)), ids, now)


def webhook_sender(settings: Settings, egress: Egress | None, now: Now) -> HttpSender:
    """Raises SettingsError."""
    guard = Guard([str(target) for target in settings.webhook_allow], development=settings.development)
    return HttpSender(guard, ClientOptions(now=now, own_tls=webhook_tls(settings), egress=egress))


def alert_sender(settings: Settings, egress: Egress | None, now: Now) -> HttpSender:
    """Of the operator's own alerts, whose private targets are no merchant's. Raises SettingsError."""
    guard = Guard([str(target) for target in settings.alert_allow], development=settings.development)
    addressed = {"DARGAH_ALERT_BOT_URL": settings.alert_bot_url}
    if settings.alert_webhook_url is not None:
        addressed["DARGAH_ALERT_WEBHOOK_URL"] = settings.alert_webhook_url.get_secret_value()
    for name, url in addressed.items():
        if guard.url_problem(url) is not None:
            raise SettingsError(f"{name} must be https:// and public, or DARGAH_ALERT_ALLOW names its host:port")
    options = ClientOptions(now=now, own_tls=webhook_tls(settings), egress=egress)
    return HttpSender(guard, options, body_seconds=ANSWER_SECONDS, excerpt_bytes=MAX_BODY_BYTES)


def mail_tls(settings: Settings) -> ssl.SSLContext:
    """Of the server for outgoing mail. Raises SettingsError."""
    file = settings.alert_email_ca_file
    context = _context("DARGAH_ALERT_EMAIL_CA_FILE", None if file is None else HostFile("", file))
    context.set_alpn_protocols([])  # those of HTTP are none of a mail server's
    return context


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
        file = str(authority).removeprefix("=")
        raise SettingsError(f"{name}: {file}: {_reason(error)}: name a PEM file of certificates") from None


def _show(context: ssl.SSLContext, name: str, certificate: HostFile) -> None:
    """Has the context show our certificate to a server that wants one."""

    def passphrase() -> str:
        # Without this OpenSSL asks the terminal, and waits.
        raise SettingsError(f"{name}: {certificate}: its key has a passphrase; write it without one")

    try:
        context.load_cert_chain(certificate.file, password=passphrase)
    except OSError as error:
        raise SettingsError(
            f"{name}: {certificate}: {_reason(error)}: name a PEM file with a certificate and its key"
        ) from None


def _reason(error: OSError) -> str:
    return f"it cannot be read ({(error.reason if isinstance(error, ssl.SSLError) else None) or error.strerror})"
