"""`make docs`: openapi.yaml and the answer of a running Dargah to each operation, as the reference reads them.

The operations are asked in an order that gives each something to tell. What was really asked and answered is kept, one
example for each, as strangers may see it.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from alerts.bot_api import CHAT, TOKEN, bot_api
from browser.stage import NOW, Stage, logo, staged
from support.dargah import OPERATOR_TOKEN
from support.eventually import eventually
from support.receiver import receiver
from web.lab import API_KEY, ORIGIN
from web.openapi_check import METHODS, check_answer, document
from yarl import URL

from proxy.http.static_assets import FONT_NAME
from proxy.kernel.clock import DAY, SECOND, rfc3339
from proxy.kernel.ids import base62, time_of_link
from proxy.locale.day_ranges import tehran_day
from proxy.merchants.merchant import DEFAULT_SCOPES, Scope
from proxy.operations.restores import Asker
from proxy.reference.events import event_kinds
from proxy.reference.markdown import event_text

# They open nothing any more, but whoever finds them in the repository cannot know it.
_SECRETS = (
    (r"(dg_[a-z]+_)[0-9A-Za-z]{36}", r"\1" + "EXAMPLE" * 5 + "0"),
    (r"whsec_[0-9A-Za-z+/]{42}[0-9A-Za-z+/=]{2}", "whsec_" + "EXAMPLE" * 6 + "A="),
    (re.escape(API_KEY), "the-gateways-api-key"),
)
SHOWN_HEADERS = ("Location", "Retry-After", "Link")


@dataclass
class Recorder:
    """`places` are this run's addresses and the ones that stand for them in the examples."""

    session: aiohttp.ClientSession
    token: str
    operator_token: str
    public_url: str
    admin_url: str
    places: Mapping[str, str]
    tick: Callable[[], None]  # between two acts, so that the newest is the newest
    examples: dict[str, Any] = field(default_factory=dict)

    async def ask(
        self,
        operation_id: str,
        where: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON, or its bytes; `where` fills the path. It must be a success, as openapi.yaml has it."""
        self.tick()
        method, template, operation = operations()[operation_id]
        sent = dict(headers or {})
        admin = template.startswith("/admin/")
        security = operation.get("security", document()["security"])
        if security:
            sent["Authorization"] = f"Bearer {self.operator_token if 'operator' in security[0] else self.token}"
        target = template.format_map(where or {}) + (f"?{urlencode(query)}" if query else "")
        data: bytes | None = None
        if body is not None:
            data, sent["Content-Type"] = orjson.dumps(body), "application/json"
        elif form is not None:
            data, sent["Content-Type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        base = self.admin_url if admin or template == "/metrics" else self.public_url
        url = URL(base + target, encoded=True)
        async with self.session.request(method, url, data=data, headers=sent, allow_redirects=False) as answer:
            raw = await answer.read()
            check_answer(method, target.partition("?")[0], answer.status, answer.headers, raw)
            assert answer.status < 400, (operation_id, answer.status, raw)
            kind = answer.headers.get("Content-Type", "").partition(";")[0]
            told = {name: answer.headers[name] for name in SHOWN_HEADERS if name in answer.headers}
            shown = _shown(operation_id, kind, raw)
            sent.pop("Authorization", None)
            asked = {"method": method, "target": target, "headers": sent, "json": body, "form": form}
            given = {"status": answer.status, "headers": told, "content_type": kind or None, "body": shown}
            self.examples[operation_id] = self._placed({"request": asked, "answer": given})
            return orjson.loads(raw) if kind.endswith("json") else raw

    def add(self, operation_id: str, example: Any) -> None:
        self.examples[operation_id] = self._placed(example)

    def _placed(self, example: Any) -> Any:
        text = orjson.dumps(example).decode()
        for place, name in self.places.items():
            text = text.replace(place, name).replace(urlencode({"": place})[1:], urlencode({"": name})[1:])
        for pattern, placeholder in _SECRETS:
            text = re.sub(pattern, placeholder, text)
        return orjson.loads(text)


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation, by its id."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def _shown(operation_id: str, kind: str, raw: bytes) -> Any:
    """JSON as it is, a short text as text; of pages and files only that there is one. Of what is long, a part."""
    if operation_id == "apiDocument":
        return None  # it would hold itself
    if operation_id == "listEventTypes":
        listed = orjson.loads(raw)
        return listed | {"data": [each for each in listed["data"] if each["type"] == "ping"]}
    if kind.endswith("json"):
        return orjson.loads(raw)
    if kind == "text/plain":
        lines = raw.decode().splitlines()
        return "\n".join([*lines[:12], "…"] if len(lines) > 12 else lines)
    return None


def shape(value: Any) -> Any:
    """What two examples of the same thing have in common: their members, and of lists whether there is something."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__ if not isinstance(value, int | float | str | None) else ""


HOOK = "https://shop.example.ir/webhooks"
ORDER = {"amount": 15_000, "currency": "IRT", "order_id": "A-1700", "metadata": {"basket": 42}}
SINCE = rfc3339(NOW - DAY)
UNTIL = rfc3339(NOW + DAY)


async def recorded(folder: Path) -> dict[str, Any]:
    """The example of each operation, by its id; `onPaymentEvent` is what a shop was really sent."""
    async with (
        receiver() as shop,
        bot_api() as bot,
        staged(folder, log_level="error", alert_bot_token=TOKEN, alert_bot_chats=CHAT, alert_bot_url=bot.base) as stage,
    ):
        dargah, lab = stage.lab.dargah, stage.lab
        hook_url = shop.url
        places = {
            hook_url: HOOK,
            dargah.url: "https://pay.example.ir",
            dargah.admin_url: "http://127.0.0.1:8081",
            lab.gateway_url: "https://gateway.example.ir",
            stage.shop_url: ORIGIN,
        }
        token = await lab.issue(scopes=DEFAULT_SCOPES | {Scope.WEBHOOKS})
        recorder = Recorder(
            lab.session, token, OPERATOR_TOKEN, dargah.url, dargah.admin_url, places, lambda: lab.clock.forward(SECOND)
        )
        await _shops(recorder, stage, hook_url)
        await _customers(recorder, stage)
        await _operators(recorder, stage, hook_url)
        await _process(recorder)
        sent = zip(shop.requests, shop.events, strict=True)
        paid = (each for each in sent if each[1]["type"] == "payment.paid" and not each[1]["data"]["test"])
        (headers, _), body = next(paid)
        shown = {str(name): value for name, value in headers.items() if name.startswith("webhook-")}
        asked = {"method": "POST", "target": HOOK, "headers": {**shown, "Content-Type": "application/json"}}
        recorder.add("onPaymentEvent", {"request": asked | {"json": body, "form": None}, "answer": None})
        return recorder.examples


async def _shops(recorder: Recorder, stage: Stage, hook_url: str) -> None:
    ask, lab = recorder.ask, stage.lab
    endpoint = await ask("createWebhookEndpoint", body={"url": hook_url, "description": "the shop's server"})
    hook = {"endpoint_id": endpoint["id"]}
    payment = await ask(
        "createPayment",
        body=ORDER | {"return_url": f"{stage.shop_url}/thanks"},
        headers={"Idempotency-Key": "order-A-1700-try-1"},
    )
    await ask("getQr", {"payment_id": payment["id"]})
    await lab.act(payment, "pay")
    await ask("checkPayment", {"payment_id": payment["id"]})
    await ask("getPayment", {"payment_id": payment["id"]})
    await ask("listPayments", query={"status": "paid", "limit": "10"})
    withdrawn = {"payment_id": (await stage.lab.created(order_id="A-1699"))["id"]}
    await ask("cancelPayment", withdrawn)

    async def delivered() -> Any:
        listed = await ask("listDeliveries", hook)
        return listed["data"] if any(each["status"] == "delivered" for each in listed["data"]) else None

    deliveries = await eventually(delivered)
    await ask("getTimeline", {"payment_id": payment["id"]})
    await ask("listWebhookEndpoints")
    await ask("getWebhookEndpoint", hook)
    await ask("changeWebhookEndpoint", hook, body={"event_types": ["payment.paid", "payment.needs_review"]})
    await ask("rotateWebhookSecret", hook, body={})
    await ask("testWebhookEndpoint", hook, body={})
    await ask("getEndpointStats", hook)
    await ask("getDelivery", {"delivery_id": deliveries[0]["id"]})
    await ask("retryDelivery", {"delivery_id": deliveries[0]["id"]}, body={})
    await ask("recoverDeliveries", hook, body={"since": SINCE})
    await ask("replayEvents", hook, body={"since": SINCE})
    await ask("triggerTestEvent", body={"type": "payment.paid"})
    events = await ask("listEvents", query={"payment_id": payment["id"]})
    await ask("getEvent", {"event_id": events["data"][0]["id"]})
    await ask("listEventTypes")
    await ask("createPortalLink", body={"embed_origin": stage.shop_url})
    other = await lab.session.post(
        f"{recorder.public_url}/v1/webhook-endpoints",
        json={"url": HOOK},
        headers={"Authorization": f"Bearer {recorder.token}"},
    )
    await ask("deleteWebhookEndpoint", {"endpoint_id": (await other.json())["id"]})


async def _customers(recorder: Recorder, stage: Stage) -> None:
    ask, lab = recorder.ask, stage.lab
    for operation in ("returnByGet", "returnByPost"):
        recorder.tick()
        payment = await lab.created(token=recorder.token, return_url=f"{stage.shop_url}/thanks")
        link = payment["pay_url"].rpartition("/")[2]
        await ask("pay", {"link": link})
        await ask("payByPost", {"link": link})
        await lab.act(payment, "pay")
        if operation == "returnByGet":
            await ask(operation, {"link": link}, query={"invoice_key": payment["invoice_key"]})
        else:
            await ask(operation, {"link": link}, form={"invoice_key": payment["invoice_key"]})
    await ask("asset", {"name": FONT_NAME})
    facade = await lab.issue("drop-in", scopes=frozenset({Scope.FACADE}))
    wanted = {"api_key": facade, "amount": "150000", "return_url": f"{stage.shop_url}/thanks?order=17"}
    invoice = await ask("dropInRequest", form=wanted)
    key = {"invoice_key": invoice["invoice_key"]}
    await ask("dropInRequestByGet")
    await ask("dropInPay", key)
    await ask("dropInPayByPost", key, form={})
    await _paid_by_drop_in(stage, key["invoice_key"])
    await ask("dropInCheck", key, form={"api_key": facade})
    await ask("dropInCheckByGet", key)


async def _paid_by_drop_in(stage: Stage, link: str) -> None:
    lab = stage.lab
    payment = await stage.services.store.payments.payment_by_link(lab.merchant_id, link)
    await lab.act({"invoice_key": payment.invoice_key}, "pay")


async def _operators(recorder: Recorder, stage: Stage, hook_url: str) -> None:
    ask, lab = recorder.ask, stage.lab
    await ask("whoAmI")
    added = await ask("addOperator", body={"name": "sara", "role": "operate"})
    operator = {"operator_id": added["id"]}
    await ask("listOperators")
    await ask("getOperator", operator)
    await ask("rotateOperator", operator, body={"overlap_seconds": 3600})
    await ask("removeSecondFactor", operator)
    await ask("revokeOperator", operator)
    made = await ask("createMerchant", body={"name": "My shop", "return_origins": [ORIGIN]})
    merchant = {"merchant_id": made["id"]}
    await ask("listMerchants")
    picture = await _logo(recorder, merchant["merchant_id"])
    await ask("logo", {"merchant_id": merchant["merchant_id"], "digest": picture})
    await ask("getMerchant", merchant)
    await ask(
        "changeMerchant",
        merchant,
        body={"name_fa": "فروشگاه من", "colour": "#0f766e", "contact": "02188881234"},
    )
    await ask("archiveMerchant", merchant)
    await ask("unarchiveMerchant", merchant)
    await ask("rotateReturnSecret", merchant, body={})
    await ask("listGateways")
    terminal = await ask(
        "createTerminal", merchant, body={"name": "main", "gateway_url": lab.gateway_url, "api_key": API_KEY}
    )
    await ask("listTerminals", merchant)
    await ask("getTerminal", {**merchant, "terminal_id": terminal["id"]})
    await ask("changeTerminal", {**merchant, "terminal_id": terminal["id"]}, body={"enabled": True})
    token = await ask("createToken", merchant, body={"storefront": "main"})
    await ask("listTokens", merchant)
    await ask("getToken", {**merchant, "token_id": token["id"]})
    rotated = await ask("rotateToken", {**merchant, "token_id": token["id"]}, body={"overlap_seconds": 3600})
    assert rotated["id"] != token["id"]
    await ask("revokeToken", {**merchant, "token_id": token["id"]})
    await _endpoints(recorder, merchant, hook_url)
    await _money(recorder, stage)
    await _resends(recorder)
    await _lost(stage)
    await ask("listLostPayments", {"merchant_id": lab.merchant_id})
    await ask("listAudit", query={"limit": "2"})
    await ask("verifyAudit")
    await ask("checkUp", body={"merchant_id": lab.merchant_id})
    await ask("rotateKeys", body={"limit": 100})
    await ask("takeBackup", body={})
    await ask("testAlerts", body={"channel": "bot"})


async def _lost(stage: Stage) -> None:
    """A restore took a payment away, and its customer is back."""
    lost = stage.services.lost
    store, now, merchant_id = stage.services.store, stage.services.now(), stage.lab.merchant_id
    await store.recovery.note_restore(now - DAY, now)
    link = f"{merchant_id.removeprefix('mer_')}{base62(now - 1, 7)}{'x' * 22}"
    await lost.asked(merchant_id, link, time_of_link(link), Asker.CUSTOMER, invoice_key="0a1b2c3d4e")


async def _logo(recorder: Recorder, merchant_id: str) -> str:
    import base64  # noqa: PLC0415  of this step alone

    body = {"logo": base64.b64encode(logo(32)).decode()}
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    url = f"{recorder.admin_url}/admin/v1/merchants/{merchant_id}"
    async with recorder.session.patch(url, json=body, headers=headers) as answer:
        changed = await answer.json()
        return str(changed["logo_path"]).rpartition("/")[2].removesuffix(".png")


async def _endpoints(recorder: Recorder, merchant: dict[str, str], hook_url: str) -> None:
    ask = recorder.ask
    endpoint = await ask("createEndpointAsOperator", merchant, body={"url": hook_url})
    hook = {"endpoint_id": endpoint["id"], **merchant}
    await ask("listEndpointsAsOperator", merchant)
    await ask("getEndpointAsOperator", hook)
    await ask("changeEndpointAsOperator", hook, body={"paused": True})
    await ask("rotateEndpointSecretAsOperator", hook, body={})
    await ask("deleteEndpointAsOperator", hook)


async def _money(recorder: Recorder, stage: Stage) -> None:
    ask, lab = recorder.ask, stage.lab
    odd = await lab.created(token=recorder.token)
    await lab.fault("check", "wrong_amount", amount_rials=1000, invoice_key=odd["invoice_key"], times=1)
    await lab.act(odd, "pay")
    checked = await lab.call("POST", f"/v1/payments/{odd['id']}/check", token=recorder.token)
    assert checked.json["status"] == "needs_review", checked.json
    merchant = {"merchant_id": lab.merchant_id}
    listed = await ask("listOperatorPayments", query={**merchant, "status": "paid", "limit": "2"})
    first = listed["data"][0]
    today = tehran_day(lab.clock.now).isoformat()
    await ask("exportOperatorPayments", query={**merchant, "status": "needs_review"})
    await ask("totalOperatorPayments", query={**merchant, "status": "paid,needs_review"})
    await ask("reportSettlement", query={**merchant, "first_day": today, "last_day": today})
    await ask("findOperatorPayments", query={"text": first["bank_code"]})
    await ask("getOperatorPayment", {"payment_id": first["id"]})
    await ask("getOperatorTimeline", {"payment_id": first["id"]})
    await ask(
        "resolvePayment",
        {"payment_id": odd["id"]},
        body={"decision": "refunded", "note": "به کارت مشتری بازگردانده شد"},
    )
    rows = [
        {"bank_code": first["bank_code"], "amount_rials": first["amount_rials"]},
        {"bank_code": "140509031234", "amount_rials": 150_000},
    ]
    await ask("compareBankRows", merchant, body={"rows": rows})
    await ask("listPaidOfPeriod", merchant, query={"since": SINCE, "until": UNTIL, "limit": "2"})
    lost = await lab.created(token=recorder.token)
    await lab.act(lost, "cancel")
    await lab.call("POST", f"/v1/payments/{lost['id']}/check", token=recorder.token)
    await lab.act(lost, "pay")
    await ask("recover", body={"since": SINCE, "limit": 50})


async def _resends(recorder: Recorder) -> None:
    begun = await recorder.ask("createResend", body={"since": SINCE, "statuses": ["delivered"]})
    resend = {"resend_id": begun["id"]}
    await recorder.ask("getResend", resend)
    await recorder.ask("stopResend", resend, body={})
    await recorder.ask("listResends", query={"limit": "2"})


async def _process(recorder: Recorder) -> None:
    for operation in ("healthz", "readyz", "metrics", "apiReference", "apiRequests", "apiDocument", "apiForModels"):
        await recorder.ask(operation)
    await recorder.ask("apiReferencePage", {"page": "payments.md"})


PACKAGE = Path(__file__).parents[2] / "proxy" / "reference"
OPENAPI, EXAMPLES = PACKAGE / "openapi.json", PACKAGE / "examples.json"
WEBHOOKS = Path(__file__).parents[2] / "docs" / "webhooks.md"
EVENT_TYPES = re.compile(r"(?<=<!-- event types -->\n).*?(?=<!-- end -->)", re.DOTALL)
# The page is one of the operations, and needs an example of each to be shown.
_NOT_YET = {
    "request": {"method": "GET", "target": "/", "headers": {}, "json": None, "form": None},
    "answer": {"status": 200, "headers": {}, "content_type": None, "body": None},
}


def openapi_text() -> str:
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")) + "\n"


def examples_text(examples: dict[str, Any]) -> str:
    return json.dumps(dict(sorted(examples.items())), ensure_ascii=False, indent=1) + "\n"


def with_event_types(page: str) -> str:
    """docs/webhooks.md with the event types of openapi.yaml."""
    told = [part for event in event_kinds() for part in event_text(event, level=3)]
    return EVENT_TYPES.sub(lambda _: "\n" + "\n\n".join(told) + "\n", page)


def main() -> None:
    OPENAPI.write_text(openapi_text(), "utf-8")
    known = json.loads(EXAMPLES.read_text("utf-8")) if EXAMPLES.exists() else {}
    EXAMPLES.write_text(examples_text(dict.fromkeys([*operations(), "onPaymentEvent"], _NOT_YET) | known), "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        fresh = asyncio.run(recorded(Path(folder)))
    # One that tells nothing new stays as it is: its ids would change for nothing.
    examples = {
        name: known[name] if name in known and shape(known[name]) == shape(made) else made
        for name, made in fresh.items()
    }
    EXAMPLES.write_text(examples_text(examples), "utf-8")
    WEBHOOKS.write_text(with_event_types(WEBHOOKS.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
