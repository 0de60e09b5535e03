"""What a family's sources leave open: the doctor tells which way a host has, from the payments that were made there."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from support.dargah import OPERATOR_TOKEN

from gateways.conftest import Counter
from gateways.test_doctor_of_families import at_the_bank
from proxy.gateways.forms import kept_fields
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import SECOND

NOT_YET: Final = "no payment has shown it yet"
BY_A_PROBE: Final = {("zarinpal", "error_status"), ("zarinpal", "error_shape"), ("mellat", "unknown_sale")}
"""What the answer to the doctor's own question shows, too."""
SECRET: Final = "1344b5d4-0048-11e8-94db-005056a205be"

CASES: Final = [
    pytest.param(name, form.name, way.name, id=f"{name}-{form.name}-{way.name}")
    for name, family in FAMILIES.items()
    for form in family.forms
    for way in form.ways
]


@pytest.fixture
def family(request: pytest.FixtureRequest) -> Any:
    return FAMILIES[request.param]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For SQLite alone: the one query of it is in the plans' tests."""
    return tmp_path


async def forms_of(counter: Counter) -> dict[str, str]:
    """What the doctor says of each form, in the order of the family's."""
    url, headers = f"{counter.lab.dargah.admin_url}/admin/v1/doctor", {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    body = {"merchant_id": counter.lab.merchant_id}
    async with counter.lab.session.post(url, json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        found = [each for each in (await answer.json())["findings"] if each["check"] == "gateway_form"]
    own = [each for each in found if each["subject"].startswith(counter.terminal_id)]
    assert all(each["level"] == "ok" and not each["detail_fa"].isascii() for each in own)
    names = [form.name for form in counter.family.forms]
    return dict(zip(names, [each["detail"] for each in own], strict=True))


async def paid(counter: Counter) -> dict[str, Any]:
    payment = await counter.order()
    await counter.pay(payment)
    return payment


async def confirmed_twice(counter: Counter) -> dict[str, Any]:
    """The first answer is lost on its way."""
    await counter.lab.fault("confirm", "lost", times=1, processed=True)
    payment = await paid(counter)
    await counter.later(payment, 30 * SECOND)
    await counter.later(payment, 30 * SECOND)
    return payment


async def refused(counter: Counter) -> dict[str, Any]:
    await counter.lab.fault("confirm", "error", times=1, code=-51 if counter.family.name == "zarinpal" else 108)
    return await paid(counter)


async def made_up(counter: Counter) -> dict[str, Any]:
    """A return that claims a success, and names a sale that the bank does not know."""
    payment = await counter.order()
    trip = (await counter.act(payment, "cancel"))["returns"][0]
    claimed = {**trip["params"], "ResCode": "0", "SaleReferenceId": "123456789012", "FinalAmount": "0"}
    await counter.travel({**trip, "params": claimed})
    return payment


SHOWN_BY: Final[dict[str, Callable[[Counter], Awaitable[dict[str, Any]]]]] = {
    "return_method": paid,
    "return_status": paid,
    "return_token": paid,
    "amount_name": paid,
    "ref_number": paid,
    "final_amount": paid,
    "success_status": paid,
    "repeated_verify": confirmed_twice,
    "repeated_numbers": confirmed_twice,
    "error_status": refused,
    "error_shape": refused,
    "unknown_sale": made_up,
}
OF_THE_SCRIPT: Final[dict[str, dict[str, Any]]] = {
    "GET": {"return_method": "get"},
    "POST": {"return_method": "post"},
    "none": {"return_extras": []},
    "status": {"return_extras": ["status"]},
}


@pytest.mark.parametrize(("family", "form", "way"), CASES, indirect=["family"])
async def test_the_doctor_tells_which_way_a_host_has(counter: Counter, form: str, way: str) -> None:
    script = counter.family.name == "invoice_script"
    await at_the_bank(counter, **(OF_THE_SCRIPT[way] if script else {"forms": {form: way}}))
    before = await forms_of(counter)
    if (counter.family.name, form) not in BY_A_PROBE:
        assert NOT_YET in before[form]
    payment = await SHOWN_BY[form](counter)
    said = {each.name: each.said[0] for found in counter.family.forms if found.name == form for each in found.ways}
    assert (await forms_of(counter))[form].startswith(f"{said[way]} (seen at ")
    entries = (await counter.lab.call("GET", f"/v1/payments/{payment['id']}/timeline")).json["data"]
    assert any(entry["data"].get("fields") for entry in entries)


@pytest.mark.parametrize("family", ["sadad"], indirect=True)
async def test_the_newest_answer_counts_and_none_from_before_the_terminal_was_changed(counter: Counter) -> None:
    for name in ("token", "Token"):
        await at_the_bank(counter, forms={"return_token": name})
        await paid(counter)
        assert f"`{name}`" in (await forms_of(counter))["return_token"]
        counter.lab.clock.forward(SECOND)
    setup = counter.lab.dargah.services.setup
    await setup.change_terminal(counter.lab.merchant_id, counter.terminal_id, name="moved", actor="test")
    assert NOT_YET in (await forms_of(counter))["return_token"]


@pytest.mark.parametrize("family", ["sadad"], indirect=True)
async def test_what_another_terminal_showed_is_not_said_of_this_one(counter: Counter) -> None:
    await counter.lab.create()
    assert NOT_YET in (await forms_of(counter))["return_token"]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (100, "100"),
        ("010", '"010"'),
        (-51, "-51"),
        (None, ""),
        ([], ""),
        ({}, ""),
        (True, "true"),
        ([1, 2], "array"),
        ({"a": 1}, "object"),
        (6037991234567890, "number"),
        ("6037991234567890", "text"),
        ("1234567", "text"),
        ("۱۰۰", "text"),
        (SECRET, "text"),
        ("1" * 60_000, "text"),
        (10**4000, "number"),
    ],
)
def test_of_an_answer_only_short_numbers_and_kinds_are_kept(value: Any, kept: str) -> None:
    forms = FAMILIES["zibal"].forms
    found = kept_fields(forms, "200", {"result": 201, "amount": value, "merchant": SECRET})
    assert found == {"HTTP": "200", "result": "201"} | ({"amount": kept} if kept else {})


@pytest.mark.parametrize("result", [100, "201 ", 2010, None, True, [201, 201], SECRET])
def test_an_answer_that_shows_nothing_leaves_nothing(result: Any) -> None:
    assert kept_fields(FAMILIES["zibal"].forms, "200", {"result": result, "amount": 1}) == {}
