"""`dargah doctor` at the server's side: looks at the process, its surroundings and a merchant's set-up.

It changes nothing. A `check` of an impossible invoice shows whether a terminal's key is valid: 101 for a wrong key, 200
for a valid one.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.kernel.errors import StoreUnavailable
from proxy.operations.doctor.base import Finding, Level, fine, problem, warning
from proxy.operations.doctor.merchant import MerchantCheckUp
from proxy.operators.oidc.refusals import ProviderUnavailable

LEAST_FREE_BYTES: Final = 2**30
_DISK: Final = (
    "Look at the disk: space, permissions, health. A malformed file needs a backup: see `database_failing` in the log.",
    "دیسک را ببینید: جا، دسترسی، سلامت. فایل خراب (malformed) پشتیبان می‌خواهد: `database_failing` را در لاگ ببینید.",
)
_SERVER: Final = (
    "Look at the database server: is it up, is it the primary, does it have room.",
    "سرور پایگاه داده را ببینید: آیا روشن و نسخهٔ اصلی است و جا دارد.",
)


class Doctor(MerchantCheckUp):
    """`process` checks the server, `merchant` the set-up of one merchant."""

    async def process(self) -> list[Finding]:
        """Settings, key ring, database and public URL."""
        database = await self._database()
        keys = [await self._keys()] if database.level is not Level.PROBLEM else []
        return [
            self._settings(),
            self._admin(),
            *keys,
            database,
            *(await self._condition() if database.level is not Level.PROBLEM else []),
            *self._disk(),
            *await self._egress(),
            *await self._provider(),
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
        if not await self._store.merchants.sealed_otherwise(name, 1):
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
            await self._store.heartbeat.ping()
        except StoreUnavailable as error:
            of_file = isinstance(self._around.database, Path)
            why = f" ({error.__cause__})" if of_file and error.__cause__ else ""
            said = (f"it cannot be written{why}", f"نمی‌توان در آن نوشت{why}")
            return problem("database", name, said, _DISK if of_file else _SERVER)
        return fine("database", name, "it can be written", "می‌توان در آن نوشت")

    async def _condition(self) -> list[Finding]:
        """How a server's database is set up; that of a file is Dargah's own doing."""
        name = self._around.database.name
        if isinstance(self._around.database, Path):
            return []
        condition = await self._store.retention.condition(self._now())
        return [_encoding(name, condition.encoding), _missing_partitions(name, condition.missing_partitions)]

    async def _egress(self) -> list[Finding]:
        """The egress proxy, where there is one."""
        name = self._around.egress_proxy
        if not name:
            return []
        why = await self._prober.proxy_problem()
        if why is None:
            said = ("it answers, and takes our credentials", "پاسخ می‌دهد و نام و گذرواژهٔ ما را می‌پذیرد")
            return [fine("egress_proxy", name, *said)]
        return [
            problem(
                "egress_proxy",
                name,
                (f"it gives no way out ({why})", f"راهی به بیرون نمی‌دهد ({why})"),
                (
                    "No webhook leaves and no gateway is asked without it: see DARGAH_EGRESS_PROXY, its credentials.",
                    "بی آن هیچ وب‌هوک و پرسشی بیرون نمی‌رود: DARGAH_EGRESS_PROXY و نام و گذرواژه‌اش را ببینید.",
                ),
            )
        ]

    async def _provider(self) -> list[Finding]:
        """The provider that operators sign in by, where there is one."""
        if self._sign_in is None:
            return []
        name = self._sign_in.issuer
        try:
            await self._sign_in.check()
        except ProviderUnavailable as error:
            detail = (f"operators cannot sign in by it ({error.why})", f"ورود گردانندگان با آن ممکن نیست ({error.why})")
            return [problem("sign_in", name, detail, error.advice)]
        said = ("operators can sign in by it", "گردانندگان می‌توانند با آن وارد شوند")
        return [fine("sign_in", name, *said)]

    def _disk(self) -> Iterator[Finding]:
        """The file's disk; a database server's is elsewhere."""
        database = self._around.database
        if isinstance(database, Path):
            yield _room(database)


def _encoding(name: str, encoding: str) -> Finding:
    if encoding == "UTF8":
        return fine("encoding", name, "it holds every text", "هر متنی در آن جا می‌گیرد")
    make = f"createdb --encoding=UTF8 --locale=C --template=template0 {name}_utf8"
    return problem(
        "encoding",
        name,
        (
            f"its encoding is {encoding}, which cannot hold Persian",
            f"کدگذاری آن {encoding} است و متن فارسی در آن جا نمی‌گیرد",
        ),
        (f"Make a database with `{make}` and move to it.", f"با `{make}` پایگاه دادهٔ درستی بسازید و به آن بروید."),
    )


def _missing_partitions(name: str, missing: int) -> Finding:
    if not missing:
        return fine(
            "periods", name, "this period's and the next one's tables are there", "جدول‌های این دوره و دورهٔ بعد هست"
        )
    return warning(
        "periods",
        name,
        (
            "tables of this period or of the next one are missing: nothing is lost, but it is deleted slowly",
            "جدول‌های این دوره یا دورهٔ بعد نیست: چیزی گم نمی‌شود، ولی حذف آن کند است",
        ),
        (
            "Run `dargah migrate --grant ROLE` as the database's owner, or `dargah migrate` every month.",
            "`dargah migrate --grant ROLE` را با کاربر صاحب پایگاه داده اجرا کنید، یا هر ماه `dargah migrate` را.",
        ),
    )


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
