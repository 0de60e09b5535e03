"""Webhook endpoints: a URL, what it listens to, and the keys that sign for it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, TypedDict, Unpack

from proxy import webhook
from proxy.ids import ENDPOINT
from proxy.merchant import Endpoint, EndpointState
from proxy.setup.base import Base, require_room
from proxy.setup.fields import MAX_DESCRIPTION_CHARS, Inspection

SIGNING: Final = "signing:1"
SIGNING_V1A: Final = "signing_v1a:1"
MAX_ENDPOINTS: Final = 100  # every event becomes a delivery to each of them
_KEY_BYTES: Final = 32


class EndpointChanges(TypedDict, total=False):
    """What is absent stays as it is; `storefront` None listens to all. `paused` holds events, and False resumes."""

    url: str
    storefront: str | None
    event_types: Iterable[str]
    description: str
    headers: Mapping[str, str]
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
        )
        look.raise_for_errors()
        await self._store.merchant(merchant_id)
        require_room(len(await self._store.list_endpoints(merchant_id)), MAX_ENDPOINTS, "endpoints", "نشانی وب‌هوک")
        secret = webhook.new_secret(self._random_bytes(_KEY_BYTES))
        keys = {SIGNING: secret, SIGNING_V1A: webhook.private_key(self._random_bytes(_KEY_BYTES))}
        sealed = [self._vault.seal(merchant_id, endpoint.id, name, key) for name, key in keys.items()]
        names = ("url", "storefront", "event_types", "description", "headers")
        audit = self._audit(merchant_id, actor, "endpoint.create", endpoint.id, _shown(endpoint, names))
        await self._store.add_endpoint(endpoint, sealed, audit)
        self._changed()
        return endpoint, secret

    async def change_endpoint(
        self, merchant_id: str, endpoint_id: str, *, actor: str, **changes: Unpack[EndpointChanges]
    ) -> Endpoint:
        """The endpoint with what is in `changes`. `paused: False` also brings a disabled one back."""
        look, now = self._inspect(), self._now()
        endpoint = replace(await self._store.endpoint(merchant_id, endpoint_id), updated_at=now)
        endpoint = _changed(look, endpoint, changes)
        if "paused" in changes:
            endpoint = _paused(endpoint, now, paused=changes["paused"])
        look.raise_for_errors()
        names = tuple("state" if name == "paused" else name for name in changes)
        audit = self._audit(merchant_id, actor, "endpoint.update", endpoint_id, _shown(endpoint, names))
        await self._store.save_endpoint(endpoint, audit)
        self._changed()
        return endpoint

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
