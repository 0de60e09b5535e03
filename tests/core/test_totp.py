"""One-time codes: the vectors of RFC 6238, and what people type."""

import base64

import pytest
from support.authenticator import Authenticator
from support.clock import NOW, ManualClock

from proxy.kernel.clock import SECOND
from proxy.kernel.ids import Ids
from proxy.operators.login_tickets import BEGUN_FOR, KNOWN_FOR, LoginTickets
from proxy.operators.totp import (
    code_of,
    matching_step,
    new_recovery_code,
    new_secret,
    provisioning_uri,
    step_at,
    typed_code,
    typed_recovery_code,
)

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ],
)
def test_the_vectors_of_rfc_6238(seconds: int, code: str) -> None:
    """Of their eight digits the last six are what apps show."""
    assert code_of(SECRET, step_at(seconds * SECOND)) == code[2:]
    assert Authenticator(SECRET).code(seconds * SECOND) == code[2:]


def test_a_code_is_right_in_its_step_and_one_beside_it() -> None:
    code = code_of(SECRET, step_at(NOW))
    found = [matching_step(SECRET, code, NOW + steps * 30 * SECOND) for steps in range(-3, 4)]
    assert found == [None, None, *[step_at(NOW)] * 3, None, None]


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("123456", "123456"),
        (" 123 456 ", "123456"),
        ("123-456", "123456"),
        ("۱۲۳۴۵۶", "123456"),
        ("١٢٣ ٤٥٦", "123456"),
        ("\u200e123\u00a0456\u200f", "123456"),
        ("12345", None),
        ("1234567", None),
        ("12345x", None),
        ("¹²³⁴⁵⁶", None),
        ("", None),
        ("1" * 100_000, None),
    ],
)
def test_digits_are_taken_in_any_script_and_grouped_in_any_way(typed: str, code: str | None) -> None:
    assert typed_code(typed) == code


def test_a_recovery_code_has_80_random_bits_and_is_taken_as_people_type_it() -> None:
    code = new_recovery_code(lambda count: bytes(range(200, 200 + count)))
    assert len(base64.b32decode(code.replace("-", ""))) * 8 == 80
    assert typed_recovery_code(f" {code.lower().replace('-', ' ')} ") == code.replace("-", "")
    assert typed_recovery_code(code[:-1]) is None
    assert typed_recovery_code("123456") is None


def test_an_app_is_told_the_secret_the_account_and_whose_it_is() -> None:
    secret = new_secret(bytes)
    uri = provisioning_uri(secret, "sara@pay.example.ir", "Dargah")
    assert uri == f"otpauth://totp/Dargah:sara@pay.example.ir?secret={'A' * 32}&issuer=Dargah"


def tickets(clock: ManualClock, *keys: bytes) -> LoginTickets:
    return LoginTickets(keys or (b"k",), Ids(lambda count: bytes(range(count))), clock)


def test_a_ticket_of_a_login_is_believed_for_five_minutes() -> None:
    clock = ManualClock()
    ticket = tickets(clock).begin("opr_1")
    clock.forward(BEGUN_FOR - 1)
    assert tickets(clock).begun(ticket) == "opr_1"
    clock.forward(1)
    assert tickets(clock).begun(ticket) is None


def test_nothing_of_a_ticket_can_be_altered() -> None:
    clock = ManualClock()
    subject, until, mac = tickets(clock).begin("opr_1").split(".")
    altered = [
        f"opr_2.{until}.{mac}", f"{subject}.{int(until) + 1}.{mac}", f"{subject}.{until}.{'0' * 64}",
        f"{subject}.{until}.", f"{subject}.{until}", subject, "", "..", f"{subject}.۱۲.{mac}",
        f"{subject}.{until}.{mac}é", "x" * 10_000, f"{subject}\0.{until}.{mac}", f"{subject}.{until}\0.{mac}",
    ]  # fmt: skip
    assert [tickets(clock).begun(each) for each in altered] == [None] * len(altered)
    assert tickets(clock, b"another").begun(f"{subject}.{until}.{mac}") is None


def test_a_ticket_is_of_its_own_kind_and_second_factor() -> None:
    clock = ManualClock()
    made = tickets(clock)
    known = made.remember("fac_1", "")
    assert made.browser("fac_1", known) is not None
    assert made.browser("fac_2", known) is None
    assert made.begun(known) is None
    assert made.browser("", made.begin("opr_1")) is None
    clock.forward(KNOWN_FOR)
    assert made.browser("fac_1", known) is None


def test_a_known_browser_keeps_its_name() -> None:
    made = tickets(ManualClock())
    known = made.remember("fac_1", "")
    assert made.browser("fac_1", made.remember("fac_1", known)) == made.browser("fac_1", known)


def test_a_change_of_keys_ends_no_ticket_while_the_older_key_is_there() -> None:
    clock = ManualClock()
    ticket = tickets(clock, b"old").begin("opr_1")
    assert tickets(clock, b"new", b"old").begun(ticket) == "opr_1"
    assert tickets(clock, b"new").begun(ticket) is None
