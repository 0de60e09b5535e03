"""Dargah as a gateway of Dargah, in each protocol that both sides speak: a shop, two Dargahs, and a bank."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.dargah import UNLIMITED, running_by, settings
from web.lab import lab_in

from gateways.conftest import counter_at
from gateways.drop_in_shops import CREDENTIAL, ORIGIN, Plugin
from gateways.drop_in_stories import STORIES, Browser, Stand, Trade, tell
from gateways.public_clients import front_of
from gateways.test_matrix import SHORT
from proxy.api.drop_in import calls
from proxy.app import Dargah
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import MINUTE
from proxy.merchants.merchant import Mode, Scope
from proxy.payments.payment import Payment, Status
from proxy.payments.search import PaymentFilter

# The books are read of one Dargah, and the bank behind the second one reverses nothing that is paid.
PLAYED = [name for name in STORIES if name not in {"books", "reversed"}]


async def payments_of(dargah: Dargah, merchant_id: str) -> Sequence[Payment]:
    """Of one merchant, oldest first."""
    listed = await dargah.services.store.payments.list_payments(merchant_id, PaymentFilter(limit=100))
    return [*reversed(listed.payments)]


@asynccontextmanager
async def two_dargahs(folder: Path, protocol: str, family: str) -> AsyncIterator[tuple[Stand, Dargah]]:
    """A stand whose Dargah has another as its gateway by the protocol, and that other, before a bank of the family."""
    options = {**UNLIMITED, "log_level": "error"}
    for name in ("outer", "inner"):
        (folder / name).mkdir()
    clock = ManualClock(step=1)
    async with AsyncExitStack() as stack:
        inner = await stack.enter_async_context(lab_in(folder / "inner", clock, **options))
        counter = await counter_at(inner, FAMILIES[family])
        outer = await stack.enter_async_context(running_by(clock, settings(folder / "outer", **options)))
        await inner.dargah.services.setup.change_merchant(inner.merchant_id, return_origins=[outer.url], actor="test")
        facade = frozenset({Scope.FACADE})
        _, token = await inner.dargah.services.setup.issue_token(
            inner.merchant_id, "outer", Mode.LIVE, facade, counter.terminal_id, protocol=protocol, actor="test"
        )
        merchant, _ = await outer.services.setup.create_merchant("فروشگاه", [ORIGIN], actor="test")
        terminal = await outer.services.setup.add_terminal(
            merchant.id,
            "inner",
            inner.dargah.url,
            None,
            mode=Mode.LIVE,
            gateway=protocol,
            credentials={CREDENTIAL.get(protocol, "api_key"): token},
            actor="test",
        )
        front = await stack.enter_async_context(front_of(outer.url, folder))
        browser = Browser(front, inner.session)
        yield Stand(counter, (outer,), merchant.id, terminal.id, front, browser), inner.dargah


@pytest.fixture(params=SHORT, ids=str)
async def trade(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Trade]:
    monkeypatch.setattr(calls, "UNDER_WAY_SECONDS", 0.3)
    behind = two_dargahs(tmp_path, request.param.protocol, "zibal")
    async with behind as (stand, _), stand.trade_of(request.param) as made:
        yield made


async def test_two_dargahs_are_as_one_to_a_shop(trade: Trade) -> None:
    told = {name: await tell(trade, STORIES[name]) for name in PLAYED}
    assert not {name: text for name, text in told.items() if text}


@pytest.mark.parametrize("plugin", SHORT, ids=str)
async def test_what_both_confirm_in_time_is_verified_once_by_each(tmp_path: Path, plugin: Plugin) -> None:
    """The customer pays and closes the browser, and no shop asks: both Dargahs find the money by themselves."""
    async with two_dargahs(tmp_path, plugin.protocol, "zibal") as (stand, inner), stand.trade_of(plugin) as trade:
        [outer] = stand.dargahs
        number, there = await trade.order()
        await stand.customers.presses(there, "pay")

        for dargah in (inner, outer, inner, outer):
            stand.lab.clock.forward(MINUTE)
            await dargah.poller.step()
            await dargah.poller.tasks.drain()
        [ours], [theirs] = await payments_of(outer, stand.merchant_id), await payments_of(inner, stand.lab.merchant_id)
        assert (ours.status, theirs.status) == (Status.PAID, Status.PAID)
        stores = [dargah.services.store.payments for dargah in (outer, inner)]
        verified = [await stores[0].is_verified(ours), await stores[1].is_verified(theirs)]
        assert verified == [False, plugin.protocol != "invoice_script"]
        assert await trade.settles(number) == ("paid", "again")
        assert await stores[0].is_verified(ours) is (plugin.protocol != "invoice_script")
        invoice = await stand.counter.invoice({"pay_url": f"/pay/{theirs.link}"})
        assert (invoice["state"], theirs.bank_code) == ("captured", invoice["bank_code"])
        assert ours.amount_rials == theirs.amount_rials == invoice["amount_rials"]
