"""What README.md, docs/quickstart.md and docs/drop-in.md tell a reader to type is typed here, on free ports."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from support.dargah import API_KEY, gateway
from support.eventually import eventually
from support.receiver import Receiver, receiver
from web.lab import SHARED

from e2e.test_clients import RUNNERS, require_language
from proxy.demo.stage import free_port

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
BASH = shutil.which("bash") or "/bin/bash"
EXAMPLES = {"python": "py", "php": "php", "js": "mjs"}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@dataclass(frozen=True)
class Quick:
    """The quickstart's first two steps, done."""

    ports: dict[str, str]
    folder: Path
    env: dict[str, str]
    session: aiohttp.ClientSession
    merchant_id: str

    def here(self, text: str) -> str:
        return on_ports(text, self.ports)

    async def pay(self, pay_url: str) -> dict[str, Any]:
        """The customer opens the link and presses the button; gives the ledger's row."""
        async with self.session.get(pay_url, allow_redirects=False) as opened:
            key = opened.headers["Location"].rpartition("/")[2]
        control = f"http://127.0.0.1:{self.ports['8090']}/control/invoices/{key}"
        async with self.session.post(f"{control}/pay") as paid:
            assert paid.status == 200
        async with self.session.get(control) as answer:
            row: dict[str, Any] = await answer.json()
        return row


def on_ports(text: str, ports: dict[str, str]) -> str:
    for documented, free in ports.items():
        text = text.replace(documented, free)
    return text


async def shell(script: str, env: dict[str, str], folder: Path, stdin: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *(BASH, "-eu", "-c", script),
        env=env,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode == 0, f"{script}\n{out.decode()}{err.decode()}"
    return out.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def quick(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Quick]:
    """Shared by the examples: each has an order of its own."""
    folder = tmp_path_factory.mktemp("quick")
    ports = {port: str(free_port()) for port in ("8080", "8081", "8090")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")}
    env = clean | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "DARGAH_LISTEN": f"127.0.0.1:{ports['8080']}",
        "DARGAH_ADMIN_LISTEN": f"127.0.0.1:{ports['8081']}",
    }
    start, setup = (on_ports(block, ports) for block in blocks("docs/quickstart.md", "sh")[:2])
    token = folder / "token"
    script = f'{start}\nprintf %s "$DARGAH_ADMIN_TOKEN" > token; wait'
    process = await asyncio.create_subprocess_exec(
        *(BASH, "-eu", "-c", script), env=env, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        async with aiohttp.ClientSession() as session:

            async def up() -> bool | None:
                try:
                    async with session.get(f"http://127.0.0.1:{ports['8080']}/readyz") as ready:
                        return True if ready.status == 200 and token.exists() else None
                except aiohttp.ClientError:
                    return None

            await eventually(up)
            env |= {"DARGAH_ADMIN_TOKEN": token.read_text()}
            said = await shell(f'{setup}\necho "$merchant $SHOP_TOKEN"', env, folder)
            merchant_id, shop_token = said.split()[-2:]
            yield Quick(ports, folder, env | {"SHOP_TOKEN": shop_token}, session, merchant_id)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()


@SHARED
@pytest.mark.parametrize("language", EXAMPLES)
async def test_the_quickstarts_programs_end_with_a_verified_payment(quick: Quick, language: str) -> None:
    suffix = EXAMPLES[language]
    require_language(suffix)
    [program] = blocks("docs/quickstart.md", language)
    path = quick.folder / f"example.{suffix}"
    path.write_text(quick.here(program))
    process = await asyncio.create_subprocess_exec(
        *(RUNNERS[suffix], str(path)), env=quick.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            word, pay_url = (await process.stdout.readline()).decode().split()
            assert word == "open"
            row = await quick.pay(pay_url)
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    assert out.decode().split() == ["paid", "150000", row["bank_code"]]


@SHARED
async def test_the_quickstarts_curl_ends_with_a_verified_payment(quick: Quick) -> None:
    if shutil.which("curl") is None:
        pytest.skip("NOT RUN: curl is not installed (`.ci/run` installs it where it can)")
    create, check = (quick.here(block) for block in blocks("docs/quickstart.md", "sh")[2:])
    payment = json.loads(await shell(create, quick.env, quick.folder))
    row = await quick.pay(payment["pay_url"])
    checked = json.loads(await shell(check.replace("pay_…", payment["id"]), quick.env, quick.folder))
    assert (checked["status"], checked["amount_rials"]) == ("paid", 150_000)
    assert checked["bank_code"] == row["bank_code"]


@SHARED
async def test_the_drop_ins_steps_let_a_shop_in(quick: Quick) -> None:
    [command] = blocks("docs/drop-in.md", "sh")
    command = command.replace("mer_…", quick.merchant_id).strip()
    for options in ("", " --amount-unit toman --return-method post --any-https-return"):
        made = json.loads(await shell(f"{command}{options} --json", quick.env, quick.folder))
        url = "https://elsewhere.example/cb" if options else "https://shop.example.ir/cb"
        form = {"api_key": made["token"], "amount": "15000", "return_url": url}
        address = f"http://127.0.0.1:{quick.ports['8080']}/invoice/request"
        async with quick.session.post(address, data=form) as answer:
            said = await answer.json()
        assert said["status"] == 1, said
    listed = await shell(f"dargah token list --merchant {quick.merchant_id} --json", quick.env, quick.folder)
    assert [row["amount_unit"] for row in json.loads(listed)].count("toman") == 1


@pytest.fixture
async def gateway_url() -> AsyncIterator[str]:
    async with gateway() as url:
        yield url


@pytest.fixture
async def shop_hook() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Runs the block that begins with the exports, on free loopback ports, and gives the public URL and environment."""
    [run] = [block for block in blocks("README.md", "sh") if "dargah serve" in block]
    url, admin = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")}
    env = clean | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "DARGAH_ENVIRONMENT": "development",
        "DARGAH_LISTEN": url.removeprefix("http://"),
        "DARGAH_ADMIN_LISTEN": admin.removeprefix("http://"),
        "DARGAH_ADMIN_URL": admin,
    }
    script = run.replace(".venv/bin/dargah", "dargah").replace("https://pay.example.ir", url)
    exports = script.replace("dargah serve", 'printf "%s" "$DARGAH_ADMIN_TOKEN" > token; exec dargah serve')
    with subprocess.Popen([BASH, "-eu", "-c", exports], env=env, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"ready on" in process.stdout.readline()
        try:
            yield url, env | {"DARGAH_ADMIN_TOKEN": (tmp_path / "token").read_text()}
        finally:
            process.terminate()


async def test_the_readmes_commands_lead_to_a_payment(
    served: tuple[str, dict[str, str]], gateway_url: str, shop_hook: Receiver, tmp_path: Path
) -> None:
    url, env = served
    [setup] = [block for block in blocks("README.md", "sh") if "dargah merchant create" in block]
    known = {"https://gateway.example.ir": gateway_url, "https://shop.example.ir/webhooks": shop_hook.url}
    for command in setup.strip().splitlines():
        for example, here in known.items():
            command = command.replace(example, here)
        if "terminal create" in command:
            command += " --api-key-stdin"
        said = await shell(command, env, tmp_path, API_KEY)
        for kind in ("mer", "dg_live"):
            # A token's row also shows its prefix.
            if found := re.findall(rf"\b{kind}_[0-9A-Za-z]{{8,}}", said):
                known[f"{kind}_…"] = max(found, key=len)

    [curl] = [block for block in blocks("README.md", "sh") if "curl" in block]
    order = curl.replace("https://pay.example.ir", url).replace("dg_live_…", known["dg_live_…"])
    async with aiohttp.ClientSession() as session:
        payment = await as_curl_would(session, order)
        assert payment["status"] == "pending"
        async with session.get(payment["pay_url"], allow_redirects=False) as opened:
            assert opened.headers["Location"].startswith(gateway_url)


async def as_curl_would(session: aiohttp.ClientSession, command: str) -> Any:
    """The JSON that the command would print; curl itself may not be on the machine."""
    _, url, *words = shlex.split(command.replace("\\\n", ""))
    pairs = list(zip(words[::2], words[1::2], strict=True))
    headers = dict(value.split(": ", 1) for name, value in pairs if name == "-H")
    [body] = [value for name, value in pairs if name == "-d"]
    async with session.post(url, headers=headers, data=body) as answer:
        return await answer.json()


def test_the_demo_exits_0_and_says_what_the_ledger_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "demo"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "what the gateway's ledger says: 150000 rial" in done.stdout
