"""The set-up of webhook endpoints by operators and merchants: a URL, its event types, and the keys that sign for it."""

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, TypedDict, Unpack

import orjson

from proxy.kernel.clock import SECOND, Now, rfc3339
from proxy.kernel.errors import NotFound, StaleVersion, StoreUnavailable, invalid
from proxy.kernel.ids import ENDPOINT, RandomBytes
from proxy.kernel.urls import origin_of
from proxy.merchants.merchant import Mode
from proxy.merchants.setup.binding import Destination, Destinations
from proxy.merchants.setup.fields import HttpPolicy, require_room
from proxy.merchants.storage.repository import MerchantRepository
from proxy.merchants.vault import HEADERS, SealedSecret, Vault
from proxy.webhooks import request
from proxy.webhooks.endpoint import (
    DEFAULT_IN_FLIGHT,
    KEY_PREFIXES,
    MAX_DESCRIPTION_CHARS,
    V1,
    V1A,
    Endpoint,
    EndpointInspection,
    EndpointState,
)
from proxy.webhooks.storage.repository import WebhookRepository

DEFAULT_OVERLAP_SECONDS: Final = 24 * 3600
MAX_OVERLAP_SECONDS: Final = 7 * 24 * 3600
MAX_SIGNING_KEYS: Final = 5
MAX_ROUNDS: Final = 5
MAX_ENDPOINTS: Final = 200
# Every event becomes a delivery to each of them. One storefront's endpoints in one mode take no room from others.
MAX_ENDPOINTS_OF_STOREFRONT: Final = 100
_KEY_BYTES: Final = 32


class EndpointChanges(TypedDict, total=False):
    """Absent fields stay as they are; `storefront` None listens to all. `paused` holds events, and False resumes."""

    url: str
    storefront: str | None
    event_types: Iterable[str]
    description: str
    headers: Mapping[str, str]
    signatures: Iterable[str]
    max_in_flight: int
    paused: bool


class EndpointSetup(Destinations):
    """Every write carries its audit entry; `actor` is an operator's name, or `token:<id>` for a merchant."""

    def __init__(
        self,
        merchants: MerchantRepository,
        webhooks: WebhookRepository,
        vault: Vault,
        now: Now,
        random_bytes: RandomBytes = os.urandom,
        *,
        http: HttpPolicy | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(merchants, vault, now, random_bytes, http=http, changed=changed)
        self._webhooks = webhooks

    async def add_endpoint(
        self,
        merchant_id: str,
        url: str,
        *,
        mode: Mode | None = None,
        storefront: str | None = None,
        event_types: Iterable[str] = (),
        description: str = "",
        headers: Mapping[str, str] | None = None,
        signatures: Iterable[str] = (V1,),
        max_in_flight: int = DEFAULT_IN_FLIGHT,
        actor: str,
    ) -> tuple[Endpoint, str]:
        """The endpoint and its `whsec_` secret, which is shown once."""
        look, now = EndpointInspection(self._http), self._now()
        endpoint = Endpoint(
            id=self._ids.record(ENDPOINT, merchant_id, now),
            merchant_id=merchant_id,
            mode=mode or Mode.LIVE,
            url=look.url("url", url),
            storefront=_optional_storefront(look, storefront),
            event_types=look.event_types("event_types", event_types),
            description=look.text("description", description, MAX_DESCRIPTION_CHARS, least=0),
            header_names=(),
            state=EndpointState.ENABLED,
            state_reason=None,
            state_since=now,
            created_at=now,
            updated_at=now,
            signatures=look.signatures("signatures", signatures),
            max_in_flight=look.max_in_flight("max_in_flight", max_in_flight),
        )
        values = look.headers(HEADERS, headers or {})
        endpoint = replace(endpoint, header_names=tuple(sorted(values)))
        look.raise_for_errors()
        await self._merchants.merchant(merchant_id)
        await self._require_room(endpoint)
        secret = request.new_secret(self._random_bytes(_KEY_BYTES))
        keys = {V1: secret, V1A: request.private_key(self._random_bytes(_KEY_BYTES))}
        sealed = [*self._sealed_keys(endpoint, keys), *self._sealed_headers(endpoint, values)]
        names = ("mode", "url", "storefront", "event_types", "description", HEADERS, "max_in_flight")
        audit = self._audit(merchant_id, actor, "endpoint.create", endpoint.id, _audit_values(endpoint, names))
        await self._webhooks.add_endpoint(endpoint, sealed, audit)
        self._changed()
        return endpoint, secret

    async def _require_room(self, endpoint: Endpoint) -> None:
        others = await self._webhooks.list_endpoints(endpoint.merchant_id)
        require_room(len(others), MAX_ENDPOINTS, "endpoints", "نشانی وب‌هوک")
        beside = sum((each.storefront, each.mode) == (endpoint.storefront, endpoint.mode) for each in others)
        require_room(beside, MAX_ENDPOINTS_OF_STOREFRONT, "endpoints of this storefront and mode", "نشانی وب‌هوک")

    async def change_endpoint(
        self, merchant_id: str, endpoint_id: str, *, actor: str, **changes: Unpack[EndpointChanges]
    ) -> Endpoint:
        """The endpoint with `changes` applied. `paused: False` also brings a disabled one back.

        The headers' values belong to the origin of the url: a new origin needs the headers again.
        """
        names = tuple("state" if name == "paused" else name for name in changes)

        async def change(endpoint: Endpoint, now: int) -> tuple[Endpoint, list[SealedSecret]]:
            look = EndpointInspection(self._http)
            changed = _apply_changes(look, endpoint, changes)
            values = look.headers(HEADERS, changes["headers"]) if "headers" in changes else {}
            if "paused" in changes:
                changed = _set_paused(changed, now, paused=changes["paused"])
            where = Destination("url", endpoint.url, changed.url if "url" in changes else None)
            given = {HEADERS} & changes.keys()
            await self._check_destination(look, (merchant_id, endpoint_id), where, given)
            look.raise_for_errors()
            return changed, self._sealed_headers(changed, values)

        return await self._save(merchant_id, endpoint_id, change, "endpoint.update", names, actor)

    async def rotate_secret(
        self, merchant_id: str, endpoint_id: str, overlap_seconds: int = DEFAULT_OVERLAP_SECONDS, *, actor: str
    ) -> tuple[Endpoint, str]:
        """The endpoint and its new secret, shown once. The one before signs too until the overlap is over.

        Earlier overlaps run on, unless `overlap_seconds` is 0, which ends all.
        """
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            raise invalid("overlap_seconds", "out_of_range", "must be 0 to 604800 (7 days)", "باید از ۰ تا ۶۰۴۸۰۰ باشد")
        secret = request.new_secret(self._random_bytes(_KEY_BYTES))
        keys = {V1: secret, V1A: request.private_key(self._random_bytes(_KEY_BYTES))}

        async def change(endpoint: Endpoint, now: int) -> tuple[Endpoint, list[SealedSecret]]:
            if overlap_seconds:
                _check_overlaps(endpoint, now)
            changed = endpoint.rotated(now, now + overlap_seconds * SECOND)
            return changed, self._sealed_keys(changed, keys)

        names = ("key_number", "previous_until", "older_keys")
        return await self._save(merchant_id, endpoint_id, change, "endpoint.rotate_secret", names, actor), secret

    async def public_key(self, endpoint: Endpoint) -> str:
        """The `whpk_` key that verifies its `v1a` signatures."""
        name = f"{KEY_PREFIXES[V1A]}{endpoint.key_number}"
        for sealed in await self._merchants.secrets(endpoint.merchant_id, endpoint.id):
            if sealed.name == name:
                return request.public_key(self._vault.open(sealed))
        raise NotFound("signing key")

    async def _save(
        self,
        merchant_id: str,
        endpoint_id: str,
        change: Callable[[Endpoint, int], Awaitable[tuple[Endpoint, list[SealedSecret]]]],
        action: str,
        names: tuple[str, ...],
        actor: str,
    ) -> Endpoint:
        """Changes it as it is stored now; anew when another writer (the engine, which disables) was quicker."""
        for _ in range(MAX_ROUNDS):
            before = await self._webhooks.endpoint(merchant_id, endpoint_id)
            # Each change has its own time, because the time shows that nothing changed in between.
            now = max(self._now(), before.updated_at + 1)
            changed, sealed = await change(before, now)
            after = replace(changed, updated_at=now)
            audit = self._audit(merchant_id, actor, action, endpoint_id, _audit_values(after, names))
            try:
                await self._webhooks.save_endpoint(before, after, audit, sealed)
            except StaleVersion:
                continue
            self._changed()
            return after
        raise StoreUnavailable

    def _sealed_keys(self, endpoint: Endpoint, keys: Mapping[str, str]) -> list[SealedSecret]:
        owner, number = (endpoint.merchant_id, endpoint.id), endpoint.key_number
        return [self._vault.seal(*owner, f"{KEY_PREFIXES[scheme]}{number}", key) for scheme, key in keys.items()]

    def _sealed_headers(self, endpoint: Endpoint, values: Mapping[str, str]) -> list[SealedSecret]:
        if not values:
            return []
        text, origin = orjson.dumps(values).decode(), origin_of(endpoint.url)
        return [self._vault.seal(endpoint.merchant_id, endpoint.id, HEADERS, text, origin)]

    async def delete_endpoint(self, merchant_id: str, endpoint_id: str, *, actor: str) -> None:
        """Removes it with its keys; its undelivered webhooks are dropped."""
        endpoint = await self._webhooks.endpoint(merchant_id, endpoint_id)
        audit = self._audit(merchant_id, actor, "endpoint.delete", endpoint_id, {"url": endpoint.url})
        await self._webhooks.delete_endpoint(merchant_id, endpoint_id, audit)
        self._changed()


def _apply_changes(look: EndpointInspection, endpoint: Endpoint, changes: EndpointChanges) -> Endpoint:
    if "url" in changes:
        endpoint = replace(endpoint, url=look.url("url", changes["url"]))
    if "storefront" in changes:
        endpoint = replace(endpoint, storefront=_optional_storefront(look, changes["storefront"]))
    if "event_types" in changes:
        endpoint = replace(endpoint, event_types=look.event_types("event_types", changes["event_types"]))
    if "description" in changes:
        text = look.text("description", changes["description"], MAX_DESCRIPTION_CHARS, least=0)
        endpoint = replace(endpoint, description=text)
    if "headers" in changes:
        endpoint = replace(endpoint, header_names=tuple(sorted(name.lower() for name in changes["headers"])))
    if "signatures" in changes:
        endpoint = replace(endpoint, signatures=look.signatures("signatures", changes["signatures"]))
    if "max_in_flight" in changes:
        most = look.max_in_flight("max_in_flight", changes["max_in_flight"])
        endpoint = replace(endpoint, max_in_flight=most)
    return endpoint


def _set_paused(endpoint: Endpoint, now: int, *, paused: bool) -> Endpoint:
    wanted = EndpointState.PAUSED if paused else EndpointState.ENABLED
    # Pausing a disabled one would hide why it was disabled, and it sends nothing anyway.
    if endpoint.state is wanted or (paused and endpoint.state is EndpointState.DISABLED):
        return endpoint
    return replace(endpoint, state=wanted, state_reason=None, state_since=now)


def _check_overlaps(endpoint: Endpoint, now: int) -> None:
    overlaps = endpoint.overlaps(now)
    if len(overlaps) < MAX_SIGNING_KEYS - 1:
        return
    first = rfc3339(min(until for _, until in overlaps))
    raise invalid(
        "overlap_seconds",
        "too_many_overlaps",
        f"{MAX_SIGNING_KEYS} secrets sign already: wait until {first}, or rotate with 0, which ends all earlier ones",
        f"هم‌اکنون {MAX_SIGNING_KEYS} راز امضا می‌کنند: تا {first} صبر کنید، یا با ۰ همهٔ رازهای پیشین را پایان دهید",
    )


def _optional_storefront(look: EndpointInspection, storefront: str | None) -> str | None:
    return None if storefront is None else look.storefront("storefront", storefront)


def _audit_values(endpoint: Endpoint, names: tuple[str, ...]) -> dict[str, object]:
    """Headers by name only: their values are sealed."""
    shown = {name: endpoint.header_names if name == HEADERS else getattr(endpoint, name) for name in names}
    return shown | ({"event_types": sorted(endpoint.event_types)} if "event_types" in shown else {})
