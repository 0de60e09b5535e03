"""The pages themselves: a word for every status, and every error."""

import pytest

from proxy.errors import NotFound, Overloaded, StoreUnavailable
from proxy.payment import Status
from proxy.web import pages
from proxy.web.pages import OUTCOMES, error_page, persian_number, persian_toman
from proxy.web.problems import InternalError


def text(response: object) -> str:
    body = getattr(response, "body", b"")
    assert isinstance(body, bytes)
    return body.decode()


def test_every_status_has_its_words() -> None:
    assert set(OUTCOMES) == set(Status)
    assert len({words.title for words in OUTCOMES.values()}) == len(Status)


@pytest.mark.parametrize("status", [Status.CREATED, Status.PENDING, Status.NEEDS_REVIEW, Status.PAID])
def test_what_may_be_paid_is_not_called_failed(status: Status) -> None:
    words = OUTCOMES[status]
    assert not any(bad in f"{words.title} {words.text} {words.more}" for bad in ("ناموفق", "لغو", "نشد", "شکست"))


def test_numbers_are_persian() -> None:
    assert persian_number(9_007_199_254_740_991) == "۹٬۰۰۷٬۱۹۹٬۲۵۴٬۷۴۰٬۹۹۱"
    assert (persian_toman(150_000), persian_toman(12_345)) == ("۱۵٬۰۰۰", "۱٬۲۳۴٫۵")


def test_an_overload_asks_the_customer_to_wait_and_comes_back_by_itself() -> None:
    for error in (Overloaded(7), StoreUnavailable(1)):
        page = error_page(error)
        assert page.status == 503
        assert page.headers["Retry-After"] == str(error.retry_after_seconds)
        assert f'content="{max(3, error.retry_after_seconds)}"' in text(page)
        assert "لازم نیست دوباره پرداخت کنید" in text(page)


def test_what_nobody_foresaw_shows_nothing_of_itself() -> None:
    page = error_page(InternalError())
    assert page.status == 500
    assert "Traceback" not in text(page)


def test_an_unknown_link_is_not_found() -> None:
    assert error_page(NotFound("payment")).status == 404


def test_polling_slows_down_and_never_stops() -> None:
    delays = [pages.Refresh.after(again).seconds for again in (0, 4, 9, 10, 99)]
    assert delays == [3, 5, 30, 30, 30]
    assert pages.Refresh.after(99).query == "?again=10"
