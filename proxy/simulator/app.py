"""Wires the simulator: ledger file, bank, faults, the script's paths and the control API, on one listener."""

import time
from collections.abc import Callable, Iterable
from random import Random, SystemRandom

from aiohttp import web

from proxy.simulator.bank import Bank
from proxy.simulator.chaos import Chaos
from proxy.simulator.control import Control
from proxy.simulator.faults import Faults
from proxy.simulator.gateway import Gateway
from proxy.simulator.journal import Journal
from proxy.simulator.ledger import Terminal
from proxy.simulator.protocol import MAX_BODY_BYTES, Protocol

GATEWAY = web.AppKey("gateway", Gateway)


def create_app(
    *,
    ledger: str = ":memory:",
    prefix: str = "",
    terminals: Iterable[Terminal] = (),
    chaos: Chaos | None = None,
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    randomness: Random | None = None,
    tell: Callable[[str], None] | None = None,
) -> web.Application:
    """The gateway at `{prefix}/invoice/…` and its control API at `/control/…`; `app[GATEWAY]` is the gateway itself.

    `tell` gets a line per call, with no api_key in it. `terminals` are created where the ledger does not have them
    yet. The control API has no authentication, so the listener belongs on loopback. Raises LedgerInUseError.
    """
    journal = Journal(ledger)
    known_terminals, known_invoices = journal.load()
    if randomness is None:
        # Chaos strikes by invoice_key, so a seed replays only when the keys do; a restart must not draw them again.
        randomness = Random(f"{chaos.seed}|{len(known_invoices)}") if chaos else SystemRandom()  # noqa: S311  # replayed
    bank = Bank(clock=clock, randomness=randomness, on_change=journal.note)
    bank.restore(known_terminals, known_invoices)
    for terminal in terminals:
        if terminal.api_key not in bank.terminals:
            bank.put_terminal(terminal)
    gateway = Gateway(bank, Faults(chaos))

    async def close(_: web.Application) -> None:
        await journal.close()

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[GATEWAY] = gateway
    app.on_cleanup.append(close)
    Protocol(gateway, journal, tell).add_routes(app.router, _clean_prefix(prefix))
    Control(gateway, journal).add_routes(app.router)
    return app


def _clean_prefix(prefix: str) -> str:
    return "/" + prefix.strip("/") if prefix.strip("/") else ""
