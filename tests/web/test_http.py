"""What every answer has, whichever path it is of: ids, headers, clean errors, and one log line."""

import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.web.problems import BodyTooSlow
from web.lab import Lab, link_of

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

    monkeypatch.setattr(type(lab.dargah.services.store), "list_payments", broken)
    with capture_logs() as lines:
        answer = await lab.call("GET", "/v1/payments")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert "inside" not in answer.text
    [line] = [line for line in lines if line["event"] == "request_failed"]
    assert line["request_id"] == answer.headers["X-Request-Id"]


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.web.parsing.BODY_TIMEOUT_SECONDS", 0.05)
    answer = await lab.call(
        "POST",
        "/v1/payments",
        data=b"",
        headers={"Idempotency-Key": "k", "Content-Type": "application/json", "Content-Length": "10"},
    )
    assert (answer.status, answer.json["code"]) == (408, BodyTooSlow.code)
