"""The answer of a target to one message, and its sentence for people: what is wrong there, and what mends it."""

from collections.abc import Mapping
from typing import Final

from proxy.kernel.frozen import dataclass
from proxy.locale.persian import persian_digits
from proxy.operations.alerts.words import Text

BOT, EMAIL, WEBHOOK = CHANNELS = ("bot", "email", "webhook")


@dataclass(frozen=True, slots=True)
class SendResult:
    """`failure` is a key of the table here, perhaps with the peer's `status`; None when the message was taken.

    `retry_after_seconds` is how long the peer wants to be left alone.
    """

    failure: str | None = None
    status: int | None = None
    retry_after_seconds: int | None = None

    def __str__(self) -> str:
        """As it is stored."""
        return f"{self.failure or ''} {self.status or ''}".strip()

    @classmethod
    def parse(cls, text: str) -> "SendResult":
        failure, _, status = text.partition(" ")
        return cls(failure or None, int(status) if status.isdigit() else None)


TAKEN: Final = SendResult()


def sentence(channel: str, answer: SendResult) -> Text:
    """One sentence, in English and Persian. The peer's own words are not in it: they may hold anything."""
    if answer.failure is None:
        return "it took the message.", "پیام را گرفت."
    english, persian = _SENTENCES.get(_SAME.get(answer.failure, answer.failure), _SENTENCES["bad_response"])
    values = {**_SETTINGS[channel], "status": answer.status or ""}
    return english.format_map(values), persian.format_map(values | {"status": persian_digits(str(values["status"]))})


_SETTINGS: Final[Mapping[str, Mapping[str, str]]] = {
    BOT: {"address": "DARGAH_ALERT_BOT_URL", "ca": "DARGAH_WEBHOOK_CA_FILES"},
    EMAIL: {"address": "DARGAH_ALERT_EMAIL_SERVER", "ca": "DARGAH_ALERT_EMAIL_CA_FILE"},
    WEBHOOK: {"address": "DARGAH_ALERT_WEBHOOK_URL", "ca": "DARGAH_WEBHOOK_CA_FILES"},
}
_SAME: Final[Mapping[str, str]] = {
    "connect_timeout": "timeout",
    "tls_cut_off": "tls",
    **dict.fromkeys(
        (f"proxy_{why}" for why in ("unreachable", "timeout", "auth", "refused", "bad_response", "needs_tls")), "proxy"
    ),
}
_SENTENCES: Final[Mapping[str, Text]] = {
    "wrong_token": (
        "it does not know the bot's token ({status}): see DARGAH_ALERT_BOT_TOKEN, and DARGAH_ALERT_BOT_URL.",
        "توکن بات را نمی‌شناسد ({status})؛ DARGAH_ALERT_BOT_TOKEN و DARGAH_ALERT_BOT_URL را ببینید.",
    ),
    "unknown_chat": (
        "it does not know this chat ({status}): write to the bot from it once, and see DARGAH_ALERT_BOT_CHATS.",
        "این گفت‌وگو را نمی‌شناسد ({status})؛ یک بار از آن به بات پیام دهید و DARGAH_ALERT_BOT_CHATS را ببینید.",
    ),
    "forbidden_chat": (
        "the bot may not write to this chat ({status}): it was blocked there, or is no member.",
        "بات اجازهٔ نوشتن در این گفت‌وگو را ندارد ({status})؛ آنجا مسدود شده یا عضو نیست.",
    ),
    "too_many": (
        "it wants fewer messages ({status}); this one is sent later.",
        "پیام‌های کمتری می‌خواهد ({status})؛ این یکی دیرتر فرستاده می‌شود.",
    ),
    "unavailable": (
        "it is out of order ({status}); nothing here mends that, and it is asked again.",
        "از کار افتاده است ({status})؛ اینجا کاری نمی‌شود کرد و دوباره پرسیده می‌شود.",
    ),
    "redirected": (
        "it sends elsewhere ({status}), where no message is taken: write the final address in {address}.",
        "به جای دیگری می‌فرستد ({status}) که پیام به آنجا نمی‌رود؛ نشانی نهایی را در {address} بنویسید.",
    ),
    "refused_status": (
        "it refused the message ({status}): see that {address} is right, and what that server's log says.",
        "پیام را نپذیرفت ({status})؛ ببینید {address} درست است و لاگ آن سرور چه می‌گوید.",
    ),
    "bad_answer": (
        "its answer is not one of a bot API: see that DARGAH_ALERT_BOT_URL is its base.",
        "پاسخش پاسخ API بات نیست؛ ببینید DARGAH_ALERT_BOT_URL نشانی پایهٔ آن است.",
    ),
    "wrong_credentials": (
        "it refused the user or the password ({status}): see DARGAH_ALERT_EMAIL_CREDENTIALS.",
        "نام کاربر یا گذرواژه را نپذیرفت ({status})؛ DARGAH_ALERT_EMAIL_CREDENTIALS را ببینید.",
    ),
    "no_auth": (
        "it takes no password: see the port of {address}, or leave DARGAH_ALERT_EMAIL_CREDENTIALS empty.",
        "گذرواژه نمی‌گیرد؛ port نشانی {address} را ببینید یا DARGAH_ALERT_EMAIL_CREDENTIALS را خالی بگذارید.",
    ),
    "no_starttls": (
        "it offers no STARTTLS, and nothing is sent in the clear: write smtps:// and its port in {address}.",
        "STARTTLS ندارد و چیزی بی رمز فرستاده نمی‌شود؛ در {address} نشانی smtps:// را با port آن بنویسید.",
    ),
    "sender_refused": (
        "it refused the sender ({status}): see DARGAH_ALERT_EMAIL_FROM.",
        "فرستنده را نپذیرفت ({status})؛ DARGAH_ALERT_EMAIL_FROM را ببینید.",
    ),
    "recipient_refused": (
        "it refused this address ({status}): see DARGAH_ALERT_EMAIL_TO.",
        "این نشانی را نپذیرفت ({status})؛ DARGAH_ALERT_EMAIL_TO را ببینید.",
    ),
    "timeout": (
        "it did not answer in time: see that it is up and that a firewall lets this machine through to {address}.",
        "به‌موقع پاسخ نداد؛ ببینید روشن است و دیوار آتش راه این ماشین را به {address} نبسته است.",
    ),
    "refused": (
        "nothing listens there: see the host and the port of {address}.",
        "کسی آنجا گوش نمی‌دهد؛ نام و port نشانی {address} را ببینید.",
    ),
    "reset": ("it closed the connection: try again.", "ارتباط را بست؛ دوباره بیازمایید."),
    "dns": ("its name is not found: see the host in {address}.", "نامش پیدا نشد؛ نام میزبان را در {address} ببینید."),
    "tls": (
        "TLS failed: see that the port of {address} is one of TLS.",
        "ارتباط TLS برقرار نشد؛ ببینید port نشانی {address} از آنِ TLS است.",
    ),
    "tls_client_certificate": (
        "it wants a certificate of ours: see DARGAH_WEBHOOK_CLIENT_CERT_FILES.",
        "گواهی ما را می‌خواهد؛ DARGAH_WEBHOOK_CLIENT_CERT_FILES را ببینید.",
    ),
    "tls_expired": (
        "its certificate has expired, or this machine's clock is wrong.",
        "گواهی آن منقضی است یا ساعت این ماشین نادرست است.",
    ),
    "tls_wrong_host": (
        "its certificate is of another host: see the host in {address}.",
        "گواهی آن از میزبان دیگری است؛ نام میزبان را در {address} ببینید.",
    ),
    "tls_unknown_authority": (
        "its certificate comes from an authority that this machine does not know: name its file in {ca}.",
        "این ماشین صادرکنندهٔ گواهی آن را نمی‌شناسد؛ فایلش را در {ca} بنویسید.",
    ),
    "blocked_address": (
        "its address is a private one: name its host:port in DARGAH_ALERT_ALLOW if that is meant.",
        "نشانی آن خصوصی است؛ اگر همین منظور است host:port آن را در DARGAH_ALERT_ALLOW بنویسید.",
    ),
    "bad_url": ("{address} is no address that can be asked.", "{address} نشانی درستی نیست."),
    "bad_response": (
        "its answer is not of this protocol: see {address}.",
        "پاسخش از این پروتکل نیست؛ {address} را ببینید.",
    ),
    "proxy": (
        "the egress proxy gives no way out: see DARGAH_EGRESS_PROXY and its credentials.",
        "پراکسی خروجی راه نمی‌دهد؛ DARGAH_EGRESS_PROXY و گذرواژهٔ آن را ببینید.",
    ),
}
