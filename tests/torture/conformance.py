"""schemathesis against a live port: `python -m tests.torture.conformance --examples 60 [--seed N]`.

Every operation of openapi.yaml, of both listeners, is called with what fits its schema and with what does not. No
answer may be a 5xx but the documented ones of a gateway that fails, and none may be outside the document. The Dargah
is a live one on real ports, on a thread of its own, with real payments, links, endpoints and tokens to ask about.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import aiohttp
import click
import requests
import schemathesis
from browser.stage import logo
from hypothesis import given, seed
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from support.dargah import API_KEY, OPERATOR_TOKEN, UNLIMITED, gateway, settings
from support.receiver import receiver
from support.shop import RETURN_ORIGIN, Shop, open_shop
from web.openapi_check import document

from proxy.app import Dargah, Outside, running
from proxy.http.static_assets import ASSETS
from proxy.merchants.merchant import ALL_SCOPES, Mode
from proxy.observability import logs

from . import scratch, seed_option
from .properties import profile

START_SECONDS: Final = 30
MAX_ENDPOINTS: Final = 60  # of 100: enough is left for those that the generated calls add
# Those of the payments whose amount the gateway gets wrong.
REVIEWED: Final = 4
THANKS: Final = f"{RETURN_ORIGIN}/thanks?order=17"


@dataclass(slots=True)
class Live:
    """Where it listens, whom it lets in, and what is there. `pick` gives one of a kind, by any number."""

    url: str
    admin_url: str
    token: str
    things: dict[str, list[str]] = field(default_factory=dict)
    cursors: dict[str, list[str]] = field(default_factory=dict)

    def pick(self, kind: str, number: int) -> str | None:
        found = self.things.get(kind, [])
        return found[number % len(found)] if found else None


@contextmanager
def live(folder: Path) -> Iterator[Live]:
    """Everything running, until the context ends."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    made: list[Live] = []
    ready = threading.Event()

    def serve() -> None:
        try:
            loop.run_until_complete(_serve(folder, made.append, ready.set, stop))
        finally:
            loop.close()
            ready.set()

    thread = threading.Thread(target=serve, name="live", daemon=True)
    thread.start()
    assert ready.wait(START_SECONDS)
    assert made, "it did not start"
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_SECONDS)


async def _serve(folder: Path, give: Callable[[Live], None], ready: Callable[[], None], stop: asyncio.Event) -> None:
    # No jitter: it would draw from the randomness that Hypothesis watches from another thread.
    outside = Outside(jitter=lambda: 0.0)
    async with AsyncExitStack() as stack:
        gateway_url = await stack.enter_async_context(gateway())
        hook = await stack.enter_async_context(receiver())
        dargah = await stack.enter_async_context(running(settings(folder, drain_seconds=2, **UNLIMITED), outside))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        give(await _furnished(await open_shop(dargah, gateway_url, hook, session), dargah))
        ready()
        await stop.wait()


async def _furnished(shop: Shop, dargah: Dargah) -> Live:
    """Payments in every state that a bank can bring about, and one of everything else."""
    setup = dargah.services.setup
    _, text = await setup.issue_token(shop.merchant_id, "main", scopes=ALL_SCOPES, actor="test")
    shop.token = text
    made = Live(dargah.url, dargah.admin_url, text)
    payments = await _payments(shop)
    _, events = await shop.call("GET", "/v1/events")
    endpoints = await dargah.services.store.webhooks.list_endpoints(shop.merchant_id)
    endpoint_ids = [endpoint.id for endpoint in endpoints]
    for number in range(MAX_ENDPOINTS):
        endpoint, *_ = await dargah.services.endpoints.add_endpoint(
            shop.merchant_id, _nowhere(number), storefront="main", event_types=["ping"], actor="test"
        )
        endpoint_ids.append(endpoint.id)
    store = dargah.services.store
    deliveries = [
        delivery.id
        for event in events["data"]
        for delivery in await store.webhooks.list_deliveries(shop.merchant_id, event["id"])
    ]
    made.things = {
        "delivery_id": deliveries,
        "invoice_key": [await _drop_in(shop) for _ in range(3)],
        "query:merchant_id": [shop.merchant_id],
        "resolvePayment:payment_id": [payment["id"] for payment in payments[REVIEWED:]],
        "payment_id": [payment["id"] for payment in payments],
        "link": [payment["pay_url"].rsplit("/", 1)[-1] for payment in payments],
        "event_id": [event["id"] for event in events["data"]],
        "endpoint_id": endpoint_ids,
        # Not the one whose deliveries are asked about.
        "deleteWebhookEndpoint:endpoint_id": endpoint_ids[1:],
        "name": [*ASSETS],
    }
    await _logo(made, shop, dargah)
    await _operators(made, shop)
    await _second_merchant(made, shop, dargah)
    return made


async def _payments(shop: Shop) -> list[dict[str, Any]]:
    acts: tuple[str | None, ...] = (None, "pay", "cancel", "fail", *["pay"] * 12)
    payments = [await shop.created(return_url=THANKS if number % 2 else None) for number in range(len(acts))]
    for number, (payment, act) in enumerate(zip(payments, acts, strict=True)):
        if act is None:
            continue
        if number >= REVIEWED:
            await shop.fault("check", "wrong_amount", amount_rials=1000)
        await shop.come_back(await shop.act(payment, act))
        await shop.control("DELETE", "/faults")
    return payments


async def _drop_in(shop: Shop) -> str:
    """The key of an invoice that a shop got by the gateway's own protocol."""
    fields = {"api_key": shop.token, "amount": "150000", "return_url": THANKS}
    async with shop.session.post(f"{shop.url}/invoice/request", data=fields) as answer:
        said = await answer.json(content_type=None)
        assert said["status"] == 1, said
        return str(said["invoice_key"])


async def _logo(made: Live, shop: Shop, dargah: Dargah) -> None:
    """The address of a merchant's picture has its digest in it."""
    merchant = await dargah.services.setup.change_merchant(shop.merchant_id, actor="test", logo=logo())
    assert merchant.branding.logo is not None
    made.things |= {"logo:merchant_id": [merchant.id], "digest": [merchant.branding.logo]}


async def _operators(made: Live, shop: Shop) -> None:
    """Some to be revoked, and others whose tokens are made anew."""
    ids = []
    for number in range(MAX_ENDPOINTS):
        body = {"name": f"shift-{number}", "role": "read"}
        url, headers = f"{made.admin_url}/admin/v1/operators", {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        async with shop.session.post(url, json=body, headers=headers) as answer:
            said = await answer.json()
            assert answer.status == 201, said
            ids.append(said["id"])
    made.things["admin:operator_id"] = ids
    made.things |= {"revokeOperator:operator_id": ids[::2], "rotateOperator:operator_id": ids[1::2]}


def _nowhere(number: int) -> str:
    return f"http://127.0.0.1:9/hook?{number}"


async def _second_merchant(made: Live, shop: Shop, dargah: Dargah) -> None:
    """Whom the operator's calls change: the first one must go on working."""
    setup = dargah.services.setup
    merchant, _ = await setup.create_merchant("دومی", [RETURN_ORIGIN], actor="test")
    terminal = await setup.add_terminal(merchant.id, "main", shop.gateway_url, API_KEY, mode=Mode.LIVE, actor="test")
    tokens = [(await setup.issue_token(merchant.id, "main", actor="test"))[0].id for _ in range(MAX_ENDPOINTS)]
    endpoints = [
        (
            await dargah.services.endpoints.add_endpoint(
                merchant.id, f"{shop.receiver.url}?{number}", event_types=["ping"], actor="test"
            )
        )[0].id
        for number in range(MAX_ENDPOINTS)
    ]
    made.things |= {
        "admin:merchant_id": [merchant.id],
        "admin:terminal_id": [terminal.id],
        "admin:token_id": tokens,
        "admin:endpoint_id": endpoints,
        "admin:payment_id": made.things["payment_id"],
    }


TIMEOUT_SECONDS: Final = 30
CHECK_NAMES: Final = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
# These frame the message itself: a wrong one is no request of this API, and no handler of ours sees it.
FRAMING: Final = frozenset(
    {"content-length", "transfer-encoding", "content-encoding", "connection", "expect", "upgrade", "host"}
)
# What a gateway that fails may bring about; everything else at 5xx is ours.
PARTS: Final = ("path_parameters", "query", "headers", "cookies")
GATEWAY_FAILED: Final = frozenset({502, 503, 504})
ASKS_THE_GATEWAY: Final = frozenset({"createPayment", "checkPayment", "pay", "returnByGet", "returnByPost"})


@dataclass(slots=True)
class Told:
    """Which statuses came of which operation, and what was wrong."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return sum(counts.total() for counts in self.statuses.values())

    def lines(self) -> list[str]:
        rows = [f"  {name}: {dict(sorted(counts.items()))}" for name, counts in sorted(self.statuses.items())]
        return rows + [f"  VIOLATION {violation}" for violation in self.violations]


@dataclass(frozen=True, slots=True)
class Luck:
    """How much of a generated call is replaced by what is really there, so that not everything is a 404 or a 401."""

    number: int
    real: bool
    good: bool
    let_in: bool


LUCK: Final = st.builds(
    Luck,
    number=st.integers(0, 10_000),
    real=st.sampled_from((True, True, True, True, False)),
    good=st.sampled_from((True, True, False)),
    let_in=st.sampled_from((True,) * 12 + (False,)),
)


def ask(made: Live, chosen_seed: int, examples: int) -> Told:
    """Calls every operation that many times in each mode."""
    load_all_checks()
    told = Told()
    # Of its own: it writes into what it is given, and the document is everybody's.
    schema = schemathesis.openapi.from_dict(deepcopy(document()))
    with requests.Session() as session:
        session.trust_env = False
        for result in schema.get_all_operations():
            operation: Any = result.ok()  # type: ignore[union-attr]  # the document is valid: another test says so
            for mode in GenerationMode if _can_be_wrong(operation) else (GenerationMode.POSITIVE,):
                try:
                    _ask_one(operation, mode, made, session, told, chosen_seed, examples)
                except Exception as error:  # noqa: BLE001  each operation has its say
                    told.violations.append(f"{operation.label}, {mode.value}: {error}")
    return told


def _can_be_wrong(operation: Any) -> bool:
    """Whether a call can break the document: any text is right in a path or a header that has no more to say of it."""
    parts = ((part, each.definition["schema"]) for part in PARTS for each in getattr(operation, part))
    return bool(operation.body) or any(part == "query" or schema != {"type": "string"} for part, schema in parts)


def _ask_one(
    operation: Any,
    mode: GenerationMode,
    made: Live,
    session: requests.Session,
    told: Told,
    chosen_seed: int,
    examples: int,
) -> None:
    name: str = operation.definition.raw["operationId"]
    counts = told.statuses.setdefault(name, Counter())

    # A seed of its own: the same luck everywhere would ask about what was just deleted.
    @seed(chosen_seed + crc32(name.encode()))
    @profile(examples)
    @given(case=operation.as_strategy(generation_mode=mode), luck=LUCK)
    def call(case: Any, luck: Luck) -> None:
        _make_real(case, name, luck, made)
        admin = case.operation.path.startswith(("/admin/", "/metrics"))
        base = made.admin_url if admin else made.url
        if luck.let_in:
            case.headers["Authorization"] = f"Bearer {OPERATOR_TOKEN if admin else made.token}"
        response = case.call(base_url=base, session=session, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        counts[response.status_code] += 1
        allowed = response.status_code in GATEWAY_FAILED and name in ASKS_THE_GATEWAY
        assert response.status_code < 500 or allowed, f"{response.status_code}: {response.text}"
        case.validate_response(response, checks=[CHECKS.get_one(check) for check in CHECK_NAMES])
        _remember(made, name, response)

    call()


def _make_real(case: Any, name: str, luck: Luck, made: Live) -> None:
    admin = case.operation.path.startswith("/admin/")
    for header in [header for header in case.headers or {} if header.lower() in FRAMING]:
        del case.headers[header]
    if luck.real:
        for parameter in list(case.path_parameters or {}):
            kinds = (f"{name}:{parameter}", f"admin:{parameter}" if admin else parameter)
            found = next((it for kind in kinds if (it := made.pick(kind, luck.number))), None)
            if found is not None:
                case.path_parameters[parameter] = found
    if luck.good and isinstance(case.query, dict) and "merchant_id" in case.query:
        case.query = {"merchant_id": made.pick("query:merchant_id", luck.number)}
    if isinstance(case.query, dict) and isinstance(case.query.get("wait"), int):
        case.query["wait"] = min(case.query["wait"], 0)  # half a minute each time is the campaign's whole time
    cursors = made.cursors.get(name)
    if luck.good and cursors and isinstance(case.query, dict) and "cursor" in case.query:
        case.query = {"limit": 1, "cursor": cursors[luck.number % len(cursors)]}
    if luck.good and isinstance(case.body, dict):
        _make_good(case.body, name, luck.number)
        if name == "createPayment":
            case.headers["Idempotency-Key"] = f"key-{luck.number}"
        if name.startswith("dropIn"):
            case.body["api_key"] = made.token


def _make_good(body: dict[str, Any], name: str, number: int) -> None:
    """What only this installation can say is right: a registered origin, a URL that may be called, a zone of time."""
    if name == "createPayment":
        body |= {"return_url": (None, THANKS)[number % 2], "terminal_id": None, "order_id": f"order {number}"}
        if number % 3:
            body |= {"amount": 1000 + number, "metadata": {}, "description": None}
    elif "decision" in body:
        body |= {"decision": "accepted", "note": "seen"}
    elif name == "dropInRequest":
        body |= {"amount": "150000", "return_url": THANKS}
    elif "url" in body:
        body["url"] = "http://127.0.0.1:9/hook"
        body.pop("headers", None)
    elif "gateway_url" in body:
        body |= {"gateway_url": "http://127.0.0.1:9", "return_base_url": None, "api_key": "generated-key"}
    elif "return_origins" in body:
        body["return_origins"] = ["https://shop.example"]
    elif name == "addOperator":
        body |= {"name": f"operator-{number}", "expires_at": None}
    elif name == "createToken":
        body |= {"terminal_id": None, "expires_at": None}


def _remember(made: Live, name: str, response: Any) -> None:
    if response.status_code == 200 and "json" in response.headers.get("Content-Type", [""])[0]:
        following = response.json().get("next_cursor")
        if following:
            made.cursors.setdefault(name, []).append(following)


def unanswered(told: Told) -> list[str]:
    """The operations that never succeeded: about those nothing was shown."""
    return [name for name, counts in told.statuses.items() if not any(status < 400 for status in counts)]


def campaign(chosen_seed: int, examples: int) -> Told:
    """The whole of it, on a live Dargah whose files go away with it."""
    with scratch() as folder, live(folder) as made:
        return ask(made, chosen_seed, examples)


@click.command()
@click.option("--examples", default=60, show_default=True, help="Calls of each operation in each mode.")
@seed_option
def main(examples: int, seed: int) -> None:
    """Calls every operation of openapi.yaml with what fits and what does not; exit code 1 for a wrong answer."""
    logs.configure("error", "json")
    click.echo(f"conformance: seed {seed}, {examples} examples of each operation and mode")
    began = time.monotonic()
    told = campaign(seed, examples)
    click.echo("\n".join(told.lines()))
    never = unanswered(told)
    click.echo(
        f"conformance: {told.calls:,} calls, {len(told.violations)} violations, {time.monotonic() - began:.0f} s"
    )
    if told.violations or never:
        click.echo(f"never succeeded: {never}")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
