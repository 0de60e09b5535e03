"""Validation of the fields of merchants, terminals and tokens; it reports all errors at once."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from proxy.audit.log import INSTALLATION, AuditEntry
from proxy.kernel.clock import Now
from proxy.kernel.errors import Conflict, FieldError, InvalidInput
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import AUDIT, NO_MERCHANT, Ids, RandomBytes
from proxy.kernel.text import is_blank, refused_in
from proxy.kernel.urls import ascii_url, bare_origin_of, is_loopback, origin_of
from proxy.merchants.merchant import STOREFRONT
from proxy.merchants.storage.repository import MerchantRepository
from proxy.merchants.vault import Vault

MAX_NAME_CHARS: Final = 100
MAX_URL_CHARS: Final = 2000
MAX_SECRET_CHARS: Final = 1000
MAX_ORIGINS: Final = 50


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """The allowed targets of plain http: loopback in development, and the exact `host:port` targets of the settings."""

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
        if not least <= len(value) <= most or refused_in(value) or (least and is_blank(value)):
            self.refuse(
                field,
                "text_invalid",
                f"must be one line of {least} to {most} characters",
                f"باید یک خط با {least} تا {most} نویسه باشد",
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
        """`scheme://host[:port]` or an app's `scheme://` each, in the order given, without repeats."""
        origins: dict[str, None] = {}
        for value in values:
            try:
                origins[bare_origin_of(value)] = None
            except ValueError as error:
                self.refuse(
                    field, "origin_invalid", f"{value[:200]!r}: {error}", "مبدأ باید مانند https://shop.ir باشد"
                )
        if len(origins) > MAX_ORIGINS:
            self.refuse(field, "too_many", f"at most {MAX_ORIGINS} origins", f"حداکثر {MAX_ORIGINS} مبدأ")
        return tuple(origins)

    def base_url(self, field: str, value: str) -> str:
        """The base of a gateway or of returns: https, no query; without its last slash."""
        value = self.url(field, value)
        if "?" in value or "#" in value:
            self.refuse(field, "url_invalid", "is a base: no ? and no #", "نشانی پایه است: بدون ? و #")
        return value.rstrip("/")

    def url(self, field: str, value: str) -> str:
        """An https URL in ASCII, or an http one where the policy lets it."""
        try:
            origin_of(value)
            value = ascii_url(value)
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


class SetupBase:
    def __init__(
        self,
        merchants: MerchantRepository,
        vault: Vault,
        now: Now,
        random_bytes: RandomBytes = os.urandom,
        *,
        http: HttpPolicy | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`changed` is called after each write, so that cached values can be dropped."""
        self._merchants = merchants
        self._vault = vault
        self._now = now
        self._random_bytes = random_bytes
        self._ids = Ids(random_bytes)
        self._http = http or HttpPolicy()
        self._changed = changed

    def _inspect(self) -> Inspection:
        return Inspection(self._http)

    def _audit(self, merchant_id: str, actor: str, action: str, target: str, data: Mapping[str, object]) -> AuditEntry:
        now = self._now()
        of = NO_MERCHANT if merchant_id == INSTALLATION else merchant_id
        return AuditEntry(self._ids.record(AUDIT, of, now), merchant_id, now, actor, action, target, data)


def require_room(count: int, limit: int, what: str, what_fa: str) -> None:
    """Raises Conflict when a merchant has `limit` of something already."""
    if count >= limit:
        raise Conflict(f"this merchant has {limit} {what} already", f"این پذیرنده {limit} {what_fa} دارد")
