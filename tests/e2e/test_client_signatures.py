"""Which webhooks and which ways back the clients that Dargah serves take, by signatures that other libraries made."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook
from support.shop_clients import ROOT, Probe, environment, probe

from e2e.test_clients import require_language

LANGUAGES = ["php", "mjs", "py"]
NOW = 1_795_514_400
SECRET, OTHER, THIRD = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
DATA = {
    "id": "pay_1",
    "status": "paid",
    "mode": "live",
    "test": False,
    "storefront": "main",
    "order_id": "سفارش 17",
    "amount_rials": 150_000,
}
COSTS = {"سفارش 17": 150_000}
BODY = json.dumps({"type": "payment.paid", "timestamp": "2026-11-24T10:00:00.000Z", "data": DATA}, ensure_ascii=False)


@pytest.fixture(params=LANGUAGES)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Probe]:
    require_language(request.param)
    async with probe(request.param) as made:
        yield made


def v1(secret: str, body: str = BODY, at: int = NOW, message_id: str = "evt_1") -> str:
    return str(Webhook(secret).sign(message_id, datetime.fromtimestamp(at, UTC), body))


def v1a(body: str = BODY, key: Ed25519PrivateKey = PRIVATE) -> str:
    return "v1a," + base64.b64encode(key.sign(f"evt_1.{NOW}.{body}".encode())).decode()


def signed(signature: str, **changed: str) -> dict[str, str]:
    return {"webhook-id": "evt_1", "webhook-timestamp": str(NOW), "webhook-signature": signature} | changed


async def takes(
    client: Probe, headers: dict[str, str], secrets: str = SECRET, body: str = BODY, now: int = NOW
) -> bool:
    said = await client.ask("webhook", body, headers, COSTS, now, webhookSecrets=secrets)
    assert ("gave" in said) is ("refused" not in said), said
    assert "refused" in said or said["gave"]["paidOrder"] == "سفارش 17"
    return "gave" in said


async def test_signatures_of_any_secret_and_any_version_that_it_has(client: Probe) -> None:
    both = f"{v1(OTHER)} {v1(SECRET)} {v1a()}"
    for signature, secrets, taken in (
        (v1(SECRET), SECRET, True),
        (v1(SECRET), OTHER, False),
        (both, SECRET, True),
        (both, f"{THIRD} {SECRET}", True),
        (both, f"{THIRD}\n{PUBLIC}", True),
        (both, THIRD, False),
        (v1a(), PUBLIC, True),
        (v1a(), f"{SECRET} {PUBLIC}", True),
        (v1a(), SECRET, False),
        (v1a(key=Ed25519PrivateKey.generate()), PUBLIC, False),
        (v1(SECRET), PUBLIC, False),
        (v1a().replace("v1a,", "v1,"), PUBLIC, False),
        (v1(SECRET).replace("v1,", "v1a,"), f"{SECRET} {PUBLIC}", False),
        (v1(SECRET).removeprefix("v1,"), SECRET, False),
        (v1(SECRET)[:-5], SECRET, False),
        ("v1,", SECRET, False),
        ("v1a,", PUBLIC, False),
        ("v1a,!!!", PUBLIC, False),
        ("", SECRET, False),
        (f"{'v1,AAAA ' * 19}{v1(SECRET)}", SECRET, True),
        (f"{'v1,AAAA ' * 2000}{v1(SECRET)}", SECRET, False),
    ):
        assert await takes(client, signed(signature), secrets) is taken, (signature[:99], secrets)
    assert not await takes(client, signed(v1(SECRET)), body=BODY.replace("150000", "150001"))
    assert not await takes(client, signed(v1(SECRET)), body=BODY + " ")
    assert not await takes(client, signed(v1(SECRET), **{"webhook-id": "evt_2"}))


async def test_a_message_is_of_five_minutes_around_now(client: Probe) -> None:
    for seconds, taken in ((0, True), (300, True), (-300, True), (301, False), (-301, False), (365 * 86_400, False)):
        assert await takes(client, signed(v1(SECRET)), now=NOW + seconds) is taken, seconds
    for stamp in ("", "x", "-1", f"+{NOW}", f"{NOW}.0", f"{NOW} ", f"{NOW}\n", "9" * 400, "۱۷۹۵۵۱۴۴۰۰", hex(NOW)):
        assert not await takes(client, signed(v1(SECRET), **{"webhook-timestamp": stamp})), stamp
    for missing in signed(""):
        headers = {name: value for name, value in signed(v1(SECRET)).items() if name != missing}
        assert not await takes(client, headers), missing


@pytest.mark.parametrize("language", LANGUAGES)
async def test_headers_are_found_as_each_framework_names_them(language: str) -> None:
    require_language(language)
    forms: list[Callable[[str], str]] = [str.lower, str.title, str.upper]
    if language != "mjs":  # PHP's $_SERVER and WSGI's environ
        forms.append(lambda name: f"HTTP_{name.upper().replace('-', '_')}")
    async with probe(language) as client:
        for form in forms:
            headers = {form(name): value for name, value in signed(v1(SECRET)).items()}
            assert await takes(client, {"Content-Type": "application/json", **headers})


async def test_only_what_is_the_shops_own_pays_an_order(client: Probe) -> None:
    for changed, settings, differs in (
        ({}, {}, None),
        ({"mode": "test", "test": True}, {}, "mode"),
        ({"test": True}, {}, "test"),
        ({"storefront": "other"}, {}, "storefront"),
        ({"order_id": "18"}, {}, "order_id"),
        ({"amount_rials": 15_000}, {}, "amount_rials"),
        ({"amount_rials": 150_000.5}, {}, "amount_rials"),
        ({"amount_rials": "150000"}, {}, "amount_rials"),
        ({"status": "needs_review"}, {}, "status"),
        ({}, {"mode": "test"}, "mode"),
        ({"mode": "test"}, {"mode": "test"}, "test"),
        ({"mode": "test", "test": True}, {"mode": "test"}, None),
        ({}, {"storefront": "other"}, "storefront"),
    ):
        body = json.dumps({"type": "payment.paid", "timestamp": "2026-11-24T10:00:00.000Z", "data": DATA | changed})
        event = await client.gave(
            "webhook", body, signed(v1(SECRET, body)), COSTS, NOW, **{"webhookSecrets": SECRET} | settings
        )
        assert (event["differs"], event["paidOrder"]) == (differs, None if differs else DATA["order_id"]), changed
    # An event from before endpoints had a mode, replayed.
    older = {name: value for name, value in DATA.items() if name != "test"}
    body = json.dumps({"type": "payment.paid", "timestamp": "2026-11-24T10:00:00.000Z", "data": older})
    event = await client.gave("webhook", body, signed(v1(SECRET, body)), COSTS, NOW, webhookSecrets=SECRET)
    assert event["paidOrder"] == DATA["order_id"]
    for kind in ("payment.canceled", "payment.needs_review", "payment.given_back", "endpoint.disabled", "ping"):
        body = json.dumps({"type": kind, "timestamp": "2026-11-24T10:00:00.000Z", "data": DATA})
        event = await client.gave("webhook", body, signed(v1(SECRET, body)), COSTS, NOW, webhookSecrets=SECRET)
        assert event == {"id": "evt_1", "type": kind, "paidOrder": None, "differs": "type"}


async def test_an_amount_that_is_no_whole_number_is_an_error_and_credits_nothing(client: Probe) -> None:
    for cost in ("150000", 150_000.5, True):
        said = await client.ask(
            "webhook", BODY, signed(v1(SECRET)), {DATA["order_id"]: cost}, NOW, webhookSecrets=SECRET
        )
        assert "misused" in said, (cost, said)
    assert "misused" in await client.ask("webhook", BODY, signed(v1(SECRET)), COSTS, NOW)


RETURN = {"payment_id": "pay_1", "order_id": "سفارش 17&status=paid", "status": "paid", "payment_mode": "live"}


def with_signature(secret: str, values: dict[str, str], prefix: str = "") -> dict[str, str]:
    """As docs/decisions/return.md says it."""
    text = "&".join(f"{name}={values[name]}" for name in ("payment_id", "order_id", "status", "payment_mode"))
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {f"{prefix}{name}": value for name, value in {**values, "signature_v2": signature}.items()}


async def test_the_way_back_is_verified(client: Probe) -> None:
    good = with_signature("secret-1", RETURN)
    signature = good["signature_v2"]
    prefixed = with_signature("secret-1", RETURN, "dargah_")
    for query, secrets, valid in (
        (good, "secret-1", True),
        ({**good, "lang": "fa", "signature": "of the first version"}, "secret-1", True),
        (good, "secret-0 secret-1", True),
        (good, "secret-2", False),
        (prefixed, "secret-1", True),
        ({**prefixed, "status": "of the shop", "signature": "the shop's own"}, "secret-1", True),
        ({**good, "dargah_signature_v2": signature}, "secret-1", False),
        (with_signature("secret-1", {**RETURN, "payment_mode": "test"}), "secret-1", False),
        ({**good, "signature_v2": signature.upper()}, "secret-1", False),
        ({**good, "signature_v2": ""}, "secret-1", False),
        ({**RETURN, "signature": signature}, "secret-1", False),
        *(({**good, name: "x"}, "secret-1", False) for name in RETURN),
        ({**good, "status": ["paid", "paid"]}, "secret-1", False),
        ({}, "secret-1", False),
    ):
        said = await client.ask("verifyReturn", query, returnSecrets=secrets)
        assert said.get("gave") == (RETURN if valid else None), (query, said)
        assert valid or "refused" in said
    test = {**RETURN, "payment_mode": "test"}
    said = await client.gave("verifyReturn", with_signature("s", test), returnSecrets="s", mode="test")
    assert said == test
    assert "misused" in await client.ask("verifyReturn", good)


@pytest.mark.parametrize(("secret", "wanting"), [(SECRET, ""), (PUBLIC, "cryptography")])
def test_python_says_at_once_which_package_a_public_key_needs(secret: str, wanting: str) -> None:
    """In a Python without any package, as `-S` makes it."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import dargah_client; dargah_client.Dargah()"
    command = [sys.executable, "-S", "-c", program, str(ROOT / "proxy" / "reference" / "clients" / "python")]
    env = environment(DARGAH_WEBHOOK_SECRET=secret)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode != 0, wanting in done.stderr) == (bool(wanting), True)
