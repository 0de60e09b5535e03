"""Why a sign-in by a provider ended without a session. Each is a page that somebody reads, and none has a secret."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from proxy.kernel.errors import Forbidden, Unauthenticated, Unavailable


class Reason(StrEnum):
    """Why an answer that a browser brought opened no session."""

    DENIED = "denied"
    STATE = "state"
    ISSUER = "issuer"
    CODE = "code"
    TOKEN = "token"  # noqa: S105  a word, no secret
    CLOCK = "clock"


_TEXTS: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.DENIED: (
        "The provider did not let you in, or you turned back. Nothing was done.",
        "سامانهٔ ورود راه نداد یا شما بازگشتید. کاری انجام نشد.",
    ),
    Reason.STATE: (
        "This sign-in did not begin in this browser, or began too long ago. Begin again.",
        "این ورود در همین مرورگر آغاز نشده یا مهلتش گذشته است. دوباره آغاز کنید.",
    ),
    Reason.ISSUER: (
        "This answer names another provider than the one that was asked. Begin again.",
        "این پاسخ از سامانهٔ ورود دیگری است، نه از آنکه پرسیده شد. دوباره آغاز کنید.",
    ),
    Reason.CODE: (
        "The provider did not take this sign-in's code: it was used before, or is too old. Begin again.",
        "سامانهٔ ورود کد این ورود را نپذیرفت: پیش‌تر به کار رفته یا کهنه است. دوباره آغاز کنید.",
    ),
    Reason.TOKEN: (
        "What the provider said is not signed by it, or was not said for this sign-in. Begin again.",
        "گفتهٔ سامانهٔ ورود امضای آن را ندارد یا برای این ورود نیست. دوباره آغاز کنید.",
    ),
    Reason.CLOCK: (
        "What the provider said does not hold at this time: its clock and this server's differ.",
        "گفتهٔ سامانهٔ ورود در این زمان معتبر نیست: ساعت آن با ساعت این سرور یکی نیست.",
    ),
}


class SignInRefused(Unauthenticated):
    """An answer that opens no session. It counts against its address as a wrong token does."""

    def __init__(self, reason: Reason) -> None:
        super().__init__()
        self.detail, self.detail_fa = _TEXTS[reason]
        self.reason = reason


class NoRole(Forbidden):
    """Somebody whom the provider knows, and whose groups have no role here."""

    def __init__(self) -> None:
        super().__init__("role")
        self.detail = (
            "You are signed in at the provider, but none of your groups may enter here. Ask an owner of this console."
        )
        self.detail_fa = (
            "سامانهٔ ورود شما را می‌شناسد، ولی هیچ‌یک از گروه‌هایتان به اینجا راه ندارد. از مالک این پیشخان بخواهید."
        )


class ProviderUnavailable(Unavailable):
    """The provider cannot be asked, or answers in another way than OpenID Connect's. `why` is a stable word, and
    `advice` what an operator can do, in English and Persian.
    """

    def __init__(self, why: str, advice: tuple[str, str] = ("", "")) -> None:
        super().__init__(
            f"The sign-in provider gave no usable answer ({why}). A token still opens the console.",
            f"سامانهٔ ورود پاسخ درستی نداد ({why}). ورود با توکن همچنان کار می‌کند.",
            retry_after_seconds=10,
        )
        self.why = why
        self.advice = advice
