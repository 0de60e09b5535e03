"""Terminals of any family: the fields that the family names, what is refused, and what each way in shows of them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.payments import PENDING
from databases.places import AnyStore
from support.clock import ManualClock
from support.command import Cli
from support.families import BANK, CREDENTIALS, add_bank
from web.openapi_check import document

from operators.conftest import Admin
from proxy.gateways.registry import FAMILIES
from proxy.kernel.errors import CredentialUnusable, InvalidInput
from proxy.merchants.cache import MerchantCache
from proxy.merchants.merchant import Merchant, Mode, Terminal
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.vault import KeyRing, Vault, credential_secret, generate_line
from proxy.operations.doctor.gateway import seal_finding, unknown_gateway_finding, untested_finding
from proxy.operations.doctor.terminal import find_refusal
from proxy.payments.payment import Failure, FailureReason, Payment, Status

URL = "https://bank.example.ir/pay"


@pytest.fixture(autouse=True)
def _bank(monkeypatch: pytest.MonkeyPatch) -> None:
    add_bank(monkeypatch)


@pytest.fixture
async def merchant(setup: MerchantSetup) -> Merchant:
    made, _ = await setup.create_merchant("Shop", [], actor="sara")
    return made


async def at_the_bank(setup: MerchantSetup, merchant: Merchant, **changes: Any) -> Terminal:
    fields = {"name": "main", "gateway_url": None, "api_key": None, "mode": Mode.LIVE, "gateway": "bank"}
    return await setup.add_terminal(merchant.id, **fields | {"credentials": CREDENTIALS} | changes, actor="sara")


async def opened(store: AnyStore, vault: Vault, terminal: Terminal, origin: str) -> dict[str, str]:
    sealed = await store.merchants.secrets(terminal.merchant_id, terminal.id)
    return {each.name: vault.open(each, origin) for each in sealed}


def errors_of(caught: pytest.ExceptionInfo[InvalidInput]) -> dict[str, str]:
    assert all(error.detail and error.detail_fa for error in caught.value.errors)
    return {error.field: error.code for error in caught.value.errors}


async def test_a_terminal_of_a_family_has_its_credentials_sealed_and_the_family_s_own_address(
    setup: MerchantSetup, store: AnyStore, vault: Vault, merchant: Merchant
) -> None:
    terminal = await at_the_bank(setup, merchant)
    assert (terminal.gateway, terminal.gateway_url, terminal.options) == ("bank", URL, {"body": "form"})
    assert await store.merchants.terminal(merchant.id, terminal.id) == terminal
    assert await opened(store, vault, terminal, "https://bank.example.ir") == {
        "credential.password": CREDENTIALS["password"],
        "credential.terminal_id": CREDENTIALS["terminal_id"],
    }
    assert await store.merchants.credential_names(merchant.id) == {terminal.id: ["password", "terminal_id"]}


async def test_a_test_terminal_is_at_the_sandbox_and_without_one_where_it_is_said_to_be(
    setup: MerchantSetup, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await at_the_bank(setup, merchant, mode=Mode.TEST)).gateway_url == "https://sandbox.example.ir"
    add_bank(monkeypatch, sandbox=False)
    with pytest.raises(InvalidInput) as caught:
        await at_the_bank(setup, merchant, mode=Mode.TEST)
    assert errors_of(caught) == {"gateway_url": "missing"}
    simulator = await at_the_bank(setup, merchant, mode=Mode.TEST, gateway_url="https://simulator.example.ir")
    assert simulator.gateway_url == "https://simulator.example.ir"


@pytest.mark.parametrize(
    ("wrong", "errors"),
    [
        ({"gateway": "paypal"}, {"gateway": "not_one_of"}),
        ({"gateway": "invoice_script", "credentials": {}}, {"api_key": "missing", "gateway_url": "missing"}),
        ({"credentials": {}}, {"credentials.terminal_id": "missing", "credentials.password": "missing"}),
        ({"credentials": CREDENTIALS | {"terminal_id": "canary"}}, {"credentials.terminal_id": "secret_invalid"}),
        ({"credentials": CREDENTIALS | {"password": "canary word"}}, {"credentials.password": "secret_invalid"}),
        ({"credentials": CREDENTIALS | {"pin": "canary"}}, {"credentials.pin": "unknown_field"}),
        ({"api_key": "canary"}, {"api_key": "unknown_field"}),
        ({"api_key": "canary", "credentials": {"api_key": "canary"}}, {"api_key": "repeated"}),
        ({"options": {"body": "xml"}}, {"options.body": "not_one_of"}),
        ({"options": {"colour": "red"}}, {"options.colour": "unknown_field"}),
        (
            {"name": "", "credentials": {"password": "p"}},
            {"name": "text_invalid", "credentials.terminal_id": "missing"},
        ),
    ],
)
async def test_what_a_family_does_not_take_is_refused_by_its_field(
    setup: MerchantSetup, store: AnyStore, merchant: Merchant, wrong: dict[str, Any], errors: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await at_the_bank(setup, merchant, **wrong)
    assert errors_of(caught) == errors
    assert "canary" not in str(caught.value)
    assert await store.merchants.list_terminals(merchant.id) == []


async def test_an_error_says_what_the_credential_is_and_looks_like_and_which_families_there_are(
    setup: MerchantSetup, merchant: Merchant
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await at_the_bank(setup, merchant, credentials={"password": "p", "terminal_id": "123456789"})
    [error] = caught.value.errors
    assert "Terminal number (1 to 8 digits)" in error.detail
    assert "شمارهٔ ترمینال (۱ تا ۸ رقم)" in error.detail_fa
    with pytest.raises(InvalidInput) as caught:
        await at_the_bank(setup, merchant, gateway="paypal")
    assert ", ".join(FAMILIES) in caught.value.errors[0].detail


async def test_one_credential_or_option_changes_and_the_others_stay(
    setup: MerchantSetup, store: AnyStore, vault: Vault, merchant: Merchant
) -> None:
    terminal = await at_the_bank(setup, merchant)
    changes: Any = {"credentials": {"password": "canary-new"}, "options": {"body": "json"}}
    changed = await setup.change_terminal(merchant.id, terminal.id, **changes, actor="omid")
    assert changed.options == {"body": "json"}
    assert await store.merchants.terminal(merchant.id, terminal.id) == changed
    assert await opened(store, vault, terminal, "https://bank.example.ir") == {
        "credential.password": "canary-new",
        "credential.terminal_id": CREDENTIALS["terminal_id"],
    }
    made, updated = reversed((await store.audit.list_audit(merchant.id, None, 100))[:2])
    assert updated.data == {"credentials.password": "set", "options": {"body": "json"}}
    assert made.data["gateway"] == "bank"
    assert {name for name, value in made.data.items() if value == "set"} == {
        "credentials.password",
        "credentials.terminal_id",
    }
    assert "canary" not in repr((made.data, updated.data))


async def test_another_origin_needs_every_credential_again(setup: MerchantSetup, merchant: Merchant) -> None:
    terminal = await at_the_bank(setup, merchant)
    moved: Any = {"gateway_url": "https://other.example.ir", "credentials": {"password": "p"}}
    with pytest.raises(InvalidInput) as caught:
        await setup.change_terminal(merchant.id, terminal.id, **moved, actor="sara")
    assert errors_of(caught) == {"credentials.terminal_id": "secret_required"}
    moved["credentials"] = CREDENTIALS
    changed = await setup.change_terminal(merchant.id, terminal.id, **moved, actor="sara")
    assert changed.gateway_url == "https://other.example.ir"
    path = "https://other.example.ir/v2"
    assert (await setup.change_terminal(merchant.id, terminal.id, gateway_url=path, actor="sara")).gateway_url == path


async def test_an_account_has_all_credentials_opened_and_each_option(
    setup: MerchantSetup, store: AnyStore, vault: Vault, merchant: Merchant, clock: ManualClock
) -> None:
    terminal = await at_the_bank(setup, merchant, options={"body": "json"})
    account = await MerchantCache(store.merchants, vault, clock).account(terminal)
    assert (account.gateway, account.gateway_url, account.options) == ("bank", URL, {"body": "json"})
    assert account.credentials == CREDENTIALS
    assert "canary" not in repr(account)


async def test_a_terminal_of_a_family_that_is_not_known_here_is_not_used_and_can_be_switched_off(
    setup: MerchantSetup,
    store: AnyStore,
    vault: Vault,
    merchant: Merchant,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = await at_the_bank(setup, merchant)
    monkeypatch.delitem(FAMILIES, "bank")
    token, _ = await setup.issue_token(merchant.id, actor="sara")
    accounts = MerchantCache(store.merchants, vault, clock)
    with pytest.raises(CredentialUnusable):
        await accounts.account(terminal)
    with pytest.raises(CredentialUnusable):
        await accounts.pick_terminal(token, None)
    assert not (await setup.change_terminal(merchant.id, terminal.id, enabled=False, actor="sara")).enabled
    with pytest.raises(InvalidInput):
        await setup.change_terminal(merchant.id, terminal.id, credentials=CREDENTIALS, actor="sara")


async def test_a_rotation_moves_every_credential_of_a_family(
    setup: MerchantSetup, store: AnyStore, merchant: Merchant, key_line: str, clock: ManualClock
) -> None:
    terminal = await at_the_bank(setup, merchant)
    new_line = generate_line("k2")
    rotated = await MerchantSetup(store.merchants, Vault(KeyRing.parse(f"{new_line}\n{key_line}")), clock).rotate(
        actor="sara"
    )
    assert (rotated.rewrapped, rotated.failed, rotated.done) == (3, (), True)
    only_new = Vault(KeyRing.parse(new_line))
    assert set((await opened(store, only_new, terminal, "https://bank.example.ir")).values()) == {*CREDENTIALS.values()}


async def test_the_api_takes_a_family_s_fields_and_shows_the_names_of_credentials_only(
    admin: Admin, setup: MerchantSetup, merchant: Merchant
) -> None:
    terminal = await at_the_bank(setup, merchant)
    path = f"{admin.url}/admin/v1/merchants/{merchant.id}/terminals"
    headers = {"Authorization": "Bearer sara-token-0123456789abcdef"}
    # Not by `admin.call`: openapi.yaml has the families that there are, and this one only tests have.
    body = {"name": "second", "gateway": "bank", "credentials": CREDENTIALS, "options": {"body": "json"}}
    async with admin.session.post(path, json=body, headers=headers) as answer:
        made, text = await answer.json(), await answer.text()
    assert (made["gateway"], made["options"], made["gateway_url"]) == ("bank", {"body": "json"}, URL)
    assert made["credentials"] == ["password", "terminal_id"]
    async with admin.session.get(path, headers=headers) as answer:
        rows = (await answer.json())["data"]
        text += await answer.text()
    assert {row["id"]: row["credentials"] for row in rows} == {
        terminal.id: ["password", "terminal_id"],
        made["id"]: ["password", "terminal_id"],
    }
    assert "canary" not in text
    for wrong, field in (
        ({"gateway": "invoice_script"}, "gateway"),
        ({"credentials": {"Pin": "1"}}, "credentials.Pin"),
    ):
        async with admin.session.patch(f"{path}/{terminal.id}", json=wrong, headers=headers) as answer:
            assert (answer.status, [each["field"] for each in (await answer.json())["errors"]]) == (422, [field])
    async with admin.session.get(f"{admin.url}/admin/v1/gateways", headers=headers) as answer:
        families = {row["name"]: row for row in (await answer.json())["data"]}
    assert [each["name"] for each in families["bank"]["credentials"]] == ["terminal_id", "password"]
    assert families["bank"]["options"][0]["choices"] == ["form", "json"]
    assert families["bank"]["traits"]["gives_back_after_seconds"] is None


async def test_the_api_lists_the_families_as_it_is_described(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FAMILIES, "bank")
    status, families = await admin.call("GET", "/gateways")
    assert (status, [row["name"] for row in families["data"]]) == (200, list(FAMILIES))
    pattern = re.compile(document()["components"]["schemas"]["GatewayName"]["pattern"])
    assert all(map(pattern.fullmatch, FAMILIES))


async def test_the_command_adds_and_changes_a_terminal_of_any_family(cli: Cli, store: AnyStore, vault: Vault) -> None:
    owner = ("--merchant", (await cli.json("merchant", "create", "--name", "Shop"))["id"])
    create = ("terminal", "create", *owner, "--name", "main", "--gateway", "bank")
    lines = "".join(f"{name}={value}\n" for name, value in CREDENTIALS.items())
    made = await cli.json(*create, "--option", "body=json", "--credentials-stdin", stdin=lines)
    assert (made["gateway"], made["credentials"]) == ("bank", ["password", "terminal_id"])
    assert (made["gateway_url"], made["options"]) == (URL, {"body": "json"})
    update = ("terminal", "update", made["id"], "--credentials-stdin", "--option", "body=form")
    assert (await cli.json(*update, stdin="password=a=b\n"))["options"] == {"body": "form"}
    [terminal] = await store.merchants.list_terminals(owner[1])
    assert await opened(store, vault, terminal, "https://bank.example.ir") == {
        "credential.password": "a=b",
        "credential.terminal_id": "1234",
    }
    listed = await cli.run("gateways")
    assert "terminal_id, password" in listed.out
    assert [row["name"] for row in await cli.json("gateways")] == list(FAMILIES)


@pytest.mark.parametrize(
    ("arguments", "stdin", "told", "code"),
    [
        (("--gateway", "paypal"), "", "there is no family 'paypal'; there are: invoice_script", 2),
        (("--gateway", "bank"), "", "pass it to --credentials-stdin", 2),
        (("--gateway", "bank", "--credentials-stdin"), "canary\n", "NAME=VALUE", 2),
        (("--gateway", "bank", "--credentials-stdin", "--api-key-stdin"), "canary", "standard input is read once", 2),
        (("--gateway", "bank", "--credentials-stdin"), "password=p\n", "credentials.terminal_id: is missing", 1),
        (("--gateway", "bank", "--option", "body"), "", "NAME=VALUE", 2),
    ],
)
async def test_the_command_says_what_it_lacks(
    cli: Cli, arguments: tuple[str, ...], stdin: str, told: str, code: int
) -> None:
    merchant = await cli.json("merchant", "create", "--name", "Shop")
    ran = await cli.run("terminal", "create", "--merchant", merchant["id"], "--name", "m", *arguments, stdin=stdin)
    assert ran.code == code
    assert told in ran.error
    assert "canary" not in ran.error


def test_the_doctor_names_a_family_s_credentials() -> None:
    sealed = seal_finding("trm", BANK, URL)
    assert "terminal_id, password" in sealed.detail
    assert "--gateway-url URL --credential terminal_id --credential password" in sealed.advice
    assert (untested_finding("trm", BANK).level, unknown_gateway_finding("trm", "x").level) == ("ok", "problem")


async def test_a_refusal_is_told_until_the_terminal_is_changed_or_gets_an_invoice(
    setup: MerchantSetup, merchant: Merchant
) -> None:
    terminal = await at_the_bank(setup, merchant)

    def payment(after: int, code: int | None, terminal_id: str = terminal.id) -> Payment:
        failure = None if code is None else Failure(FailureReason.GATEWAY_REFUSED, code)
        status, key = (Status.PENDING, "key") if code is None else (Status.FAILED, None)
        at = terminal.updated_at + after
        made = replace(PENDING, id=f"pay_{after}", terminal_id=terminal_id, created_at=at, failure=failure)
        return replace(made, status=status, invoice_key=key)

    def told(*recent: Payment) -> tuple[int, str] | None:
        return find_refusal(BANK, terminal, recent)

    assert told(payment(5, 11)) == (11, "pay_5")
    assert told(payment(9, None, "trm_other"), payment(8, 12), payment(5, 11)) == (11, "pay_5")
    assert told(payment(6, None), payment(5, 11)) is None
    assert told(payment(5, 12)) is None
    assert told(payment(-1, 11)) is None


def test_a_family_s_credentials_and_options_have_names_that_can_be_kept() -> None:
    for family in FAMILIES.values():
        names = [each.name for each in family.credentials] + [each.name for each in family.options]
        assert len(set(names)) == len(names)
        assert all(len(credential_secret(name)) <= 40 and name.replace("_", "").isalnum() for name in names)
        assert all(option.default in option.choices for option in family.options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: the rows of terminals and secrets are tested with every store in tests/store."""
    return tmp_path
