"""What the fields of a merchant, terminal, token or endpoint may be; all that is wrong is told at once."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from proxy.errors import FieldError, InvalidInput
from proxy.merchant import KEY_PREFIXES, STOREFRONT, V1, origin_of
from proxy.payment import EventType

EVENT_TYPES: Final = frozenset({*(str(kind) for kind in EventType), "ping", "endpoint.disabled"})
MAX_NAME_CHARS: Final = 100
MAX_DESCRIPTION_CHARS: Final = 200
MAX_URL_CHARS: Final = 2000
MAX_SECRET_CHARS: Final = 1000
MAX_ORIGINS: Final = 50
MAX_HEADERS: Final = 10
MAX_HEADER_CHARS: Final = 500  # ten of them, all quotes, still leave `endpoint.disabled` under the 20 kB of a webhook

# str.isprintable() is of no use here: half-spaces are not "printable", and are everyday Persian.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
# The message's own, those of one hop, and those that carry a secret: headers are stored as they are, unsealed.
_OUR_HEADERS: Final = frozenset(
    [
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
    ]
)
_OUR_HEADER_PREFIXES: Final = ("webhook-", "proxy-", "sec-", "x-forwarded-", "traceparent", "tracestate")


def is_loopback(host: str) -> bool:
    """Whether `host` is localhost or a loopback address, in writing: no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """Where plain http may go: loopback in development, and the exact `host:port` targets of the settings."""

    loopback: bool = False
    targets: frozenset[str] = frozenset()

    def allows(self, host: str, port: int) -> bool:
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return shown in self.targets or (self.loopback and is_loopback(host))


class Inspection:
    """Looks at fields one by one, gives each back in its stored form, and raises once for all that are wrong."""

    def __init__(self, http: HttpPolicy) -> None:
        self._http = http
        self._errors: list[FieldError] = []

    def raise_for_errors(self) -> None:
        """Raises InvalidInput when a field was refused."""
        if self._errors:
            raise InvalidInput(self._errors)

    def refuse(self, field: str, code: str, detail: str, detail_fa: str) -> None:
        self._errors.append(FieldError(field, code, detail, detail_fa))

    def text(self, field: str, value: str, most: int, least: int = 1) -> str:
        """A line of text for people, without white space around it."""
        value = value.strip()
        if not least <= len(value) <= most or _CONTROL.search(value):
            self.refuse(
                field,
                "text_invalid",
                f"must be one line of {least} to {most} characters",
                f"باید یک خط با {least} تا {most} نویسه باشد",
            )
        return value

    def secret(self, field: str, value: str) -> str:
        """A gateway's api_key: kept as it is, never shown in the error."""
        if not 1 <= len(value) <= MAX_SECRET_CHARS or not value.isprintable() or value != value.strip():
            self.refuse(
                field,
                "secret_invalid",
                f"must be 1 to {MAX_SECRET_CHARS} visible characters without white space around them",
                f"باید ۱ تا {MAX_SECRET_CHARS} نویسهٔ دیدنی و بی‌فاصله در دو سو باشد",
            )
        return value

    def storefront(self, field: str, value: str) -> str:
        if not STOREFRONT.fullmatch(value):
            self.refuse(
                field,
                "storefront_invalid",
                "must be 1 to 40 lower-case letters, digits and hyphens, and not begin with a hyphen",
                "باید ۱ تا ۴۰ حرف کوچک لاتین، رقم و خط تیره باشد و با خط تیره آغاز نشود",
            )
        return value

    def origins(self, field: str, values: Iterable[str]) -> tuple[str, ...]:
        """`scheme://host[:port]` each, in the order given, without repeats."""
        origins: dict[str, None] = {}
        for value in values:
            try:
                origins[_bare_origin(value)] = None
            except ValueError as error:
                self.refuse(
                    field, "origin_invalid", f"{value[:200]!r}: {error}", "مبدأ باید مانند https://shop.ir باشد"
                )
        if len(origins) > MAX_ORIGINS:
            self.refuse(field, "too_many", f"at most {MAX_ORIGINS} origins", f"حداکثر {MAX_ORIGINS} مبدأ")
        return tuple(origins)

    def base_url(self, field: str, value: str) -> str:
        """The base of a gateway or of returns: https, no query; without its last slash."""
        self.url(field, value)
        if "?" in value or "#" in value:
            self.refuse(field, "url_invalid", "is a base: no ? and no #", "نشانی پایه است: بدون ? و #")
        return value.rstrip("/")

    def url(self, field: str, value: str) -> str:
        """An https URL, or an http one where the policy lets it."""
        try:
            origin_of(value)
        except ValueError as error:
            self.refuse(field, "url_invalid", str(error), "نشانی معتبر نیست")
            return value
        if len(value) > MAX_URL_CHARS:
            self.refuse(field, "url_too_long", f"at most {MAX_URL_CHARS} characters", "نشانی بیش از اندازه بلند است")
        parts = urlsplit(value)
        if parts.scheme == "http" and not self._http.allows(parts.hostname or "", parts.port or 80):
            self.refuse(
                field,
                "https_required",
                "must be https:// (http only to loopback in development, or to a host:port of DARGAH_WEBHOOK_ALLOW)",
                "باید با https:// آغاز شود",
            )
        return value

    def event_types(self, field: str, values: Iterable[str]) -> frozenset[str]:
        """Known types; none means all."""
        wanted = frozenset(values)
        unknown = sorted(wanted - EVENT_TYPES)
        if unknown:
            self.refuse(
                field,
                "event_type_unknown",
                f"{', '.join(unknown)[:200]}: not known; there are {', '.join(sorted(EVENT_TYPES))}",
                "نوع رویداد شناخته نیست",
            )
        return wanted

    def signatures(self, field: str, values: Iterable[str]) -> tuple[str, ...]:
        """The schemes that sign: `v1` always, as every library verifies it, and `v1a` beside it where asked for."""
        wanted = tuple(sorted(set(values)))
        if V1 not in wanted or not set(wanted) <= KEY_PREFIXES.keys():
            self.refuse(field, "signatures_invalid", 'must be ["v1"] or ["v1", "v1a"]', "باید v1 یا v1 و v1a باشد")
        return wanted

    def headers(self, field: str, values: Mapping[str, str]) -> dict[str, str]:
        """Extra headers of an endpoint, names in lower case."""
        if len(values) > MAX_HEADERS:
            self.refuse(field, "too_many", f"at most {MAX_HEADERS} headers", f"حداکثر {MAX_HEADERS} سرآیند")
        for name, value in values.items():
            self._header(f"{field}.{name[:100]}", name, value)
        lower = {name.lower(): value for name, value in values.items()}
        if len(lower) < len(values):
            self.refuse(field, "header_repeated", "a header is there twice", "سرآیندی دو بار آمده است")
        return lower

    def _header(self, field: str, name: str, value: str) -> None:
        if name.lower() in _OUR_HEADERS or name.lower().startswith(_OUR_HEADER_PREFIXES):
            self.refuse(
                field,
                "header_reserved",
                "is set by Dargah, belongs to one hop, or would carry a secret; verify the signature instead",
                "این سرآیند را نمی‌توان گذاشت؛ به‌جای آن امضا را بررسی کنید",
            )
        elif not _HEADER_NAME.fullmatch(name):
            self.refuse(field, "header_invalid", "is not a header's name", "نام سرآیند نیست")
        if len(value) > MAX_HEADER_CHARS or not _HEADER_VALUE.fullmatch(value):
            self.refuse(
                field,
                "header_invalid",
                f"must be visible ASCII of at most {MAX_HEADER_CHARS} characters",
                f"باید ASCII دیدنی و حداکثر {MAX_HEADER_CHARS} نویسه باشد",
            )


def _bare_origin(value: str) -> str:
    origin = origin_of(value)
    parts = urlsplit(value)
    if parts.path not in {"", "/"} or "?" in value or "#" in value:
        raise ValueError("is an origin: scheme, host and port, and no path")
    return origin
