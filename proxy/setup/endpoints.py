"""Webhook endpoints: a URL, what it listens to, and the keys that sign for it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, TypedDict, Unpack

from proxy import webhook
from proxy.clock import SECOND
from proxy.errors import NotFound, StaleVersion, StoreUnavailable, invalid
from proxy.ids import ENDPOINT
from proxy.merchant import KEY_PREFIXES, V1, V1A, Endpoint, EndpointState
from proxy.setup.base import Base, require_room
from proxy.setup.fields import MAX_DESCRIPTION_CHARS, Inspection

DEFAULT_OVERLAP_SECONDS: Final = 24 * 3600
MAX_OVERLAP_SECONDS: Final = 7 * 24 * 3600
MAX_ROUNDS: Final = 5
MAX_ENDPOINTS: Final = 100  # every event becomes a delivery to each of them
_KEY_BYTES: Final = 32


class EndpointChanges(TypedDict, total=False):
    """What is absent stays as it is; `storefront` None listens to all. `paused` holds events, and False resumes."""

    url: str
    storefront: str | None
    event_types: Iterable[str]
    description: str
    headers: Mapping[str, str]
    signatures: Iterable[str]
    paused: bool


class Endpoints(Base):
    async def add_endpoint(
        self,
        merchant_id: str,
        url: str,
        *,
        storefront: str | None = None,
        event_types: Iterable[str] = (),
        description: str = "",
        headers: Mapping[str, str] | None = None,
        signatures: Iterable[str] = (V1,),
        actor: str,
    ) -> tuple[Endpoint, str]:
        """The endpoint and its `whsec_` secret, which is shown once."""
        look, now = self._inspect(), self._now()
        endpoint = Endpoint(
            id=self._ids.record(ENDPOINT, merchant_id, now),
            merchant_id=merchant_id,
            url=look.url("url", url),
            storefront=_optional_storefront(look, storefront),
            event_types=look.event_types("event_types", event_types),
            description=look.text("description", description, MAX_DESCRIPTION_CHARS, least=0),
            headers=look.headers("headers", headers or {}),
            state=EndpointState.ENABLED,
            state_reason=None,
            state_since=now,
            created_at=now,
            updated_at=now,
            signatures=look.signatures("signatures", signatures),
        )
        look.raise_for_errors()
        await self._store.merchant(merchant_id)
        require_room(len(await self._store.list_endpoints(merchant_id)), MAX_ENDPOINTS, "endpoints", "نشانی وب‌هوک")
        secret = webhook.new_secret(self._random_bytes(_KEY_BYTES))
        keys = {V1: secret, V1A: webhook.private_key(self._random_bytes(_KEY_BYTES))}
        sealed = [
            self._vault.seal(merchant_id, endpoint.id, f"{KEY_PREFIXES[scheme]}1", key) for scheme, key in keys.items()
        ]
        names = ("url", "storefront", "event_types", "description", "headers")
        audit = self._audit(merchant_id, actor, "endpoint.create", endpoint.id, _shown(endpoint, names))
        await self._store.add_endpoint(endpoint, sealed, audit)
        self._changed()
        return endpoint, secret

    async def change_endpoint(
        self, merchant_id: str, endpoint_id: str, *, actor: str, **changes: Unpack[EndpointChanges]
    ) -> Endpoint:
        """The endpoint with what is in `changes`. `paused: False` also brings a disabled one back."""
        names = tuple("state" if name == "paused" else name for name in changes)

        def change(endpoint: Endpoint, now: int) -> Endpoint:
            look = self._inspect()
            changed = _changed(look, endpoint, changes)
            if "paused" in changes:
                changed = _paused(changed, now, paused=changes["paused"])
            look.raise_for_errors()
            return changed

        return await self._save(merchant_id, endpoint_id, change, "endpoint.update", names, actor)

    async def rotate_secret(
        self, merchant_id: str, endpoint_id: str, overlap_seconds: int = DEFAULT_OVERLAP_SECONDS, *, actor: str
    ) -> tuple[Endpoint, str]:
        """The endpoint and its new secret, shown once. The one before signs too until the overlap is over."""
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            raise invalid("overlap_seconds", "out_of_range", "must be 0 to 604800 (7 days)", "باید از ۰ تا ۶۰۴۸۰۰ باشد")
        secret = webhook.new_secret(self._random_bytes(_KEY_BYTES))
        keys = {V1: secret, V1A: webhook.private_key(self._random_bytes(_KEY_BYTES))}

        def change(endpoint: Endpoint, now: int) -> Endpoint:
            until = now + overlap_seconds * SECOND
            return replace(endpoint, key_number=endpoint.key_number + 1, previous_until=until)

        names = ("key_number", "previous_until")
        return await self._save(merchant_id, endpoint_id, change, "endpoint.rotate_secret", names, actor, keys), secret

    async def public_key(self, endpoint: Endpoint) -> str:
        """The `whpk_` key that verifies its `v1a` signatures."""
        name = f"{KEY_PREFIXES[V1A]}{endpoint.key_number}"
        for sealed in await self._store.secrets(endpoint.merchant_id, endpoint.id):
            if sealed.name == name:
                return webhook.public_key(self._vault.open(sealed))
        raise NotFound("signing key")

    async def _save(
        self,
        merchant_id: str,
        endpoint_id: str,
        change: Callable[[Endpoint, int], Endpoint],
        action: str,
        names: tuple[str, ...],
        actor: str,
        keys: Mapping[str, str] | None = None,
    ) -> Endpoint:
        """Changes it as it is stored now; anew when somebody else (the engine, which disables) was quicker."""
        for _ in range(MAX_ROUNDS):
            before = await self._store.endpoint(merchant_id, endpoint_id)
            # Each change has its own time, as the time is what tells that nothing changed in between.
            now = max(self._now(), before.updated_at + 1)
            after = replace(change(before, now), updated_at=now)
            audit = self._audit(merchant_id, actor, action, endpoint_id, _shown(after, names))
            sealed = [
                self._vault.seal(merchant_id, endpoint_id, f"{KEY_PREFIXES[scheme]}{after.key_number}", key)
                for scheme, key in (keys or {}).items()
            ]
            try:
                await self._store.save_endpoint(before, after, audit, sealed)
            except StaleVersion:
                continue
            self._changed()
            return after
        raise StoreUnavailable

    async def delete_endpoint(self, merchant_id: str, endpoint_id: str, *, actor: str) -> None:
        """Removes it with its keys; what was still to be delivered there is dropped."""
        endpoint = await self._store.endpoint(merchant_id, endpoint_id)
        audit = self._audit(merchant_id, actor, "endpoint.delete", endpoint_id, {"url": endpoint.url})
        await self._store.delete_endpoint(merchant_id, endpoint_id, audit)
        self._changed()


def _changed(look: Inspection, endpoint: Endpoint, changes: EndpointChanges) -> Endpoint:
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
        endpoint = replace(endpoint, headers=look.headers("headers", changes["headers"]))
    if "signatures" in changes:
        endpoint = replace(endpoint, signatures=look.signatures("signatures", changes["signatures"]))
    return endpoint


def _paused(endpoint: Endpoint, now: int, *, paused: bool) -> Endpoint:
    wanted = EndpointState.PAUSED if paused else EndpointState.ENABLED
    # Pausing a disabled one would hide why it was disabled, and it sends nothing anyway.
    if endpoint.state is wanted or (paused and endpoint.state is EndpointState.DISABLED):
        return endpoint
    return replace(endpoint, state=wanted, state_reason=None, state_since=now)


def _optional_storefront(look: Inspection, storefront: str | None) -> str | None:
    return None if storefront is None else look.storefront("storefront", storefront)


def _shown(endpoint: Endpoint, names: tuple[str, ...]) -> dict[str, object]:
    """Headers by name only: a merchant may have put a secret into one."""
    shown = {name: getattr(endpoint, name) for name in names}
    for name in {"event_types", "headers"} & shown.keys():
        shown[name] = sorted(shown[name])
    return shown
