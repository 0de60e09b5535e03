"""What the README tells a stranger to type is typed here, with this machine's addresses in place of the examples'."""

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e.playground import API_KEY, Receiver, gateway, receiver
from proxy.demo.stage import free_port

README = Path(__file__).parents[2] / "README.md"
BIN = Path(sys.executable).parent
BASH = shutil.which("bash") or "/bin/bash"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.fixture
async def gateway_url() -> AsyncIterator[str]:
    async with gateway() as url:
        yield url


@pytest.fixture
async def shop_hook() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


def shell(script: str, env: dict[str, str], folder: Path, stdin: str = "") -> str:
    done = subprocess.run(
        [BASH, "-eu", "-c", script], env=env, cwd=folder, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Runs the block that begins with the exports, on free loopback ports, and gives the public URL and environment."""
    [run] = [block for block in blocks("sh") if "dargah serve" in block]
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
    [setup] = [block for block in blocks("sh") if "dargah merchant create" in block]
    known = {"https://gateway.example.ir": gateway_url, "https://shop.example.ir/webhooks": shop_hook.url}
    for command in setup.strip().splitlines():
        for example, here in known.items():
            command = command.replace(example, here)
        if "terminal create" in command:
            command += " --api-key-stdin"
        said = await asyncio.to_thread(shell, command, env, tmp_path, API_KEY)
        for kind in ("mer", "dg_live"):
            # A token's row also shows its prefix.
            if found := re.findall(rf"\b{kind}_[0-9A-Za-z]{{8,}}", said):
                known[f"{kind}_…"] = max(found, key=len)

    [curl] = [block for block in blocks("sh") if "curl" in block]
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
