"""What every answer has, whichever path it is of: ids, headers, clean errors, a log line, a place in openapi.yaml."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from openapi_spec_validator import validate
from structlog.testing import capture_logs
from support.eventually import until

from proxy.api import public
from proxy.api.admin import app as admin
from proxy.http import problems
from proxy.http.problems import BodyTooSlow, problem_of, status_of
from proxy.kernel import errors
from proxy.kernel.errors import DargahError, FieldError, InvalidInput
from proxy.reference import page as reference
from web.lab import Lab, link_of
from web.openapi_check import check_answer, check_schema, document, operations

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_health_and_readiness(lab: Lab) -> None:
    assert (await lab.call("GET", "/healthz", token="")).json == {"status": "ok"}
    ready = await lab.call("GET", "/readyz", token="")
    assert (ready.status, ready.json["status"]) == (200, "ready")
    assert set(ready.json["checks"].values()) == {True}


async def test_a_process_that_shuts_down_is_not_ready(lab: Lab) -> None:
    readiness: Any = lab.dargah.services.ready
    readiness.draining = True
    answer = await lab.call("GET", "/readyz", token="")
    assert (answer.status, answer.json["status"]) == (503, "unready")
    assert answer.json["checks"] == {"store": True, "keys": True, "accepting": False}


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/payments/", "/v1/nothing", "/admin/v1", "/favicon.ico", "/%00"])
async def test_an_unknown_path_is_a_problem(lab: Lab, path: str) -> None:
    answer = await lab.call("GET", path)
    assert (answer.status, answer.json["code"]) == (404, "route_not_found")


async def test_the_operators_paths_are_not_on_this_listener(lab: Lab) -> None:
    # Past the check against the document, which has them for the other listener.
    headers = {"Authorization": f"Bearer {lab.token}"}
    async with lab.session.get(f"{lab.dargah.url}/admin/v1/merchants", headers=headers) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
async def test_a_wrong_method_is_a_problem_that_names_the_right_ones(lab: Lab, method: str) -> None:
    answer = await lab.call(method, "/v1/payments")
    assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_head_is_a_get_without_its_body(lab: Lab) -> None:
    answer = await lab.call("HEAD", "/v1/payments")
    assert (answer.status, answer.body) == (200, b"")


async def test_answers_are_not_stored_nor_sniffed_and_tell_no_version(lab: Lab) -> None:
    for path in ("/v1/payments", "/v1/nothing", "/healthz"):
        headers = (await lab.call("GET", path)).headers
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
        assert headers["Server"] == "dargah"


@pytest.mark.parametrize("given", ["abc-123.X_y", "a" * 64])
async def test_a_sane_request_id_is_taken_over(lab: Lab, given: str) -> None:
    answer = await lab.call("GET", "/v1/nothing", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", [None, "", "a" * 65, "a b", "<script>", 'a"b'])
async def test_any_other_is_replaced(lab: Lab, given: str | None) -> None:
    answers = [
        await lab.call("GET", "/healthz", headers={} if given is None else {"X-Request-Id": given}) for _ in range(2)
    ]
    made = {answer.headers["X-Request-Id"] for answer in answers}
    assert len(made) == 2
    assert all(re.fullmatch("[0-9a-f]{24}", each) for each in made)


async def test_a_trace_is_continued_with_our_own_span(lab: Lab) -> None:
    answer = await lab.call("GET", "/healthz", headers={"traceparent": TRACEPARENT})
    version, trace, span, flags = answer.headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACEPARENT[3:35], "01")
    assert span != TRACEPARENT[36:52]


@pytest.mark.parametrize(
    "given",
    ["", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", TRACEPARENT.upper(), TRACEPARENT + "-x", "ff" + TRACEPARENT[2:]],
)
async def test_a_traceparent_that_is_none_is_not_answered(lab: Lab, given: str) -> None:
    assert "traceparent" not in (await lab.call("GET", "/healthz", headers={"traceparent": given})).headers


async def test_each_request_leaves_one_line_with_no_secret_in_it(lab: Lab) -> None:
    payment = await lab.created()
    with capture_logs() as lines:
        await lab.call("GET", f"/v1/payments/{payment['id']}?secret=1", headers={"traceparent": TRACEPARENT})
        await lab.call("GET", f"{payment['pay_url']}?secret=1")
        await lab.call("GET", "/secret?secret=1", headers={"X-Request-Id": "mine"})
    requests = [line for line in lines if line["event"] == "request"]
    shown, opened, unknown = requests
    assert (shown["route"], shown["status"]) == ("/v1/payments/{payment_id}", 200)
    assert (shown["merchant_id"], shown["payment_id"]) == (lab.merchant_id, payment["id"])
    assert shown["trace_id"] == TRACEPARENT[3:35]
    assert (opened["route"], opened["status"], opened["payment_id"]) == ("/pay/{link}", 303, payment["id"])
    assert (unknown["route"], unknown["status"], unknown["request_id"]) == ("unmatched", 404, "mine")
    assert "trace_id" not in unknown
    for secret in (lab.token, link_of(payment), "secret"):
        assert secret not in repr(lines)


async def test_what_nobody_foresaw_is_a_problem_without_detail_and_a_line_in_the_log(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError("inside")

    payment = await lab.created()
    monkeypatch.setattr(lab.dargah.services.store.payments, "payment", broken)
    with capture_logs() as lines:
        answer = await lab.call("GET", f"/v1/payments/{payment['id']}")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert "inside" not in answer.text
    [line] = [line for line in lines if line["event"] == "request_failed"]
    assert line["request_id"] == answer.headers["X-Request-Id"]


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.http.parsing.BODY_TIMEOUT_SECONDS", 0.05)
    answer = await lab.call(
        "POST",
        "/v1/payments",
        data=b"",
        headers={"Idempotency-Key": "k", "Content-Type": "application/json", "Content-Length": "10"},
    )
    assert (answer.status, answer.json["code"]) == (408, BodyTooSlow.code)


async def test_a_body_that_ends_in_the_middle_is_not_logged_as_our_error(lab: Lab) -> None:
    before = lab.rows()
    with capture_logs() as lines:
        await _hang_up_in_the_body(lab)
        await until(lambda: any(line.get("route") == "/v1/payments" for line in lines))
    assert [line["log_level"] for line in lines if line.get("route") == "/v1/payments"] == ["info"]
    assert lab.rows() == before


async def _hang_up_in_the_body(lab: Lab) -> None:
    host, _, port = lab.dargah.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"
        b"Content-Length: 100\r\nAuthorization: Bearer %s\r\n\r\n{" % lab.token.encode()
    )
    await writer.drain()
    writer.transport.abort()


SCRIPT = """
import structlog
from proxy.kernel import log_context
from proxy.observability import logs

def call(api_key):
    raise RuntimeError("inside")

logs.configure("info", FORM)
log_context.bind(request_id="r-17", trace_id="t-17")
try:
    call("canary" + "-5511")
except RuntimeError:
    structlog.get_logger().exception("request_failed", route="/v1/payments", stranger="canary" + "-5511")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values(form: str) -> None:
    script = SCRIPT.replace("FORM", repr(form))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "canary-5511" not in ran.stderr + ran.stdout
    for shown in ("request_failed", "RuntimeError", "inside", "r-17", "t-17", "/v1/payments"):
        assert shown in ran.stderr


LIBRARY = """
import logging
from proxy.observability import logs

logs.configure("info", FORM)
try:
    raise ValueError("Authorization: Bearer canary" + "-5511")
except ValueError:
    logging.getLogger("aiohttp.server").exception("canary" + "-5511")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_a_library_logs_shows_no_values(form: str) -> None:
    script = LIBRARY.replace("FORM", repr(form))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "canary-5511" not in ran.stderr + ran.stdout
    for shown in ("ERROR aiohttp.server", "ValueError", "line "):
        assert shown in ran.stderr


PAYMENT_ID = "pay_8Hk2Lm0Q0UfJx3aZ7cVbN1mKpT"

SAMPLES: dict[int, list[DargahError]] = {
    400: [problems.MalformedBody("why", "چرا"), problems.IdempotencyKeyRequired(), problems.MalformedHttp()],
    401: [errors.Unauthenticated()],
    403: [errors.Forbidden("payments:write"), errors.TerminalBound("webhooks")],
    404: [errors.NotFound("payment"), problems.RouteNotFound()],
    405: [problems.MethodNotAllowed(("GET", "POST"))],
    408: [problems.BodyTooSlow(), problems.HeadTooSlow()],
    409: [
        errors.Conflict("a", "ب"),
        errors.OrderAlreadyPaid(PAYMENT_ID),
        errors.RequestInProgress(2),
        errors.PaymentClosed(PAYMENT_ID),
        errors.NotWithdrawn(PAYMENT_ID, "paid"),
        errors.NoOpenReview(PAYMENT_ID),
        errors.EventNotForEndpoint(),
        errors.MerchantArchived(PAYMENT_ID),
    ],
    413: [problems.BodyTooLarge(10)],
    415: [problems.UnsupportedMediaType()],
    417: [problems.ExpectationFailed()],
    421: [problems.HostNotServed()],
    422: [InvalidInput([FieldError("amount", "required", "is required", "لازم است")]), errors.IdempotencyKeyReused()],
    429: [errors.RateLimited("calls", 60, 3)],
    431: [problems.HeadTooLarge()],
    500: [problems.InternalError()],
    502: [errors.GatewayRefused("a", "ب", PAYMENT_ID, "sep", 101), errors.GatewayUnclear("a", "ب", PAYMENT_ID, "sep")],
    503: [
        errors.Unavailable("a", "ب"),
        errors.Overloaded(),
        errors.CircuitOpen(5, "trm_1", "timeout"),
        errors.CredentialUnusable("trm_1", "api_key"),
        errors.StoreUnavailable(),
    ],
    504: [errors.GatewayTimeout("a", "ب", PAYMENT_ID, "sep")],
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
    ours = {kind for kind in concrete if kind.__module__ in {"proxy.kernel.errors", "proxy.http.problems"}}
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
        (errors.CircuitOpen(7, "trm_1", "timeout"), "Retry-After", "7"),
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


async def test_the_log_tells_the_clients_address(lab: Lab) -> None:
    with capture_logs() as lines:
        await lab.call("GET", "/healthz", token="")
        await lab.call("GET", "/healthz", token="", headers={"X-Forwarded-For": "6.6.6.6"})
    assert [line.get("client") for line in lines if line["event"] == "request"] == ["127.0.0.1"] * 2


def test_the_document_is_valid_openapi_3_1() -> None:
    validate(document())
    assert document()["openapi"].startswith("3.1")
    assert '"format":"iri' not in orjson.dumps(document()).decode()  # it would not be checked, see conftest.py


def test_its_operations_are_the_routers() -> None:
    assert operations() == {*public.operations(reference.ROUTES), *admin.operations()}


def test_its_examples_are_of_their_schemas() -> None:
    check_schema("Payment", document()["components"]["examples"]["PendingPayment"]["value"])
    invalid: Any = document()["components"]["responses"]["Invalid"]["content"]["application/problem+json"]
    check_schema("Problem", invalid["examples"]["amount"]["value"])
    body = document()["paths"]["/v1/payments"]["post"]["requestBody"]["content"]["application/json"]
    check_schema("CreatePayment", body["examples"]["toman"]["value"])


def test_an_answer_outside_the_document_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no 418"):
        check_answer("GET", "/healthz", 418, {"Content-Type": "application/json"}, b"{}")
    with pytest.raises(Exception, match="'colour' was unexpected"):
        check_answer("GET", "/healthz", 200, {"Content-Type": "application/json"}, b'{"status":"ok","colour":1}')
