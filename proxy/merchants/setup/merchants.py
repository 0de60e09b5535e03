"""Set-up of merchants: a name, the return origins, the branding, and the return secrets."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final, TypedDict, Unpack

from proxy.kernel.frozen import dataclass
from proxy.merchants.contacts import BETWEEN, MAX_CONTACTS, contacts_of
from proxy.merchants.logo_images import BadImage, clean_png
from proxy.merchants.merchant import RETURN_SECRETS, Branding, Language, Merchant, Mode
from proxy.merchants.setup.fields import MAX_NAME_CHARS, Inspection, SetupBase
from proxy.merchants.vault import SealedSecret

_COLOUR: Final = re.compile(r"#[0-9a-f]{6}")
_DIGEST_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class ChangedBranding:
    """The branding after a change, the new picture if there is one, and the details for the audit log."""

    branding: Branding
    image: bytes | None
    audit_data: Mapping[str, object]


def change_branding(look: Inspection, branding: Branding, changes: Mapping[str, Any]) -> ChangedBranding:
    """`looks` with the `changes` of its members; None takes one away. Refusals go to `look`."""
    image: bytes | None = None
    if "name_fa" in changes:
        name = changes["name_fa"]
        branding = replace(branding, name_fa=None if name is None else look.text("name_fa", name, MAX_NAME_CHARS))
    if "colour" in changes:
        branding = replace(branding, colour=_colour(look, changes["colour"]))
    if "language" in changes:
        branding = replace(branding, language=changes["language"])
    if "contact" in changes:
        branding = replace(branding, contact=_contact(look, changes["contact"]))
    if "logo" in changes:
        image = _logo(look, changes["logo"])
        digest = None if image is None else hashlib.sha256(image).hexdigest()[:_DIGEST_CHARS]
        branding = replace(branding, logo=digest)
    audit_data = {name: value for name, value in asdict(branding).items() if name in changes}
    return ChangedBranding(branding, image, audit_data)


def _colour(look: Inspection, text: str | None) -> str | None:
    if text is None:
        return None
    colour = text.strip().lower()
    if not _COLOUR.fullmatch(colour):
        look.refuse("colour", "colour_invalid", "must be a colour such as #1f4fa3", "باید رنگی مانند ‎#1f4fa3 باشد")
    return colour


def _contact(look: Inspection, text: str | None) -> str | None:
    if text is None:
        return None
    contacts = contacts_of(text)
    if not contacts:
        look.refuse(
            "contact",
            "contact_invalid",
            "must be a telephone number, an e-mail address or an https:// address, or up to "
            f"{MAX_CONTACTS} of these with commas between",
            f"باید شمارهٔ تلفن، نشانی ایمیل یا نشانی https://‎ باشد، یا تا {MAX_CONTACTS} تای آن‌ها با ویرگول میانشان",
        )
    return BETWEEN.join(contact.text for contact in contacts)


def _logo(look: Inspection, image: bytes | None) -> bytes | None:
    if image is None:
        return None
    try:
        return clean_png(image)
    except BadImage as error:
        look.refuse("logo", "logo_invalid", str(error), "باید PNG سالم، حداکثر ۲۰ کیلوبایت و ۵۱۲ پیکسل باشد")
        return None


RETURN_SECRET_PREFIXES: Final = {Mode.LIVE: "dg_return_", Mode.TEST: "dg_return_test_"}  # public
_RETURN_SECRET_CHARS: Final = 43  # 256 bits


class BrandingChanges(TypedDict, total=False):
    """Absent fields stay as they are, and None removes one. `logo` is a PNG file."""

    name_fa: str | None
    colour: str | None
    language: Language | None
    logo: bytes | None
    contact: str | None


class MerchantChanges(BrandingChanges, total=False):
    name: str
    return_origins: Iterable[str]


class Merchants(SetupBase):
    async def create_merchant(
        self, name: str, return_origins: Iterable[str], *, actor: str, **branding: Unpack[BrandingChanges]
    ) -> tuple[Merchant, str]:
        """The merchant and its live return secret, which is shown once. The test one is made on its first use."""
        look, now = self._inspect(), self._now()
        new = change_branding(look, Branding(), branding)
        merchant = Merchant(
            id=self._ids.merchant(),
            name=look.text("name", name, MAX_NAME_CHARS),
            return_origins=look.origins("return_origins", return_origins),
            created_at=now,
            updated_at=now,
            branding=new.branding,
        )
        look.raise_for_errors()
        secret, sealed = self._new_return_secret(merchant.id, Mode.LIVE)
        data = {"name": merchant.name, "return_origins": list(merchant.return_origins), **new.audit_data}
        audit = self._audit(merchant.id, actor, "merchant.create", merchant.id, data)
        await self._merchants.add_merchant(merchant, [sealed], audit, new.image)
        return merchant, secret

    async def change_merchant(self, merchant_id: str, *, actor: str, **changes: Unpack[MerchantChanges]) -> Merchant:
        look = self._inspect()
        merchant = replace(await self._merchants.merchant(merchant_id), updated_at=self._now())
        data: dict[str, object] = {}
        if "name" in changes:
            merchant = replace(merchant, name=look.text("name", changes["name"], MAX_NAME_CHARS))
            data["name"] = merchant.name
        if "return_origins" in changes:
            merchant = replace(merchant, return_origins=look.origins("return_origins", changes["return_origins"]))
            data["return_origins"] = list(merchant.return_origins)
        new = change_branding(look, merchant.branding, changes)
        merchant = replace(merchant, branding=new.branding)
        look.raise_for_errors()
        audit = self._audit(merchant_id, actor, "merchant.update", merchant_id, data | dict(new.audit_data))
        await self._merchants.save_merchant(merchant, audit, logo=new.image)
        self._changed()
        return merchant

    async def archive_merchant(self, merchant_id: str, *, actor: str) -> Merchant:
        """The merchant, which takes no new payments from now on. Nothing changes for one that is archived already."""
        await self._merchants.merchant(merchant_id)
        audit = self._audit(merchant_id, actor, "merchant.archive", merchant_id, {})
        await self._merchants.archive(merchant_id, self._now(), audit)
        self._changed()
        return await self._merchants.merchant(merchant_id)

    async def unarchive_merchant(self, merchant_id: str, *, actor: str) -> Merchant:
        """The merchant, which takes payments again."""
        await self._merchants.merchant(merchant_id)
        audit = self._audit(merchant_id, actor, "merchant.unarchive", merchant_id, {})
        await self._merchants.unarchive(merchant_id, self._now(), audit)
        self._changed()
        return await self._merchants.merchant(merchant_id)

    async def rotate_return_secret(self, merchant_id: str, mode: Mode = Mode.LIVE, *, actor: str) -> str:
        """A mode's new return secret in the old one's place, shown once; it signs from the next customer on."""
        merchant = replace(await self._merchants.merchant(merchant_id), updated_at=self._now())
        secret, sealed = self._new_return_secret(merchant_id, mode)
        audit = self._audit(merchant_id, actor, "merchant.rotate_return_secret", merchant_id, {"mode": mode})
        await self._merchants.save_merchant(merchant, audit, [sealed])
        self._changed()
        return secret

    def _new_return_secret(self, merchant_id: str, mode: Mode) -> tuple[str, SealedSecret]:
        secret = RETURN_SECRET_PREFIXES[mode] + self._ids.random(_RETURN_SECRET_CHARS)
        return secret, self._vault.seal(merchant_id, merchant_id, RETURN_SECRETS[mode], secret)
