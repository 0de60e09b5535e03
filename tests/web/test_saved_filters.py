"""Saved filters of the console's lists over real HTTP, on both stores."""

import asyncio
import re
from dataclasses import replace
from html import unescape

import pytest

from proxy.operators.saved_filters import MAX_NAME_CHARS, MAX_OWN, MAX_QUERY_CHARS, MAX_SHARED
from web.clients import Browser, operator, portal, words
from web.lab import Answer, Lab
from web.test_console_sessions import again, hired


async def keep(browser: Browser, name: str, query: str, of: str = "payments", **more: str) -> Answer:
    await browser.get("/console/filters")
    return await browser.post("/console/filters?lang=en", {"list": of, "name": name, "query": query, **more})


async def chips(browser: Browser, path: str = "/console/payments") -> dict[str, str]:
    """The saved filters on a list's page: where each leads, by its name."""
    page = await browser.get(f"{path}{'&' if '?' in path else '?'}lang=en")
    assert page.status in {200, 422}, page.text
    found = re.findall(r'<a class="chip" href="([^"]+)"[^>]*>(.*?)</a>', page.text)
    return {" ".join(re.sub("<[^>]+>", " ", said).split()): unescape(href) for href, said in found}


async def test_a_filter_is_kept_by_a_name_opened_and_followed_by_whoever_kept_it(lab: Lab) -> None:
    sara, ali = await hired(lab, "sara", "read"), await hired(lab, "ali", "owner")
    first, second = await lab.created(order_id="A-1"), await lab.created(order_id="A-2")
    answer = await keep(sara, "  open \u00a0 ones ", "order=A-1&status=pending&range=today&before=x&nonsense=1")
    assert answer.status == 303, answer.text
    opened = await sara.get(answer.location + "&lang=en")
    assert "The filter is saved." in words(opened)
    assert first["id"] in opened.text
    assert second["id"] not in opened.text
    assert re.search(r'class="chip"[^>]*aria-current="page"><bdi>open ones', opened.text)
    query = "status=pending&range=today&order=A-1"
    assert await chips(sara) == {"open ones": f"/console/payments?{query}"}
    assert await chips(await again(lab, sara)) == {"open ones": f"/console/payments?{query}"}
    assert await chips(ali) == {}
    assert await chips(sara, "/console/deliveries") == {}
    entries = await lab.dargah.services.store.audit.list_audit("installation", None, 50)
    assert [each.action for each in entries if each.action.startswith("filter.")] == [], "one's own is nobody's matter"


async def test_deliveries_and_attempts_have_theirs_and_a_name_may_be_the_same(lab: Lab) -> None:
    browser = await operator(lab, "read")
    for of, query in (("payments", "status=paid"), ("deliveries", "status=failed"), ("attempts", "outcome=failed")):
        answer = await keep(browser, "bad ones", query, of)
        assert (answer.status, answer.location) == (303, f"/console/{of}?{query}&said=filter_saved")
        assert await chips(browser, f"/console/{of}") == {"bad ones": f"/console/{of}?{query}"}
    page = await browser.get("/console/filters?lang=en")
    assert words(page).count("bad ones") == 3


async def test_another_filter_by_the_same_name_takes_its_place_once_it_was_asked(lab: Lab) -> None:
    browser = await operator(lab, "operate")
    await keep(browser, "mine", "status=paid")
    assert (await keep(browser, "mine", "status=paid")).status == 303, "the same again says nothing new"
    asked = await keep(browser, " mine", "status=expired")
    assert (asked.status, "Replace the filter?" in words(asked)) == (200, True)
    assert await chips(browser) == {"mine": "/console/payments?status=paid"}
    done = await browser.confirmed(
        "/console/filters", {"list": "payments", "name": "mine", "query": "status=expired", "shared": "on"}
    )
    assert done.status == 303, done.text
    assert await chips(browser) == {"mine for everyone": "/console/payments?status=expired"}
    one, other = await asyncio.gather(*(browser.confirmed("/console/filters", form) for form in _two_at_once()))
    assert {one.status, other.status} <= {200, 303}
    assert len(await chips(browser)) == 2


def _two_at_once() -> list[dict[str, str]]:
    return [{"list": "payments", "name": "new", "query": f"status={status}"} for status in ("paid", "failed")]


async def test_a_shared_filter_is_on_everyones_page_and_in_the_audit_log(lab: Lab) -> None:
    sara, ali, owner = await hired(lab, "sara", "operate"), await hired(lab, "ali", "read"), await operator(lab)
    refused = await keep(ali, "for you", "status=paid", shared="on")
    assert (refused.status, "operate" in words(refused)) == (403, True)
    assert "For all operators" not in words(await ali.get("/console/payments?status=paid&lang=en"))
    assert (await keep(sara, "reviews", "status=needs_review", shared="on")).status == 303
    assert await chips(ali) == {"reviews sara": "/console/payments?status=needs_review"}
    shown = await ali.get("/console/filters?lang=en")
    assert "/delete" not in shown.text
    [place] = re.findall(r"/filters/flt_\w+/delete", (await sara.get("/console/filters")).text)
    assert [(await each.get(f"/console{place}")).status for each in (ali, sara, owner)] == [403, 200, 200]
    assert (await ali.confirmed(f"/console{place}")).status == 403
    unasked = await owner.post(f"/console{place}?lang=en")
    assert (unasked.status, "leaves the pages of all operators" in words(unasked)) == (200, True)
    assert (await owner.confirmed(f"/console{place}")).location == "/console/filters?said=filter_deleted"
    assert await chips(sara) == {}
    assert (await sara.confirmed(f"/console{place}")).status == 404
    entries = await lab.dargah.services.store.audit.list_audit("installation", None, 50)
    told = [(each.actor, each.action) for each in entries if each.action.startswith("filter.")]
    assert sorted(told) == [("admin", "filter.withdraw"), ("sara", "filter.share")]
    assert {each.data["query"] for each in entries if each.action.startswith("filter.")} == {"status=needs_review"}


async def test_a_filter_that_is_for_everyone_no_longer_leaves_their_pages(lab: Lab) -> None:
    sara, ali = await hired(lab, "sara", "operate"), await hired(lab, "ali", "read")
    await keep(sara, "paid", "status=paid", shared="on")
    asked = await keep(sara, "paid", "status=paid")
    assert "It is no longer for everyone." in words(asked)
    form = {"list": "payments", "name": "paid", "query": "status=paid"}
    assert (await sara.confirmed("/console/filters", form)).status == 303
    assert (await chips(sara), await chips(ali)) == ({"paid": "/console/payments?status=paid"}, {})


async def test_anothers_own_filter_is_as_if_it_were_not_there(lab: Lab) -> None:
    sara, owner = await hired(lab, "sara", "read"), await operator(lab)
    await keep(sara, "mine", "status=paid")
    [place] = re.findall(r"/filters/flt_\w+/delete", (await sara.get("/console/filters")).text)
    assert (await owner.get(f"/console{place}")).status == 404
    assert (await owner.post(f"/console{place}")).status == 404
    assert "mine" not in words(await owner.get("/console/filters?lang=en"))
    assert (await (await portal(lab)).get("/portal/filters")).status == 404
    assert "filter-name" not in (await (await portal(lab)).get("/portal/payments?status=paid")).text


@pytest.mark.parametrize(
    ("name", "query", "of"),
    [
        ("x", "", "payments"),
        ("x", "nonsense=1", "payments"),
        ("x", "range=tomorrow", "payments"),
        ("x", "from=yesterday", "payments"),
        ("x", "status=none", "deliveries"),
        ("x", "http=7", "attempts"),
        ("x", "status=paid", "merchants"),
        ("x", "status=paid&" * 80, "payments"),
        ("x", f"order={'a' * MAX_QUERY_CHARS}&storefront=%20", "payments"),
        ("", "status=paid", "payments"),
        (" \u200c ", "status=paid", "payments"),
        ("a\u202eb", "status=paid", "payments"),
        ("x" * (MAX_NAME_CHARS + 1), "status=paid", "payments"),
    ],
)
async def test_what_is_no_filter_and_no_name_is_refused(lab: Lab, name: str, query: str, of: str) -> None:
    browser = await operator(lab, "operate")
    answer = await keep(browser, name, query, of)
    if query.startswith("order="):  # a field is cut to what it may have
        assert answer.status == 303
        return
    assert answer.status == 422, answer.text
    assert await chips(browser) == {}


async def test_a_saved_filter_is_read_anew_whenever_it_is_opened(lab: Lab) -> None:
    """What was right once, and what somebody wrote into the database, is told of as any wrong query is."""
    browser = await operator(lab)
    await keep(browser, "old family", "gateway=zibal")
    kept = (await lab.dargah.services.store.saved_filters.seen_by("admin"))[0]
    await lab.dargah.services.store.saved_filters.save(replace(kept, query='gateway=gone&x="><i>'), None)
    [href] = (await chips(browser)).values()
    page = await browser.get(f"{href}&lang=en")
    assert "A part of this filter cannot be read, and is left out: gateway=gone" in " ".join(words(page).split())
    assert '"><i>' not in page.text


async def test_there_is_an_end_to_filters(lab: Lab) -> None:
    sara, ali = await hired(lab, "sara", "operate"), await hired(lab, "ali", "operate")
    for number in range(MAX_OWN):
        assert (await keep(sara, f"n{number}", "status=paid", shared="on")).status == 303
    full = await keep(sara, "one more", "status=paid")
    assert (full.status, "delete one first" in words(full)) == (409, True)
    assert (await keep(sara, "n1", "status=paid", shared="on")).status == 303, "one that is there may be kept again"
    for number in range(MAX_SHARED - MAX_OWN):
        await keep(ali, f"n{number}", "status=paid", shared="on")
    mina = await hired(lab, "mina", "operate")
    assert (await keep(mina, "mine", "status=paid", shared="on")).status == 409
    assert (await keep(mina, "mine", "status=paid")).status == 303
    page = await mina.get("/console/payments?lang=en")
    assert page.text.count('class="chip"') == 20
    assert "All filters (101)" in " ".join(words(page).split())
    assert next(iter(await chips(mina))) == "mine", "one's own first"
