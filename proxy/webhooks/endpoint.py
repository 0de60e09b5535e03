"""Webhook endpoints: a merchant's URLs for events, with their event types and state."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

import orjson

from proxy.kernel.clock import Now, rfc3339
from proxy.kernel.errors import NotFound
from proxy.kernel.frozen import dataclass
from proxy.kernel.read_through_cache import ReadThroughCache
from proxy.merchants.merchant import Mode
from proxy.merchants.setup.fields import Inspection
from proxy.merchants.storage.repository import MerchantRepository
from proxy.merchants.vault import HEADERS, Vault, is_destined
from proxy.webhooks.event import EVENT_TYPES

V1, V1A = "v1", "v1a"
KEY_PREFIXES = {V1: "signing:", V1A: "signing_v1a:"}
DEFAULT_IN_FLIGHT: Final = 8
MOST_IN_FLIGHT: Final = 64


class EndpointState(StrEnum):
    """The merchant pauses an endpoint; Dargah disables it (410, or no success for 5 days). Both hold events."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL that gets webhooks of live payments, or of test payments: its `mode` is set once and for all.

    Empty `event_types` means all, `storefront` None means every storefront.

    `header_names` are its extra headers, with sealed values. `signatures` are the schemes that it is signed by. Its
    keys are numbered: the current one is `key_number`, and until `previous_until` the one before signs too.
    `older_keys` are those before that one, newest first, each a number and until when it signs. `max_in_flight` is how
    many attempts may be on their way to it at once.
    """

    id: str
    merchant_id: str
    mode: Mode
    url: str
    storefront: str | None
    event_types: frozenset[str]
    description: str
    header_names: tuple[str, ...]
    state: EndpointState
    state_reason: str | None
    state_since: int
    created_at: int
    updated_at: int
    signatures: tuple[str, ...] = (V1,)
    key_number: int = 1
    previous_until: int | None = None
    older_keys: tuple[tuple[int, int], ...] = ()
    max_in_flight: int = DEFAULT_IN_FLIGHT

    def overlaps(self, now: int) -> tuple[tuple[int, int], ...]:
        """The earlier keys that sign too at `now`, newest first: each a number and until when."""
        previous = () if self.previous_until is None else ((self.key_number - 1, self.previous_until),)
        return tuple(key for key in (*previous, *self.older_keys) if now < key[1])

    def key_names(self, now: int) -> list[str]:
        """The names of the secrets that sign for it at `now`: the newest key's first, and `v1` before `v1a`."""
        numbers = [self.key_number, *(number for number, _ in self.overlaps(now))]
        return [f"{KEY_PREFIXES[scheme]}{number}" for scheme in self.signatures for number in numbers]

    def rotated(self, now: int, until: int) -> "Endpoint":
        """With a new current key; the one before signs until `until`. When that is `now`, no earlier key signs on."""
        older = self.overlaps(now) if until > now else ()
        return replace(self, key_number=self.key_number + 1, previous_until=until, older_keys=older)

    def may_get(self, mode: str | None, storefront: str | None) -> bool:
        """Whether the event is of the endpoint's mode and of a storefront of its own.

        Events without a mode are from before endpoints had one, when all were live.
        """
        return self.mode == (mode or Mode.LIVE) and self.storefront in {None, storefront}

    def wants(self, event_type: str, mode: str | None, storefront: str | None) -> bool:
        """Whether an event of this type, mode and storefront goes to this endpoint."""
        return (not self.event_types or event_type in self.event_types) and self.may_get(mode, storefront)


def endpoint_data(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as its merchant sees it, in answers and in `endpoint.disabled`, without its keys."""
    until = endpoint.previous_until
    return {
        "id": endpoint.id,
        "mode": endpoint.mode.value,
        "test": endpoint.mode is Mode.TEST,
        "url": endpoint.url,
        "storefront": endpoint.storefront,
        "event_types": sorted(endpoint.event_types),
        "description": endpoint.description,
        "header_names": list(endpoint.header_names),
        "max_in_flight": endpoint.max_in_flight,
        "state": endpoint.state.value,
        "state_reason": endpoint.state_reason,
        "state_since": rfc3339(endpoint.state_since),
        "signatures": list(endpoint.signatures),
        "previous_secret_until": None if until is None else rfc3339(until),
        "older_secrets_until": [rfc3339(until) for _, until in endpoint.older_keys],
        "created_at": rfc3339(endpoint.created_at),
        "updated_at": rfc3339(endpoint.updated_at),
    }


MAX_DESCRIPTION_CHARS: Final = 200
MAX_HEADERS: Final = 10
MAX_HEADER_CHARS: Final = 500  # ten of them, all quotes, still leave `endpoint.disabled` under the 20 kB of a webhook
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
# The message's own, those of one hop, and those by which HTTP's own credentials go: a signature needs none.
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


class EndpointInspection(Inspection):
    """Adds the checks of an endpoint's own fields to those that every record shares."""

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
        """The signature schemes: always `v1`, because every library verifies it, and `v1a` beside it on request."""
        wanted = tuple(sorted(set(values)))
        if V1 not in wanted or not set(wanted) <= KEY_PREFIXES.keys():
            self.refuse(field, "signatures_invalid", 'must be ["v1"] or ["v1", "v1a"]', "باید v1 یا v1 و v1a باشد")
        return wanted

    def max_in_flight(self, field: str, value: int) -> int:
        """How many webhooks may be on their way at once."""
        if not 1 <= value <= MOST_IN_FLIGHT:
            self.refuse(field, "out_of_range", f"must be 1 to {MOST_IN_FLIGHT}", f"باید از 1 تا {MOST_IN_FLIGHT} باشد")
        return value

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
                "is set by Dargah, belongs to one hop, or is a credential of HTTP's own; verify the signature instead",
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


class EndpointSecrets:
    """A cache of opened secrets for a moment; every method raises the errors of the store."""

    def __init__(self, merchants: MerchantRepository, vault: Vault, now: Now) -> None:
        self._merchants = merchants
        self._vault = vault
        self._now = now
        self._cache = ReadThroughCache(now)

    def forget(self) -> None:
        """Drops all that is kept: call it after a change."""
        self._cache.forget()

    async def signing_keys(self, endpoint: Endpoint) -> list[str]:
        """The keys that sign for this endpoint now, the current one first.

        Raises NotFound when it was deleted: nothing leaves unsigned.
        """
        kept = ("signing", endpoint.id, endpoint.key_number, endpoint.signatures)
        keys = await self._cache.get(kept, lambda: self._read_keys(endpoint))
        return [keys[name] for name in endpoint.key_names(self._now()) if name in keys]

    async def headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        """The endpoint's own extra headers. Raises CredentialUnusable unless they were sealed for its URL."""
        if not endpoint.header_names:
            return {}
        kept = ("headers", endpoint.id, endpoint.url, endpoint.updated_at)
        return await self._cache.get(kept, lambda: self._read_headers(endpoint))

    async def _read_keys(self, endpoint: Endpoint) -> Mapping[str, str]:
        sealed = await self._merchants.secrets(endpoint.merchant_id, endpoint.id)
        if not sealed:
            raise NotFound("webhook endpoint")
        return {secret.name: self._vault.open(secret) for secret in sealed if not is_destined(secret.name)}

    async def _read_headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        owner = (endpoint.merchant_id, endpoint.id)
        sealed = await self._merchants.secrets(*owner)
        headers: Mapping[str, str] = orjson.loads(self._vault.open_destined(owner, sealed, HEADERS, endpoint.url))
        return headers
