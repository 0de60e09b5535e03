"""`dargah doctor` at the server's side: looks at the process, its surroundings and a merchant's set-up.

It changes nothing. A terminal's key is told valid or not by a `check` of an invoice that cannot be: 101 says a wrong
key, 200 a right one.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.doctor.findings import Finding, Level, fine, problem, warning
from proxy.doctor.merchant import MerchantCheckUp
from proxy.errors import StoreUnavailable

LEAST_FREE_BYTES: Final = 2**30
_DISK: Final = ("Look at the disk: space, permissions, health.", "دیسک را ببینید: جا، دسترسی، سلامت.")
_SERVER: Final = (
    "Look at the database server: is it up, is it the primary, does it have room.",
    "سرور پایگاه داده را ببینید: آیا روشن و نسخهٔ اصلی است و جا دارد.",
)


class Doctor(MerchantCheckUp):
    """`process` looks at the server, `merchant` at what one merchant has set up."""

    async def process(self) -> list[Finding]:
        """Settings, key ring, database and public URL."""
        database = await self._database()
        keys = [await self._keys()] if database.level is not Level.PROBLEM else []
        return [
            self._settings(),
            self._admin(),
            *keys,
            database,
            *self._disk(),
            await self._ours("public_url", self._around.public_url),
        ]

    def _settings(self) -> Finding:
        if not self._around.development:
            return fine("settings", "DARGAH_ENVIRONMENT", "production", "محیط عملیاتی است")
        detail = (
            "development: plain http is let through on loopback",
            "محیط توسعه است: http ساده روی این ماشین پذیرفته است",
        )
        return warning(
            "settings",
            "DARGAH_ENVIRONMENT",
            detail,
            ("Leave it unset where money moves.", "جایی که پول جابه‌جا می‌شود آن را نگذارید."),
        )

    def _admin(self) -> Finding:
        name = "DARGAH_ADMIN_LISTEN"
        if self._around.admin_on_loopback:
            return fine("settings", name, "only this machine reaches it", "فقط از همین ماشین در دسترس است")
        return warning(
            "settings",
            name,
            ("the operator's API listens beyond this machine", "API گرداننده بیرون از این ماشین هم در دسترس است"),
            ("Keep it on loopback or a private network.", "آن را روی این ماشین یا شبکهٔ خصوصی نگه دارید."),
        )

    async def _keys(self) -> Finding:
        name = self._around.kek_id
        if not await self._store.sealed_otherwise(name, 1):
            return fine(
                "key_ring", name, "every secret is sealed under the first key", "همهٔ رازها با کلید نخست مهر شده‌اند"
            )
        return warning(
            "key_ring",
            name,
            ("some secrets are still sealed under older keys", "برخی رازها هنوز با کلیدهای کهنه مهر شده‌اند"),
            (
                "Run `dargah keys rotate`; keep the old keys until then.",
                "`dargah keys rotate` را اجرا کنید و تا آن هنگام کلیدهای کهنه را نگه دارید.",
            ),
        )

    async def _database(self) -> Finding:
        name = self._around.database.name
        try:
            await self._store.ping()
        except StoreUnavailable:
            return problem(
                "database",
                name,
                ("it cannot be written", "نمی‌توان در آن نوشت"),
                _DISK if isinstance(self._around.database, Path) else _SERVER,
            )
        return fine("database", name, "it can be written", "می‌توان در آن نوشت")

    def _disk(self) -> Iterator[Finding]:
        """The file's disk; a database server's is elsewhere."""
        database = self._around.database
        if isinstance(database, Path):
            yield _room(database)


def _room(database: Path) -> Finding:
    free = shutil.disk_usage(database.resolve().parent).free
    shown = f"{free / 2**30:.1f} GiB"
    if free >= LEAST_FREE_BYTES:
        return fine("disk", database.name, f"{shown} free", f"{shown} جای خالی")
    return problem(
        "disk",
        database.name,
        (f"only {shown} free", f"فقط {shown} جای خالی"),
        ("Make room: a full disk stops new payments.", "جا باز کنید: دیسک پر جلو پرداخت تازه را می‌گیرد."),
    )
