"""What is frozen to mypy only is still what a frozen dataclass is: equal and hashed by its values, and copied whole."""

from dataclasses import field, replace

from core.payments import PENDING
from proxy.kernel.frozen import dataclass
from proxy.payments.payment import Payment, Status


@dataclass(frozen=True, slots=True)
class Held:
    name: str
    secret: str = field(default="", repr=False)


def test_equal_values_are_one_key() -> None:
    assert {Held("a", "b"): 1}[Held("a", "b")] == 1
    assert Held("a", "b") != Held("a", "c")


def test_what_is_kept_out_of_the_text_stays_out_of_it() -> None:
    assert "hidden" not in repr(Held("a", "hidden"))


def test_a_field_that_does_not_exist_cannot_be_set() -> None:
    assert not hasattr(Held("a"), "__dict__")


def test_a_copy_leaves_what_it_was_made_of() -> None:
    assert replace(PENDING, status=Status.PAID).status is Status.PAID
    assert PENDING.status is Status.PENDING


def assigning(payment: Payment) -> None:
    """Never called: mypy, which is told of an error here, would call the remark unused if it found none."""
    payment.status = Status.PAID  # type: ignore[misc]
