"""`dargah certify` at a server that a test runs."""

import json
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from support.command import Cli
from support.dargah import server

ORDERS = {str(number): 150_000 for number in range(1, 41)}
"""What the server's orders cost: open ones, an order for each story."""


async def passes_certification(url: str, secret: str, count_credits: Callable[[str], int], folder: Path) -> None:
    """Every story at the endpoint passes. `count_credits` tells how often the server has credited an order."""

    async def state(request: web.Request) -> web.Response:
        count = count_credits(request.match_info["id"])
        return web.json_response({"paid": count > 0, "credits": count})

    app = web.Application()
    app.router.add_get("/{id}", state)
    async with server(app) as states:
        ran = await Cli({"DARGAH_WEBHOOK_SECRET": secret}, folder).run(
            *("certify", url, *(f"--order={order_id}:{rials}" for order_id, rials in ORDERS.items())),
            *("--order-state", f"{states}/{{order_id}}", "--silence", "0.2", "--settle", "20", "--json"),
        )
    stories = json.loads(ran.out)["stories"]
    missed = {each["name"]: each["why"] for each in stories if each["outcome"] != "passed"}
    assert missed == {}, missed
    assert ran.code == 0
