"""`dargah certify` plays its stories at shops over real HTTP: the right one passes, and each fault is found."""

import os
import re
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from certification import shops
from certification.shops import SECRET, RightShop, opened
from proxy.kernel.ids import Ids
from proxy.merchants.merchant import Mode
from proxy.operations.certification.message import Keys
from proxy.operations.certification.orders import CertificationStopped, OrderBook, ShopOrder, ShopQuestion, StateReader
from proxy.operations.certification.player import CertifiedShop, Patience, StoryPlayer
from proxy.operations.certification.rules import Ruling, StoryOutcome, rule
from proxy.operations.certification.stories import stories
from proxy.webhooks.request import private_key, public_key

FAST = Patience(silence=0.01, settle=0.0)


async def certified(
    url: str,
    *,
    keys: Sequence[str] = (SECRET,),
    mode: Mode = Mode.LIVE,
    named: Sequence[ShopOrder] = (),
    new_orders: bool = True,
    told: bool = True,
    paid_when: tuple[str | None, str] = ("paid", "true"),
    patience: Patience = FAST,
) -> dict[str, Ruling]:
    made = ShopQuestion("--new-order", f"{url}/orders?rials={{amount_rials}}", "POST")
    book = OrderBook(list(named), made if new_orders else None, 150_000, "x")
    state = StateReader(
        ShopQuestion("--order-state", f"{url}/orders/{{order_id}}"), paid_when[0], [paid_when[1]], "credits", False
    )
    shop = CertifiedShop(f"{url}/hook", Keys.of(tuple(keys), os.urandom), mode, "main", book, state if told else None)
    chosen = stories(mode, public_key=bool(shop.keys.public_key_alone))
    played = await StoryPlayer(shop, Ids(os.urandom), patience=patience).play(chosen)
    return {ruling.story.name: ruling for ruling in rule(chosen, played)}


def of(rulings: dict[str, Ruling], outcome: StoryOutcome) -> dict[str, str]:
    return {name: ruling.why for name, ruling in rulings.items() if ruling.outcome is outcome}


async def test_the_right_shop_passes_every_story() -> None:
    async with opened(RightShop()) as url:
        rulings = await certified(url)
    assert of(rulings, StoryOutcome.FAILED) == of(rulings, StoryOutcome.UNCLEAR) == {}
    assert len(rulings) > 30


FORGERIES = {
    "no_signature",
    "wrong_signature",
    "other_secret",
    "other_version",
    "altered_body",
    "written_anew",
}
WRONG: list[tuple[type[RightShop], set[str]]] = [
    (shops.ChecksNoSignature, FORGERIES),
    (shops.ChecksPresence, FORGERIES - {"no_signature"}),
    (shops.ChecksParsedBody, {"written_anew", "other_serialiser"}),
    (shops.ComparesFirstSignature, {"several_signatures"}),
    (shops.TakesAnyV1a, {"other_version"}),
    (shops.ChecksNoTime, {"old_timestamp", "future_timestamp", "year_old_recording"}),
    (shops.ChecksOnlyAge, {"future_timestamp"}),
    (shops.JudgesAgeByBody, {"year_old_event"}),
    (shops.CreditsTwice, {"same_twice", "retry", "at_once", "year_old_event"}),
    (shops.KnowsRepeatsByTime, {"retry"}),
    (shops.LooksThenWrites, {"at_once"}),
    (shops.RefusesRepeats, {"same_twice", "retry", "year_old_event"}),
    (shops.ComparesNoAmount, {"a_toman_less", "ten_times", "a_tenth"}),
    (shops.TakesMore, {"ten_times"}),
    (shops.MixesUnits, {"ten_times"}),
    (shops.RoundsToToman, {"a_toman_less"}),
    (shops.ReadsCurrency, {"rials"}),
    (shops.IgnoresMode, {"other_mode", "test_event"}),
    (shops.IgnoresTestEvents, {"test_event"}),
    (shops.IgnoresStorefront, {"other_storefront"}),
    (shops.CreditsReviews, {"needs_review"}),
    (shops.CreditsAllButCanceled, {"needs_review", "given_back", "other_types", "unknown_type"}),
    (shops.RefusesUnknownTypes, {"unknown_type"}),
    (shops.ReadsOrderOfEveryEvent, {"other_types", "stalled"}),
    (shops.RefusesUnknownFields, {"unknown_fields"}),
    (shops.FailsOnUnknownOrders, {"unknown_order"}),
    (shops.LateCanceledWins, {"late_canceled", "late_expired", "other_link_canceled"}),
    (shops.KeepsNoPayments, {"other_link_canceled"}),
    (shops.IgnoresLatePaid, {"paid_after_expired", "paid_after_canceled"}),
    (shops.AsciiOnly, {"persian", "other_serialiser", "big"}),
    (shops.SmallBodies, {"big"}),
    (shops.CreditsBeforeItVerifies, FORGERIES | {"old_timestamp", "future_timestamp", "year_old_recording"}),
    (shops.AnswersForgeries, FORGERIES | {"old_timestamp", "future_timestamp", "year_old_recording"}),
]


@pytest.mark.parametrize(("wrong", "stories_that_fail"), WRONG, ids=[wrong.__name__ for wrong, _ in WRONG])
async def test_a_wrong_shop_fails_the_stories_of_its_fault_and_no_others(
    wrong: type[RightShop], stories_that_fail: set[str]
) -> None:
    async with opened(wrong()) as url:
        rulings = await certified(url)
    assert set(of(rulings, StoryOutcome.FAILED)) == stories_that_fail
    assert of(rulings, StoryOutcome.UNCLEAR) == {}


async def test_a_shop_that_credits_after_its_answer_passes_when_it_is_given_time() -> None:
    async with opened(shops.CreditsLater()) as url:
        rulings = await certified(url, patience=Patience(silence=0.01, settle=20))
    assert of(rulings, StoryOutcome.FAILED) == {}


async def test_a_shop_that_credits_a_forgery_after_its_answer_is_found_at_the_end() -> None:
    class Both(shops.CreditsLater, shops.ComparesNoAmount):
        pass

    async with opened(Both()) as url:
        rulings = await certified(url, patience=Patience(silence=0.01, settle=20))
    assert set(of(rulings, StoryOutcome.FAILED)) == {"a_toman_less", "ten_times", "a_tenth"}


async def test_a_server_of_one_connection_at_a_time_is_found_by_silence() -> None:
    async with opened(shops.OneAtATime()) as url:
        rulings = await certified(url, patience=Patience(answer=2, silence=0.01, settle=0))
    assert of(rulings, StoryOutcome.FAILED) == {
        "stalled": "no answer (timeout); no answer in the time that Dargah waits"
    }


@pytest.mark.parametrize(
    ("shop", "failed"),
    [
        (shops.TakesNothing(), "answered 401; look at the secret, at the raw body and at the server's clock"),
        (shops.CreditsNothing(), "answered 204; the order is not paid"),
    ],
)
async def test_nothing_is_proved_by_refusals_of_a_shop_that_does_not_take_the_right_event(
    shop: RightShop, failed: str
) -> None:
    async with opened(shop) as url:
        rulings = await certified(url)
    assert of(rulings, StoryOutcome.FAILED) == {"right": failed}
    passed = of(rulings, StoryOutcome.PASSED)
    judged_by_answers = FORGERIES | {"old_timestamp", "future_timestamp", "year_old_recording"}
    assert passed.keys() - {"get", "in_time"} == (judged_by_answers if failed.endswith("paid") else set())
    assert "the right event is not credited either" in rulings["ten_times"].why


async def test_a_redirect_is_told_with_its_target() -> None:
    async with opened(shops.Redirects()) as url:
        rulings = await certified(url)
    assert rulings["right"].outcome is StoryOutcome.FAILED
    assert rulings["right"].why == (
        "answered 308 to https://shop.example.ir/hook; Dargah follows no redirect: register the address where it ends"
    )


async def test_an_address_where_nobody_listens_ends_after_the_first_story() -> None:
    async with opened(RightShop()) as url:
        pass
    rulings = await certified(url, new_orders=False, told=False)
    assert of(rulings, StoryOutcome.FAILED) == {"right": "no answer (refused); nothing listens there"}
    assert len(of(rulings, StoryOutcome.UNCLEAR)) == len(rulings) - 1


async def test_without_orders_and_their_state_the_answers_alone_are_judged() -> None:
    async with opened(RightShop()) as url:
        rulings = await certified(url, new_orders=False, told=False)
    assert of(rulings, StoryOutcome.FAILED) == {}
    assert of(rulings, StoryOutcome.PASSED).keys() >= FORGERIES
    assert {"right", "ten_times", "same_twice"} <= of(rulings, StoryOutcome.UNCLEAR).keys()
    async with opened(shops.ChecksPresence()) as url:
        rulings = await certified(url, new_orders=False, told=False)
    assert set(of(rulings, StoryOutcome.FAILED)) == FORGERIES - {"no_signature"}


async def test_a_shop_that_refuses_orders_that_it_does_not_know_is_not_blamed_for_one_that_was_made_up() -> None:
    class RefusesUnknownOrders(RightShop):
        async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
            if event["data"].get("order_id") not in self.orders:
                return web.Response(status=404)
            return await super().take(event_id, event)

    async with opened(RefusesUnknownOrders()) as url:
        rulings = await certified(url, new_orders=False, told=False)
        assert rulings["right"].outcome is StoryOutcome.UNCLEAR
        assert "made up" in rulings["right"].why
        assert rulings["wrong_signature"].outcome is StoryOutcome.UNCLEAR


@pytest.mark.parametrize("shop", [shops.TakesNothing(), shops.Redirects()])
async def test_a_refusal_that_is_not_about_the_order_is_one_of_a_made_up_order_too(shop: RightShop) -> None:
    async with opened(shop) as url:
        rulings = await certified(url, new_orders=False, told=False)
    assert of(rulings, StoryOutcome.FAILED).keys() == {"right"}


async def test_few_prepared_orders_go_to_the_right_event_and_to_all_that_credit_nothing() -> None:
    shop = RightShop(orders={number: shops.OrderRow(150_000) for number in ("1", "2", "3")})
    async with opened(shop) as url:
        rulings = await certified(url, named=[ShopOrder(number, 150_000) for number in shop.orders])
    assert of(rulings, StoryOutcome.FAILED) == {}
    assert {"right", "rials", "ten_times", *FORGERIES} <= of(rulings, StoryOutcome.PASSED).keys()
    assert "--order" in rulings["persian"].why
    assert [row.credits for row in shop.orders.values()] == [1, 0, 1]


async def test_a_state_that_says_paid_and_not_how_often_does_not_prove_that_it_was_once() -> None:
    async with opened(RightShop()) as url:
        rulings = await certified(url, paid_when=("state", "paid"))
        assert of(rulings, StoryOutcome.UNCLEAR) == {}

    class SaysLittle(shops.CreditsTwice):
        async def order_state(self, request: web.Request) -> web.Response:
            return web.Response(text=f"{self.orders[request.match_info['id']].state}\n")

    async with opened(SaysLittle()) as url:
        rulings = await certified(url, paid_when=(None, "paid"))
    assert of(rulings, StoryOutcome.FAILED) == {}
    assert set(of(rulings, StoryOutcome.UNCLEAR)) == {"same_twice", "retry", "at_once", "year_old_event"}


async def test_a_shop_that_verifies_v1a_alone_is_certified_with_a_private_key() -> None:
    key = private_key(bytes(range(32)))
    async with opened(RightShop(secret="", public_key=public_key(key))) as url:
        rulings = await certified(url, keys=[key])
    assert of(rulings, StoryOutcome.FAILED) == of(rulings, StoryOutcome.UNCLEAR) == {}
    assert rulings["v1a_alone"].outcome is StoryOutcome.PASSED
    async with opened(RightShop()) as url:
        rulings = await certified(url, keys=[SECRET, key])
    assert set(of(rulings, StoryOutcome.FAILED)) == {"v1a_alone"}


async def test_a_shop_in_test_mode_is_certified_as_one() -> None:
    async with opened(RightShop(mode="test")) as url:
        rulings = await certified(url, mode=Mode.TEST)
    assert of(rulings, StoryOutcome.FAILED) == of(rulings, StoryOutcome.UNCLEAR) == {}
    async with opened(shops.IgnoresMode(mode="test")) as url:
        rulings = await certified(url, mode=Mode.TEST)
    assert set(of(rulings, StoryOutcome.FAILED)) == {"other_mode"}


@pytest.mark.parametrize(
    ("paid_when", "sentence"),
    [
        (
            ("status", "paid"),
            "--paid-when status=VALUE: an order's state has nothing at status; it has credits, paid, state",
        ),
        (("paid", "false"), "order 17 is paid before anything was sent"),
    ],
)
async def test_a_state_that_cannot_be_read_so_stops_before_anything_is_sent(
    paid_when: tuple[str, str], sentence: str
) -> None:
    shop = RightShop()
    async with opened(shop) as url:
        with pytest.raises(CertificationStopped, match=re.escape(sentence)):
            await certified(url, paid_when=paid_when)
    assert shop.seen == set()


def test_each_story_says_what_to_do_and_where_it_is_explained() -> None:
    document = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")
    titles = re.findall(r"^#+ (.*)$", document, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    every = [*stories(Mode.LIVE, public_key=True), *stories(Mode.TEST, public_key=True)]
    assert {story.section for story in every} <= anchors
    assert all(story.remedy.endswith(".") for story in every)
    names = [story.name for story in stories(Mode.LIVE, public_key=True)]
    assert len(set(names)) == len(names)


async def test_a_shop_that_dies_in_the_middle_is_judged_by_what_was_seen() -> None:
    class DiesAtPersian(RightShop):
        dead = False

        async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
            self.dead = self.dead or not event["data"].get("description", "").isascii()
            return await self._unless_dead(super().take(event_id, event))

        async def new_order(self, request: web.Request) -> web.Response:
            return await self._unless_dead(super().new_order(request))

        async def order_state(self, request: web.Request) -> web.Response:
            return await self._unless_dead(super().order_state(request))

        async def _unless_dead(self, answer: Awaitable[web.Response]) -> web.Response:
            answered = await answer
            return web.Response(status=502) if self.dead else answered

    async with opened(DiesAtPersian()) as url:
        rulings = await certified(url)
    assert of(rulings, StoryOutcome.FAILED) == {"other_serialiser": "answered 502"}
    assert rulings["same_twice"].outcome is StoryOutcome.PASSED
    assert rulings["unknown_type"].why.startswith("--new-order answered 502, where 200 was expected")


@pytest.mark.parametrize("number", ['"many"', "1e400", '"1e999999"', "[]", '"NaN"'])
async def test_a_number_of_credits_that_is_none_is_told(number: str) -> None:
    async with opened(shops.Counts(count=number)) as url:
        with pytest.raises(CertificationStopped, match=r"is no number of credits|is no JSON"):
            await certified(url)


async def test_one_prepared_order_is_enough_to_judge_forgeries_by_the_answers() -> None:
    shop = shops.ChecksPresence(orders={"1": shops.OrderRow(150_000)})
    async with opened(shop) as url:
        rulings = await certified(url, named=[ShopOrder("1", 150_000)])
    assert set(of(rulings, StoryOutcome.FAILED)) == FORGERIES - {"no_signature"}
    assert {"right", "no_signature", "old_timestamp"} <= of(rulings, StoryOutcome.PASSED).keys()
    assert "--new-order (or --order)" in rulings["ten_times"].why


@pytest.mark.parametrize("amount", ["true", "0", "-150000", "1e5", '"150000"', "1" + "0" * 30])
async def test_a_new_order_of_no_amount_is_told(amount: str) -> None:
    async with opened(shops.NamesAmount(amount=amount)) as url:
        with pytest.raises(CertificationStopped, match=r"--new-order gave amount_rials|--new-order should give"):
            await certified(url)
