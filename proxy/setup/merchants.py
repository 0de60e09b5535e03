"""Merchants: a name, the origins that customers may be sent back to, and the secret that signs the way back."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, TypedDict, Unpack

from proxy.merchant import Merchant
from proxy.records import Sealed
from proxy.setup.base import Base
from proxy.setup.fields import MAX_NAME_CHARS

RETURN_SECRET: Final = "return_secret"  # noqa: S105  the name of the row
RETURN_SECRET_PREFIX: Final = "dg_return_"  # noqa: S105  public
_RETURN_SECRET_CHARS: Final = 43  # 256 bits


class MerchantChanges(TypedDict, total=False):
    """What is absent stays as it is."""

    name: str
    return_origins: Iterable[str]


class Merchants(Base):
    async def create_merchant(self, name: str, return_origins: Iterable[str], *, actor: str) -> tuple[Merchant, str]:
        """The merchant and its return secret, which is shown once."""
        look, now = self._inspect(), self._now()
        merchant = Merchant(
            id=self._ids.merchant(),
            name=look.text("name", name, MAX_NAME_CHARS),
            return_origins=look.origins("return_origins", return_origins),
            created_at=now,
            updated_at=now,
        )
        look.raise_for_errors()
        secret, sealed = self._new_return_secret(merchant.id)
        data = {"name": merchant.name, "return_origins": list(merchant.return_origins)}
        audit = self._audit(merchant.id, actor, "merchant.create", merchant.id, data)
        await self._store.add_merchant(merchant, [sealed], audit)
        return merchant, secret

    async def change_merchant(self, merchant_id: str, *, actor: str, **changes: Unpack[MerchantChanges]) -> Merchant:
        look = self._inspect()
        merchant = replace(await self._store.merchant(merchant_id), updated_at=self._now())
        data: dict[str, object] = {}
        if "name" in changes:
            merchant = replace(merchant, name=look.text("name", changes["name"], MAX_NAME_CHARS))
            data["name"] = merchant.name
        if "return_origins" in changes:
            merchant = replace(merchant, return_origins=look.origins("return_origins", changes["return_origins"]))
            data["return_origins"] = list(merchant.return_origins)
        look.raise_for_errors()
        await self._store.save_merchant(merchant, self._audit(merchant_id, actor, "merchant.update", merchant_id, data))
        self._changed()
        return merchant

    async def rotate_return_secret(self, merchant_id: str, *, actor: str) -> str:
        """A new return secret in the old one's place, shown once; the next customers come back signed with it."""
        merchant = replace(await self._store.merchant(merchant_id), updated_at=self._now())
        secret, sealed = self._new_return_secret(merchant_id)
        audit = self._audit(merchant_id, actor, "merchant.rotate_return_secret", merchant_id, {})
        await self._store.save_merchant(merchant, audit, [sealed])
        self._changed()
        return secret

    def _new_return_secret(self, merchant_id: str) -> tuple[str, Sealed]:
        secret = RETURN_SECRET_PREFIX + self._ids.random(_RETURN_SECRET_CHARS)
        return secret, self._vault.seal(merchant_id, merchant_id, RETURN_SECRET, secret)
