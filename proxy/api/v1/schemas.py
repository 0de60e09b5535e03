"""The bodies and queries that the merchant's API takes: strict, and with no field that it does not know."""

from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from proxy.api.fields import (
    Cursor,
    FreeText,
    Input,
    ModeName,
    PageQuery,
    Printable,
    Time,
    Url,
    YesOrNo,
    digits,
    free_text,
    printable,
)
from proxy.http.parsing import refuse, refuse_as
from proxy.kernel.clock import SECOND, parse_rfc3339
from proxy.kernel.errors import InvalidInput
from proxy.kernel.money import Currency, to_rials
from proxy.merchants.merchant import STOREFRONT, check_return_url
from proxy.payments.payment import Order
from proxy.payments.return_url import check_parameters
from proxy.webhooks.endpoint import DEFAULT_IN_FLIGHT, MOST_IN_FLIGHT, V1
from proxy.webhooks.endpoint_setup import DEFAULT_OVERLAP_SECONDS, MAX_OVERLAP_SECONDS
from proxy.webhooks.event import EVENT_TYPES
from proxy.webhooks.retry_policy import DeliveryStatus

MAX_METADATA_KEYS: Final = 20
MAX_METADATA_KEY_CHARS: Final = 40
MAX_METADATA_BYTES: Final = 4000
MAX_EXACT_INTEGER: Final = 2**53 - 1  # what a JSON number carries exactly in every language
MIN_EXPIRES_IN_SECONDS: Final = 300
MAX_EXPIRES_IN_SECONDS: Final = 3 * 86_400
MAX_WAIT_SECONDS: Final = 30
MAX_SEQUENCE_DIGITS: Final = 18  # what surely fits 64 bits
LATEST: Final = "latest"
RETURN_ORIGINS: Final = "return_origins"


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


def _small(members: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(members)) > MAX_METADATA_BYTES:
        raise refuse(
            "metadata_too_large",
            f"must be at most {MAX_METADATA_BYTES} bytes as JSON",
            f"باید در قالب JSON حداکثر {MAX_METADATA_BYTES} بایت باشد",
        )
    return members


def _event_type(text: str) -> str:
    if text not in EVENT_TYPES:
        choices = ", ".join(sorted(EVENT_TYPES))
        raise refuse("not_one_of", f"must be one of {choices}", f"باید یکی از اینها باشد: {choices}")
    return text


def _sequence(text: str) -> str:
    if text != LATEST and not (text.isascii() and text.isdigit() and len(text) <= MAX_SEQUENCE_DIGITS):
        raise refuse("not_a_sequence", "must be an event's sequence, or latest", "باید شمارهٔ رویداد یا latest باشد")
    return text


Storefront = Annotated[str, AfterValidator(_storefront)]


def _php_object(value: Any) -> Any:
    """PHP writes an empty array, which may have been meant as an object, as `[]`."""
    return {} if value == [] else value


Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=MAX_METADATA_KEY_CHARS), AfterValidator(free_text)],
        Annotated[Any, AfterValidator(_metadata_value)],
    ],
    Field(max_length=MAX_METADATA_KEYS),
    BeforeValidator(_php_object),
    AfterValidator(_small),
]
EventTypeName = Annotated[str, AfterValidator(_event_type)]
Signatures = Annotated[list[str], Field(max_length=5)]
EventTypeNames = Annotated[list[str], Field(max_length=20)]
InFlight = Annotated[int, Field(ge=1, le=MOST_IN_FLIGHT)]
Headers = Annotated[dict[str, str], Field(max_length=20), BeforeValidator(_php_object)]


_NOT_OF_ORDER: Final = frozenset({"currency", "amount", "terminal_id", "expires_in"})


class CreatePayment(Input):
    """`POST /v1/payments`. Validate with the merchant's origins as context `return_origins`.

    `currency` comes before `amount`, which is whole rials once it is validated.
    """

    currency: Annotated[Currency, Field(strict=False)]
    amount: Any
    order_id: Printable
    return_url: Url | None = None
    terminal_id: Annotated[str, Field(min_length=1, max_length=40), AfterValidator(printable)] | None = None
    description: FreeText | None = None
    metadata: Metadata = Field(default_factory=dict)
    expires_in: Annotated[int, Field(ge=MIN_EXPIRES_IN_SECONDS, le=MAX_EXPIRES_IN_SECONDS)] | None = None

    @field_validator("amount")
    @classmethod
    def _rials(cls, amount: Any, info: ValidationInfo) -> int:
        try:
            # A currency that is wrong is told beside it; the amount is still looked at.
            return to_rials(amount, info.data.get("currency", Currency.IRR))
        except InvalidInput as error:
            raise refuse_as(error) from None

    @field_validator("return_url")
    @classmethod
    def _check_registered(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            return None
        try:
            check_return_url(url, (info.context or {}).get(RETURN_ORIGINS, ()))
            check_parameters(url)
        except InvalidInput as error:
            raise refuse_as(error) from None
        return url

    def order(self) -> Order:
        given = {name: value for name, value in vars(self).items() if name not in _NOT_OF_ORDER}
        return Order(amount_rials=self.amount, currency=self.currency, **given)

    def expires_in_ms(self, default: int) -> int:
        return default if self.expires_in is None else self.expires_in * SECOND


class EventQuery(PageQuery):
    """`GET /v1/events?…`"""

    type: EventTypeName | None = None
    payment_id: Printable | None = None
    storefront: Storefront | None = None
    after: Annotated[str, AfterValidator(_sequence)] | None = None
    delivered: YesOrNo | None = None
    wait: Annotated[int, BeforeValidator(digits), Field(ge=0, le=MAX_WAIT_SECONDS)] = 0


class CreateEndpoint(Input):
    """`POST /v1/webhook-endpoints`; the set-up validates the texts. Without a mode the token's is used, or live."""

    url: Url
    mode: ModeName | None = None
    storefront: Storefront | None = None
    event_types: EventTypeNames = Field(default_factory=list)
    description: FreeText = ""
    headers: Headers = Field(default_factory=dict)
    signatures: Signatures = Field(default_factory=lambda: [V1])
    max_in_flight: InFlight = DEFAULT_IN_FLIGHT


class ChangeEndpoint(Input):
    """`PATCH /v1/webhook-endpoints/{id}`: absent fields stay; only `storefront` may be null, for all storefronts."""

    url: Url = ""
    storefront: Storefront | None = None
    event_types: EventTypeNames = Field(default_factory=list)
    description: FreeText = ""
    headers: Headers = Field(default_factory=dict)
    signatures: Signatures = Field(default_factory=lambda: [V1])
    max_in_flight: InFlight = DEFAULT_IN_FLIGHT
    paused: bool = False


class DeliveryQuery(PageQuery):
    """`GET …/deliveries?…`"""

    status: Annotated[DeliveryStatus, Field(strict=False)] | None = None


class RotateSecret(Input):
    overlap_seconds: Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS)] = DEFAULT_OVERLAP_SECONDS


class RecoverDeliveries(Input):
    since: Time
    cursor: Cursor | None = None

    @property
    def since_ms(self) -> int:
        return max(parse_rfc3339(self.since), 0)


class ReplayDeliveries(RecoverDeliveries):
    """Without `until` everything up to now, without `types` all that the endpoint wants."""

    until: Time | None = None
    types: Annotated[list[EventTypeName], Field(max_length=20)] = Field(default_factory=list)

    def until_ms(self, now: int) -> int:
        return now if self.until is None else max(parse_rfc3339(self.until), 0)


class Trigger(Input):
    type: EventTypeName
