"""The languages that clients are written in, where this machine has them."""

import asyncio
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).parents[1] / "clients"
RUNNERS = {"php": "php", "mjs": "node", "lua": "lua5.4", "py": sys.executable}
PATIENCE_SECONDS = 60
_LUA_NEEDS = 'require("socket.http") require("ssl.https")'


@cache
def _missing(language: str) -> str:
    """Why programs of this language cannot run here; empty when they can."""
    runner = shutil.which(RUNNERS[language])
    if runner is None:
        return f"NOT RUN: {RUNNERS[language]} is not installed (`.ci/run` installs it where it can)"
    if language == "php" and "curl" not in subprocess.check_output([runner, "-m"], text=True):
        return "NOT RUN: PHP has no curl here (Debian's php-curl)"
    if language == "lua" and subprocess.call([runner, "-e", _LUA_NEEDS], stderr=subprocess.DEVNULL):
        return "NOT RUN: Lua has no LuaSocket or LuaSec here (Debian's lua-socket and lua-sec)"
    return ""


def require(language: str) -> None:
    """Skips the test, saying so, where the language is missing."""
    if why := _missing(language):
        pytest.skip(why)


async def run(language: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What a program prints; fails when it fails. The servers that it talks to run meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *(RUNNERS[language], *arguments), env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def shop(language: str, *arguments: str) -> dict[str, Any]:
    """What the shop of this language says."""
    said: dict[str, Any] = json.loads(await run(language, str(CLIENTS / f"shop.{language}"), *arguments))
    return said
