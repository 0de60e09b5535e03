"""The doctor's look at a terminal of each family: at its simulator, and at what its traits say of host and clock."""

from pathlib import Path
from typing import Any

import pytest
from support.dargah import OPERATOR_TOKEN

from gateways.conftest import Counter
from proxy.gateways.family import Family
from proxy.gateways.port import Account
from proxy.gateways.registry import FAMILIES
from proxy.merchants.merchant import Mode
from proxy.operations.doctor.base import Finding, Level, ProbeResult
from proxy.operations.doctor.gateway import host_finding
from proxy.operations.doctor.terminal import CLOCK_PROBLEM, clock_finding
from proxy.simulator.command import dialect_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For SQLite alone: nothing of this is another on the other store."""
    return tmp_path


NOW = 1_800_000_000_000
PROBED = [family.name for family in FAMILIES.values() if family.probe is not None]


async def finding(counter: Counter, *checks: str) -> dict[str, Any]:
    """The one finding about the counter's terminal that is of these checks, which says what to do in both languages
    where something is wrong.
    """
    url, headers = f"{counter.lab.dargah.admin_url}/admin/v1/doctor", {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    body = {"merchant_id": counter.lab.merchant_id}
    async with counter.lab.session.post(url, json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        findings = (await answer.json())["findings"]
    [found] = [each for each in findings if each["check"] in checks and each["subject"].startswith(counter.terminal_id)]
    assert found["level"] == "ok" or all(found[name] for name in ("detail_fa", "advice", "advice_fa"))
    return dict(found)


async def at_the_bank(counter: Counter, **changes: Any) -> None:
    body = {"api_key": counter.key, "family": counter.family.name, "credentials": counter.credentials}
    await counter.lab.control("POST", "terminals", body | changes)


async def assert_told(counter: Counter) -> None:
    """The terminal is wrong at the bank: a problem, or where the gateway may not tell, not said to be right."""
    found, probe = await finding(counter, "terminal_key", "gateway_reachable"), counter.family.probe
    assert found["check"] == "terminal_key"
    if found["level"] != "problem":
        assert probe is not None
        assert not probe.tells_credentials
        assert "only a payment shows" in found["detail"]


def test_every_family_says_how_the_doctor_asks_it() -> None:
    assert list(FAMILIES) == PROBED


async def test_right_credentials_are_fine_and_no_invoice_is_made(counter: Counter) -> None:
    found = await finding(counter, "terminal_key", "gateway_reachable")
    assert (found["check"], found["level"]) == ("terminal_key", "ok")
    assert (await counter.lab.control("GET", f"invoices?api_key={counter.key}"))["invoices"] == []


async def test_credentials_of_another_terminal_are_a_problem_where_the_gateway_tells(counter: Counter) -> None:
    await at_the_bank(counter, family=next(name for name in FAMILIES if name != counter.family.name))
    await assert_told(counter)


@pytest.mark.parametrize("change", [{"registered_ip": "192.0.2.7"}, {"enabled": False}], ids=["ip", "disabled"])
async def test_a_terminal_that_the_bank_turns_away_is_a_problem_where_it_tells(
    counter: Counter, change: dict[str, Any]
) -> None:
    await at_the_bank(counter, **change)
    await assert_told(counter)


@pytest.mark.parametrize("kind", ["reset", "http_500", "html"])
async def test_a_host_without_a_clear_answer_is_a_problem(counter: Counter, kind: str) -> None:
    operation = "check" if counter.family.traits.checks else "confirm"
    await counter.lab.fault(operation, kind)
    found = await finding(counter, "terminal_key", "gateway_reachable")
    assert (found["check"], found["level"]) == ("gateway_reachable", "problem")


async def test_the_host_is_told_as_this_machines(counter: Counter) -> None:
    assert "127.0.0.1" in (await finding(counter, "gateway_host"))["detail"]


def test_a_clock_that_is_off_refuses_payments_where_they_tell_the_time(family: Family) -> None:
    result = ProbeResult(200, None, None, NOW + CLOCK_PROBLEM, None)
    found = clock_finding("gateway", result, NOW, told=family.traits.needs_clock)
    assert found.level is Level.PROBLEM
    assert ("payments" in found.advice) is family.traits.needs_clock


def host_of_terminal(family: Family, url: str, mode: Mode, **credentials: str) -> Finding | None:
    account = Account("trm", url, dict(dialect_of(family.name).sample) | credentials, family.name)
    return host_finding("trm", family, account, mode, development=False)


def test_a_live_terminal_belongs_to_the_live_host(family: Family) -> None:
    if not family.gateway_url:
        assert host_of_terminal(family, "https://any.example.ir", Mode.LIVE) is None
        return
    levels = [host_of_terminal(family, family.gateway_url, mode) for mode in (Mode.LIVE, Mode.TEST)]
    assert [each and each.level for each in levels] == [Level.OK, Level.WARNING]
    other = host_of_terminal(family, "https://other.example.ir", Mode.LIVE)
    assert other is not None
    assert other.level is Level.OK
    assert "other.example.ir" in other.detail


def test_a_live_terminal_in_a_sandbox_is_a_problem(family: Family) -> None:
    meant = {each.name: each.sandbox for each in family.credentials if each.sandbox is not None}
    url = family.gateway_url if meant else family.sandbox_url
    assert bool(url and (meant or family.sandbox_url)) is family.traits.sandbox
    if url is None or not family.traits.sandbox:
        return
    levels = [host_of_terminal(family, url, mode, **meant) for mode in (Mode.LIVE, Mode.TEST)]
    assert [each and each.level for each in levels] == [Level.PROBLEM, Level.OK]


@pytest.mark.parametrize(("mode", "level"), [(Mode.LIVE, Level.WARNING), (Mode.TEST, Level.OK)])
def test_a_simulator_is_told_where_money_should_move(family: Family, mode: Mode, level: Level) -> None:
    found = host_of_terminal(family, "http://127.0.0.1:8090", mode)
    assert found is not None
    assert found.level is level
