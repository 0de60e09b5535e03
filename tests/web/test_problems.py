"""Every error of the tree has one status, and no error shows what it should not."""

from collections.abc import Iterator
from typing import Any

import pytest

from proxy import errors
from proxy.errors import DargahError, FieldError, InvalidInput
from proxy.web import problems
from proxy.web.problems import problem_of, status_of
from web.openapi_check import check_schema

PAYMENT_ID = "pay_8Hk2Lm0Q0UfJx3aZ7cVbN1mKpT"

SAMPLES: dict[int, list[DargahError]] = {
    400: [problems.MalformedBody("why", "چرا"), problems.IdempotencyKeyRequired(), problems.MalformedHttp()],
    401: [errors.Unauthenticated()],
    403: [errors.Forbidden("payments:write")],
    404: [errors.NotFound("payment"), problems.RouteNotFound()],
    405: [problems.MethodNotAllowed(("GET", "POST"))],
    408: [problems.BodyTooSlow(), problems.HeadTooSlow()],
    409: [
        errors.Conflict("a", "ب"),
        errors.OrderAlreadyPaid(PAYMENT_ID),
        errors.RequestInProgress(2),
        errors.PaymentClosed(PAYMENT_ID),
        errors.NoOpenReview(PAYMENT_ID),
    ],
    413: [problems.BodyTooLarge(10)],
    415: [problems.UnsupportedMediaType()],
    417: [problems.ExpectationFailed()],
    422: [InvalidInput([FieldError("amount", "required", "is required", "لازم است")]), errors.IdempotencyKeyReused()],
    429: [errors.RateLimited("calls", 60, 3)],
    431: [problems.HeadTooLarge()],
    500: [problems.InternalError()],
    502: [errors.GatewayRefused("a", "ب", PAYMENT_ID, 101), errors.GatewayUnclear("a", "ب", PAYMENT_ID)],
    503: [
        errors.Unavailable("a", "ب"),
        errors.Overloaded(),
        errors.CircuitOpen(5),
        errors.StoreUnavailable(),
    ],
    504: [errors.GatewayTimeout("a", "ب", PAYMENT_ID)],
}
ALL = [(status, error) for status, samples in SAMPLES.items() for error in samples]


@pytest.mark.parametrize(("status", "error"), ALL, ids=lambda value: getattr(value, "code", str(value)))
def test_each_error_is_a_problem_of_the_schema_in_both_languages(status: int, error: DargahError) -> None:
    problem = problem_of(error)
    document: dict[str, Any] = dict(problem.document)
    assert (problem.status, document["status"], document["code"]) == (status, status, error.code)
    assert document["title"] != document["code"]
    check_schema("Problem", document)


def test_no_error_of_the_tree_was_forgotten() -> None:
    sampled = {type(error) for _, error in ALL}
    concrete = set(_below(DargahError)) - {errors.GatewayError}
    ours = {kind for kind in concrete if kind.__module__ in {"proxy.errors", "proxy.web.problems"}}
    assert ours == sampled
    titles = {problem_of(error).document["title"] for error in (error for _, error in ALL)}
    assert len(titles) == len({error.code for _, error in ALL})


def test_one_that_nobody_mapped_shows_nothing_of_itself() -> None:
    class Strange(DargahError):
        code = "strange"

    problem = problem_of(Strange("api_key=secret", "محرمانه"))
    assert status_of(Strange("", "")) == problem.status == 500
    assert b"secret" not in problem.body
    assert problem.document["code"] == "internal_error"


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (errors.RequestInProgress(3), "Retry-After", "3"),
        (errors.CircuitOpen(7), "Retry-After", "7"),
        (errors.Unauthenticated(), "WWW-Authenticate", 'Bearer realm="dargah"'),
        (problems.MethodNotAllowed(("GET", "POST")), "Allow", "GET, POST"),
    ],
)
def test_headers_that_say_what_to_do(error: DargahError, name: str, value: str) -> None:
    assert problem_of(error).headers == {name: value}


def _below(kind: type[DargahError]) -> Iterator[type[DargahError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
