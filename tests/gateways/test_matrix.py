"""The short form of the matrix (matrix.py): a client of each protocol before every family, through all stories."""

import asyncio
from pathlib import Path

import pytest

from gateways.drop_in_shops import PLUGINS, verdict_of, verify_call
from gateways.drop_in_stories import AMOUNT, STORIES, stand_of, tell
from proxy.api.drop_in import calls
from proxy.gateways.registry import FAMILIES

# The script's last: where its language is missing, the others were held.
SHORT = [plugin for plugin in reversed(PLUGINS) if plugin.name in ("irgateway", "PHP, sends form, reads query")]


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_shop_is_credited_once_for_each_paid_order_and_for_nothing_else(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A verify waits for a call that may be under way, also for one whose answer was lost.
    monkeypatch.setattr(calls, "UNDER_WAY_SECONDS", 0.3)
    assert {plugin.protocol for plugin in SHORT} == {"invoice_script", "zarinpal", "zibal"}
    async with stand_of(tmp_path, family) as stand:
        for plugin in SHORT:
            async with stand.trade_of(plugin) as trade:
                told = {name: await tell(trade, story) for name, story in STORIES.items()}
            assert not {name: text for name, text in told.items() if text}, plugin


async def test_a_verify_waits_for_one_that_is_under_way(tmp_path: Path) -> None:
    [plugin] = [plugin for plugin in SHORT if plugin.protocol == "zarinpal"]
    async with stand_of(tmp_path, "zarinpal") as stand, stand.trade_of(plugin) as trade:
        _, there = await trade.order()
        await stand.customers.presses(there, "pay")
        await stand.lab.fault("confirm", "delay", seconds=0.5, times=1)
        path, fields = verify_call("zarinpal", trade.token, there["reference"], AMOUNT, toman=False)

        async def verdict() -> str:
            async with stand.lab.session.post(stand.dargahs[0].url + path, json=fields) as answer:
                return verdict_of("zarinpal", await answer.json())

        assert sorted(await asyncio.gather(verdict(), verdict())) == ["again", "paid"]
