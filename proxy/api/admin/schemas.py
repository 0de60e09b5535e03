"""The bodies and queries of the operator's API: shapes only. The set-up validates the meaning of a field."""

import base64
from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from proxy.api.fields import (
    DEFAULT_LIMIT,
    Cursor,
    Input,
    Limit,
    ModeName,
    PageQuery,
    Printable,
    Time,
    Url,
    YesOrNo,
    digits,
    free_text,
)
from proxy.api.v1.payment_filters import PaymentConditions
from proxy.audit.log import INSTALLATION
from proxy.gateways.port import INVOICE_SCRIPT
from proxy.http.parsing import refuse
from proxy.kernel.clock import DAY, parse_rfc3339
from proxy.kernel.ids import merchant_of_id
from proxy.locale.persian import time_span
from proxy.merchants.logo_images import MAX_BYTES
from proxy.merchants.merchant import (
    DEFAULT_STOREFRONT,
    TERMINAL_SCOPE,
    AmountUnit,
    Language,
    Mode,
    ReturnMethod,
    Scope,
)
from proxy.merchants.setup.tokens import DEFAULT_OVERLAP_SECONDS, LONGEST_OVERLAP_SECONDS
from proxy.operators.records import Role
from proxy.payments.payment import Decision
from proxy.payments.search import PaymentFilter
from proxy.payments.totals import MAX_DAYS, ReportPeriod

MAX_ORIGINS: Final = 50
MAX_CREDENTIALS: Final = 10
_LOOKS: Final = ("name_fa", "colour", "language", "logo", "contact")


def _chain(value: str) -> str:
    return value if value == INSTALLATION else _merchant_id(value)


def _merchant_id(value: str) -> str:
    if merchant_of_id(f"aud_{value.removeprefix('mer_')}{'0' * 18}") != value:
        raise refuse("not_an_id", "must be a merchant's id, such as mer_0a1B2c3D", "باید شناسهٔ پذیرنده باشد")
    return value


def _day(text: str) -> str:
    try:
        begin, end = time_span(text)
    except ValueError:
        begin = end = 0
    if end - begin != DAY:
        raise refuse("not_a_day", "must be a day, such as 2026-11-24 or 1405/09/03", "باید روزی مانند 1405/09/03 باشد")
    return text


def _not_blank(value: str) -> str:
    if not value.strip():
        raise refuse("blank", "must say something", "باید چیزی بگوید")
    return value


def _is_terminal_scope(scope: Any) -> bool:
    return isinstance(scope, str) and scope.startswith(TERMINAL_SCOPE)


def _from_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise refuse("not_base64", "must be a PNG file in base64", "باید فایل PNG به‌صورت base64 باشد") from None


Text = Annotated[str, Field(min_length=1, max_length=200)]
Secret = Annotated[str, Field(min_length=1, max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=29, pattern="^[a-z][a-z0-9_]*$")]
Credentials = Annotated[dict[Name, Secret], Field(max_length=MAX_CREDENTIALS)]
Options = Annotated[dict[Name, Text], Field(max_length=MAX_CREDENTIALS)]
Origins = Annotated[list[Url], Field(max_length=MAX_ORIGINS)]
ScopeName = Annotated[Scope, Field(strict=False)]
LanguageName = Annotated[Language, Field(strict=False)]
Colour = Annotated[str, Field(max_length=10)]
Image = Annotated[bytes, BeforeValidator(_from_base64), Field(max_length=MAX_BYTES)]
RoleName = Annotated[Role, Field(strict=False)]
MerchantId = Annotated[str, AfterValidator(_merchant_id)]
Chain = Annotated[str, AfterValidator(_chain)]
Number = Annotated[int, BeforeValidator(digits), Field(ge=0)]
Overlap = Annotated[int, Field(ge=0, le=LONGEST_OVERLAP_SECONDS)]
Note = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(free_text), AfterValidator(_not_blank)]


class Changes(Input):
    """A PATCH: absent fields stay as they are, and at least one field is present."""

    @model_validator(mode="after")
    def _something(self) -> "Changes":
        if not self.model_fields_set:
            raise refuse("empty", "must change at least one field", "باید دست‌کم یک فیلد را تغییر دهد")
        return self

    def given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.model_fields_set}


class NewMerchant(Input):
    name: Text
    return_origins: Origins = Field(default_factory=list)
    name_fa: Text | None = None
    colour: Colour | None = None
    language: LanguageName | None = None
    logo: Image | None = Field(default=None, repr=False)
    contact: Text | None = None

    def looks(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _LOOKS if name in self.model_fields_set}


class ChangedMerchant(Changes):
    name: Text = ""
    return_origins: Origins = Field(default_factory=list)
    name_fa: Text | None = None
    colour: Colour | None = None
    language: LanguageName | None = None
    logo: Image | None = Field(default=None, repr=False)
    contact: Text | None = None


class MerchantQuery(PageQuery):
    """`GET /admin/v1/merchants?…`: all of them, or those that are archived or not."""

    archived: YesOrNo | None = None


class RotateReturnSecret(Input):
    """`…/rotate-return-secret`: which of the two."""

    mode: ModeName = Mode.LIVE


class NewTerminal(Input):
    name: Text
    gateway: Name = INVOICE_SCRIPT
    gateway_url: Url = ""
    api_key: Secret = Field("", repr=False)
    credentials: Credentials = Field(default_factory=dict, repr=False)
    options: Options = Field(default_factory=dict)
    mode: ModeName = Mode.LIVE
    return_base_url: Url | None = None


class ChangedTerminal(Changes):
    name: Text = ""
    gateway_url: Url = ""
    api_key: Secret = Field("", repr=False)
    credentials: Credentials = Field(default_factory=dict, repr=False)
    options: Options = Field(default_factory=dict)
    return_base_url: Url | None = None
    enabled: bool = True


class NewToken(Input):
    storefront: Text = DEFAULT_STOREFRONT
    mode: ModeName = Mode.LIVE
    scopes: Annotated[list[ScopeName], Field(max_length=len(Scope) + 1)] | None = None
    terminal_id: Text | None = None
    expires_at: Time | None = None
    amount_unit: Annotated[AmountUnit, Field(strict=False)] = AmountUnit.RIAL
    return_method: Annotated[ReturnMethod, Field(strict=False)] = ReturnMethod.GET
    any_https_return: bool = False
    protocol: Name = INVOICE_SCRIPT

    @model_validator(mode="before")
    @classmethod
    def _terminal_scope(cls, members: Any) -> Any:
        """A scope `terminal:…` is the terminal_id, which may also be given by itself."""
        scopes, terminal_id = members.get("scopes"), members.get("terminal_id")
        named = [scope for scope in scopes if _is_terminal_scope(scope)] if isinstance(scopes, list) else []
        if not named or not isinstance(terminal_id, str | None):
            return members
        terminals = {scope.removeprefix(TERMINAL_SCOPE) for scope in named} | {terminal_id} - {None}
        if len(terminals) > 1:
            raise refuse("several_terminals", "names more than one terminal", "بیش از یک ترمینال نام برده است")
        return {**members, "scopes": [scope for scope in scopes if scope not in named], "terminal_id": terminals.pop()}

    def expires_at_ms(self) -> int | None:
        """Milliseconds since the epoch."""
        return None if self.expires_at is None else parse_rfc3339(self.expires_at)


class RotateToken(Input):
    """`…/rotate`: how long the token before lives on."""

    overlap_seconds: Overlap = DEFAULT_OVERLAP_SECONDS


class NewOperator(Input):
    name: Text
    role: RoleName
    expires_at: Time | None = None

    def expires_at_ms(self) -> int | None:
        """Milliseconds since the epoch."""
        return None if self.expires_at is None else parse_rfc3339(self.expires_at)


class CheckUp(Input):
    """`POST /admin/v1/doctor`: of one merchant's set-up, or of the process itself."""

    merchant_id: MerchantId | None = None


class Rotate(Input):
    """`POST /admin/v1/keys/rotate`: how many secrets at most in this batch."""

    limit: Annotated[int, Field(ge=1, le=500)] = 500


class Resolve(Input):
    """`POST /admin/v1/payments/{id}/resolve`"""

    decision: Annotated[Decision, Field(strict=False)]
    note: Note


class RecoverPayments(Input):
    """`POST /admin/v1/recover`: from when on, and where the batch before ended."""

    since: Time
    cursor: Cursor | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class RevokeQuery(Input):
    after_seconds: Annotated[int, BeforeValidator(digits)] = 0


class AuditQuery(PageQuery):
    merchant_id: Chain | None = None


class VerifyQuery(PageQuery):
    """`number` asks for the hash of that entry, to compare with one that was kept elsewhere."""

    merchant_id: Chain | None = None
    number: Number = 0


class AdminPaymentConditions(PaymentConditions):
    """Of one merchant or of all; what a storefront's token is bound to, an operator filters by."""

    merchant_id: MerchantId | None = None
    mode: ModeName | None = None

    def filter(self) -> PaymentFilter:
        return replace(super().filter(), mode=self.mode)


class AdminPaymentQuery(AdminPaymentConditions):
    """`GET /admin/v1/payments?…`"""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


class SettlementQuery(Input):
    """`GET /admin/v1/settlement?…`: the days of a report, both in it, as `2026-11-24` or `1405/09/03`."""

    merchant_id: MerchantId | None = None
    terminal_id: Printable | None = None
    mode: ModeName = Mode.LIVE
    first_day: Annotated[str, Field(max_length=20), AfterValidator(_day)]
    last_day: Annotated[str, Field(max_length=20), AfterValidator(_day)]

    @model_validator(mode="after")
    def _is_a_period(self) -> "SettlementQuery":
        period = self.period()
        if period.until <= period.since or period.too_long:
            raise refuse(
                "not_a_period",
                f"must be {MAX_DAYS} days at most, the first day before the last one",
                f"باید دست‌بالا {MAX_DAYS} روز باشد و روز نخست پیش از روز پایانی",
            )
        return self

    def period(self) -> ReportPeriod:
        return ReportPeriod(time_span(self.first_day)[0], time_span(self.last_day)[1])


class FindQuery(Input):
    """`GET /admin/v1/payments/find?text=…`"""

    text: Printable
