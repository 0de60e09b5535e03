"""The upgrade that binds secrets and headers stored by an older Dargah to the origin of their destination.

It runs at the start, before anything is served, until it was once done: api_keys are sealed anew with the origin of
their terminal's gateway_url, and endpoints' headers, which were stored unsealed, with that of the endpoint's url. Each
is replaced only if it is unchanged since it was read, so that processes may run it beside each other, and an end
half-way is no harm.
"""

from collections.abc import Collection
from typing import Final

import orjson
import structlog

from proxy.kernel.errors import VaultError
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import origin_of
from proxy.merchants.setup.families import secret_field
from proxy.merchants.setup.fields import Inspection, SetupBase
from proxy.merchants.storage.rows import PlainHeaders
from proxy.merchants.vault import HEADERS, SealedSecret, is_destined

log = structlog.get_logger()

BATCH: Final = 500
ACTOR: Final = "dargah"


class Binding(SetupBase):
    async def bind_secrets(self) -> None:
        """Does the rest of the upgrade. After it, a secret that was sealed for no origin is never accepted again."""
        if await self._merchants.secrets_bound_at() is not None:
            return
        bound = await self._bind_credentials() + await self._seal_headers()
        await self._merchants.note_secrets_bound(self._now())
        if bound:
            log.warning("secrets_bound", count=bound)

    async def _bind_credentials(self) -> int:
        after, bound = ("", "", ""), 0
        while batch := await self._merchants.terminal_secrets(after, BATCH):
            for sealed, url in batch:
                bound += await self._bind_credential(sealed, url)
            last, _ = batch[-1]
            after = last.merchant_id, last.owner_id, last.name
        return bound

    async def _bind_credential(self, sealed: SealedSecret, url: str) -> bool:
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
    """The field `url` of a record, before and after; `after` is None where the change leaves it."""

    url: str
    before: str
    after: str | None


class Destinations(SetupBase):
    async def _check_destination(
        self, look: Inspection, owner: tuple[str, str], where: Destination, given: Collection[str]
    ) -> None:
        """Refuses another origin without every secret that goes there, and a secret for an origin that those before it
        were not sealed for. `given` are the names of the secrets that come with the change.
        """
        if where.after is None and not given:
            return
        stored = [each for each in await self._merchants.secrets(*owner) if is_destined(each.name)]
        url = where.before if where.after is None else where.after
        elsewhere = [each.name for each in stored if not self._opens(each, url)]
        if where.after is None:
            for secret in elsewhere[:1]:
                look.refuse(
                    where.url,
                    "url_required",
                    f"is not the one that the present {secret_field(secret)} was sealed for: give it too, after a look "
                    "at it",
                    f"آن نیست که {secret_field(secret)} کنونی برایش مهر شده است: نگاهش کنید و آن را هم بفرستید",
                )
            return
        for secret in elsewhere:
            if secret not in given:
                look.refuse(
                    secret_field(secret),
                    "secret_required",
                    f"was sealed for another origin than that of {where.url}: give it again",
                    f"برای مبدأ دیگری جز مبدأ {where.url} مهر شده است: دوباره آن را بفرستید",
                )

    def _opens(self, sealed: SealedSecret, url: str) -> bool:
        try:
            self._vault.open(sealed, origin_of(url))
        except (VaultError, ValueError):
            return False
        return True
