"""PostgreSQL fails over, again and again, under three Dargahs that reach it in three ways.

One names both servers, one an address that moves, and one a PgBouncer in transaction mode behind TLS. The primary is
frozen, crashed, or made a standby while its connections live on; another one takes over, and the old one comes back as
a standby of that. Replication is synchronous, so nothing that was answered may be missing.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from adapters.servers import Authority
from databases.bouncer import Bouncer, bouncer
from databases.cluster import Postgres, Relay, folder_of_servers, relay
from databases.places import served
from support.dargah import server

from ..history_lines import Recorder
from .audit import Findings, Told, audit, audit_rows, check_by_api, come_to_rest, late_money_has_landed, recovered
from .fleet import Fleet, Replica
from .load import Load
from .stage import HISTORY, SETTINGS, Moments, Receiver, Stage, client, open_shops, simulator

ROUNDS: Final = 3
RATE, SHORT_RATE = 12.0, 6.0
CALM_SECONDS: Final = 3.0
# What a failover tool needs to be sure, and then until it has seen to it that the old one takes no writes.
DECIDE_SECONDS: Final = 2.0
FENCE_SECONDS: Final = 3.0
CHAOS_RATE: Final = 0.05
RECEIVER_FAULT_RATE: Final = 0.05
CALL_SECONDS: Final = 8.0
PUBLIC_URL: Final = "http://pay.shop.test"
KINDS: Final = ("frozen", "crashed", "made a standby")
WAYS: Final = ("both servers named", "an address that moves", "PgBouncer and TLS")
# As a server is, but for the journal's sync: no machine loses its power here.
SERVER: Final = ("max_connections=100", "wal_level=replica", "fsync=off")
_SYNCHRONOUS: Final = "ALTER SYSTEM SET synchronous_standby_names = '*'"


@dataclass(slots=True)
class Pair:
    """The server that writes and the one that follows it; `address` is where the first one is reached."""

    primary: Postgres
    standby: Postgres
    address: Relay
    _fencing: asyncio.Task[None] | None = field(default=None, init=False)
    _free_port: int = field(default=0, init=False)

    async def fail_over(self, kind: str) -> None:
        """Returns when the other server takes writes and the address leads to it."""
        old, new = self.primary, self.standby
        if kind == "frozen":
            old.freeze()
        elif kind == "crashed":
            old.crash()
        else:
            await old.sql("ALTER SYSTEM SET default_transaction_read_only = on")
            await old.sql("SELECT pg_reload_conf()")
        await asyncio.sleep(DECIDE_SECONDS)
        await new.sql("ALTER SYSTEM RESET synchronous_standby_names")
        await new.sql("SELECT pg_reload_conf()")
        await new.promote()
        self.address.target = new.port
        self.primary = new
        self._fencing = asyncio.create_task(self._fence(old))

    async def whole(self) -> None:
        """The old server follows the new one, and whatever is answered is at both."""
        assert self._fencing is not None, "it failed over"
        await self._fencing
        self.standby = await self.primary.standby(*SERVER, port=self._free_port)
        await self.primary.sql(_SYNCHRONOUS)
        await self.primary.sql("SELECT pg_reload_conf()")

    async def stop(self) -> None:
        if self._fencing is not None:
            await self._fencing
        for each in {id(one): one for one in (self.primary, self.standby)}.values():
            await each.stop()

    async def _fence(self, old: Postgres) -> None:
        await asyncio.sleep(FENCE_SECONDS)
        self._free_port = old.port
        # A frozen server that is told to stop wakes up first, and may answer a read that has waited for it.
        old.crash()
        await old.stop()


@asynccontextmanager
async def pair_of_servers() -> AsyncIterator[Pair]:
    async with folder_of_servers() as first:
        first.settings = SERVER
        await first.make()
        await first.start()
        async with relay(first.port) as address:
            made = Pair(first, await first.standby(*SERVER), address)
            try:
                await first.sql(_SYNCHRONOUS)
                await first.sql("SELECT pg_reload_conf()")
                yield made
            finally:
                await made.stop()


def both(pair: Pair) -> str:
    hosts = f"127.0.0.1:{pair.primary.port},127.0.0.1:{pair.standby.port}"
    return f"postgresql://dargah@{hosts}/postgres?target_session_attrs=read-write&sslmode=disable"


@asynccontextmanager
async def encrypted_bouncer(folder: Path, address: Relay) -> AsyncIterator[tuple[Bouncer, str]]:
    """It, and the URL by which it is believed to be itself."""
    authority = Authority(folder, "own-authority")
    authority.server()
    files = {"server.pem": (folder / "own-authority-1.pem").read_bytes(), "ca.pem": authority.file.read_bytes()}
    async with bouncer(
        f"host=127.0.0.1 port={address.port}",
        files=files,
        client_tls_sslmode="require",
        client_tls_key_file="{folder}/server.pem",
        client_tls_cert_file="{folder}/server.pem",
        client_tls_ca_file="{folder}/ca.pem",
        default_pool_size=10,
        server_login_retry=1,
        server_connect_timeout=3,
        query_wait_timeout=5,
    ) as made:
        yield made, made.url("postgres", f"sslmode=verify-full&sslrootcert={authority.file}")


@dataclass(frozen=True, slots=True)
class Made:
    stage: Stage
    fleet: Fleet
    pair: Pair


@asynccontextmanager
async def failover_stage(folder: Path, seed: int) -> AsyncIterator[Made]:
    """All of it; the Dargahs are not started yet."""
    async with AsyncExitStack() as stack:
        pair = await stack.enter_async_context(pair_of_servers())
        _, pooled = await stack.enter_async_context(encrypted_bouncer(folder, pair.address))
        moved = f"postgresql://dargah@127.0.0.1:{pair.address.port}/postgres?sslmode=disable"
        stack.enter_context(served(folder, both(pair)))
        moments, history = Moments(), Recorder(folder / HISTORY)
        stack.callback(history.close)
        receiver = Receiver(seed, moments, history, RECEIVER_FAULT_RATE)
        receiver.url = await stack.enter_async_context(server(receiver.app()))
        gateway_url = await stack.enter_async_context(simulator(folder / "ledger.db", seed))
        session = await stack.enter_async_context(client(CALL_SECONDS))
        storefronts = await open_shops(folder, seed, gateway_url, [receiver], history)
        ways = iter(({}, {"DARGAH_DATABASE": moved}, {"DARGAH_DATABASE": pooled, "DARGAH_DATABASE_POOLER": "true"}))

        def make(log: Path) -> Replica:
            more = {"DARGAH_PUBLIC_URL": PUBLIC_URL, **SETTINGS, **next(ways)}
            return Replica(folder, log, short_leases=False, **more)

        fleet = Fleet(folder, make, 3)
        stack.push_async_callback(fleet.kill)
        made = Stage(folder, fleet, PUBLIC_URL, gateway_url, storefronts, [receiver], moments, session, history)
        yield Made(made, fleet, pair)


async def campaign(folder: Path, seed: int, *, short: bool) -> Told:
    """Each kind of failover so many times, in the order that the seed draws; one alone in the short form."""
    kinds = list(KINDS) * ROUNDS
    Random(f"{seed}|failover").shuffle(kinds)
    if short:
        del kinds[1:]
    told = Told()
    async with failover_stage(folder, seed) as made:
        for replica in made.fleet.replicas:
            replica.forked = short
        await made.fleet.start()
        await made.stage.start_chaos(seed, CHAOS_RATE)
        load = Load(made.stage, seed, SHORT_RATE if short else RATE)
        loading = asyncio.create_task(load.run())
        try:
            await _fail_over_and_over(made, kinds, told)
        finally:
            load.stop()
            await loading
        told.findings = await _judged(made, load)
        for kind in KINDS:
            told.findings.counts[f"failovers, {kind}"] = kinds.count(kind)
    return told


async def _fail_over_and_over(made: Made, kinds: list[str], told: Told) -> None:
    for kind in kinds:
        await asyncio.sleep(CALM_SECONDS)
        broke = time.monotonic()
        await made.pair.fail_over(kind)
        took = await asyncio.gather(*(recovered(each.url, made.stage.session, broke) for each in made.fleet.replicas))
        for way, seconds in zip(WAYS, took, strict=True):
            told.recoveries[f"primary {kind}, {way}"].append(seconds)
        assert not any(replica.died for replica in made.fleet.replicas), "a Dargah ended without having been told to"
        await made.pair.whole()


async def _judged(made: Made, load: Load) -> Findings:
    await made.stage.end_faults()
    await late_money_has_landed(made.stage)
    await check_by_api(load, [shown for shown in load.shown.values() if shown.number % 4 == 0])
    await made.fleet.kill()
    alone_since = await come_to_rest(made.stage, load)
    await made.fleet.start()
    findings = await audit(made.stage, load, alone_since)
    await audit_rows(both(made.pair), findings)
    findings.counts.update(load.counts)
    return findings
