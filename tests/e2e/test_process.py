"""A process among others: what it inherits, where it listens, how its log leaves it, and how it ends.

At SIGTERM and kill -9, what is under way ends or is done after the next start, and each webhook is told once. A process
that is told to end is not ready at once, begins nothing new, and is gone in time. No payment waits for lines of the log
or needs them, and what was lost is told.
"""

import asyncio
import errno
import json
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from databases.places import database_in, leases_over, rows_in
from structlog.testing import capture_logs
from support.command import Cli
from support.dargah import API_KEY, settings
from support.eventually import eventually, until
from support.ports import free_port
from support.process import Process, process_shop
from support.shop import Shop, open_shop, outsiders, playground

from proxy.app import Dargah, running
from proxy.config.settings import SettingsError
from proxy.http.listeners import ListenRefused
from proxy.kernel.background import Repeater
from proxy.observability.logs import MOST_BYTES, MOST_LINES, LineWriter
from proxy.webhooks.endpoint import DEFAULT_IN_FLIGHT
from proxy.webhooks.event import EventFilter
from proxy.webhooks.retry_policy import DeliveryStatus

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


async def answered(url: str) -> int | None:
    with suppress(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz") as answer:
            return answer.status
    return None


def standard_descriptors(pid: int) -> list[str]:
    return [str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (0, 1, 2)]


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
async def test_closed_or_full_standard_descriptors_are_no_sockets_and_refuse_no_start(
    tmp_path: Path, redirections: str
) -> None:
    process = Process(tmp_path)
    shell = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", f'exec "$0" -m proxy serve {redirections}', sys.executable),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=process.env,
    )
    assert await eventually(partial(answered, process.url)) == 200
    assert {name.rpartition("/")[2] for name in standard_descriptors(shell.pid)} <= {"null", "full"}
    shell.terminate()
    assert await shell.wait() == 0


async def test_sighup_drains_as_sigterm_does(tmp_path: Path) -> None:
    process = Process(tmp_path, DARGAH_UNREADY_SECONDS="0")
    await process.start()
    os.kill(process.pid, signal.SIGHUP)
    assert await process.stop() == 0
    lines = [json.loads(line) for line in process.log.read_text("utf-8").splitlines()]
    assert [line["event"] for line in lines[-2:]] == ["stopping", "stopped"]
    assert {line["reason"] for line in lines[-2:]} <= {"SIGHUP", "SIGTERM"}, "whichever it took up first"


async def test_every_answer_of_a_process_that_ends_closes_its_connection(tmp_path: Path) -> None:
    async with process_shop(tmp_path, DARGAH_UNREADY_SECONDS="20", DARGAH_DRAIN_SECONDS="20") as (shop, process):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(process.url.rpartition(":")[2]))
        writer.write(HEALTHZ)
        assert b"connection: close" not in (await reader.readuntil(b"\r\n\r\n")).lower()
        os.kill(process.pid, signal.SIGTERM)
        await eventually(partial(unready, shop))
        assert (await shop.create())[0] == 201
        writer.write(HEALTHZ)
        await reader.readuntil(b'{"status":"ok"}')
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" in head.lower()
        await reader.readuntil(b'{"status":"ok"}')
        assert await reader.read() == b"", "a client that was busy goes elsewhere, and is not cut off"
        writer.close()


def unix(path: Path) -> aiohttp.ClientSession:
    return aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path)))


async def test_a_process_listens_on_several_addresses_of_both_families_and_on_a_socket_file(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "dargah.sock"
    async with playground(tmp_path, listen=f"[::1]:{port},127.0.0.1:{port},unix:{file}") as (shop, dargah):
        assert dargah.url == f"http://[::1]:{port}"
        for url in (dargah.url, f"http://127.0.0.1:{port}"):
            assert await answered(url) == 200
        async with unix(file) as session, session.get("/healthz") as answer:
            assert answer.status == 200
        await shop.created()
    assert not file.exists()


async def test_the_v6_wildcard_is_every_address_and_a_v4_client_is_known_by_its_own(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with playground(tmp_path, listen="[::]:0", public_url="http://127.0.0.1", log_level="info") as (
            _,
            dargah,
        ):
            port = dargah.url.rpartition(":")[2]
            assert await answered(f"http://127.0.0.1:{port}") == 200
            assert await answered(f"http://[::1]:{port}") == 200
    assert [line["client"] for line in lines if line["event"] == "request"] == ["127.0.0.1", "::1"]


async def test_both_wildcards_may_stand_beside_each_other(tmp_path: Path) -> None:
    port = free_port()
    async with playground(tmp_path, listen=f"0.0.0.0:{port},[::]:{port}", public_url="http://127.0.0.1") as _:
        assert await answered(f"http://127.0.0.1:{port}") == 200
        assert await answered(f"http://[::1]:{port}") == 200


@pytest.mark.parametrize(("mode", "expected"), [("", 0o660), ("?mode=600", 0o600), ("?mode=666", 0o666)])
async def test_a_socket_files_mode_says_who_may_connect(tmp_path: Path, mode: str, expected: int) -> None:
    file = tmp_path / "dargah.sock"
    async with playground(tmp_path, listen=f"unix:{file}{mode}", public_url="http://127.0.0.1"):
        assert stat.S_IMODE(file.stat().st_mode) == expected


async def test_a_socket_files_name_is_taken_from_the_dead_and_from_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "dargah.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(file))
    at_file: dict[str, Any] = {"listen": f"unix:{file}", "public_url": "http://127.0.0.1"}
    async with playground(tmp_path, **at_file):
        (tmp_path / "other").mkdir()
        with pytest.raises(ListenRefused, match=r"\(DARGAH_LISTEN\): something listens there already"):
            async with running(settings(tmp_path / "other", **at_file)):
                pass
        async with unix(file) as session, session.get("/healthz") as answer:
            assert answer.status == 200
    file.write_text("a letter")
    with pytest.raises(ListenRefused, match="a file that is no socket has this name"):
        async with running(settings(tmp_path, **at_file)):
            pass
    assert file.read_text() == "a letter"


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """One on socket files alone; its settings, as the commands beside it have them."""
    process = Process(
        tmp_path,
        DARGAH_LISTEN=f"unix:{tmp_path}/dargah.sock",
        DARGAH_ADMIN_LISTEN=f"unix:{tmp_path}/admin.sock?mode=600",
        DARGAH_PUBLIC_URL="http://127.0.0.1",
        DARGAH_TRUSTED_PROXIES="unix",
    )
    await process.start()
    yield {name: value for name, value in process.env.items() if name.startswith("DARGAH_")}
    await process.stop()


async def test_the_commands_reach_a_sidecar_by_its_socket_files(sidecar: dict[str, str], tmp_path: Path) -> None:
    cli = Cli(sidecar, tmp_path)
    assert (await cli.run("health", "--ready")).code == 0
    made = await cli.json("merchant", "create", "--name", "x", "--return-origin", "https://shop.example.ir")
    assert made["id"].startswith("mer_")
    found = await cli.given(DARGAH_ADMIN_URL=f"unix:{tmp_path}/admin.sock", DARGAH_ADMIN_LISTEN="").json(
        "merchant", "list"
    )
    assert [each["id"] for each in found] == [made["id"]]
    gone = await cli.given(DARGAH_ADMIN_URL=f"unix:{tmp_path}/nobody.sock").run("merchant", "list")
    assert (gone.code, "nobody.sock cannot be reached" in gone.error) == (1, True)


@pytest.mark.parametrize("trusted", ["", "unix"])
async def test_a_peer_without_an_address_is_one_caller_or_a_proxy_that_names_others(
    tmp_path: Path, trusted: str
) -> None:
    file = tmp_path / "dargah.sock"
    more: dict[str, Any] = {"trusted_proxies": trusted, "listen": f"unix:{file}", "public_url": "http://127.0.0.1"}
    statuses = []
    with capture_logs() as lines:
        async with (
            playground(tmp_path, address_auth_failures_per_minute=2, log_level="info", **more),
            unix(file) as session,
        ):
            for number in range(6):
                headers = {"X-Forwarded-For": f"203.0.113.{number}", "Authorization": "Bearer nonsense"}
                async with session.get("/v1/payments", headers=headers) as answer:
                    statuses.append(answer.status)
    clients = {line["client"] for line in lines if line["event"] == "request"}
    if trusted:
        assert statuses == [401] * 6
        assert clients == {f"203.0.113.{number}" for number in range(6)}
    else:
        assert statuses.count(429) >= 3
        assert clients == {"unix"}


@pytest.mark.parametrize(
    ("listen", "says"),
    [
        ("unix:dargah.sock", "a whole path"),
        ("unix:/" + "a" * 107, "106 bytes at most"),
        ("unix:/run/x.sock?mode=999", "the file's mode"),
        ("127.0.0.1:8080,127.0.0.1:8080", "stands twice"),
        ("127.0.0.1:8080,", "write host:port"),
    ],
)
async def test_an_address_that_nothing_can_listen_at_is_refused(tmp_path: Path, listen: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        settings(tmp_path, listen=listen)


def test_a_socket_file_alone_needs_a_public_url(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DARGAH_PUBLIC_URL is missing"):
        settings(tmp_path, listen=f"unix:{tmp_path}/x.sock").check_serving()


REQUESTS = 500
PIPE_BYTES = 64 * 1024  # of Linux
WAIT_SECONDS = 10


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def fill(sink: int) -> None:
    """The pipe takes nothing more."""
    os.set_blocking(sink, False)
    with suppress(BlockingIOError):
        while True:
            os.write(sink, b"x")
    os.set_blocking(sink, True)


def read(source: int, until: bytes) -> bytes:
    """What comes up to and with `until`."""
    found = b""
    while until not in found:
        found += os.read(source, PIPE_BYTES)
    return found


def test_log_lines_leave_in_their_order_and_none_is_lost() -> None:
    with pipe() as (source, sink):
        lines = LineWriter(sink)
        for number in range(1000):
            assert lines.write(f"{number}\n") == len(f"{number}\n")
        assert lines.drain(WAIT_SECONDS)
        assert read(source, b"999\n").split() == [str(number).encode() for number in range(1000)]
        assert lines.dropped == 0


@pytest.mark.parametrize(("line", "most"), [("a\n", MOST_LINES), ("a" * 99_999 + "\n", MOST_BYTES // 100_000)])
def test_what_nobody_reads_is_dropped_beyond_its_room_and_told_when_it_flows(line: str, most: int) -> None:
    with pipe() as (source, sink):
        lines = LineWriter(sink)
        lines.on_flow = lambda count: print(f"lost {count}", file=lines)
        fill(sink)
        for _ in range(most + 500):
            lines.write(line)
        first, lost = lines.dropped, b"lost %d" % lines.dropped
        assert first == 500
        assert not lines.drain(0)
        assert lost in read(source, lost)
        assert lines.dropped == first


def test_a_log_line_that_was_torn_by_a_full_disk_is_ended_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def write(_descriptor: int, data: memoryview) -> int:
        if not written:
            written.append(bytes(data[:3]))
            return 3
        if len(written) == 1:
            written.append(b"")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(bytes(data))
        return len(data)

    monkeypatch.setattr(os, "write", write)
    lines = LineWriter(9)
    lines.write("first\n")
    assert lines.drain(WAIT_SECONDS)
    lines.write("second\n")
    assert lines.drain(WAIT_SECONDS)
    assert b"".join(written) == b"fir\nsecond\n"
    assert lines.dropped == 1


def test_a_pipe_that_another_process_made_nonblocking_loses_nothing() -> None:
    with pipe() as (source, sink):
        fill(sink)
        os.set_blocking(sink, False)
        lines = LineWriter(sink)
        for number in range(3000):
            lines.write(f"{number:040}\n")
        assert f"{2999:040}\n".encode() in read(source, f"{2999:040}\n".encode())
        assert lines.dropped == 0


def test_log_lines_of_processes_that_share_a_pipe_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[bytes] = []

    def write(_sink: int, data: memoryview) -> int:
        pieces.append(bytes(data))
        return len(data)

    monkeypatch.setattr(os, "write", write)
    lines = LineWriter(9)
    for _ in range(500):
        lines.write("a" * 100 + "\n")
    assert lines.drain(WAIT_SECONDS)
    assert pieces == [b"a" * 100 + b"\n"] * 500


async def test_a_payment_is_made_where_the_log_has_no_room(tmp_path: Path) -> None:
    async with process_shop(tmp_path) as (shop, process):
        await process.stop()
        process.log = Path("/dev/full")
        await process.start()
        assert (await shop.create())[0] == 201
        assert (await shop.create())[0] == 201


async def test_each_request_has_its_log_line(tmp_path: Path) -> None:
    process = Process(tmp_path)
    await process.start()
    async with aiohttp.ClientSession() as session:
        for number in range(3):
            async with session.get(process.url + "/readyz", headers={"X-Request-Id": f"look-{number}"}) as answer:
                assert answer.status == 200
    assert await process.stop() == 0
    for number in range(3):
        assert f'"request_id":"look-{number}"' in process.log.read_text()


async def dropped(session: aiohttp.ClientSession, admin_url: str) -> int:
    async with session.get(f"{admin_url}/metrics") as answer:
        [total] = re.findall(r"^dargah_log_lines_dropped_total (\S+)", await answer.text(), re.MULTILINE)
    return int(float(total))


async def ask_at_once(url: str, count: int) -> None:
    """`/healthz`, so many times, one behind the other in one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * count)
    for _ in range(count):
        await reader.readuntil(b'{"status":"ok"}')
    writer.close()


async def test_payments_go_on_while_nobody_reads_the_log_and_what_was_lost_is_told(tmp_path: Path) -> None:
    async with process_shop(tmp_path) as (shop, process):
        await process.stop()
        with pipe() as (source, sink):
            fill(sink)
            process.log, process.stdout = Path(f"/proc/self/fd/{sink}"), sink
            await process.launch()
            await eventually(partial(alive, shop))
            async with asyncio.timeout(100):
                await ask_at_once(process.url, MOST_LINES + REQUESTS)
                assert (await shop.create())[0] == 201
                lost = await dropped(shop.session, process.admin_url)
                text = await asyncio.to_thread(read, source, b"log_lines_dropped")
                assert (await shop.create())[0] == 201
            assert lost >= REQUESTS
            assert re.search(rb'"count":\d+,[^\n]*"log_lines_dropped', text)
            fill(sink)
            assert await process.stop() == 0, "its end waits for no reader"


async def alive(shop: Shop) -> bool | None:
    with suppress(aiohttp.ClientConnectionError):
        return (await shop.readiness())[0] == 200 or None
    return None


SLACK_SECONDS = 3


async def hold(shop: Shop, seconds: float) -> None:
    """The next create waits so long at the gateway."""
    await shop.fault("request", "delay", seconds=seconds, processed=True, times=1)


async def unready(shop: Shop) -> bool | None:
    status, checks = await shop.readiness()
    return True if (status, checks["accepting"]) == (503, False) else None


async def test_a_process_that_is_told_to_end_is_unready_at_once_serves_on_and_ends_what_is_open(folder: Path) -> None:
    async with process_shop(folder, DARGAH_UNREADY_SECONDS="2", DARGAH_DRAIN_SECONDS="20") as (shop, process):
        assert (await shop.readiness())[0] == 200
        await hold(shop, 2.5)
        slow = asyncio.create_task(shop.create())
        await shop.invoiced()
        began = asyncio.get_running_loop().time()
        ending = asyncio.create_task(process.stop())
        await eventually(partial(unready, shop))
        assert asyncio.get_running_loop().time() - began < 1.5
        assert (await shop.create())[0] == 201, "a load balancer that has not noticed yet loses nothing"
        assert (await slow)[0] == 201
        assert await ending == 0
        assert asyncio.get_running_loop().time() - began < 2.5 + SLACK_SECONDS


async def test_a_create_that_does_not_end_is_cut_off_in_time(folder: Path) -> None:
    async with process_shop(folder, DARGAH_UNREADY_SECONDS="0", DARGAH_DRAIN_SECONDS="1") as (shop, process):
        await hold(shop, 600)
        stuck = asyncio.create_task(shop.create())
        await shop.invoiced()
        began = asyncio.get_running_loop().time()
        assert await process.stop() == 0
        assert asyncio.get_running_loop().time() - began < 1 + SLACK_SECONDS
        with pytest.raises(aiohttp.ClientError):
            await stuck


async def test_a_webhook_that_does_not_end_is_not_waited_for_longer_than_all_of_the_end_may_take(
    folder: Path,
) -> None:
    async with playground(folder, drain_seconds=1) as (shop, dargah):
        shop.receiver.hold = (asyncio.Event(), asyncio.Event())
        await shop.call("POST", "/v1/events/test", {"type": "ping"})
        await shop.receiver.hold[0].wait()
        dargah.drain.linger_seconds = 0.2
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1 + SLACK_SECONDS


async def test_a_loop_that_is_pausing_after_a_failure_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.kernel.background.FIRST_PAUSE_SECONDS", 600)
    failed = asyncio.Event()

    async def step() -> int | None:
        failed.set()
        raise ZeroDivisionError

    repeater = Repeater("x", lambda: 0)
    repeater.start(step)
    await failed.wait()
    async with asyncio.timeout(5):
        await repeater.stop()


BACKLOG = 30


async def once_stopping(dargah: Dargah, let_go: asyncio.Event) -> None:
    await until(lambda: dargah.delivery._stopping)
    let_go.set()


async def test_a_drain_ends_what_is_on_its_way_and_begins_nothing(folder: Path) -> None:
    async with outsiders() as (gateway_url, made, session):
        made.hold = (asyncio.Event(), asyncio.Event())
        async with running(settings(folder)) as dargah:
            shop = await open_shop(dargah, gateway_url, made, session)
            for _ in range(BACKLOG):
                await shop.call("POST", "/v1/events/test", {"type": "ping"})

            await until(lambda: len(made.requests) == DEFAULT_IN_FLIGHT)
            let_go = asyncio.create_task(once_stopping(dargah, made.hold[1]))
        await let_go
        assert len(made.requests) == DEFAULT_IN_FLIGHT
        made.hold = None
        async with running(settings(folder)):
            await made.told(BACKLOG)
    assert len(made.ids) == len(set(made.ids)) == BACKLOG


async def test_a_webhook_fails_when_the_schedule_of_the_settings_is_used_up(folder: Path) -> None:
    async with playground(folder, webhook_retry_schedule="1s,1s") as (shop, dargah):
        shop.receiver.status = 500
        await shop.call("POST", "/v1/events/test", {"type": "ping"})

        async def ended() -> bool | None:
            [event] = await dargah.services.store.webhooks.list_events(shop.merchant_id, EventFilter())
            [delivery] = await dargah.services.store.webhooks.list_deliveries(shop.merchant_id, event.id)
            return delivery.status is DeliveryStatus.FAILED or None

        await eventually(ended)
        assert len(shop.receiver.requests) == 3


Killable = tuple[Shop, Process]


@pytest.fixture
async def killable(folder: Path) -> AsyncIterator[Killable]:
    async with process_shop(folder) as made:
        yield made


async def test_a_process_killed_after_it_asked_for_the_invoice_creates_the_payment_again(
    killable: Killable, folder: Path
) -> None:
    shop, process = killable
    await shop.fault("request", "delay", seconds=3, processed=True, times=1)
    asking = asyncio.create_task(shop.create(key="cut", order_id="cut"))
    await shop.invoiced()
    await process.kill()
    await leases_over(folder)
    with pytest.raises(aiohttp.ClientError):
        await asking
    await process.start()

    async def asked_again() -> dict[str, Any] | None:
        status, payment = await shop.create(key="cut", order_id="cut")
        return payment if status == 201 else None

    payment = await eventually(asked_again)
    await shop.come_back(await shop.act(payment, "pay"))
    [event] = await shop.receiver.told()
    assert (event["type"], event["data"]["id"]) == ("payment.paid", payment["id"])


async def test_a_process_killed_after_the_customer_paid_still_credits_the_payment(killable: Killable) -> None:
    shop, process = killable
    payment = await shop.created()
    visit = await shop.act(payment, "pay")

    await process.kill()
    await process.start()
    await shop.come_back(visit)

    [event] = await shop.receiver.told()
    assert (event["type"], event["data"]["id"]) == ("payment.paid", payment["id"])


async def test_a_process_killed_between_check_and_webhook_sends_the_webhook_again(
    killable: Killable, folder: Path
) -> None:
    shop, process = killable
    shop.receiver.status = 500
    await shop.paid()
    await shop.receiver.told()

    await process.kill()
    await leases_over(folder)
    shop.receiver.status = 204
    await process.start()

    await shop.receiver.told(2)
    assert len(set(shop.receiver.ids)) == 1


async def test_a_process_killed_while_its_webhook_is_on_its_way_sends_it_again(
    killable: Killable, folder: Path
) -> None:
    shop, process = killable
    arrived, hold = asyncio.Event(), asyncio.Event()
    shop.receiver.hold = (arrived, hold)
    await shop.paid()
    async with asyncio.timeout(10):
        await arrived.wait()

    await process.kill()
    await leases_over(folder)
    shop.receiver.hold = None
    hold.set()
    await process.start()

    await shop.receiver.told(2)
    assert len(set(shop.receiver.ids)) == 1
    _, events = await shop.call("GET", "/v1/events")
    assert len(events["data"]) == 1


async def test_sigterm_lets_a_create_finish(killable: Killable) -> None:
    shop, process = killable
    await shop.fault("request", "delay", seconds=1, times=1)
    asking = asyncio.create_task(shop.create(key="last", order_id="last"))
    await shop.invoiced()
    code, (status, _) = await asyncio.gather(process.stop(), asking)

    assert (code, status) == (0, 201)


async def test_the_api_key_is_in_no_byte_of_the_database_or_the_log(killable: Killable, folder: Path) -> None:
    shop, process = killable
    await shop.fault("check", "error", code=101, times=1)
    await shop.paid()
    await shop.create(amount=API_KEY)
    await process.kill()

    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    files = {"dargah.db", "dargah.db-wal"} if isinstance(database_in(folder), Path) else set()
    assert files | {"dargah.log"} <= kept.keys()
    kept |= {name: repr(rows).encode() for name, rows in rows_in(folder).items()}
    for name, content in kept.items():
        assert API_KEY.encode() not in content, name
        assert shop.token.encode() not in content, name
        assert shop.receiver.secret.encode() not in content, name
