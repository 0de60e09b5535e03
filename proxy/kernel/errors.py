"""The errors of Dargah, as one tree of values with stable codes. Their HTTP statuses are in `http/problems.py`.

DargahError
├── InvalidInput            one FieldError per field that is wrong
│   └── IdempotencyKeyReused
├── Unauthenticated         no token, or not one of ours
├── Forbidden               the token lacks a scope
│   └── TerminalBound       the scope is not for a token of one terminal
├── RateLimited             too often: retry after `retry_after_seconds`
├── NotFound                also for another merchant's rows: never "forbidden"
├── Conflict
│   ├── MerchantArchived    takes no new payments
│   ├── OrderAlreadyPaid
│   ├── RequestInProgress   retry after `retry_after_seconds`
│   ├── PaymentClosed
│   ├── NotWithdrawn
│   ├── EventNotForEndpoint
│   └── NoOpenReview
├── GatewayError
│   ├── GatewayRefused      definite: the payment failed
│   ├── GatewayUnclear      the outcome is unknown: ask again with the same key
│   └── GatewayTimeout      the same, because no answer came in time
├── Unavailable             retry after `retry_after_seconds`
│   ├── Overloaded          a queue is full
│   ├── CircuitOpen         this terminal's gateway has been failing
│   ├── CredentialUnusable  a sealed credential or header does not open for the URL that it would go to
│   └── StoreUnavailable    the disk or the database
├── VaultError              never shown: a secret cannot be opened
└── StoreConflict           never shown: the caller decides again
    ├── StaleVersion        the row changed since it was read
    └── LeaseLost           somebody else owns the work now
"""

from collections.abc import Sequence
from typing import ClassVar

from proxy.kernel.frozen import dataclass


class DargahError(Exception):
    """Base of all; `detail` is for a developer, `detail_fa` says the same in Persian."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, detail: str, detail_fa: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.detail_fa = detail_fa


@dataclass(frozen=True, slots=True)
class FieldError:
    """The error of one field: its dotted name, a stable code, and the remedy."""

    field: str
    code: str
    detail: str
    detail_fa: str


class InvalidInput(DargahError):
    code = "invalid_request"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(
            "; ".join(f"{error.field}: {error.detail}" for error in errors),
            "؛ ".join(f"{error.field}: {error.detail_fa}" for error in errors),
        )
        self.errors = tuple(errors)


def invalid(field: str, code: str, detail: str, detail_fa: str) -> InvalidInput:
    """An InvalidInput about a single field."""
    return InvalidInput([FieldError(field, code, detail, detail_fa)])


class IdempotencyKeyReused(DargahError):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used with another body. Send the first body again, or a new key.",
            "این Idempotency-Key پیش‌تر با بدنهٔ دیگری فرستاده شده است. همان بدنه یا کلید تازه بفرستید.",
        )


class Unauthenticated(DargahError):
    code = "unauthenticated"

    def __init__(self) -> None:
        super().__init__(
            "Send a valid token: `Authorization: Bearer dg_live_…`. It may have been revoked or have expired.",
            "توکن معتبر بفرستید: `Authorization: Bearer dg_live_…`. شاید توکن لغو شده یا منقضی است.",
        )


class Forbidden(DargahError):
    code = "forbidden"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This token lacks the scope `{scope}`.", f"این توکن دسترسی `{scope}` را ندارد.")
        self.scope = scope


class TerminalBound(Forbidden):
    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.detail = (
            f"`{scope}` is not for a token that is bound to a terminal: it would tell of other terminals' payments. "
            "Use a token of the storefront without `terminal:`."
        )
        self.detail_fa = (
            f"`{scope}` با توکنی که به یک ترمینال بسته است کار نمی‌کند، چون از پرداخت‌های ترمینال‌های دیگر خبر می‌دهد. "
            "توکنی از همین فروشگاه بدون `terminal:` به کار ببرید."
        )


class RateLimited(DargahError):
    """`limit` is the name of the limit that was reached, which lets `per_minute` through."""

    code = "rate_limited"

    def __init__(self, limit: str, per_minute: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"Too many requests: {limit} is {per_minute} a minute. Nothing was done; ask again later.",
            "تعداد درخواست‌ها بیش از اندازه است. کاری انجام نشد؛ کمی بعد دوباره بفرستید.",
        )
        self.limit = limit
        self.per_minute = per_minute
        self.retry_after_seconds = retry_after_seconds


class NotFound(DargahError):
    code = "not_found"

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no such {what}.", "چنین چیزی پیدا نشد.")
        self.what = what


class Conflict(DargahError):
    code = "conflict"


class MerchantArchived(Conflict):
    """`payment_id` is that of the payment that was stored before under the same key, if one was."""

    code = "merchant_archived"

    def __init__(self, payment_id: str | None = None) -> None:
        super().__init__(
            "This merchant is archived and takes no new payments. Ask the operator of Dargah to unarchive it.",
            "این پذیرنده بایگانی است و پرداخت تازه نمی‌پذیرد. از گردانندهٔ درگاه بخواهید آن را از بایگانی درآورد.",
        )
        self.payment_id = payment_id


class OrderAlreadyPaid(Conflict):
    """`payment_id` is None where the caller may not see that payment."""

    code = "order_already_paid"

    def __init__(self, payment_id: str | None) -> None:
        by, by_fa = ("", "") if payment_id is None else (f" by {payment_id}", f" با {payment_id}")
        super().__init__(f"This order_id is already paid{by}.", f"این order_id پیش‌تر{by_fa} پرداخت شده است.")
        self.payment_id = payment_id


class RequestInProgress(Conflict):
    code = "request_in_progress"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            "The first request with this Idempotency-Key is still running. Ask again shortly.",
            "درخواست نخست با همین Idempotency-Key هنوز در جریان است. کمی بعد دوباره بپرسید.",
        )
        self.retry_after_seconds = retry_after_seconds


class PaymentClosed(Conflict):
    code = "payment_closed"

    def __init__(self, payment_id: str) -> None:
        super().__init__(
            f"Payment {payment_id} ended before an invoice could be had. Create it anew with a new Idempotency-Key.",
            f"پرداخت {payment_id} پیش از دریافت شناسهٔ درگاه پایان یافت. با Idempotency-Key تازه دوباره بسازید.",
        )
        self.payment_id = payment_id


class NotWithdrawn(Conflict):
    """A payment that is paid, is being confirmed, or has ended otherwise, cannot be withdrawn."""

    code = "payment_not_withdrawn"

    def __init__(self, payment_id: str, status: str) -> None:
        super().__init__(
            f"Payment {payment_id} is {status} and cannot be withdrawn now. Read it again for its outcome.",
            f"پرداخت {payment_id} در وضعیت {status} است و اکنون نمی‌توان آن را پس گرفت. نتیجه را دوباره بخوانید.",
        )
        self.payment_id = payment_id


class EventNotForEndpoint(Conflict):
    """Also the error of an attempt that was not made for it."""

    code = "event_not_for_endpoint"

    def __init__(self) -> None:
        super().__init__(
            "The event is of another mode or storefront than this endpoint, and is not sent to it.",
            "حالت (live یا test) یا فروشگاه این رویداد با این نشانی وب‌هوک یکی نیست؛ به آن فرستاده نمی‌شود.",
        )


class NoOpenReview(Conflict):
    code = "no_open_review"

    def __init__(self, payment_id: str) -> None:
        super().__init__(
            f"Payment {payment_id} has no open review: there is nothing to resolve, or it is resolved already.",
            f"پرداخت {payment_id} بررسی بازی ندارد: چیزی برای تصمیم نیست، یا پیش‌تر تصمیم گرفته شده است.",
        )
        self.payment_id = payment_id


class GatewayError(DargahError):
    """The gateway's side of a create; `gateway` is its family, `error_code` its own errorCode where it gave one."""

    def __init__(
        self, detail: str, detail_fa: str, payment_id: str, gateway: str, error_code: int | None = None
    ) -> None:
        super().__init__(detail, detail_fa)
        self.payment_id = payment_id
        self.gateway = gateway
        self.error_code = error_code


class GatewayRefused(GatewayError):
    code = "gateway_refused"


class GatewayUnclear(GatewayError):
    code = "gateway_unclear"


class GatewayTimeout(GatewayError):
    code = "gateway_timeout"


class Unavailable(DargahError):
    """`payment_id` is that of the payment that was stored before, if one was."""

    code = "unavailable"
    payment_id: str | None = None

    def __init__(self, detail: str, detail_fa: str, retry_after_seconds: int = 1) -> None:
        super().__init__(detail, detail_fa)
        self.retry_after_seconds = retry_after_seconds


class Overloaded(Unavailable):
    code = "overloaded"

    def __init__(self, retry_after_seconds: int = 1) -> None:
        super().__init__(
            "Too much work is waiting. Nothing was done; ask again shortly.",
            "کار در صف بیش از اندازه است. کاری انجام نشد؛ کمی بعد دوباره بفرستید.",
            retry_after_seconds,
        )


class CircuitOpen(Unavailable):
    code = "gateway_circuit_open"

    def __init__(self, retry_after_seconds: int, terminal_id: str, reason: str) -> None:
        super().__init__(
            f"The gateway of {terminal_id} has been failing ({reason}) and is not being asked just now. Nothing was "
            "done; send the same request again after `Retry-After`.",
            f"درگاه {terminal_id} پی‌درپی خطا داده ({reason}) و فعلاً از آن پرسیده نمی‌شود. کاری انجام نشد؛ همین درخواست "
            "را پس از `Retry-After` دوباره بفرستید.",
            retry_after_seconds,
        )


class CredentialUnusable(Unavailable):
    code = "credential_unusable"

    def __init__(self, owner_id: str, name: str) -> None:
        super().__init__(
            f"The {name} of {owner_id} cannot be used for its URL, and nothing was sent there. The operator finds the "
            "reason in the log and by `dargah doctor`.",
            f"{name} از {owner_id} برای نشانی آن باز نمی‌شود و چیزی به آن فرستاده نشد. گرداننده دلیل را در لاگ و با "
            "`dargah doctor` می‌یابد.",
            retry_after_seconds=60,
        )


class StoreUnavailable(Unavailable):
    code = "store_unavailable"

    def __init__(self, retry_after_seconds: int = 2) -> None:
        super().__init__(
            "The store cannot be written just now. Ask again with the same Idempotency-Key.",
            "اکنون نمی‌توان ذخیره کرد. با همان Idempotency-Key دوباره بفرستید.",
            retry_after_seconds,
        )


class VaultError(Exception):
    """A key is missing or wrong, or a ciphertext is not the one that was sealed for this record. It names no secret."""


class StartRefused(Exception):
    """The process cannot start as things are; the message is a sentence with the remedy."""


class StoreRefused(StartRefused):
    """The store is not opened at its place, or in its state; the message names the remedy."""


class StoreConflict(Exception):
    """The step found the rows otherwise than its caller thought; nothing was written."""


class StaleVersion(StoreConflict): ...


class LeaseLost(StoreConflict): ...
