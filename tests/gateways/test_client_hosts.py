"""Public clients whose shop puts Dargah's URL in the place of the gateway's host, as docs/drop-in.md says for each.

Plain HTTP on loopback, under a path, and no front: what a shop's developer tries first.
"""

from pathlib import Path

import pytest

from gateways.drop_in_shops import CREDENTIAL, PLUGINS, Plugin, PublicShop
from gateways.drop_in_stories import Trade, paid, stand_of
from gateways.public_clients import driven
from proxy.merchants.merchant import Mode, Scope

MOVED = [plugin for plugin in PLUGINS if plugin.protocol in CREDENTIAL]


@pytest.mark.parametrize("plugin", MOVED, ids=str)
async def test_a_client_is_paid_at_the_host_that_its_shop_names(tmp_path: Path, plugin: Plugin) -> None:
    async with stand_of(tmp_path, "zibal") as stand:
        [dargah] = stand.dargahs
        facade = frozenset({Scope.FACADE})
        _, token = await dargah.services.setup.issue_token(
            stand.merchant_id, "main", Mode.LIVE, facade, stand.terminal_id, protocol=plugin.protocol, actor="test"
        )
        base = f"{dargah.url}/pay"
        given = {CREDENTIAL[plugin.protocol]: token, "base": base}
        async with driven(plugin.runtime, plugin.program, plugin.name, plugin.protocol, stand.front, given) as program:
            trade = Trade(stand, plugin, "main", token, PublicShop(program))
            _, there = await trade.order()
            assert there["url"].startswith(f"{base}/"), there
            await paid(trade)
