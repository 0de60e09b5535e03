"""The bodies and queries that the merchant's API takes: strict, and with no field that it does not know."""

from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from proxy.checkout import Order
from proxy.clock import SECOND
from proxy.errors import InvalidInput
from proxy.merchant import STOREFRONT, V1, check_return_url
from proxy.money import Currency, to_rials
from proxy.payment import Status
from proxy.setup import EVENT_TYPES
from proxy.way_back import ascii_url
from proxy.web.field_errors import refuse, refuse_as

MAX_METADATA_KEYS: Final = 20
MAX_METADATA_KEY_CHARS: Final = 40
MAX_METADATA_BYTES: Final = 4000
MAX_EXACT_INTEGER: Final = 2**53 - 1  # what a JSON number carries exactly in every language
MIN_EXPIRES_IN_SECONDS: Final = 300
MAX_EXPIRES_IN_SECONDS: Final = 3 * 86_400
MAX_LIMIT: Final = 100
MAX_WAIT_SECONDS: Final = 30
MAX_SEQUENCE_DIGITS: Final = 18  # what surely fits 64 bits
LATEST: Final = "latest"
DEFAULT_LIMIT: Final = 20
RETURN_ORIGINS: Final = "return_origins"


class Input(BaseModel):
    """Nothing is converted, nothing unknown passes, and no error shows what was sent."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        defer_build=True,  # each with its first use, 3 ms at most: nobody uses all thirty
    )


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise refuse(
            "not_printable",
            "must be printable characters without white space around them",
            "باید نویسه‌های چاپی و بدون فاصله در دو سر باشد",
        )
    return text


def free_text(text: str) -> str:
    # Half-spaces and direction marks are not "printable" to Python, and are everyday Persian.
    if any((char < " " and char not in "\n\t") or char == "\x7f" for char in text):
        raise refuse("control_characters", "must not have control characters", "نباید نویسهٔ کنترلی داشته باشد")
    return text


def _storefront(text: str) -> str:
    if not STOREFRONT.fullmatch(text):
        raise refuse(
            "storefront_invalid",
            "must be 1 to 40 of a-z, 0-9 and -, and not begin with -",
            "باید ۱ تا ۴۰ نویسه از a-z و 0-9 و - باشد و با - آغاز نشود",
        )
    return text


def _metadata_value(value: Any) -> Any:
    if isinstance(value, str):
        return free_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -MAX_EXACT_INTEGER <= value <= MAX_EXACT_INTEGER:
        return value
    raise refuse(
        "metadata_value",
        "must be text, a whole number of up to 53 bits, true, false or null",
        "باید متن، عدد صحیح تا ۵۳ بیت، true، false یا null باشد",
    )


def _metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(metadata)) > MAX_METADATA_BYTES:
        raise refuse(
            "metadata_too_large",
            f"must be at most {MAX_METADATA_BYTES} bytes as JSON",
            f"باید در قالب JSON حداکثر {MAX_METADATA_BYTES} بایت باشد",
        )
    return metadata


def _event_type(text: str) -> str:
    if text not in EVENT_TYPES:
        choices = ", ".join(sorted(EVENT_TYPES))
        raise refuse("not_one_of", f"must be one of {choices}", f"باید یکی از اینها باشد: {choices}")
    return text


def _yes_or_no(text: Any) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _sequence(text: str) -> str:
    if text != LATEST and not (text.isascii() and text.isdigit() and len(text) <= MAX_SEQUENCE_DIGITS):
        raise refuse("not_a_sequence", "must be an event's sequence, or latest", "باید شمارهٔ رویداد یا latest باشد")
    return text


def _digits(text: Any) -> Any:
    """A query's number; only plain digits, since int() also takes signs, underscores and other scripts' digits."""
    return int(text) if isinstance(text, str) and len(text) <= 9 and text.isascii() and text.isdigit() else text  # noqa: PLR2004  a bound on int()


Printable = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]
FreeText = Annotated[str, Field(max_length=500), AfterValidator(free_text)]
Url = Annotated[str, Field(min_length=1, max_length=2000)]
Storefront = Annotated[str, AfterValidator(_storefront)]
Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=MAX_METADATA_KEY_CHARS), AfterValidator(free_text)],
        Annotated[Any, AfterValidator(_metadata_value)],
    ],
    Field(max_length=MAX_METADATA_KEYS),
    AfterValidator(_metadata),
]
EventTypeName = Annotated[str, AfterValidator(_event_type)]
Signatures = Annotated[list[str], Field(max_length=5)]
EventTypeNames = Annotated[list[str], Field(max_length=20)]
Headers = Annotated[dict[str, str], Field(max_length=20)]
Limit = Annotated[int, BeforeValidator(_digits), Field(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str, Field(min_length=1, max_length=200)]


class CreatePayment(Input):
    """`POST /v1/payments`. Validate with the merchant's origins as context `return_origins`.

    `currency` stands before `amount`, which is whole rials once it is validated.
    """

    currency: Literal["IRR", "IRT"]
    amount: Any
    order_id: Printable
    return_url: Url | None = None
    terminal_id: Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_printable)] | None = None
    description: FreeText | None = None
    metadata: Metadata = Field(default_factory=dict)
    expires_in: Annotated[int, Field(ge=MIN_EXPIRES_IN_SECONDS, le=MAX_EXPIRES_IN_SECONDS)] | None = None

    @field_validator("amount")
    @classmethod
    def _rials(cls, amount: Any, info: ValidationInfo) -> int:
        try:
            # A currency that is wrong is told beside it; the amount is still looked at.
            return to_rials(amount, Currency(info.data.get("currency", Currency.IRR)))
        except InvalidInput as error:
            raise refuse_as(error) from None

    @field_validator("return_url")
    @classmethod
    def _registered(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            return None
        try:
            check_return_url(url, (info.context or {}).get(RETURN_ORIGINS, ()))
            if not url.isascii():
                ascii_url(url)
        except InvalidInput as error:
            raise refuse_as(error) from None
        except ValueError:
            raise refuse("url_invalid", "must be a URL that a browser can be sent to", "نشانی معتبر نیست") from None
        return url

    def order(self, default_expires_in: int) -> Order:
        """The order; `default_expires_in` is milliseconds."""
        return Order(
            amount_rials=self.amount,
            currency=Currency(self.currency),
            order_id=self.order_id,
            description=self.description,
            metadata=self.metadata,
            return_url=self.return_url,
            terminal_id=self.terminal_id,
            expires_in=default_expires_in if self.expires_in is None else self.expires_in * SECOND,
        )


class PageQuery(Input):
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


class PaymentQuery(PageQuery):
    """`GET /v1/payments?…`"""

    order_id: Printable | None = None
    status: Annotated[Status, Field(strict=False)] | None = None
    storefront: Storefront | None = None


class EventQuery(PageQuery):
    """`GET /v1/events?…`"""

    type: EventTypeName | None = None
    payment_id: Printable | None = None
    storefront: Storefront | None = None
    after: Annotated[str, AfterValidator(_sequence)] | None = None
    delivered: Annotated[bool, BeforeValidator(_yes_or_no)] | None = None
    wait: Annotated[int, BeforeValidator(_digits), Field(ge=0, le=MAX_WAIT_SECONDS)] = 0


class CreateEndpoint(Input):
    """`POST /v1/webhook-endpoints`; the set-up looks at what the texts say."""

    url: Url
    storefront: Storefront | None = None
    event_types: EventTypeNames = Field(default_factory=list)
    description: FreeText = ""
    headers: Headers = Field(default_factory=dict)
    signatures: Signatures = [V1]


class ChangeEndpoint(Input):
    """`PATCH /v1/webhook-endpoints/{id}`: what is absent stays; only `storefront` can be null, for all of them."""

    url: Url = ""
    storefront: Storefront | None = None
    event_types: EventTypeNames = Field(default_factory=list)
    description: FreeText = ""
    headers: Headers = Field(default_factory=dict)
    signatures: Signatures = [V1]
    paused: bool = False
