"""The error tree as HTTP: RFC 9457 `application/problem+json`. No other module maps an error to a status."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from proxy.http.headers import SECURITY_HEADERS, rate_limit_headers
from proxy.kernel import errors
from proxy.kernel.errors import (
    DargahError,
    GatewayError,
    InvalidInput,
    MerchantArchived,
    NoOpenReview,
    NotWithdrawn,
    OrderAlreadyPaid,
    PaymentClosed,
)
from proxy.kernel.frozen import dataclass

PROBLEM_TYPE: Final = "application/problem+json"
MAX_FIELD_CHARS: Final = 100


class RouteNotFound(DargahError):
    code = "route_not_found"

    def __init__(self) -> None:
        super().__init__("There is nothing at this path.", "در این نشانی چیزی نیست.")


class MethodNotAllowed(DargahError):
    code = "method_not_allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        names = ", ".join(allowed)
        super().__init__(f"This path takes {names}.", f"این نشانی فقط {names} می‌پذیرد.")
        self.allowed = allowed


class MalformedBody(DargahError):
    code = "malformed_json"

    def __init__(self, why: str, why_fa: str) -> None:
        super().__init__(f"The body is not one JSON object in UTF-8: {why}.", f"بدنه یک شیء JSON درست نیست: {why_fa}.")


class BodyTooLarge(DargahError):
    code = "body_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The body must be at most {limit_bytes} bytes.", f"بدنه باید حداکثر {limit_bytes} بایت باشد.")


class BodyTooSlow(DargahError):
    code = "body_too_slow"

    def __init__(self) -> None:
        super().__init__("The body did not arrive in time.", "بدنه به‌موقع نرسید.")


class UnsupportedMediaType(DargahError):
    code = "unsupported_media_type"

    def __init__(self) -> None:
        super().__init__(
            "Send JSON with `Content-Type: application/json`.",
            "بدنه را JSON و با `Content-Type: application/json` بفرستید.",
        )


class MalformedHttp(DargahError):
    """Malformed HTTP. The answer repeats none of the input, which may be a secret or a script."""

    code = "malformed_http"

    def __init__(self) -> None:
        super().__init__("This is not a well-formed HTTP request.", "این درخواست HTTP درست نیست.")


class HeadTooLarge(DargahError):
    code = "head_too_large"

    def __init__(self) -> None:
        super().__init__(
            "The request line or the headers are too large.", "سطر درخواست یا سرآیندها بیش از اندازه بزرگ‌اند."
        )


class HeadTooSlow(DargahError):
    code = "head_too_slow"

    def __init__(self) -> None:
        super().__init__("The headers did not arrive in time.", "سرآیندها به‌موقع نرسیدند.")


class ExpectationFailed(DargahError):
    code = "expectation_failed"

    def __init__(self) -> None:
        super().__init__("Only `Expect: 100-continue` is known.", "تنها `Expect: 100-continue` شناخته است.")


class HostNotServed(DargahError):
    """A name that the operator's listener is not known by: see `proxy.http.trusted_proxies`."""

    code = "host_not_served"

    def __init__(self) -> None:
        super().__init__(
            "This listener is not known by the name in `Host`. Use its address or localhost, or name it in "
            "DARGAH_ADMIN_HOSTS.",
            "این شنونده به نامی که در `Host` آمده شناخته نیست. نشانی IP یا localhost را به کار ببرید، یا نام را در "
            "DARGAH_ADMIN_HOSTS بنویسید.",
        )


class IdempotencyKeyRequired(DargahError):
    code = "idempotency_key_required"

    def __init__(self) -> None:
        super().__init__(
            "Send an `Idempotency-Key` header of 1 to 255 visible ASCII characters, one per order attempt.",
            "سرآیند `Idempotency-Key` با ۱ تا ۲۵۵ نویسهٔ دیدنی ASCII بفرستید؛ برای هر تلاش یکی.",
        )


class InternalError(DargahError):
    """An unforeseen error: the client gets only the request id, which the log has too."""

    def __init__(self) -> None:
        super().__init__(
            "Something went wrong here. Tell the operator the X-Request-Id.",
            "خطایی در سامانه رخ داد. X-Request-Id را به گردانندهٔ سامانه بگویید.",
        )


# The nearest class in an error's ancestry decides.
_STATUS: Final[Mapping[type[DargahError], int]] = {
    errors.InvalidInput: 422,
    errors.IdempotencyKeyReused: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.RateLimited: 429,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.GatewayRefused: 502,
    errors.GatewayUnclear: 502,
    errors.GatewayTimeout: 504,
    errors.Unavailable: 503,
    RouteNotFound: 404,
    MethodNotAllowed: 405,
    MalformedBody: 400,
    IdempotencyKeyRequired: 400,
    BodyTooSlow: 408,
    BodyTooLarge: 413,
    UnsupportedMediaType: 415,
    MalformedHttp: 400,
    HeadTooSlow: 408,
    ExpectationFailed: 417,
    HostNotServed: 421,
    HeadTooLarge: 431,
    DargahError: 500,
}

_TITLES: Final[Mapping[str, str]] = {
    "invalid_request": "The request has fields that are wrong",
    "idempotency_key_reused": "The Idempotency-Key was used with another body",
    "idempotency_key_required": "The Idempotency-Key header is missing or malformed",
    "unauthenticated": "No valid token",
    "forbidden": "The token may not do this",
    "rate_limited": "Too many requests",
    "not_found": "Not found",
    "route_not_found": "No such path",
    "method_not_allowed": "No such method at this path",
    "conflict": "The request does not fit the present state",
    "merchant_archived": "The merchant takes no new payments",
    "order_already_paid": "The order is already paid",
    "request_in_progress": "The first request with this key is still running",
    "payment_closed": "The payment ended before an invoice could be had",
    "payment_not_withdrawn": "The payment cannot be withdrawn now",
    "event_not_for_endpoint": "The event is not for this endpoint",
    "no_open_review": "The payment has no open review",
    "gateway_refused": "The gateway refused the invoice",
    "gateway_unclear": "The gateway gave no clear answer",
    "gateway_timeout": "The gateway did not answer in time",
    "unavailable": "Not available just now",
    "overloaded": "Too much work is waiting",
    "credential_unusable": "A sealed credential cannot be used",
    "gateway_circuit_open": "The gateway is not being asked just now",
    "store_unavailable": "The store is not available just now",
    "malformed_json": "The body is not JSON",
    "body_too_large": "The body is too large",
    "body_too_slow": "The body did not arrive in time",
    "unsupported_media_type": "The body must be JSON",
    "malformed_http": "Not a well-formed HTTP request",
    "head_too_large": "The headers are too large",
    "head_too_slow": "The headers did not arrive in time",
    "expectation_failed": "The expectation cannot be met",
    "host_not_served": "Not known by this name",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error ready to be sent: the HTTP status, the problem document, and the headers that go with it."""

    status: int
    document: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def body(self) -> bytes:
        return orjson.dumps(self.document)


def status_of(error: DargahError) -> int:
    """The HTTP status of an error of the tree."""
    return status_of_kind(type(error))


def status_of_kind(kind: type[DargahError]) -> int:
    """The HTTP status of a class of errors."""
    return next(_STATUS[each] for each in kind.__mro__ if each in _STATUS)


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A code that a problem may have."""

    code: str
    status: int
    title: str


def problem_kinds() -> list[ProblemKind]:
    """Every code with its status, in the order of the statuses."""
    statuses = {kind.code: status_of_kind(kind) for kind in _kinds(DargahError)}
    titles = {**_TITLES, "internal_error": "Internal error"}
    found = [ProblemKind(code, statuses[code], title) for code, title in titles.items()]
    return sorted(found, key=lambda kind: (kind.status, kind.code))


def _kinds(kind: type[DargahError]) -> Iterator[type[DargahError]]:
    for each in kind.__subclasses__():
        yield from _kinds(each)
    yield kind


def problem_of(error: DargahError) -> Problem:
    """The problem of any error of the tree; one that nobody mapped shows no detail of its own."""
    status = status_of(error)
    if status == web.HTTPInternalServerError.status_code and not isinstance(error, InternalError):
        error = InternalError()
    document: dict[str, Any] = {
        "type": f"/problems/{error.code}",
        "title": _TITLES.get(error.code, "Internal error"),
        "status": status,
        "code": error.code,
        "detail": error.detail,
        "detail_fa": error.detail_fa,
    }
    return Problem(status, document | _members(error), _headers(error))


def problem_response(error: DargahError) -> web.Response:
    """The answer of an API to an error."""
    problem = problem_of(error)
    response = web.Response(status=problem.status, body=problem.body, headers=SECURITY_HEADERS)
    response.headers.update(problem.headers)
    response.headers["Content-Type"] = PROBLEM_TYPE
    return response


def _members(error: DargahError) -> dict[str, Any]:
    match error:
        case InvalidInput():
            return {"errors": [_field_error(each) for each in error.errors]}
        case GatewayError():
            return {
                "payment_id": error.payment_id,
                "gateway": error.gateway,
                "gateway_error_code": error.error_code,
            }
        case (
            errors.Unavailable()
            | MerchantArchived()
            | OrderAlreadyPaid()
            | PaymentClosed()
            | NotWithdrawn()
            | NoOpenReview()
        ):
            return {} if error.payment_id is None else {"payment_id": error.payment_id}
        case _:
            return {}


def _field_error(error: errors.FieldError) -> dict[str, str]:
    return {
        "field": error.field[:MAX_FIELD_CHARS],
        "code": error.code,
        "detail": error.detail,
        "detail_fa": error.detail_fa,
    }


def _headers(error: DargahError) -> dict[str, str]:
    match error:
        case errors.Unauthenticated():
            return {"WWW-Authenticate": 'Bearer realm="dargah"'}
        case errors.RequestInProgress() | errors.Unavailable():
            return {"Retry-After": str(error.retry_after_seconds)}
        case errors.RateLimited():
            return rate_limit_headers(error.limit, error.per_minute, 0, error.retry_after_seconds) | {
                "Retry-After": str(error.retry_after_seconds)
            }
        case MethodNotAllowed():
            return {"Allow": ", ".join(error.allowed)}
        case _:
            return {}
