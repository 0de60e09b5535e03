"""What docs/quickstart.md and docs/drop-in.md tell a reader to type is typed here, on free ports."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e import languages
from e2e.playground import eventually
from proxy.demo.stage import free_port

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
BASH = shutil.which("bash") or "/bin/bash"
EXAMPLES = {"python": "py", "php": "php", "js": "mjs"}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


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


async def shell(script: str, env: dict[str, str], folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *(BASH, "-eu", "-c", script), env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, f"{script}\n{out.decode()}{err.decode()}"
    return out.decode()


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[Quick]:
    ports = {port: str(free_port()) for port in ("8080", "8081", "8090")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")}
    env = clean | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "DARGAH_LISTEN": f"127.0.0.1:{ports['8080']}",
        "DARGAH_ADMIN_LISTEN": f"127.0.0.1:{ports['8081']}",
    }
    start, setup = (on_ports(block, ports) for block in blocks("quickstart.md", "sh")[:2])
    token = tmp_path / "token"
    script = f'{start}\nprintf %s "$DARGAH_ADMIN_TOKEN" > token; wait'
    process = await asyncio.create_subprocess_exec(
        *(BASH, "-eu", "-c", script), env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True
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
            said = await shell(f'{setup}\necho "$merchant $SHOP_TOKEN"', env, tmp_path)
            merchant_id, shop_token = said.split()[-2:]
            yield Quick(ports, tmp_path, env | {"SHOP_TOKEN": shop_token}, session, merchant_id)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()


@pytest.mark.parametrize("language", EXAMPLES)
async def test_the_quickstarts_programs_end_with_a_verified_payment(quick: Quick, language: str) -> None:
    suffix = EXAMPLES[language]
    languages.require(suffix)
    [program] = blocks("quickstart.md", language)
    path = quick.folder / f"example.{suffix}"
    path.write_text(quick.here(program))
    process = await asyncio.create_subprocess_exec(
        *(languages.RUNNERS[suffix], str(path)), env=quick.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
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


async def test_the_quickstarts_curl_ends_with_a_verified_payment(quick: Quick) -> None:
    if shutil.which("curl") is None:
        pytest.skip("NOT RUN: curl is not installed (`.ci/run` installs it where it can)")
    create, check = (quick.here(block) for block in blocks("quickstart.md", "sh")[2:])
    payment = json.loads(await shell(create, quick.env, quick.folder))
    row = await quick.pay(payment["pay_url"])
    checked = json.loads(await shell(check.replace("pay_…", payment["id"]), quick.env, quick.folder))
    assert (checked["status"], checked["amount_rials"]) == ("paid", 150_000)
    assert checked["bank_code"] == row["bank_code"]


async def test_the_drop_ins_steps_let_a_shop_in(quick: Quick) -> None:
    [command] = blocks("drop-in.md", "sh")
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
