"""Every start that is refused and every wrong use: exit code 2, and one sentence that says what to do.

`dargah serve` says it in its log, too, unless that is the terminal that shows the sentence anyway.
"""

import asyncio
import json
import os
import pty
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from support.command import Cli, Ran
from support.process import environment, process_shop

from e2e.refused import COMMANDS, FILES, LIMITS, PLACES, SETTINGS, Refused
from proxy.__main__ import main
from proxy.database.sqlite.files import FileLock
from proxy.gateways.simulation.ledger import Journal
from proxy.kernel.clock import system_now
from proxy.merchants.vault import generate_line
from proxy.stores.sqlite import open_store

ROOT: Final = Path(__file__).parents[2]
AT_ONCE: Final = 4
LOW_PORT: Final = 1
_CANNOT: Final = re.compile("Operation not (permitted|supported)|Inappropriate ioctl|mount: .*(denied|permitted)")
_LOW_PORTS: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@pytest.fixture
async def surroundings(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """What the refused meet, by its name in them: ports and a socket in use, files that somebody holds, and databases
    that are not ours, of another version, torn, or whole.
    """
    made = tmp_path / "made"
    made.mkdir()
    await make_databases(made)
    async with AsyncExitStack() as stack:
        names = {"made": str(made), "held": str(tmp_path / "held.sock")}
        for name, family, place in (
            ("port", socket.AF_INET, ("127.0.0.1", 0)),
            ("port6", socket.AF_INET6, ("::1", 0)),
            ("held", socket.AF_UNIX, names["held"]),
        ):
            listener = stack.enter_context(socket.socket(family))
            listener.bind(place)
            listener.listen()
            names |= {} if name == "held" else {name: str(listener.getsockname()[1])}
        names |= {"locked": str(made / "locked.db"), "ledger": str(made / "ledger.db")}
        stack.callback(FileLock(Path(names["locked"]), make=True).release)
        stack.push_async_callback(Journal(names["ledger"]).close)
        yield names


async def make_databases(folder: Path) -> None:
    await (await open_store(folder / "ours.db", now=system_now)).close()
    whole = (folder / "ours.db").read_bytes()
    for name in ("newer", "odd", "torn", "moved"):
        (folder / f"{name}.db").write_bytes(whole)
    statements = {
        "other": ("CREATE TABLE bookmarks (url)",),
        "newer": ("INSERT INTO schema_versions VALUES (9999, 'of_later', 1, 9999)",),
        "odd": ("DELETE FROM schema_versions WHERE version > 1",),
    }
    for name, texts in statements.items():
        with closing(sqlite3.connect(folder / f"{name}.db")) as connection, connection:
            for text in texts:
                connection.execute(text)
    with closing(sqlite3.connect(folder / "ours.db")) as connection:
        [(size,)] = connection.execute("PRAGMA page_size")
        pages = connection.execute("SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'secrets' AND rootpage > 0")
        torn = bytearray(whole)
        for (page,) in pages.fetchall():
            torn[(page - 1) * size : page * size] = b"\xff" * size
    (folder / "torn.db").write_bytes(torn)


@dataclass(frozen=True, slots=True)
class Walk:
    """Runs refused commands, each in a folder of its own, and gives what was not as it should be."""

    folder: Path
    names: Mapping[str, str]

    async def faults(self, cases: Sequence[Refused]) -> list[str]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def fault(number: int, case: Refused) -> str | None:
            async with turns:
                return await self._fault(number, case)

        found = await asyncio.gather(*(fault(number, case) for number, case in enumerate(cases)))
        return [each for each in found if each is not None]

    async def _fault(self, number: int, case: Refused) -> str | None:
        folder = self.folder / f"{number}"
        (folder / "data").mkdir(parents=True)
        case = case.filled({**self.names, "folder": str(folder)})
        if case.takes_root and os.geteuid():
            return None
        if case.takes_low_port and int(_LOW_PORTS.read_text()) <= LOW_PORT:
            return None
        ran = await self._run(case, folder)
        if case.takes_root and _CANNOT.search(ran.error) and "Error: " not in ran.error:
            return None  # this file system or container cannot
        why = fault_of(ran, case)
        return None if why is None else f"{why}: {case}\n{ran}"

    async def _run(self, case: Refused, folder: Path) -> Ran:
        env = environment("data/dargah.db", **dict(case.env))
        if not case.mounts and case.prepare:
            await asyncio.to_thread(subprocess.run, ["sh", "-c", case.prepare], cwd=folder, check=True)
        try:
            if not case.prefix and not case.mounts:
                mine = {name: value for name, value in env.items() if name.startswith("DARGAH_")}
                return await Cli(mine, folder).run(*case.command)
            return await asyncio.to_thread(_start, case, folder, env)
        finally:
            if "chattr" in case.prepare:
                await _shell("chattr -i data data/dargah.db 2>&-; true", folder)


async def _shell(script: str, folder: Path) -> None:
    await asyncio.to_thread(subprocess.run, ["sh", "-c", script], cwd=folder, check=True)


def _start(case: Refused, folder: Path, env: Mapping[str, str]) -> Ran:
    """A process as an operator starts it."""
    prepare = case.prepare if case.mounts else ":"
    command = ["sh", "-c", f'set -e; {prepare}\nexec {case.prefix} "$@"', "sh"]
    command += [sys.executable, "-m", "proxy", *case.command]
    if case.mounts:
        command = ["unshare", "-m", *command]
    env = {**env, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def fault_of(ran: Ran, case: Refused) -> str | None:
    """What is not as it should be with a refusal."""
    sentences = re.findall("^Error: (.*)", ran.error, re.MULTILINE)
    told = [line for line in map(log_line, ran.error.splitlines()) if line.get("event") == "start_refused"]
    if ran.code != 2:
        return f"exit code {ran.code}"
    if "Traceback" in ran.error:
        return "a trace"
    if len(sentences) != 1 or not ran.error.endswith(f"Error: {sentences[0]}\n"):
        return "not one sentence"
    if not re.search(case.says, sentences[0]):
        return f"it does not say {case.says}"
    if case.command == ("serve",) and [(line["level"], line["why"]) for line in told] != [("error", sentences[0])]:
        return "the log does not say it"
    return None


def log_line(text: str) -> dict[str, str]:
    try:
        line: dict[str, str] = json.loads(text)
    except ValueError:
        return {}
    return line


@pytest.mark.parametrize(
    "cases", [PLACES, FILES, SETTINGS, COMMANDS, LIMITS], ids=["places", "files", "settings", "commands", "limits"]
)
async def test_what_cannot_be_done_is_refused_in_one_sentence_that_says_what_to_do(
    tmp_path: Path, surroundings: dict[str, str], cases: Sequence[Refused]
) -> None:
    assert await Walk(tmp_path, surroundings).faults(cases) == []


async def test_a_taken_port_is_told_before_anything_is_made(tmp_path: Path, surroundings: dict[str, str]) -> None:
    ran = await serve(tmp_path, LISTEN=f"127.0.0.1:{surroundings['port']}")
    assert (ran.code, (tmp_path / "dargah.db").exists()) == (2, False)


async def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    ran = await serve(tmp_path, LISTEN="here", DRAIN_SECONDS="soon")
    assert ran.code == 2
    first, second = ran.error.partition("Error: ")[2].splitlines()
    assert first.startswith("DARGAH_LISTEN: ")
    assert second.startswith("DARGAH_DRAIN_SECONDS: ")


@pytest.mark.parametrize("content", ["LISTEN=127.0.0.1:0", "DARGAH_LISTN=127.0.0.1:0"])
async def test_a_wrong_file_of_settings_is_told_in_the_log_too(tmp_path: Path, content: str) -> None:
    (tmp_path / "dargah.env").write_text(f"{content}\n")
    (tmp_path / "dargah.env").chmod(0o600)
    (tmp_path / "data").mkdir()
    ran = await Cli({"DARGAH_DATABASE": "data/dargah.db"}, tmp_path).run("serve")
    assert fault_of(ran, Refused("dargah.env")) is None, ran


async def test_another_key_ring_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    async with process_shop(tmp_path / "data") as (_, process):
        await process.stop()
        ran = await serve(tmp_path, DATABASE="data/dargah.db", KEYS=generate_line("other"))
    says = "is not in the ring, and secrets in the database are sealed under it.*dargah.db"
    assert fault_of(ran, Refused(says)) is None, ran


async def test_a_console_log_says_it_in_a_line_for_people(tmp_path: Path) -> None:
    ran = await serve(tmp_path, LOG_FORMAT="console", KEYS="short")
    first, sentence = ran.error.splitlines()
    assert re.search(r" error +start_refused +why=\"key ring, line 1: write it as", first)
    assert sentence.startswith("Error: key ring, line 1: ")


async def test_a_terminal_shows_the_sentence_alone(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "serve"),
        env=environment("dargah.db", KEYS="short") | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stderr=theirs,
    )
    assert await process.wait() == 2
    os.close(theirs)
    said = os.read(ours, 4096).decode()
    os.close(ours)
    assert re.fullmatch(r"Error: key ring, line 1: write it as [^\n]*\n", said.replace("\r", ""))


async def test_a_name_that_the_locale_does_not_know_is_told_all_the_same(tmp_path: Path) -> None:
    env = environment("پوشه/dargah.db") | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "serve"),
        env=env | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    line, sentence = said.decode().splitlines()
    assert process.returncode == 2
    assert "is not there: make it" in log_line(line)["why"]
    assert re.match("Error: .*/dargah.db cannot be used as the database: the folder .* is not there: make it", sentence)


_BUG: Final = """
import sys
from proxy.cli import dargah, {module} as module

def fail(*_, **__):
    raise ZeroDivisionError("planted")

module.load = fail
dargah([{command!r}])
"""


@pytest.mark.parametrize(("module", "command"), [("serve", "serve"), ("migrate", "migrate")])
async def test_a_bug_shows_its_trace_and_asks_to_be_reported(tmp_path: Path, module: str, command: str) -> None:
    script = _BUG.format(module=module, command=command)
    env = environment("dargah.db") | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script), env=env, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    *trace, sentence = said.decode().splitlines()
    assert process.returncode == 1
    assert sentence.startswith("Error: this is a bug of Dargah: please report it, with the lines above")
    if command == "serve":
        line = json.loads(trace[-1])
        assert (line["event"], line["level"], line["error"]) == ("ended_by_bug", "critical", "ZeroDivisionError")
        assert "planted" in json.dumps(line["exception"])
    else:
        assert (trace[0], trace[-1]) == ("Traceback (most recent call last):", "ZeroDivisionError: planted")


def test_an_old_python_is_told_which_one_is_needed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capfd.readouterr().err.startswith("Error: Dargah needs Python 3.11 or newer, and ")


async def serve(folder: Path, **env: str) -> Ran:
    given = environment("dargah.db", **env)
    return await Cli({name: value for name, value in given.items() if name.startswith("DARGAH_")}, folder).run("serve")
