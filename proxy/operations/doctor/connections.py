"""Why a connection failed, in words: the names of `proxy.http.outbound.failures`, with what to do and the setting."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from proxy.kernel.frozen import dataclass

Words = tuple[str, str]
"""English and Persian."""
HTTPS_PORT: Final = 443


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom Dargah calls: the setting that names authorities, and the advice where a client certificate is wanted and
    where an address is private.
    """

    authorities: str
    certificate: Words
    private: Words


WEBHOOK: Final = Peer(
    "DARGAH_WEBHOOK_CA_FILES",
    (
        "Put a certificate whose authority it trusts into DARGAH_WEBHOOK_CLIENT_CERT_FILES.",
        "گواهی‌ای را که صادرکننده‌اش را می‌شناسد در DARGAH_WEBHOOK_CLIENT_CERT_FILES بنویسید.",
    ),
    (
        "Register a public https URL; a receiver of your own network goes into DARGAH_WEBHOOK_ALLOW.",
        "نشانی https عمومی ثبت کنید؛ گیرندهٔ شبکهٔ خودتان را در DARGAH_WEBHOOK_ALLOW بنویسید.",
    ),
)
GATEWAY: Final = Peer(
    "DARGAH_GATEWAY_CA_FILES",
    (
        "No setting gives a gateway a client certificate: see its gateway_url, and ask the gateway.",
        "برای درگاه گواهی مشتری تنظیم نمی‌شود: gateway_url را ببینید و از درگاه بپرسید.",
    ),
    ("See its gateway_url.", "gateway_url آن را ببینید."),
)

_ROUTE: Final = (
    "See the URL's host and port, and the firewall on the way; DARGAH_EGRESS_PROXY where only a proxy gets out.",
    "نام و پورت نشانی و دیوارهٔ آتش راه را ببینید؛ اگر راه بیرون تنها یک پراکسی است، DARGAH_EGRESS_PROXY را.",
)
_PROXY: Final = (
    "See DARGAH_EGRESS_PROXY, DARGAH_EGRESS_PROXY_CREDENTIALS, DARGAH_EGRESS_DIRECT and the proxy's own log.",
    "DARGAH_EGRESS_PROXY، DARGAH_EGRESS_PROXY_CREDENTIALS، DARGAH_EGRESS_DIRECT و لاگ خود پراکسی را ببینید.",
)
_CAUSES: Final[Mapping[str, tuple[Words, Words | None]]] = {
    "tls_expired": (
        ("its certificate has expired", "گواهی TLS آن منقضی شده است"),
        (
            "Have it renewed and the server reloaded. If it is new there, compare this machine's clock.",
            "گواهی را تازه و سرور را بارگذاری کنند. اگر آنجا تازه است، ساعت این ماشین را بسنجید.",
        ),
    ),
    "tls_not_yet_valid": (
        ("its certificate is not valid yet", "گواهی TLS آن هنوز معتبر نشده است"),
        (
            "Compare both machines' clocks (here: `timedatectl`): where one is behind, a certificate is of the future.",
            "ساعت هر دو ماشین را بسنجید (اینجا: `timedatectl`): اگر یکی عقب باشد، گواهی از آینده است.",
        ),
    ),
    "tls_wrong_host": (
        ("its certificate is for another host name", "گواهی TLS آن برای نام دیگری است"),
        (
            "Get a certificate for the host of the URL, or set a URL whose host the certificate names.",
            "برای نام میزبان همین نشانی گواهی بگیرید، یا نشانی‌ای بگذارید که گواهی نامش را دارد.",
        ),
    ),
    "tls_self_signed": (
        ("its certificate is signed by itself", "گواهی TLS آن را خودش امضا کرده است"),
        (
            "Get one of a public authority; else name the certificate's own file in {authorities} (host=file.pem).",
            "از صادرکننده‌ای عمومی گواهی بگیرید؛ یا فایل همین گواهی را در {authorities} بنویسید (host=file.pem).",
        ),
    ),
    "tls_unknown_authority": (
        ("no authority that is trusted here issued its certificate", "صادرکنندهٔ گواهی TLS آن اینجا شناخته نیست"),
        (
            "Have it send its intermediate certificates; name its own authority in {authorities} (host=file.pem).",
            "گواهی‌های میانی را هم بفرستد؛ صادرکنندهٔ اختصاصی را در {authorities} بنویسید (host=file.pem).",
        ),
    ),
    "tls_client_certificate": (
        (
            "it refused the handshake: it wants a client certificate that it accepts, or has no cipher in common",
            "برقراری TLS را رد کرد: گواهی پذیرفتنی از ما می‌خواهد، یا رمز مشترکی ندارد",
        ),
        None,
    ),
    "tls_too_old": (
        ("it speaks no TLS newer than 1.1", "نسخهٔ TLS آن کهنه است (۱.۱ یا پیش از آن)"),
        (
            "It must speak TLS 1.2 or newer: `openssl s_client -connect HOST:PORT` shows what it has.",
            "باید TLS 1.2 یا تازه‌تر داشته باشد: `openssl s_client -connect HOST:PORT` نشان می‌دهد چه دارد.",
        ),
    ),
    "tls_not_spoken": (
        ("what listens there speaks no TLS", "آنچه آنجا گوش می‌دهد TLS ندارد"),
        (
            "See the URL's port: plain http answers there, or another service.",
            "پورت نشانی را ببینید: آنجا http ساده یا سرویس دیگری پاسخ می‌دهد.",
        ),
    ),
    "tls_cut_off": (
        ("it hung up in the TLS handshake", "هنگام برقراری TLS اتصال را بست"),
        (
            "See that TLS listens at that port, and that no firewall or balancer cuts it off; its log says why.",
            "ببینید آن پورت TLS دارد و دیوارهٔ آتش یا متعادل‌کننده‌ای قطعش نمی‌کند؛ لاگ آن دلیل را می‌گوید.",
        ),
    ),
    "tls": (
        ("no TLS connection could be made", "اتصال TLS برقرار نشد"),
        (
            "It must speak TLS 1.2 or newer at that port: try `openssl s_client -connect HOST:PORT`.",
            "باید در آن پورت TLS 1.2 یا تازه‌تر داشته باشد: `openssl s_client -connect HOST:PORT` را بیازمایید.",
        ),
    ),
    "dns": (
        ("its host's name is not found from here", "نام میزبان آن از اینجا پیدا نمی‌شود"),
        (
            "See the URL's spelling and this machine's name servers: `getent ahosts HOST`.",
            "املای نشانی و نام‌سرورهای این ماشین را ببینید: `getent ahosts HOST`.",
        ),
    ),
    "refused": (
        ("nothing listens at its port, or a firewall refuses", "در پورت آن چیزی گوش نمی‌دهد، یا دیوارهٔ آتش رد می‌کند"),
        _ROUTE,
    ),
    "connect_timeout": (("no connection came about in time", "اتصال در زمان مقرر برقرار نشد"), _ROUTE),
    "timeout": (("it did not answer in time", "در زمان مقرر پاسخ نداد"), _ROUTE),
    "reset": (("the connection was cut before an answer", "اتصال پیش از پاسخ بسته شد"), _ROUTE),
    "blocked_address": (
        (
            "its host is at a private address, to which nothing is sent",
            "میزبان آن نشانی خصوصی دارد و چیزی به آن فرستاده نمی‌شود",
        ),
        None,
    ),
    "proxy_unreachable": (("the egress proxy is not reached", "به پراکسی خروجی نمی‌رسیم"), _PROXY),
    "proxy_timeout": (("the egress proxy does not answer in time", "پراکسی خروجی در زمان مقرر پاسخ نمی‌دهد"), _PROXY),
    "proxy_auth": (("the egress proxy wants other credentials", "پراکسی خروجی نام و گذرواژهٔ دیگری می‌خواهد"), _PROXY),
    "proxy_refused": (
        ("the egress proxy refuses, or does not get there", "پراکسی خروجی راه نمی‌دهد یا به آن نمی‌رسد"),
        _PROXY,
    ),
    "proxy_bad_response": (("the egress proxy answers no HTTP", "پاسخ پراکسی خروجی HTTP نیست"), _PROXY),
    "proxy_needs_tls": (("only https goes through the egress proxy", "از پراکسی خروجی تنها https می‌گذرد"), _PROXY),
}
_ALIASES: Final = {"refused_connection": "refused"}
"""What gateways' calls name otherwise."""


def explanation(
    error: str, peer: Peer, url: str = "", ca_files: Mapping[str, str] | None = None
) -> tuple[Words, Words] | None:
    """What is wrong, and what to do, of a named failure; None of another one.

    `ca_files` are those of the peer's setting by host or host:port: for such a host only the file's authorities count.
    """
    error = _ALIASES.get(error, error)
    if error not in _CAUSES:
        return None
    why, advice = _CAUSES[error]
    if error in {"tls_self_signed", "tls_unknown_authority"} and (file := _own_file(url, ca_files or {})) is not None:
        setting = peer.authorities
        english = (
            f"For this host only the authorities in {file} count ({setting}): put the present one into it, restart."
        )
        persian = f"برای این میزبان تنها صادرکننده‌های {file} پذیرفته‌اند ({setting}): صادرکنندهٔ کنونی را در آن بگذارید."
        return why, (english, persian)
    if advice is None:
        advice = peer.private if error == "blocked_address" else peer.certificate
    english, persian = advice
    return why, (english.format(authorities=peer.authorities), persian.format(authorities=peer.authorities))


def _own_file(url: str, ca_files: Mapping[str, str]) -> str | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return ca_files.get(f"{host}:{parts.port or HTTPS_PORT}") or ca_files.get(host)
