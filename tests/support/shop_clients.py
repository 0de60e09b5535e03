"""The clients that Dargah serves in processes of their languages: a probe that calls, and shops of docs/clients.md."""

import asyncio
import json
import os
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.eventually import listening

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "clients"
DOCUMENT = ROOT / "docs" / "clients.md"
RUNNERS = {"php": "php", "mjs": "node", "py": sys.executable}
FILES = {"php": "php/Dargah.php", "mjs": "node/dargah.mjs", "py": "python/dargah_client.py"}
FENCES = {"php": "php", "mjs": "js", "py": "python"}
PATIENCE_SECONDS = 60
SHOP = "https://shop.example.ir"
# The shop's orders: what each costs, and a file for each that was credited, with a line for each time.
ORDERS = {
    "php": """<?php
function rials(string $order): ?int { return json_decode(getenv('ORDERS'), true)[$order] ?? null; }
function mark_paid(string $order): void {
    if (@fopen("paid-$order", 'x')) file_put_contents('credited', "$order\\n", FILE_APPEND);
}
""",
    "mjs": """import { appendFileSync, existsSync, writeFileSync } from "node:fs";
export const rials = async (order) => JSON.parse(process.env.ORDERS)[order] ?? null;
export async function markPaid(order) {
  if (existsSync(`paid-${order}`)) return;
  writeFileSync(`paid-${order}`, "");
  appendFileSync("credited", `${order}\\n`);
}
""",
    "py": """import json, os, pathlib
rials = json.loads(os.environ["ORDERS"]).get
def mark_paid(order):
    try:
        pathlib.Path(f"paid-{order}").touch(exist_ok=False)
    except FileExistsError:
        return
    with open("credited", "a") as credited:
        credited.write(f"{order}\\n")
""",
}


def documented(language: str) -> list[str]:
    """The blocks of docs/clients.md in this language: the program that waits, then the shop."""
    return re.findall(rf"```{FENCES[language]}\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)


def environment(**more: str) -> dict[str, str]:
    """This process's, without what tells where a Dargah is."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")} | more


def copy_client(language: str, folder: Path) -> None:
    """The client in the shop's folder, as a developer copies it."""
    shutil.copy(ROOT / "proxy" / "reference" / "clients" / FILES[language], folder)


@dataclass(frozen=True)
class Probe:
    """A process that calls its client as it is asked to."""

    process: asyncio.subprocess.Process
    settings: Mapping[str, Any]

    async def ask(self, call: str, *args: Any, **settings: Any) -> dict[str, Any]:
        """What the call `gave`, or `refused`, or how it `failed` or was `misused`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = json.dumps({"call": call, "args": args, "settings": {**self.settings, **settings}})
        self.process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(PATIENCE_SECONDS):
            said: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return said

    async def gave(self, call: str, *args: Any, **settings: Any) -> Any:
        said = await self.ask(call, *args, **settings)
        assert "gave" in said, said
        return said["gave"]

    async def failed(self, call: str, *args: Any, **settings: Any) -> dict[str, Any]:
        said = await self.ask(call, *args, **settings)
        assert "failed" in said, said
        failed: dict[str, Any] = said["failed"]
        return failed


@asynccontextmanager
async def probe(language: str, **settings: Any) -> AsyncIterator[Probe]:
    program = PROGRAMS / f"probe.{language}"
    process = await asyncio.create_subprocess_exec(
        *(RUNNERS[language], str(program)), env=environment(), stdin=PIPE, stdout=PIPE, limit=2**22
    )
    try:
        yield Probe(process, settings)
    finally:
        process.kill()
        await process.communicate()


@dataclass(frozen=True)
class TinyShop:
    """A shop of docs/clients.md, listening at `url`."""

    url: str
    folder: Path
    suffix: str

    def page(self, name: str) -> str:
        return f"{self.url}/{name}{self.suffix}"

    def credited(self) -> list[str]:
        """The orders that it marked as paid, in their order."""
        ledger = self.folder / "credited"
        return ledger.read_text().split() if ledger.exists() else []


def write_shop(language: str, folder: Path, url: str) -> list[str]:
    """Puts the document's shop into the folder, and gives the command that serves it."""
    copy_client(language, folder)
    (folder / f"orders.{language}").write_text(ORDERS[language])
    texts = [text.replace(SHOP, url) for text in documented(language)[1:]]
    if language == "php":
        for text in texts:
            name = re.findall(r"// (\w+\.php)", text)[0]
            (folder / name).write_text(text)
        return ["php", "-S", url.removeprefix("http://")]
    [text] = texts
    (folder / f"shop.{language}").write_text(text)
    shutil.copy(PROGRAMS / f"host.{language}", folder)
    return [RUNNERS[language], f"host.{language}"]


@asynccontextmanager
async def tiny_shop(
    language: str, folder: Path, port: int, costs: Mapping[str, int], **env: str
) -> AsyncIterator[TinyShop]:
    url = f"http://127.0.0.1:{port}"
    command = write_shop(language, folder, url)
    given = environment(**env, PORT=str(port), ORDERS=json.dumps(costs))
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=given, stdout=DEVNULL, stderr=DEVNULL)
    try:
        await listening(port, lambda: process.returncode is None)
        yield TinyShop(url, folder, ".php" if language == "php" else "")
    finally:
        process.kill()
        await process.wait()
