"""`dargah up`: Dargah, a simulator and a shop in one process of an empty folder, started again on the same files."""

import asyncio
import json
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.command import Cli
from support.eventually import until
from support.ports import free_port
from support.receiver import receiver

from proxy.config.env_file import change, read
from proxy.demo.shop import Customer
from proxy.demo.webhook_printer import MAX_BODY_BYTES, WebhookPrinter
from proxy.webhooks.request import new_secret, signed_headers

START_SECONDS: Final = 60
NOW: Final = 1_800_000_000_000
SECRET: Final = new_secret(bytes(32))


class Up:
    """A running `dargah up`; `lines` is what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode().rstrip("\n"))

    async def line(self, pattern: str) -> re.Match[str]:
        """The match of the first line with it, once there is one or the process has ended."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)

        await until(lambda: found() or self._reading.done(), START_SECONDS)
        match = found()
        assert match, self.lines
        return match

    async def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = await self.process.wait()
        await self._reading
        return code


class Folder:
    """An empty folder of somebody who tries Dargah, with ports of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "dargah.env"
        self.settings = {name: f"127.0.0.1:{free_port()}" for name in ("DARGAH_LISTEN", "DARGAH_ADMIN_LISTEN")}
        self.options = ("--simulator-port", str(free_port()), "--webhook-port", str(free_port()))

    async def start(self, *options: str) -> Up:
        env = Cli(self.settings).env | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
        with (self.path / "errors").open("ab") as errors:
            command = (sys.executable, "-m", "proxy", "up", *self.options, *options)
            return Up(
                await asyncio.create_subprocess_exec(
                    *command, cwd=self.path, env=env, stdout=asyncio.subprocess.PIPE, stderr=errors
                )
            )

    @asynccontextmanager
    async def up(self, *options: str) -> AsyncIterator[Up]:
        """One that is ready; at the end Ctrl-C ends it in order."""
        running = await self.start(*options)
        try:
            await running.line("Ctrl-C ends it all")
            yield running
            assert await running.interrupt() == 0, self.errors
        finally:
            if running.process.returncode is None:
                running.process.kill()
        assert "Traceback" not in self.errors

    async def refused(self, *options: str) -> str:
        """The sentence of one that does not start."""
        ran = await Cli(self.settings, self.path).run("up", *self.options, *options)
        assert (ran.code, ran.out) == (2, ""), ran
        [sentence] = re.findall(r"^Error: (.*)", ran.error, re.MULTILINE)
        assert ran.error.endswith(f"Error: {sentence}\n"), "nothing comes behind it"
        return str(sentence)

    @property
    def errors(self) -> str:
        return (self.path / "errors").read_text()

    @property
    def other_shell(self) -> Cli:
        """It has no variables at all."""
        return Cli({}, self.path)

    @property
    def values(self) -> dict[str, str]:
        return dict(read(self.file).values)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def pay(session: aiohttp.ClientSession, link: str) -> None:
    """What a customer does in the browser."""
    customer = Customer(session)
    gateway = (await customer.open(link)).location
    assert gateway is not None
    back = (await customer.press(gateway, "pay")).location
    assert back is not None
    assert (await customer.open(back)).status in {200, 303}


async def records(cli: Cli) -> dict[str, list[dict[str, Any]]]:
    merchants = await cli.json("merchant", "list")
    found = {"merchant": merchants}
    for kind in ("terminal", "token", "endpoint"):
        found[kind] = [
            each for merchant in merchants for each in await cli.json(kind, "list", "--merchant", merchant["id"])
        ]
    return found


async def test_the_printed_lines_make_payments_whose_webhooks_are_verified(folder: Folder) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    async with folder.up() as running, aiohttp.ClientSession() as session:
        assert running.lines[0] == "No money moves: the gateway is a simulator on this machine."
        await pay(session, (await running.line(r"^Pay: +(\S+)"))[1])
        await running.line(
            r"^webhook verified: payment.paid  order-\w+  paid  150000 rial = 15000 toman  bank_code \d+"
        )

        begin = next(number for number, line in enumerate(running.lines) if line.startswith("curl "))
        pasted = "\n".join(running.lines[begin : begin + 3])
        shell = await asyncio.create_subprocess_exec("sh", "-c", pasted, stdout=-1, stderr=-1)
        payment = json.loads((await shell.communicate())[0])
        await pay(session, payment["pay_url"])
        await running.line(f"webhook verified: payment.paid  {payment['order_id']}  paid")

        async with session.get((await running.line(r"^API: +(\S+)"))[1]) as answer:
            assert answer.status == 200
        console, token = (await running.line(r"^Console: +(\S+) +token (\S+)")).groups()
        origin = {"Origin": console.removesuffix("/console")}
        async with session.post(
            f"{console}/login", data={"token": token}, headers=origin, allow_redirects=False
        ) as answer:
            assert answer.status == 303

        shop = await folder.other_shell.json("event", "list")
        assert [each["type"] for each in shop] == ["payment.paid"] * 2
        assert {kind: len(rows) for kind, rows in (await records(folder.other_shell)).items()} == dict.fromkeys(
            ("merchant", "terminal", "token", "endpoint"), 1
        )
    assert folder.file.stat().st_mode & 0o777 == 0o600


async def test_started_again_it_goes_on_with_what_is_there_and_makes_what_was_lost(folder: Folder) -> None:
    async with folder.up():
        first, before = folder.values, await records(folder.other_shell)
    async with folder.up():
        assert folder.values == first
        assert (await records(folder.other_shell)).keys() == before.keys()
        [merchant] = before["merchant"]
        await folder.other_shell.json("merchant", "update", merchant["id"], "--name", "Renamed")
        assert (await folder.other_shell.run("token", "revoke", before["token"][0]["id"], "--yes")).code == 0
    change(folder.file, {"DARGAH_WEBHOOK_SECRET": "", "DARGAH_RETURN_SECRET": ""})
    folder.options = ("--simulator-port", str(free_port()), "--webhook-port", "0")
    async with folder.up() as running, aiohttp.ClientSession() as session:
        await pay(session, (await running.line(r"^Pay: +(\S+)"))[1])
        await running.line("^webhook verified: payment.paid")
        after = await records(folder.other_shell)
    for name in ("DARGAH_TOKEN", "DARGAH_WEBHOOK_SECRET", "DARGAH_RETURN_SECRET"):
        assert folder.values[name] not in {"", first[name]}
    assert folder.values.keys() == first.keys()
    for kind in ("merchant", "terminal", "endpoint"):
        assert [each["id"] for each in after[kind]] == [each["id"] for each in before[kind]]
    assert len(after["token"]) == 2


async def test_webhooks_go_to_the_shop_that_is_named(folder: Folder) -> None:
    assert "must start with https://" in await folder.refused("--webhook-url", "ftp://127.0.0.1/hook")
    async with receiver() as shop, folder.up("--webhook-url", shop.url) as running, aiohttp.ClientSession() as session:
        await running.line(f"Webhooks go to {shop.url}")
        shop.secret = folder.values["DARGAH_WEBHOOK_SECRET"]
        await pay(session, (await running.line(r"^Pay: +(\S+)"))[1])
        assert [event["type"] for event in await shop.told()] == ["payment.paid"]


@pytest.mark.parametrize("taken", ["--simulator-port", "--webhook-port", "DARGAH_LISTEN", "DARGAH_ADMIN_LISTEN"])
async def test_a_port_in_use_is_named(folder: Folder, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if taken.startswith("--"):
            said = await folder.refused(taken, str(port))
        else:
            folder.settings[taken] = f"127.0.0.1:{port}"
            said = await folder.refused()
    assert f"cannot listen at 127.0.0.1:{port} ({taken}): something listens there already" in said
    assert not (folder.path / "dargah.db").exists(), "nothing but the settings was made"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"PUBLIC_URL": "https://pay.example.ir"}, "DARGAH_PUBLIC_URL is https://pay.example.ir"),
        ({"LISTEN": "0.0.0.0:8080", "PUBLIC_URL": "http://127.0.0.1:8080"}, "it listens at 0.0.0.0:8080 and"),
        ({"ENVIRONMENT": "production"}, "DARGAH_ENVIRONMENT is "),
        ({"ENV_FILE": ""}, "unset DARGAH_ENV_FILE"),
        ({"DATABSE": "x"}, "did you mean DARGAH_DATABASE"),
    ],
)
async def test_settings_that_are_no_trial_s_are_refused_and_no_file_is_made(
    folder: Folder, settings: dict[str, str], says: str
) -> None:
    folder.settings |= {f"DARGAH_{name}": value for name, value in settings.items()}
    assert says in await folder.refused()
    assert list(folder.path.iterdir()) == []


async def test_the_file_of_a_dargah_for_customers_is_refused(folder: Folder) -> None:
    made = await folder.other_shell.run("init", "--public-url", "https://pay.example.ir")
    assert made.code == 0
    assert "DARGAH_ENVIRONMENT is production: start it by `dargah serve`" in await folder.refused()


@pytest.mark.parametrize(
    ("secret", "at", "body", "status", "says"),
    [
        (SECRET, NOW, b'{"type":"ping","data":{}}', 204, "webhook verified: ping"),
        (SECRET, NOW, b'{"type":"ping","data":{"order_id":"\\u202eevil"}}', 204, "webhook verified: ping  evil"),
        (new_secret(b"x" * 32), NOW, b"{}", 400, "DARGAH_WEBHOOK_SECRET did not sign it"),
        (SECRET, NOW - 301_000, b"{}", 400, "its webhook-timestamp is not of now"),
        (SECRET, NOW + 301_000, b"{}", 400, "its webhook-timestamp is not of now"),
        (SECRET, NOW, b" " * (MAX_BODY_BYTES + 1), 413, None),
    ],
)
async def test_a_webhook_is_believed_by_its_signature_and_age(
    secret: str, at: int, body: bytes, status: int, says: str | None
) -> None:
    lines: list[str] = []
    printer = WebhookPrinter(lines.append, now=lambda: NOW)
    printer.secret = SECRET
    async with TestClient(TestServer(printer.app)) as client:
        headers = signed_headers([secret], "evt_1", body, at)
        assert (await client.post("/webhooks", data=body, headers=headers)).status == status
        assert [says in line for line in lines if says] == ([True] if says else [])
        altered = headers | {"webhook-signature": "", "webhook-timestamp": "٣"}
        assert (await client.post("/webhooks", data=b"{}", headers=altered)).status == 400
        printer.secret = "no secret"
        assert (await client.post("/webhooks", data=b"{}", headers=headers)).status == 400
