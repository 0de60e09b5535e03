"""What each kind of trouble is called, and what to do about it: for people, in both languages."""

from collections.abc import Mapping
from typing import Final

from proxy.kernel.frozen import dataclass
from proxy.operations.troubles.trouble import TroubleKind

Text = tuple[str, str]
"""English and Persian."""


@dataclass(frozen=True, slots=True)
class TroubleWords:
    """`counted` names what `count` counts; empty where there is nothing to count. `runbook` is a heading's anchor in
    docs/operations.md. `to_merchant` is the advice to a merchant, who can do other things about it.
    """

    title: Text
    advice: Text
    runbook: str
    counted: Text = ("", "")
    to_merchant: Text | None = None


_EVENTS: Final = ("waiting", "رویداد در انتظار")
_PAYMENTS: Final = ("payments", "پرداخت")

WORDS: Final[Mapping[TroubleKind, TroubleWords]] = {
    TroubleKind.DATABASE_UNAVAILABLE: TroubleWords(
        ("The database cannot be written", "در پایگاه داده نمی‌توان نوشت"),
        (
            "No payment can begin until it can: see its disk, or its server.",
            "تا آن هنگام هیچ پرداختی آغاز نمی‌شود؛ دیسک یا سرور آن را ببینید.",
        ),
        "dargahstorefailing",
    ),
    TroubleKind.INVARIANT_BROKEN: TroubleWords(
        ("An impossible state was met", "وضعیتی ناممکن دیده شد"),
        (
            "Money may be told of wrongly: follow the runbook before anything else.",
            "شاید خبر پولی نادرست باشد؛ پیش از هر کار دستور کار را دنبال کنید.",
        ),
        "dargahinvariantviolated",
        ("times", "بار"),
    ),
    TroubleKind.DISK_LOW: TroubleWords(
        ("The database's disk is nearly full", "دیسک پایگاه داده رو به پر شدن است"),
        (
            "Make room: a full disk stops new payments, and a backup needs as much as the database.",
            "جا باز کنید: دیسک پر جلو پرداخت تازه را می‌گیرد و پشتیبان‌گیری هم به اندازهٔ پایگاه داده جا می‌خواهد.",
        ),
        "what-is-wrong-now",
    ),
    TroubleKind.LOOP_FAILING: TroubleWords(
        ("Work in the background fails again and again", "کاری در پس‌زمینه پیاپی شکست می‌خورد"),
        (
            "Checks of payments, webhooks or clean-up may not go on: the log's line loop_step_failed says why.",
            "شاید پرسش از درگاه، وب‌هوک یا پاک‌سازی پیش نرود؛ سطر loop_step_failed لاگ می‌گوید چرا.",
        ),
        "dargahloopfailing",
    ),
    TroubleKind.FILES_LOW: TroubleWords(
        ("Open files and sockets run out", "فایل‌ها و سوکت‌های باز رو به پایان‌اند"),
        (
            "Beyond the limit nobody new is let in: raise it, or see whether one address holds them.",
            "بیش از آن کسی راه داده نمی‌شود؛ حد را بالا ببرید یا ببینید یک نشانی همه را نگرفته باشد.",
        ),
        "dargahfilesrunningout",
        ("open", "باز"),
    ),
    TroubleKind.CONFIRM_IN_DANGER: TroubleWords(
        (
            "Paid money is not confirmed yet, and goes back by itself",
            "پول پرداخت‌شده هنوز تأیید نشده و خودبه‌خود برمی‌گردد",
        ),
        (
            "The gateway does not answer the confirmation: ask its support before the time is over.",
            "درگاه به تأیید پاسخ نمی‌دهد؛ پیش از پایان مهلت از پشتیبانی آن بپرسید.",
        ),
        "dargahconfirmwindowmissed",
        _PAYMENTS,
    ),
    TroubleKind.GATEWAY_UNCLEAR: TroubleWords(
        ("A gateway gives no clear answer", "درگاهی پاسخ روشنی نمی‌دهد"),
        (
            "Its new payments are refused meanwhile, and old ones asked about later. The doctor says what it answers.",
            "تا آن هنگام پرداخت تازهٔ آن پذیرفته نمی‌شود و پیشین‌ها دیرتر پرسیده می‌شوند. عیب‌یاب می‌گوید چه پاسخی می‌دهد.",
        ),
        "dargahgatewaycircuitopen",
        ("unclear answers in a row", "پاسخ ناروشن پیاپی"),
        to_merchant=(
            "Until it answers new payments may be refused, and open ones are told of later; it is asked again.",
            "تا پاسخ دهد شاید پرداخت تازه پذیرفته نشود و نتیجهٔ پرداخت‌های باز دیرتر برسد. خودبه‌خود دوباره پرسیده می‌شود.",
        ),
    ),
    TroubleKind.CALLS_WAITING: TroubleWords(
        ("Calls queue for gateways", "درخواست‌ها در صف درگاه‌ها مانده‌اند"),
        (
            "Gateways are slower than shops ask; when the queue is full, new payments are told to come again.",
            "درگاه‌ها از فروشگاه‌ها کندترند؛ با پر شدن صف به پرداخت تازه گفته می‌شود دوباره بیاید.",
        ),
        "dargahgatewaycallswaiting",
        ("calls", "درخواست"),
    ),
    TroubleKind.SECRET_UNUSABLE: TroubleWords(
        ("A sealed credential does not open", "رازی مهرشده باز نمی‌شود"),
        (
            "Its URL was changed without it, or its key is gone from the ring: enter it anew.",
            "نشانی بی آن عوض شده یا کلیدش در دسته‌کلید نیست؛ آن را از نو وارد کنید.",
        ),
        "key-custody",
        ("attempts", "تلاش"),
    ),
    TroubleKind.SECOND_FACTOR_GUESSED: TroubleWords(
        ("Somebody gives wrong codes of a second factor", "کسی کدهای نادرست رمز دوم می‌دهد"),
        (
            "Whoever does has the token: if it is not its owner, rotate it at once without overlap.",
            "او توکن را دارد؛ اگر صاحبش نیست، توکن را همین حالا بی مهلت عوض کنید.",
        ),
        "a-second-factor",
    ),
    TroubleKind.ENDPOINT_FAILING: TroubleWords(
        ("A shop does not take its webhooks", "فروشگاهی وب‌هوک‌هایش را نمی‌گیرد"),
        ("See its last answer, and send one event now.", "آخرین پاسخ آن را ببینید و یک رویداد را همین حالا بفرستید."),
        "dargahwebhooksfailing",
        _EVENTS,
    ),
    TroubleKind.ENDPOINT_DISABLED: TroubleWords(
        ("An endpoint was disabled, and events wait for it", "نشانی وب‌هوکی از کار افتاده و رویدادها در انتظار آن‌اند"),
        (
            "When the shop is well, switch it on: what waited is sent first.",
            "پس از درست شدن فروشگاه روشنش کنید؛ نخست آنچه مانده فرستاده می‌شود.",
        ),
        "dargahendpointdisabled",
        _EVENTS,
        to_merchant=(
            "When your shop is well, switch it on by the API, or ask the operator: what waited is sent first.",
            "پس از درست شدن فروشگاه با API روشنش کنید یا از گردانندهٔ درگاه بخواهید؛ نخست آنچه مانده فرستاده می‌شود.",
        ),
    ),
    TroubleKind.ENDPOINT_PAUSED: TroubleWords(
        ("An endpoint is paused, and events wait for it", "نشانی وب‌هوکی نگه داشته شده و رویدادها در انتظار آن‌اند"),
        ("Switch it on again when its pause is over.", "هر گاه درنگ آن به سر رسید، دوباره روشنش کنید."),
        "dargahendpointdisabled",
        _EVENTS,
        to_merchant=(
            "Switch it on by the API when its pause is over, or ask the operator.",
            "هر گاه درنگ آن به سر رسید با API روشنش کنید یا از گردانندهٔ درگاه بخواهید.",
        ),
    ),
    TroubleKind.CHECKS_LATE: TroubleWords(
        ("Checks of payments come late", "پرسش دربارهٔ پرداخت‌ها دیر انجام می‌شود"),
        (
            "Money that was paid is told late: see that a process with the role watch runs.",
            "خبر پول پرداخت‌شده دیر می‌رسد؛ ببینید پردازه‌ای با نقش watch روشن است.",
        ),
        "dargahwatchlate",
    ),
    TroubleKind.DELIVERIES_LATE: TroubleWords(
        ("Webhooks that are due do not start", "وب‌هوک‌هایی که زمانشان رسیده فرستاده نمی‌شوند"),
        (
            "See that a process with the role deliver runs, and has room.",
            "ببینید پردازه‌ای با نقش deliver روشن است و جا دارد.",
        ),
        "dargahwebhookslate",
    ),
    TroubleKind.REVIEWS_WAITING: TroubleWords(
        ("Payments wait for a decision", "پرداخت‌هایی در انتظار تصمیم‌اند"),
        (
            "Money moved otherwise than asked: decide each, with a note.",
            "پول به گونه‌ای دیگر جابه‌جا شده است؛ دربارهٔ هر یک با یادداشت تصمیم بگیرید.",
        ),
        "dargahreviewwaiting",
        _PAYMENTS,
        to_merchant=(
            "Money moved otherwise than asked. The operator decides: deliver nothing for them until you are told.",
            "پول به گونه‌ای دیگر جابه‌جا شده است. گردانندهٔ درگاه تصمیم می‌گیرد؛ تا خبر آن برسد کالایی نفرستید.",
        ),
    ),
    TroubleKind.CONFIRM_MISSED: TroubleWords(
        ("A gateway gave money back before it was confirmed", "درگاه پول را پیش از تأیید برگرداند"),
        (
            "The sale is lost: tell the shop, and see why the confirmation was late.",
            "فروش از دست رفت؛ به فروشگاه بگویید و ببینید چرا تأیید دیر شد.",
        ),
        "dargahconfirmwindowmissed",
        _PAYMENTS,
    ),
    TroubleKind.AMOUNTS_JUMPED: TroubleWords(
        ("A shop's amounts jumped about ten times", "مبلغ‌های فروشگاهی حدود ده برابر جابه‌جا شد"),
        (
            "Rial and toman may be mixed up: compare its newest payments with those before, and call the shop.",
            "شاید ریال و تومان جابه‌جا شده باشد؛ پرداخت‌های تازه را با پیشین بسنجید و به فروشگاه زنگ بزنید.",
        ),
        "dargahamountsjumped",
    ),
    TroubleKind.CLOCK_DIFFERS: TroubleWords(
        ("This machine's clock and the database's differ", "ساعت این ماشین و پایگاه داده یکی نیست"),
        (
            "Set the time by NTP on both: webhooks may be refused for their timestamp.",
            "هر دو را با NTP تنظیم کنید؛ شاید وب‌هوک‌ها به‌خاطر زمانشان پذیرفته نشوند.",
        ),
        "dargahclockskew",
    ),
    TroubleKind.CLOCK_JUMPED: TroubleWords(
        ("A clock jumped", "ساعت پرید"),
        (
            "See why the time was set; due times were put right by themselves.",
            "ببینید چرا ساعت عوض شد؛ زمان‌های برنامه خودبه‌خود درست شدند.",
        ),
        "dargahclockjumped",
        ("jumps", "پرش"),
    ),
    TroubleKind.DATABASE_SLOW: TroubleWords(
        ("The database is slow", "پایگاه داده کند است"),
        ("See what else uses its disk or its server.", "ببینید چه چیز دیگری از دیسک یا سرور آن بهره می‌برد."),
        "dargahstoreslow",
        ("milliseconds for a commit", "میلی‌ثانیه برای هر ثبت"),
    ),
    TroubleKind.BACKUP_FAILED: TroubleWords(
        ("The last backup failed", "آخرین پشتیبان‌گیری انجام نشد"),
        (
            "See the log's line backup_failed, and take one again.",
            "سطر backup_failed لاگ را ببینید و دوباره پشتیبان بگیرید.",
        ),
        "backup-and-restore",
    ),
    TroubleKind.BACKUP_OLD: TroubleWords(
        ("The last backup is old", "آخرین پشتیبان کهنه است"),
        ("See why no new one was taken, and take one.", "ببینید چرا تازه‌ای گرفته نشده و یکی بگیرید."),
        "backup-and-restore",
    ),
    TroubleKind.KEYS_OLD: TroubleWords(
        ("Secrets are still sealed under an older key", "رازهایی هنوز با کلیدی کهنه مهرند"),
        (
            "Run `dargah keys rotate`; keep the old keys until then.",
            "`dargah keys rotate` را اجرا کنید و تا آن هنگام کلیدهای کهنه را نگه دارید.",
        ),
        "key-custody",
    ),
    TroubleKind.TOKEN_ENDING: TroubleWords(
        ("An API token that is in use ends", "توکنی که به کار است به پایان می‌رسد"),
        (
            "Rotate it, and give the shop the new one before the end.",
            "آن را تازه کنید و پیش از پایان، توکن تازه را به فروشگاه بدهید.",
        ),
        "what-is-wrong-now",
    ),
    TroubleKind.OPERATOR_ENDING: TroubleWords(
        ("An operator's token ends", "توکن گرداننده‌ای به پایان می‌رسد"),
        ("Rotate it before its end.", "پیش از پایان تازه‌اش کنید."),
        "what-is-wrong-now",
    ),
    TroubleKind.ALERT_CHANNEL_FAILING: TroubleWords(
        ("Alerts do not reach people", "هشدارها به دست کسی نمی‌رسد"),
        ("`dargah alert test` says what is wrong there.", "`dargah alert test` می‌گوید آنجا چه ایرادی هست."),
        "alerts-without-prometheus",
    ),
}
