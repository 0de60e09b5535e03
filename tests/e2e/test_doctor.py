"""`dargah doctor` against a live server, with one thing wrong at a time, TLS with real handshakes."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from adapters.servers import DAY, HERE, Authority, RawServer, answer, cutting, refusing, wanting_ours
from aiohttp import web
from support.command import Cli
from support.dargah import OPERATOR_TOKEN, server
from support.eventually import eventually
from support.shop import Shop, playground
from web.openapi_check import document

from proxy.app import Dargah
from proxy.gateways.invoice_script import FAMILY
from proxy.gateways.port import CheckResult, CheckUnknown, NotPaid
from proxy.merchants.merchant import Mode, Scope
from proxy.operations.doctor.base import Level, Prober, ProbeResult
from proxy.operations.doctor.connections import GATEWAY, WEBHOOK, explanation
from proxy.operations.doctor.gateway import key_finding, referrer_finding, return_host_finding
from proxy.operations.doctor.terminal import CLOCK_PROBLEM, CLOCK_WARNING, clock_finding

NOW = 1_800_000_000_000
assert FAMILY.probe is not None
PROBE = FAMILY.probe


async def said(cli: Cli, *options: str, code: int) -> list[dict[str, Any]]:
    """The findings as JSON; the command must exit with `code`."""
    ran = await cli.run("doctor", *options, "--json")
    assert ran.code == code, ran.out + ran.error
    findings: list[dict[str, Any]] = json.loads(ran.out)
    return findings


class Clinic:
    def __init__(self, shop: Shop, dargah: Dargah, folder: Path) -> None:
        self.shop, self.dargah = shop, dargah
        self.cli = Cli({"DARGAH_ADMIN_URL": dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}, folder)

    async def findings(self, *options: str, code: int = 0) -> dict[str, list[dict[str, Any]]]:
        """By check; the command must exit with `code`."""
        found: dict[str, list[dict[str, Any]]] = {}
        for each in await said(self.cli, *options, code=code):
            found.setdefault(each["check"], []).append(each)
        return found

    async def problem(self, check: str) -> dict[str, Any]:
        """The one problem, which must be of this check and say what to do in both languages."""
        found = await self.findings("--merchant", self.shop.merchant_id, code=1)
        [problem] = [each for rows in found.values() for each in rows if each["level"] == "problem"]
        assert problem["check"] == check
        assert all(problem[name] for name in ("detail", "detail_fa", "advice", "advice_fa"))
        return problem


@pytest.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[Clinic]:
    async with playground(tmp_path) as (shop, dargah):
        yield Clinic(shop, dargah, tmp_path)


async def test_a_healthy_set_up_has_no_problem_and_makes_no_invoice(clinic: Clinic) -> None:
    found = await clinic.findings()
    assert all(each["level"] != "problem" for rows in found.values() for each in rows)
    checks = ("settings", "key_ring", "database", "disk", "public_url", "terminal_key", "clock", "webhook")
    for check in checks:
        assert any(each["level"] in {"ok", "warning"} for each in found[check]), check
    assert [each["level"] for each in found["terminal_key"]] == ["ok"]
    [ping] = await clinic.shop.receiver.told()
    assert ping["type"] == "ping"
    assert (await clinic.shop.control("GET", "/invoices"))["invoices"] == []
    assert (await clinic.shop.call("GET", "/v1/payments"))[1]["data"] == []


ENGLISH, PERSIAN = "Set the right one: `dargah terminal update ID --new-api-key`", "کلید درست را بگذارید"


@pytest.mark.parametrize(
    ("options", "locale", "shown"),
    [
        ((), "C", {ENGLISH}),
        ((), "fa_IR.UTF-8", {PERSIAN}),
        (("--lang", "fa"), "C", {PERSIAN}),
        (("--lang", "both"), "C", {ENGLISH, PERSIAN}),
    ],
)
async def test_doctor_shows_lines_for_people_in_their_language(
    clinic: Clinic, options: tuple[str, ...], locale: str, shown: set[str]
) -> None:
    await clinic.shop.fault("check", "error", code=101)
    ran = await clinic.cli.given(LC_ALL=locale, PYTHONUTF8="1").run("doctor", "--quiet", *options)
    assert ran.code == 1
    assert "PROBLEM  terminal_key" in ran.out
    assert {text for text in (ENGLISH, PERSIAN) if text in ran.out} == shown
    assert "\nok " not in ran.out


@pytest.mark.parametrize(("code", "check"), [(101, "101"), (203, "203"), (204, "204"), (302, "302")])
async def test_what_the_gateway_says_of_the_terminal_is_a_problem(clinic: Clinic, code: int, check: str) -> None:
    await clinic.shop.fault("check", "error", code=code)
    assert check in (await clinic.problem("terminal_key"))["detail"]


@pytest.mark.parametrize("kind", ["reset", "http_500", "html"])
async def test_a_gateway_that_gives_no_answer_is_a_problem(clinic: Clinic, kind: str) -> None:
    await clinic.shop.fault("check", kind)
    await clinic.problem("gateway_reachable")


async def test_a_receiver_that_refuses_a_ping_is_a_problem(clinic: Clinic) -> None:
    clinic.shop.receiver.status = 500
    assert "HTTP 500" in (await clinic.problem("webhook"))["detail"]


async def test_a_create_that_was_refused_for_the_domain_is_told_until_the_terminal_is_changed(clinic: Clinic) -> None:
    await clinic.shop.fault("request", "error", code=203, times=1)
    _, refused = await clinic.shop.create()
    assert refused["payment_id"] in (await clinic.problem("recent_refusal"))["detail"]
    setup = clinic.dargah.services.setup
    await setup.change_terminal(clinic.shop.merchant_id, clinic.shop.terminal_id, name="mended", actor="test")
    await clinic.findings("--merchant", clinic.shop.merchant_id)


async def test_a_return_base_that_leads_elsewhere_is_a_problem(clinic: Clinic) -> None:
    async def other(_request: web.Request) -> web.Response:
        return web.Response(text="not Dargah")

    app = web.Application()
    app.router.add_get("/healthz", other)
    async with server(app) as url:
        setup = clinic.dargah.services.setup
        await setup.change_terminal(clinic.shop.merchant_id, clinic.shop.terminal_id, return_base_url=url, actor="test")
        assert "another server answers" in (await clinic.problem("return_base_url"))["detail"]


async def test_a_merchant_with_nothing_set_up_is_told_all_of_it(clinic: Clinic) -> None:
    setup = clinic.dargah.services.setup
    merchant, _ = await setup.create_merchant("خالی", [], actor="test")
    await setup.issue_token(merchant.id, "main", Mode.LIVE, [Scope.FACADE], actor="test")
    found = await clinic.findings("--merchant", merchant.id, code=1)
    levels = {(each["check"], each["level"]) for rows in found.values() for each in rows}
    assert {("terminal", "problem"), ("return_origins", "problem"), ("webhook", "warning")} <= levels


async def test_doctor_without_a_server_says_so(tmp_path: Path) -> None:
    cli = Cli({"DARGAH_ADMIN_URL": "http://127.0.0.1:9", "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}, tmp_path)
    found = await said(cli, code=1)
    assert [each["check"] for each in found if each["level"] == "problem"] == ["server"]


async def test_doctor_finds_wrong_settings_and_keys_of_its_shell(tmp_path: Path) -> None:
    base = {"DARGAH_ADMIN_URL": "http://127.0.0.1:9", "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}
    for check, wrong in (("settings", {"DARGAH_LISTEN": "nonsense"}), ("key_ring", {"DARGAH_KEYS": "k1:short"})):
        found = await said(Cli(base | wrong, tmp_path), code=1)
        assert check in [each["check"] for each in found if each["level"] == "problem"]


def test_doctor_reads_the_gateways_word_on_an_impossible_invoice() -> None:
    def level(code: int | None) -> Level:
        said = CheckUnknown("x", "bank_unreachable", error_code=code)
        return key_finding("trm", FAMILY, PROBE, CheckResult(said, 1)).level

    assert [level(code) for code in (200, 101, 203, 204, 302, None)] == ["ok", *["problem"] * 5]
    assert [level(code) for code in (301, 100, 999)] == ["warning"] * 3
    assert key_finding("trm", FAMILY, PROBE, CheckResult(NotPaid("x"), 1)).level is Level.WARNING


@pytest.mark.parametrize(
    ("reason", "names"),
    [
        ("tls_expired", ["expired", "clock"]),
        ("tls_not_yet_valid", ["not valid yet", "clocks"]),
        ("tls_wrong_host", ["another host name"]),
        ("tls_self_signed", ["signed by itself", "DARGAH_GATEWAY_CA_FILES"]),
        ("tls_unknown_authority", ["authority", "DARGAH_GATEWAY_CA_FILES"]),
        ("tls_client_certificate", ["client certificate", "ask the gateway"]),
        ("tls_too_old", ["1.2"]),
        ("tls_not_spoken", ["no TLS"]),
        ("tls_cut_off", ["hung up"]),
        ("dns", ["name", "getent"]),
        ("refused_connection", ["nothing listens", "firewall"]),
        ("timeout", ["in time", "DARGAH_EGRESS_PROXY"]),
        ("proxy_auth", ["credentials", "DARGAH_EGRESS_PROXY_CREDENTIALS"]),
    ],
)
def test_why_a_gateway_is_not_reached_is_said_with_what_to_do(reason: str, names: list[str]) -> None:
    found = key_finding("trm", FAMILY, PROBE, CheckResult(CheckUnknown("x", reason), 1), "https://pay.example.ir")
    assert (found.level, found.check) == ("problem", "gateway_reachable")
    for name in names:
        assert name in f"{found.detail} {found.advice}"
    assert found.detail_fa
    assert "{" not in found.advice + found.advice_fa


def test_an_authority_that_is_not_the_file_s_names_the_file() -> None:
    for key in ("pay.example.ir", "pay.example.ir:443"):
        told = explanation("tls_unknown_authority", GATEWAY, "https://Pay.example.ir/x", {key: "/etc/bank.pem"})
        assert told is not None
        for words in told[1]:
            assert "/etc/bank.pem" in words
            assert "DARGAH_GATEWAY_CA_FILES" in words
    other = explanation("tls_unknown_authority", GATEWAY, "https://a.example", {"pay.example.ir": "/etc/bank.pem"})
    assert other is not None
    assert "/etc/bank.pem" not in other[1][0]


def test_every_named_failure_of_a_webhook_has_words() -> None:
    kinds = set(document()["components"]["schemas"]["AttemptError"]["enum"])
    unsaid = {error for error in kinds - {None} if explanation(error, WEBHOOK) is None}
    assert unsaid == {"bad_url", "bad_response", "event_not_for_endpoint", "sealed_elsewhere"}


def test_an_unclear_gateway_is_told_by_its_status_and_its_words() -> None:
    said = [
        key_finding(
            "trm", FAMILY, PROBE, CheckResult(CheckUnknown("x", "http_status", http_status=status), 1, excerpt)
        ).detail
        for status, excerpt in ((301, ""), (403, "Just a moment..."), (429, ""), (500, "Fatal error"))
    ]
    assert [text.partition("(")[2] for text in said] == [
        "HTTP 301)",
        "HTTP 403: Just a moment...)",
        "HTTP 429)",
        "HTTP 500: Fatal error)",
    ]


@pytest.mark.parametrize(
    ("host", "level"),
    [("shop.ir", "ok"), ("pay.shop.ir", "ok"), ("pay.dargah.ir", "warning"), ("evilshop.ir", "warning")],
)
def test_doctor_says_whose_domain_the_customer_returns_under(host: str, level: str) -> None:
    assert return_host_finding("trm", host, ["www.shop.ir"]).level == level


@pytest.mark.parametrize(
    ("return_host", "level"),
    [("pay.dargah.ir", "ok"), ("dargah.ir", "ok"), ("pay.shop.ir", "warning"), ("xpay.dargah.ir", "warning")],
)
def test_doctor_says_which_referrer_the_gateway_sees(return_host: str, level: str) -> None:
    finding = referrer_finding("trm", "https://pay.dargah.ir:8443", return_host)
    assert finding.level == level
    for text in (finding.detail, finding.detail_fa):
        assert "https://pay.dargah.ir:8443" in text
    assert "register pay.dargah.ir" in f"{finding.detail} {finding.advice}".lower()


def test_doctor_finds_a_clock_that_is_off() -> None:
    def level(off: int) -> Level:
        return clock_finding("gateway", ProbeResult(200, None, None, NOW + off, None), NOW).level

    assert [level(off) for off in (0, CLOCK_WARNING, -CLOCK_WARNING, CLOCK_PROBLEM)] == [
        *("ok", "warning", "warning", "problem"),
    ]


async def test_a_probe_of_nothing_names_the_error() -> None:
    assert (await Prober().look("http://127.0.0.1:9/healthz", "x")).error == "refused"


KINDS: Final = (
    "tls_expired",
    "tls_not_yet_valid",
    "tls_wrong_host",
    "tls_unknown_authority",
    "tls_client_certificate",
    "tls_cut_off",
)


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
async def trusting_clinic(tmp_path: Path, ours: Authority) -> AsyncIterator[Clinic]:
    async with playground(tmp_path, webhook_ca_files=f"{HERE}={ours.file}") as (shop, dargah):
        yield Clinic(shop, dargah, tmp_path)


def refuser(kind: str, ours: Authority, folder: Path) -> AbstractAsyncContextManager[str]:
    """The URL of one with which TLS fails so."""
    match kind:
        case "tls_client_certificate":
            return refusing(wanting_ours(ours))
        case "tls_cut_off":
            return cutting("closed")
        case "tls_expired":
            return serving(RawServer((answer(b"ok"),), tls=ours.server(begins=-3 * DAY)))
        case "tls_not_yet_valid":
            return serving(RawServer((answer(b"ok"),), tls=ours.server(begins=DAY)))
        case "tls_wrong_host":
            return serving(RawServer((answer(b"ok"),), tls=ours.server("shop.example.ir")))
        case _:
            return serving(RawServer((answer(b"ok"),), tls=Authority(folder, "theirs").server()))


@asynccontextmanager
async def serving(server: RawServer) -> AsyncIterator[str]:
    async with server:
        yield server.url


async def added(clinic: Clinic, url: str) -> str:
    status, endpoint = await clinic.shop.call("POST", "/v1/webhook-endpoints", {"url": f"{url}/hook"})
    assert status == 201, endpoint
    return str(endpoint["id"])


async def attempted(clinic: Clinic, endpoint_id: str) -> None:
    """A webhook goes there, and its attempt is stored."""
    status, _ = await clinic.shop.call("POST", "/v1/events/test", {"type": "payment.paid"})
    assert status == 201

    async def look() -> bool | None:
        _, page = await clinic.shop.call("GET", f"/v1/webhook-endpoints/{endpoint_id}/deliveries")
        return any(each["attempts"] for each in page["data"]) or None

    await eventually(look)


def of_endpoint(found: dict[str, list[dict[str, Any]]], check: str, endpoint_id: str) -> list[dict[str, Any]]:
    return [each for each in found.get(check, []) if each["subject"].startswith(endpoint_id)]


@pytest.mark.parametrize("kind", KINDS)
async def test_why_tls_failed_is_told_of_a_ping_and_of_the_last_webhook_that_is_stored(
    trusting_clinic: Clinic, ours: Authority, tmp_path: Path, kind: str
) -> None:
    told = explanation(kind, WEBHOOK, f"https://{HERE}", {HERE: str(ours.file)})
    assert told is not None
    (detail, detail_fa), (advice, advice_fa) = told
    async with refuser(kind, ours, tmp_path) as url:
        endpoint_id = await added(trusting_clinic, url)
        await attempted(trusting_clinic, endpoint_id)
        problem = await trusting_clinic.problem("webhook")
        assert detail in problem["detail"]
        assert detail_fa in problem["detail_fa"]
        assert (problem["advice"], problem["advice_fa"]) == (advice, advice_fa)
    await trusting_clinic.shop.call("PATCH", f"/v1/webhook-endpoints/{endpoint_id}", {"paused": True})
    found = await trusting_clinic.findings("--merchant", trusting_clinic.shop.merchant_id)
    [held], [stored] = (of_endpoint(found, check, endpoint_id) for check in ("webhook", "webhook_tls"))
    assert "held" in held["detail"]
    assert stored["level"] == "warning"
    assert detail in stored["detail"]
    assert (stored["advice"], stored["advice_fa"]) == (advice, advice_fa)


async def test_a_receiver_with_a_right_certificate_has_nothing_to_be_told(
    trusting_clinic: Clinic, ours: Authority
) -> None:
    async with RawServer((answer(b"ok"),), tls=ours.server()) as server:
        endpoint_id = await added(trusting_clinic, server.url)
        await attempted(trusting_clinic, endpoint_id)
        found = await trusting_clinic.findings("--merchant", trusting_clinic.shop.merchant_id)
    assert [each["level"] for each in of_endpoint(found, "webhook", endpoint_id)] == ["ok"]
    assert of_endpoint(found, "webhook_tls", endpoint_id) == []
