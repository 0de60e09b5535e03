"""A family of gateways that only tests have: two credentials, an option, an address of its own, and a sandbox."""

from dataclasses import replace
from typing import Final

import pytest

from proxy.gateways.family import Credential, Family, Meaning, Option, Traits, WayThere
from proxy.gateways.invoice_script import FAMILY
from proxy.gateways.registry import FAMILIES

BANK: Final = Family(
    name="bank",
    title=("Test bank", "بانک آزمایشی"),
    gateway_url="https://bank.example.ir/pay",
    sandbox_url="https://sandbox.example.ir",
    credentials=(
        Credential("terminal_id", ("Terminal number", "شمارهٔ ترمینال"), "[0-9]{1,8}", ("1 to 8 digits", "۱ تا ۸ رقم")),
        Credential("password", ("Password", "گذرواژه")),
    ),
    options=(Option("body", ("Body", "بدنه"), ("form", "json"), "form"),),
    traits=Traits(checks=False, confirms=True, needs_return=True, sandbox=True),
    codes={
        11: Meaning("", ("the terminal is off", "ترمینال خاموش است"), refuses=True, alerts=True),
    },
    make=FAMILY.make,
    way_there=lambda gateway_url, invoice_key: WayThere(f"{gateway_url}/{invoice_key}"),
)
CREDENTIALS: Final = {"terminal_id": "1234", "password": "canary-password-77c1"}


def add_bank(monkeypatch: pytest.MonkeyPatch, *, sandbox: bool = True) -> Family:
    """Registers the bank for the time of a test, with or without its sandbox."""
    family = BANK if sandbox else replace(BANK, sandbox_url=None, traits=replace(BANK.traits, sandbox=False))
    monkeypatch.setitem(FAMILIES, BANK.name, family)
    return family
