"""One trace from the shop's create over the customer's return and the check to the webhook and its answer."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import ValidationError
from support.dargah import API_KEY, OPERATOR_TOKEN, server, settings
from support.eventually import eventually
from support.ports import free_port
from support.shop import RETURN_ORIGIN, Shop, playground

from proxy.app import Dargah, Outside
from proxy.config.settings import SettingsError
from proxy.gateways.invoice_script.client import InvoiceScript
from proxy.gateways.port import Account
from proxy.kernel.tracing import CURRENT, Kind, parse
from proxy.observability.otlp import OtelTracer, provider_of
from proxy.observability.traced import TracedGateway, open_tracer

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{CALLER}-01"
UNSAMPLED = f"00-{TRACE_ID}-{CALLER}-00"


class Story:
    """The spans that were exported."""

    def __init__(self, ratio: float = 1) -> None:
        self.exporter = InMemorySpanExporter()
        provider = provider_of(ratio)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = OtelTracer(provider)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.named(name)
        return span

    async def ended(self, name: str, count: int = 1) -> list[ReadableSpan]:
        async def look() -> list[ReadableSpan] | None:
            return found if len(found := self.named(name)) >= count else None

        return await eventually(look)


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
async def traced(tmp_path: Path, story: Story) -> AsyncIterator[tuple[Shop, Dargah]]:
    async with playground(tmp_path, outside=Outside(tracer=story.tracer)) as (shop, dargah):
        yield shop, dargah


async def create(shop: Shop, **headers: str) -> tuple[dict[str, Any], Mapping[str, str]]:
    order = {"amount": 150_000, "currency": "IRR", "order_id": "7", "return_url": f"{RETURN_ORIGIN}/thanks"}
    sent = {"Authorization": f"Bearer {shop.token}", "Idempotency-Key": "key-7", **headers}
    async with shop.session.post(f"{shop.url}/v1/payments", json=order, headers=sent) as answer:
        assert answer.status == 201
        return await answer.json(), answer.headers


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def id_of(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


async def test_a_payment_is_one_trace_from_the_shop_to_the_webhooks_answer(
    traced: tuple[Shop, Dargah], story: Story
) -> None:
    shop, _ = traced
    payment, headers = await create(shop, traceparent=TRACEPARENT)
    visit = await shop.act(payment, "pay")
    await shop.come_back(visit)
    await shop.receiver.told(1)
    [attempt] = await story.ended("webhook.attempt")

    created, asked = story.one("POST /v1/payments"), story.one("gateway.request")
    back, settled, checked = story.one("GET /return/{link}"), story.one("payment.check"), story.one("gateway.check")
    spans = [created, asked, back, settled, checked, attempt]
    assert {trace_of(span) for span in spans} == {TRACE_ID}
    assert [parent_of(span) for span in spans] == [
        CALLER,
        id_of(created),
        id_of(created),
        id_of(back),
        id_of(settled),
        id_of(created),
    ]
    assert [span.kind for span in spans] == [
        SpanKind.SERVER,
        SpanKind.CLIENT,
        SpanKind.SERVER,
        SpanKind.INTERNAL,
        SpanKind.CLIENT,
        SpanKind.CLIENT,
    ]
    assert all(span.status.status_code is StatusCode.UNSET for span in spans)
    own = parse(headers["traceparent"])
    assert own is not None
    assert (own.trace_id, own.span_id) == (TRACE_ID, id_of(created))
    told = parse(shop.receiver.requests[0][0]["traceparent"])
    assert told is not None
    assert (told.trace_id, told.span_id) == (TRACE_ID, id_of(attempt))


async def test_spans_say_what_they_are_of_and_nothing_secret(traced: tuple[Shop, Dargah], story: Story) -> None:
    shop, _ = traced
    payment, headers = await create(shop)
    visit = await shop.act(payment, "pay")
    await shop.come_back(visit)
    await shop.receiver.told(1)
    [attempt] = await story.ended("webhook.attempt")
    event_id = shop.receiver.requests[0][0]["webhook-id"]
    assert dict(story.one("POST /v1/payments").attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/payments",
        "http.response.status_code": 201,
        "dargah.request_id": headers["X-Request-Id"],
        "dargah.merchant_id": shop.merchant_id,
        "dargah.payment_id": payment["id"],
    }
    assert dict(story.one("gateway.check").attributes or {}) == {
        "dargah.terminal_id": shop.terminal_id,
        "dargah.outcome": "captured",
    }
    assert dict(story.one("payment.check").attributes or {}) == {
        "dargah.merchant_id": shop.merchant_id,
        "dargah.payment_id": payment["id"],
        "dargah.status": "paid",
    }
    assert dict(attempt.attributes or {}) == {"dargah.event_id": event_id, "http.response.status_code": 204}
    everything = "".join(span.to_json() for span in story.exporter.get_finished_spans())
    link, bank_code = payment["pay_url"].rpartition("/")[2], (await shop.payment(payment["id"]))["bank_code"]
    secrets = (API_KEY, shop.token, shop.return_secret, shop.receiver.secret, OPERATOR_TOKEN)
    for secret in (*secrets, link, payment["invoice_key"], bank_code, "127.0.0.1", RETURN_ORIGIN):
        assert secret not in everything


async def test_a_trace_begins_here_where_the_caller_has_none(traced: tuple[Shop, Dargah], story: Story) -> None:
    shop, dargah = traced
    payment, _ = await create(shop)
    created = story.one("POST /v1/payments")
    assert parent_of(created) is None
    await dargah.services.checkout.check(await dargah.services.store.payments.payment(shop.merchant_id, payment["id"]))
    assert (trace_of(story.one("payment.check")), parent_of(story.one("payment.check"))) == (
        trace_of(created),
        id_of(created),
    ), "as the poller asks, of whom nobody waits"
    await shop.payment(payment["id"])
    assert parent_of(story.one("GET /v1/payments/{payment_id}")) == id_of(created)


async def test_an_api_call_with_a_trace_of_its_own_stays_in_it(traced: tuple[Shop, Dargah], story: Story) -> None:
    shop, _ = traced
    payment, _ = await create(shop)
    headers = {"Authorization": f"Bearer {shop.token}", "traceparent": TRACEPARENT}
    async with shop.session.get(f"{shop.url}/v1/payments/{payment['id']}", headers=headers) as answer:
        assert answer.status == 200
    assert parent_of(story.one("GET /v1/payments/{payment_id}")) == CALLER


async def test_a_customers_traceparent_is_not_believed(traced: tuple[Shop, Dargah], story: Story) -> None:
    shop, _ = traced
    payment, _ = await create(shop)
    async with shop.session.get(payment["pay_url"], headers={"traceparent": TRACEPARENT}, allow_redirects=False):
        pass
    assert parent_of(story.one("GET /pay/{link}")) == id_of(story.one("POST /v1/payments"))


async def test_each_attempt_is_a_span_that_says_why_it_failed(traced: tuple[Shop, Dargah], story: Story) -> None:
    shop, dargah = traced
    shop.receiver.status = 503
    payment, _ = await create(shop)
    await shop.come_back(await shop.act(payment, "pay"))
    [attempt] = await story.ended("webhook.attempt")
    assert (attempt.status.status_code, attempt.status.description) == (StatusCode.ERROR, "status")
    [delivery] = await dargah.services.store.webhooks.list_deliveries(
        shop.merchant_id, shop.receiver.requests[0][0]["webhook-id"]
    )
    await dargah.services.redelivery.retry(shop.merchant_id, delivery.id)
    first, second = await story.ended("webhook.attempt", 2)
    assert trace_of(first) == trace_of(second) == trace_of(story.one("POST /v1/payments"))
    sent = [headers["traceparent"] for headers, _ in shop.receiver.requests]
    assert sent[0] != sent[1], "each attempt is its own parent to the receiver"


async def test_a_gateway_that_fails_is_seen_and_told_of_no_trace(traced: tuple[Shop, Dargah], story: Story) -> None:
    shop, _ = traced
    await shop.fault("request", "http_500", times=1)
    headers = {"Authorization": f"Bearer {shop.token}", "Idempotency-Key": "k", "traceparent": TRACEPARENT}
    order = {"amount": 150_000, "currency": "IRR", "order_id": "8"}
    async with shop.session.post(f"{shop.url}/v1/payments", json=order, headers=headers) as answer:
        assert answer.status == 502
    asked, created = story.one("gateway.request"), story.one("POST /v1/payments")
    assert (asked.status.status_code, asked.status.description) == (StatusCode.ERROR, "unknown")
    assert created.status.status_code is StatusCode.ERROR


async def test_probes_and_scrapes_make_no_spans(traced: tuple[Shop, Dargah], story: Story) -> None:
    shop, dargah = traced
    for url in (f"{shop.url}/healthz", f"{shop.url}/readyz", f"{dargah.admin_url}/metrics"):
        async with shop.session.get(url) as answer:
            assert answer.status == 200
    assert story.exporter.get_finished_spans() == ()


async def test_a_trace_that_the_caller_does_not_sample_is_not_kept(traced: tuple[Shop, Dargah], story: Story) -> None:
    shop, _ = traced
    payment, headers = await create(shop, traceparent=UNSAMPLED)
    await shop.come_back(await shop.act(payment, "pay"))
    await shop.receiver.told(1)
    assert story.exporter.get_finished_spans() == ()
    assert headers["traceparent"].startswith(f"00-{TRACE_ID}-")
    assert headers["traceparent"].endswith("-00")
    assert shop.receiver.requests[0][0]["traceparent"].startswith(f"00-{TRACE_ID}-")


async def test_the_share_of_own_traces_can_be_none(tmp_path: Path) -> None:
    none = Story(ratio=0)
    async with playground(tmp_path, outside=Outside(tracer=none.tracer)) as (shop, _):
        await create(shop)
        assert none.exporter.get_finished_spans() == ()


async def test_without_spans_the_shops_trace_still_reaches_its_webhook(tmp_path: Path) -> None:
    async with playground(tmp_path) as (shop, _):
        payment, headers = await create(shop, traceparent=TRACEPARENT)
        await shop.come_back(await shop.act(payment, "pay"))
        await shop.receiver.told(1)
        assert shop.receiver.requests[0][0]["traceparent"] == headers["traceparent"]
        assert headers["traceparent"].startswith(f"00-{TRACE_ID}-")
        await shop.paid()
        await shop.receiver.told(2)
        assert "traceparent" not in shop.receiver.requests[1][0]


async def test_a_span_that_fails_names_the_error_and_not_its_text(story: Story) -> None:
    with pytest.raises(ValueError), story.tracer.span("work", Kind.CLIENT, None):
        raise ValueError("canary")
    work = story.one("work")
    assert (work.status.status_code, work.status.description) == (StatusCode.ERROR, "ValueError")
    assert "canary" not in work.to_json()
    assert CURRENT.get() is None


async def test_a_gateway_is_told_of_no_trace(story: Story) -> None:
    heard: list[Mapping[str, str]] = []

    async def hear(request: web.Request) -> web.Response:
        heard.append(request.headers.copy())
        return web.json_response({"status": 0, "errorCode": 201})

    app = web.Application()
    app.router.add_post("/invoice/{rest:.*}", hear)
    async with server(app) as url:
        http = InvoiceScript()
        CURRENT.set(TRACEPARENT)
        await TracedGateway(http, story.tracer).check(Account("trm_x", url, {"api_key": "key"}), "inv_1")
        await http.close()
    CURRENT.set(None)
    assert parent_of(story.one("gateway.check")) == CALLER
    assert len(heard) == 1
    assert not {name.lower() for name in heard[0]} & {"traceparent", "tracestate"}


async def test_spans_arrive_at_a_collector_and_are_not_lost_at_the_end(tmp_path: Path) -> None:
    arrived: list[bytes] = []

    async def collect(request: web.Request) -> web.Response:
        arrived.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    async with server(app) as url:
        async with playground(tmp_path, traces_url=f"{url}/v1/traces") as (shop, _):
            await create(shop)
        assert any(b"POST /v1/payments" in body for body in arrived)


async def test_a_collector_that_is_gone_holds_up_the_end_for_a_few_seconds_at_most(tmp_path: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}/v1/traces"
    async with asyncio.timeout(20), playground(tmp_path, traces_url=gone) as (shop, _):
        await create(shop)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 8


async def test_without_a_collector_no_library_is_imported() -> None:
    code = "import proxy.app, proxy.cli, sys; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


def test_a_collector_without_the_extra_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "proxy.observability.otlp", None)
    with pytest.raises(SettingsError, match="pip install opentelemetry-sdk"):
        open_tracer(settings(tmp_path, traces_url="http://127.0.0.1:4318/v1/traces"))
    assert open_tracer(settings(tmp_path)) is None


def test_a_collectors_address_is_a_whole_url_and_shown_to_nobody(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="write it whole") as refused:
        settings(tmp_path, traces_url="canary:4318")
    assert "canary" not in str(refused.value)
    assert "canary" not in repr(settings(tmp_path, traces_url="https://canary@collector.example/v1/traces"))
