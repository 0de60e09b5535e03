"""The upgrade that binds secrets and headers stored by an older Dargah to the origin of their destination.

It runs at the start, before anything is served, until it was once done: api_keys are sealed anew with the origin of
their terminal's gateway_url, and endpoints' headers, which were stored unsealed, with that of the endpoint's url. Each
is replaced only if it is unchanged since it was read, so that processes may run it beside each other, and an end
half-way is no harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson
import structlog

from proxy.kernel.errors import VaultError
from proxy.kernel.urls import origin_of
from proxy.merchants.setup.fields import Inspection, SetupBase
from proxy.merchants.storage.rows import PlainHeaders
from proxy.merchants.vault import HEADERS, SealedSecret

log = structlog.get_logger()

BATCH: Final = 500
ACTOR: Final = "dargah"


class Binding(SetupBase):
    async def bind_secrets(self) -> None:
        """Does the rest of the upgrade. After it, a secret that was sealed for no origin is never accepted again."""
        if await self._merchants.secrets_bound_at() is not None:
            return
        bound = await self._bind_api_keys() + await self._seal_headers()
        await self._merchants.note_secrets_bound(self._now())
        if bound:
            log.warning("secrets_bound", count=bound)

    async def _bind_api_keys(self) -> int:
        after, bound = ("", ""), 0
        while batch := await self._merchants.terminal_secrets(after, BATCH):
            for sealed, url in batch:
                bound += await self._bind_api_key(sealed, url)
            after = batch[-1][0].merchant_id, batch[-1][0].owner_id
        return bound

    async def _bind_api_key(self, sealed: SealedSecret, url: str) -> bool:
        try:
            origin = origin_of(url)
            after = self._vault.bind(sealed, origin)
        except (VaultError, ValueError) as error:
            # The others serve on: this one's calls fail closed, and the doctor says so too.
            log.error("credential_unusable", terminal_id=sealed.owner_id, error=str(error))  # noqa: TRY400
            return False
        if after is None:
            return False
        data = {"origin": origin}
        audit = self._audit(sealed.merchant_id, ACTOR, "terminal.bind", sealed.owner_id, data)
        await self._merchants.rewrap(sealed, after, audit)
        return True

    async def _seal_headers(self) -> int:
        sealed = 0
        while batch := await self._merchants.plain_headers(BATCH):
            for plain in batch:
                await self._seal_headers_of(plain)
            sealed += len(batch)
        return sealed

    async def _seal_headers_of(self, plain: PlainHeaders) -> None:
        names, secret, origin = list[str](), None, None
        try:
            names = sorted(orjson.loads(plain.text))
            origin = origin_of(plain.url)
            secret = self._vault.seal(plain.merchant_id, plain.endpoint_id, HEADERS, plain.text, origin)
        except ValueError as error:
            log.error("credential_unusable", endpoint_id=plain.endpoint_id, error=str(error))  # noqa: TRY400
        audit = self._audit(plain.merchant_id, ACTOR, "endpoint.bind", plain.endpoint_id, {"origin": origin})
        await self._merchants.seal_headers(plain, names, secret, audit)


@dataclass(frozen=True, slots=True)
class Destination:
    """The field `url` of a record, before and after, and the name of the secret that goes there and of its field."""

    name: str
    url: str
    before: str
    after: str


class Destinations(SetupBase):
    async def _check_destination(
        self, look: Inspection, owner: tuple[str, str], where: Destination, changes: Mapping[str, object]
    ) -> None:
        """Refuses another origin without the secret, and a secret for an origin that it was not sealed for."""
        if not {where.name, where.url} & changes.keys():
            return
        sealed = next((each for each in await self._merchants.secrets(*owner) if each.name == where.name), None)
        if sealed is None:
            return
        if where.name not in changes:
            if not self._opens(sealed, where.after):
                look.refuse(
                    where.name,
                    "secret_required",
                    f"was sealed for another origin than that of {where.url}: give it again",
                    f"برای مبدأ دیگری جز مبدأ {where.url} مهر شده است: دوباره آن را بفرستید",
                )
        elif where.url not in changes and not self._opens(sealed, where.before):
            look.refuse(
                where.url,
                "url_required",
                f"is not the one that the present {where.name} was sealed for: give it too, after a look at it",
                f"آن نیست که {where.name} کنونی برایش مهر شده است: نگاهش کنید و آن را هم بفرستید",
            )

    def _opens(self, sealed: SealedSecret, url: str) -> bool:
        try:
            self._vault.open(sealed, origin_of(url))
        except (VaultError, ValueError):
            return False
        return True
