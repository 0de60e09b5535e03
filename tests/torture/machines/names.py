"""A whole Dargah whose name server takes one to three seconds for each answer, as a part of the machines' campaign.

Gateway and receivers are known by names. The name server is one on loopback, asked by the resolver that Dargah has
anyway. It is quick for a while, so that the resolver learns short times, then slow; each time Dargah is killed in the
middle, because a new process has no connection and no answer kept.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Final
from unittest.mock import patch

import aiohttp
from adapters.servers import NameServer
from support.process import Process

from .. import sigkill
from ..sigkill.audit import Told, first_create
from ..sigkill.load import Load
from ..sigkill.stage import Stage

ROUNDS: Final = 4
RATE: Final = 10.0
CALM_SECONDS: Final = 3.0
SLOW_SECONDS: Final = 12.0
LEAST_SECONDS, MORE_SECONDS = 1.0, 2.0
# A call's own time and its look-up's.
TIMEOUTS: Final = {"DARGAH_REQUEST_TIMEOUT_SECONDS": "6", "DARGAH_CHECK_TIMEOUT_SECONDS": "6"}
_ASKED: Final = """
import functools
import aiohttp

aiohttp.AsyncResolver = functools.partial(aiohttp.AsyncResolver, nameservers=["127.0.0.1"], udp_port={port})
"""


async def campaign(folder: Path, seed: int, *, short: bool) -> Told:
    """Rounds of a slow name server under load."""
    told = Told()
    async with NameServer(random=Random(f"{seed}|names")) as names:

        def make(place: Path, **more: str) -> Process:
            process = Process(place, **(more | TIMEOUTS))
            process.customize(_ASKED.format(port=names.port))
            return process

        async def disturb(made: Stage, load: Load, plan: sigkill.Plan) -> Counter[str]:
            assert isinstance(made.process, Process)
            await made.process.start()
            for _ in range(1 if short else ROUNDS):
                await _slow_round(made.process, load, names, told, CALM_SECONDS if short else SLOW_SECONDS)
            return Counter({"queries of names": len(names.asked)})

        plan = sigkill.Plan(seed, 0, rate=RATE, make=make, disturb=disturb, named=_named)
        with _asked_here(names.port):
            told.findings = await sigkill.campaign(folder, plan)
    return told


async def _slow_round(process: Process, load: Load, names: NameServer, told: Told, slow_seconds: float) -> None:
    await asyncio.sleep(CALM_SECONDS)
    names.seconds, names.spread = LEAST_SECONDS, MORE_SECONDS
    began = time.monotonic()
    told.recoveries["name server slow"].append(await first_create(load, began))
    await asyncio.sleep(slow_seconds)
    killed = time.monotonic()
    await process.kill()
    await process.start()
    told.recoveries["process killed while the name server is slow"].append(await first_create(load, killed))
    await asyncio.sleep(slow_seconds)
    names.seconds = names.spread = 0.0


def _named(url: str) -> str:
    return url.replace("127.0.0.1", "shop-and-gateway.example")


@contextmanager
def _asked_here(port: int) -> Iterator[None]:
    """The Dargahs of this process, which open the shops and come to rest, ask the same name server."""
    asking = partial(aiohttp.AsyncResolver, nameservers=["127.0.0.1"], udp_port=port)
    with patch.object(aiohttp, "AsyncResolver", asking):
        yield
