"""Merchants: a name, the origins that customers may be sent back to, and the secret that signs the way back."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, TypedDict, Unpack

from proxy.merchant import Language, Looks, Merchant
from proxy.records import Sealed
from proxy.setup.base import Base
from proxy.setup.fields import MAX_NAME_CHARS
from proxy.setup.looks import changed_looks

RETURN_SECRET: Final = "return_secret"  # noqa: S105  the name of the row
RETURN_SECRET_PREFIX: Final = "dg_return_"  # noqa: S105  public
_RETURN_SECRET_CHARS: Final = 43  # 256 bits


class MerchantLooks(TypedDict, total=False):
    """What is absent stays as it is, and None takes it away. `logo` is a PNG file."""

    name_fa: str | None
    colour: str | None
    language: Language | None
    logo: bytes | None


class MerchantChanges(MerchantLooks, total=False):
    name: str
    return_origins: Iterable[str]


class Merchants(Base):
    async def create_merchant(
        self, name: str, return_origins: Iterable[str], *, actor: str, **looks: Unpack[MerchantLooks]
    ) -> tuple[Merchant, str]:
        """The merchant and its return secret, which is shown once."""
        look, now = self._inspect(), self._now()
        new = changed_looks(look, Looks(), looks)
        merchant = Merchant(
            id=self._ids.merchant(),
            name=look.text("name", name, MAX_NAME_CHARS),
            return_origins=look.origins("return_origins", return_origins),
            created_at=now,
            updated_at=now,
            looks=new.looks,
        )
        look.raise_for_errors()
        secret, sealed = self._new_return_secret(merchant.id)
        data = {"name": merchant.name, "return_origins": list(merchant.return_origins), **new.told}
        audit = self._audit(merchant.id, actor, "merchant.create", merchant.id, data)
        await self._store.add_merchant(merchant, [sealed], audit, new.image)
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
        new = changed_looks(look, merchant.looks, changes)
        merchant = replace(merchant, looks=new.looks)
        look.raise_for_errors()
        audit = self._audit(merchant_id, actor, "merchant.update", merchant_id, data | dict(new.told))
        await self._store.save_merchant(merchant, audit, logo=new.image)
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
