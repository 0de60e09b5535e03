"""The settings' meanings in Persian, by name: proxy/config has the English ones beside each setting."""

from collections.abc import Mapping
from typing import Final

_OFF: Final = "۰ یعنی بی‌حد. برای هر پردازه."

SETTINGS: Final[Mapping[str, str]] = {
    "DARGAH_GATEWAY_CA_FILES": "درگاه‌هایی که گواهی‌شان از صادرکنندهٔ خودشان است: host=file.pem، با ویرگول جدا. برای "
    "چنین میزبانی تنها صادرکنندگان همان فایل به شمار می‌آیند.",
    "DARGAH_WEBHOOK_CA_FILES": "همان برای گیرندگان وب‌هوک.",
    "DARGAH_WEBHOOK_CLIENT_CERT_FILES": "گیرندگانی که گواهی از ما می‌خواهند (mTLS): host=file.pem، با ویرگول جدا. "
    "فایل گواهی، زنجیره و کلید بی‌گذرواژهٔ آن را دارد.",
    "DARGAH_EGRESS_PROXY": "پراکسی‌ای که وب‌هوک‌ها و پرسش از درگاه‌ها با CONNECT از آن می‌گذرند، مانند "
    "http://10.0.0.5:3128. نام‌ها همین‌جا یافته و نشانی‌ها همین‌جا سنجیده می‌شوند.",
    "DARGAH_EGRESS_PROXY_CREDENTIALS": "نام و گذرواژهٔ آن پراکسی، به شکل user:password.",
    "DARGAH_EGRESS_DIRECT": "آنچه بی آن پراکسی به آن می‌رسیم، با ویرگول جدا: host:port یا CIDR.",
    "DARGAH_ALERT_BOT_TOKEN": "خرابی‌ها را با ربات به آدم‌ها می‌گوید: توکنی که @BotFather داده است. API ربات تلگرام و "
    "همانندهایش، مانند بله.",
    "DARGAH_ALERT_BOT_CHATS": "گفت‌وگوهایی که ربات در آن‌ها می‌نویسد، با ویرگول جدا: شماره، یا @channel.",
    "DARGAH_ALERT_BOT_URL": "پایهٔ API ربات. برای بله: https://tapi.bale.ai.",
    "DARGAH_ALERT_EMAIL_SERVER": "خرابی‌ها را با ایمیل می‌گوید: سرور ایمیل فرستنده، smtps://host:465 (TLS) یا "
    "smtp://host:587 (STARTTLS، که جز روی همین دستگاه باید داشته باشد).",
    "DARGAH_ALERT_EMAIL_CREDENTIALS": "نام و گذرواژهٔ آن سرور، به شکل user:password.",
    "DARGAH_ALERT_EMAIL_CA_FILE": "فایل PEM: برای گواهی آن سرور تنها صادرکنندگان همین فایل به شمار می‌آیند.",
    "DARGAH_ALERT_EMAIL_FROM": "فرستندهٔ ایمیل، مانند dargah@example.ir.",
    "DARGAH_ALERT_EMAIL_TO": "گیرندگان ایمیل، با ویرگول جدا.",
    "DARGAH_ALERT_WEBHOOK_URL": "خرابی‌ها را به برنامه‌ای از خودتان می‌گوید: جایی که وب‌هوک امضاشده می‌رود. می‌تواند "
    "گذرواژه در خود داشته باشد.",
    "DARGAH_ALERT_WEBHOOK_SECRET": "رازی که آن را به شیوهٔ Standard Webhooks امضا می‌کند: whsec_ و base64 "
    "(echo whsec_$(openssl rand -base64 32)).",
    "DARGAH_ALERT_ALLOW": "مقصدهای خصوصی که API ربات و این وب‌هوک می‌توانند داشته باشند، با ویرگول جدا: host:port (با "
    "http ساده هم) یا CIDR.",
    "DARGAH_ALERT_LANGUAGE": "زبان پیام‌ها: fa یا en.",
    "DARGAH_ALERT_HOLD_SECONDS": "خرابی باید چند ثانیه بماند تا گفته شود، و چند ثانیه نباشد تا پایانش گفته شود.",
    "DARGAH_ALERT_REMINDER_HOURS": "خرابی ماندگار پس از چند ساعت دوباره گفته شود؛ ۰ یعنی هرگز.",
    "DARGAH_ALERT_QUIET_HOURS": "ساعت‌هایی که تنها خبر فوری گفته می‌شود، مانند 23:00-07:00 به وقت تهران، یا "
    "23:00-07:00 Europe/Berlin. بقیه تا پایان آن صبر می‌کنند.",
    "DARGAH_CONSOLE_URL": "پایهٔ این پیشخان، چنان که مرورگر گردانندگان به آن می‌رسد، مانند "
    "https://dargah.internal.example.ir. برای DARGAH_OIDC_ISSUER لازم است؛ میزبانش می‌تواند در "
    "DARGAH_ADMIN_HOSTS نیاید.",
    "DARGAH_SECOND_FACTOR": "آیا گردانندگانی که با توکن وارد پیشخان می‌شوند باید رمز دوم داشته باشند، یعنی کدهای یک "
    "برنامهٔ رمزساز: optional یا required. با required پیش از هر کار باید آن را بسازند.",
    "DARGAH_CONSOLE_SETTINGS_TOKENS": "آیا توکن‌های DARGAH_ADMIN_TOKEN، که رمز دوم ندارند، پیشخان را باز کنند. بی آن "
    "تنها برای فرمان‌ها و API اند.",
    "DARGAH_OIDC_ISSUER": "ارائه‌دهندهٔ OpenID Connect که گردانندگان با آن وارد می‌شوند، درست چنان که خود را می‌نامد، "
    "مانند https://id.example.ir/realms/staff. DARGAH_CONSOLE_URL و ‎/console/login/oidc/answer را آن‌جا ثبت کنید.",
    "DARGAH_OIDC_CLIENT_ID": "نام این پیشخان نزد ارائه‌دهنده.",
    "DARGAH_OIDC_CLIENT_SECRET": "راز آن، اگر محرمانه ثبت شده است؛ برای ثبت عمومی، که تنها PKCE دارد، هیچ.",
    "DARGAH_OIDC_SCOPES": "دسترسی‌هایی که خواسته می‌شوند؛ openid میان آن‌هاست.",
    "DARGAH_OIDC_GROUPS_CLAIM": "جایی از توکن هویت که گروه‌ها در آن‌اند، یا مسیر آن، مانند realm_access.roles. اگر "
    "ارائه‌دهنده گروه ندارد، email به ایمیل‌های تأییدشده نقش می‌دهد.",
    "DARGAH_OIDC_ROLES": "نقش هر گروه، با ویرگول جدا: dargah-owners=owner,dargah-staff=operate. بالاترین نقش به شمار "
    "می‌آید؛ بی نقش کسی راه نمی‌یابد.",
    "DARGAH_OIDC_BUTTON": "نوشتهٔ دکمهٔ ورود.",
    "DARGAH_OIDC_CA_FILE": "فایل PEM با صادرکنندگان گواهی ارائه‌دهنده، اگر همگانی نیستند.",
    "DARGAH_DATABASE": "جای نگه‌داری پرداخت‌ها. یک پردازه: sqlite:dargah.db، sqlite:///var/lib/dargah/dargah.db یا "
    "یک مسیر ساده. چند پردازه: postgresql://user:password@host:5432/database.",
    "DARGAH_MIGRATION_DATABASE": "PostgreSQL: همان پایگاه با نقش مالکش، برای dargah migrate، جایی که نقشِ "
    "DARGAH_DATABASE اجازهٔ تغییر ساختار ندارد.",
    "DARGAH_DATABASE_CONNECTIONS": "PostgreSQL: شمار اتصال‌های هر پردازه؛ یکی بیشتر هم برای خبرهای پردازه‌ها به هم "
    "باز می‌شود.",
    "DARGAH_DATABASE_POOLER": "PostgreSQL: اگر پیش از آن گردآورندهٔ اتصال در حالت تراکنش است، مانند PgBouncer، true.",
    "DARGAH_ENVIRONMENT": "production یا development. در دومی درگاه و وب‌هوک روی همین دستگاه می‌توانند http ساده باشند.",
    "DARGAH_LISTEN": "جایی که فروشگاه‌ها و مشتریان به آن می‌آیند، با ویرگول جدا: host:port (‎[::]:8080 یعنی هر نشانی "
    "از هر دو خانواده)، یا unix:/run/dargah/dargah.sock (?mode=666 در پی آن؛ وگرنه 660).",
    "DARGAH_ADMIN_LISTEN": "همان برای گردانندگان. روی همین دستگاه، شبکهٔ خصوصی یا فایل سوکت نگهش دارید.",
    "DARGAH_ROLES": "کار این پردازه، با ویرگول جدا: api (شنیدن)، watch (پرسش از درگاه)، deliver (وب‌هوک). برای بخشی "
    "از آن PostgreSQL لازم است.",
    "DARGAH_WORKERS": "شمار پردازه‌ها پشت یک درگاه شبکه، یکی برای هر هسته؛ PostgreSQL لازم دارد. شنوندهٔ گردانندگان هر "
    "پردازهٔ بعدی درگاه شبکهٔ بعدی را می‌گیرد.",
    "DARGAH_PUBLIC_URL": "پایهٔ پیوندهای پرداخت و بازگشت، چنان که مرورگر مشتری به آن می‌رسد. لازم است مگر آن‌که "
    "DARGAH_LISTEN همین دستگاه باشد، که آن‌گاه پیش‌فرض است.",
    "DARGAH_ADMIN_TOKEN": "توکن گرداننده، ۲۴ نویسه یا بیشتر (openssl rand -hex 32). چند توکن: name:token، با ویرگول "
    "جدا؛ نام در دفتر کارها می‌آید.",
    "DARGAH_KEYS": "دسته‌کلیدی که رازها را مهر می‌کند، name:base64 در هر خط یا با ویرگول؛ نخستین کلید مهر می‌کند. "
    "dargah keys generate یک خط می‌سازد.",
    "DARGAH_KEYS_FILE": "فایلی که دسته‌کلید در آن است، به جای DARGAH_KEYS.",
    "DARGAH_WEBHOOK_ALLOW": "مقصدهای خصوصی‌ای که وب‌هوک می‌تواند به آن‌ها برود، با ویرگول جدا: host:port (با http "
    "ساده هم) یا CIDR. برای همسایهٔ روی همین دستگاه: 127.0.0.1:3000.",
    "DARGAH_API_DOCS": "آیا ‎/docs و ‎/openapi.json و ‎/llms.txt راهنمای API را به همه نشان بدهند.",
    "DARGAH_REQUEST_TIMEOUT_SECONDS": "چند ثانیه برای صورت‌حساب درگاه صبر شود.",
    "DARGAH_CHECK_TIMEOUT_SECONDS": "چند ثانیه برای پاسخ پرسش از درگاه صبر شود.",
    "DARGAH_PAYMENT_EXPIRY_MINUTES": "مهلت پرداخت مشتری به دقیقه، اگر فروشگاه هنگام ساختن نگفته باشد.",
    "DARGAH_GATEWAY_CALLS_PER_TERMINAL": "پرسش‌های هم‌زمان از درگاه برای یک ترمینال.",
    "DARGAH_GATEWAY_CALLS_TOTAL": "پرسش‌های هم‌زمان از درگاه‌ها روی هم.",
    "DARGAH_WAITING_LIMIT": "پرسش‌هایی که می‌توانند در نوبت درگاه بمانند؛ بیش از آن 503.",
    "DARGAH_WEBHOOK_IN_FLIGHT": "وب‌هوک‌هایی که هم‌زمان در راه‌اند.",
    "DARGAH_WEBHOOK_RETRY_SCHEDULE": "فاصله‌های فرستادن دوباره پس از هر تلاش نرسیده، با ویرگول جدا: ۱ تا ۲۰ فاصله از "
    "1s تا 72h، مانند 30s، 5m یا 2h. پس از آخری، نرسیده به شمار می‌آید.",
    "DARGAH_EVENTS_KEEP_DAYS": "رویدادها و فرستاده‌هایشان چند روز نگه داشته شوند. آنچه نرسیده همیشه می‌ماند.",
    "DARGAH_ATTEMPTS_KEEP_DAYS": "تلاش‌های فرستاده‌های رسیده، با آغاز پاسخ‌ها، چند روز نگه داشته شوند.",
    "DARGAH_LOG_FORMAT": "json، یا console برای خواندن آدم‌ها.",
    "DARGAH_LOG_LEVEL": "کم‌اهمیت‌ترین سطحی که نوشته می‌شود.",
    "DARGAH_TRACES_URL": "جایی که ردها با OTLP روی HTTP به آن فرستاده می‌شوند، مانند http://127.0.0.1:4318/v1/traces؛ "
    "خالی یعنی هیچ. کتابخانه‌های otel لازم است. می‌تواند گذرواژه در خود داشته باشد.",
    "DARGAH_TRACES_RATIO": "سهمی از ردها که نگه داشته می‌شوند، جایی که درگاه آن‌ها را آغاز می‌کند.",
    "DARGAH_DRAIN_SECONDS": "پردازه پس از SIGTERM چند ثانیه برای پایان دارد.",
    "DARGAH_UNREADY_SECONDS": "چند ثانیه از آن هنوز درخواست پذیرفته می‌شود و ‎/readyz پاسخ 503 می‌دهد، تا تقسیم‌کنندهٔ "
    "بار باخبر شود.",
    "DARGAH_TRUSTED_PROXIES": "نشانی یا شبکهٔ پراکسی‌های پیش رو، با ویرگول جدا، که می‌گویند چه کسی می‌پرسد؛ unix برای "
    "آن‌که از فایل سوکت می‌آید.",
    "DARGAH_FORWARDED_HEADER": "سرآیندی که در آن می‌گویند: x-forwarded-for یا forwarded. پراکسی باید آن را بنویسد یا "
    "بردارد.",
    "DARGAH_ADMIN_HOSTS": "نام‌هایی که گردانندگان با آن‌ها به این‌جا می‌رسند، با ویرگول جدا، افزون بر localhost و "
    "نشانی‌های IP.",
    "DARGAH_HSTS_SECONDS": "Strict-Transport-Security برای این مدت؛ ۰ یعنی هیچ. برای DARGAH_PUBLIC_URL با https.",
    "DARGAH_MAX_CONNECTIONS": "اتصال‌های هم‌زمان از بیرون. پر که شود، آن‌که از همه بیشتر منتظر است بسته می‌شود.",
    "DARGAH_MAX_ADDRESS_CONNECTIONS": "از آن‌ها، سهم یک نشانی که از DARGAH_TRUSTED_PROXIES نیست؛ ۰ یعنی بی‌حد.",
    "DARGAH_HEAD_TIMEOUT_SECONDS": "سرآیندهای یک درخواست چند ثانیه فرصت دارند، از نخستین بایت یا آغاز اتصال.",
    "DARGAH_IDLE_TIMEOUT_SECONDS": "اتصال چند ثانیه می‌تواند بیکار بماند؛ بیش از آنچه پراکسی پیش رو نگه می‌دارد.",
    "DARGAH_TOKEN_CREATES_PER_MINUTE": f"پرداخت‌هایی که یک توکن در دقیقه می‌تواند بسازد. {_OFF}",
    "DARGAH_ADDRESS_CREATES_PER_MINUTE": f"پرداخت‌هایی که از یک نشانی در دقیقه خواسته می‌شود. {_OFF}",
    "DARGAH_TOKEN_CALLS_PER_MINUTE": f"درخواست‌های دیگر با یک توکن در دقیقه. {_OFF}",
    "DARGAH_ADDRESS_CALLS_PER_MINUTE": f"درخواست‌های دیگر از یک نشانی در دقیقه. {_OFF}",
    "DARGAH_ADDRESS_AUTH_FAILURES_PER_MINUTE": "درخواست‌های یک نشانی با توکن نادرست در دقیقه؛ بیش از آن باید صبر "
    f"کند. {_OFF}",
    "DARGAH_LINK_VISITS_PER_MINUTE": f"دیدار صفحه‌های یک پرداخت در دقیقه. {_OFF}",
    "DARGAH_ADDRESS_UNKNOWN_LINKS_PER_MINUTE": f"دیدار پیوندهایی که نیستند، از یک نشانی در دقیقه. {_OFF}",
}
