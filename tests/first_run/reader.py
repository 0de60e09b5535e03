"""A person who follows a page to the letter: pastes its blocks, saves its programs, and pays as the customer."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import aiohttp

from first_run.page import Block, pattern
from first_run.terminal import Terminal
from proxy.demo.shop import Customer

PROGRAMS: Final = frozenset({"python", "php", "js"})
PAY_LINK: Final = "http://127.0.0.1:8080/pay/"
# What a person copies from what was shown before, and a secret that they type.
PLACEHOLDER: Final = re.compile(r"\b(mer|pay)_…")
PROMPT: Final = re.compile(r"^\$ ", re.MULTILINE)
SECRET: Final = "an-api-key-of-the-gateway"


@dataclass(frozen=True, slots=True)
class Done:
    """A block that was followed, and how long that took.

    `verified` says whether it ended and showed the number that the gateway's ledger has of the latest payment.
    """

    block: Block
    seconds: float
    verified: bool


@dataclass(slots=True)
class Reader:
    """`open_terminal` opens one in `folder`; `literally` may change a text's ports. A block has so many `seconds`.

    `paid` has the rows of the gateway's ledger, by the pay links that the customer went.
    """

    open_terminal: Callable[[], Terminal]
    folder: Path
    literally: Callable[[str], str] = str
    seconds: float = 180
    done: list[Done] = field(default_factory=list)
    paid: dict[str, dict[str, Any]] = field(default_factory=dict)
    terminals: list[Terminal] = field(default_factory=list)
    _staying: list[Terminal] = field(default_factory=list)

    def follow(self, page: Iterable[Block]) -> None:
        """Raises AssertionError where a command failed, or what is shown is not what the page says."""
        for block, following in pairwise([*page, Block("", "")]):
            since, verified = time.monotonic(), False
            if block.language == "sh":
                output = following.text if following.language == "text" else None
                shown = self._run(block, output)
                verified = output is None and bool(self.paid) and [*self.paid.values()][-1]["bank_code"] in shown
            elif block.language in PROGRAMS:
                (self.folder / block.file_name).write_text(self.literally(block.text), "utf-8")
            self.done.append(Done(block, time.monotonic() - since, verified))

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.close()

    def _run(self, block: Block, output: str | None) -> str:
        """Pastes it, waits for this output, or else for its end, and gives what was shown."""
        if "Ctrl-C" in block.before:
            self._interrupt()
        if "another terminal" in block.before or not self.terminals:
            self.terminals.append(self.open_terminal())
        terminal = self.terminals[-1]
        begins = len(terminal.shown)
        text = PLACEHOLDER.sub(self._copied, self.literally(block.text))
        if block.asks:
            self._answer(terminal, text)
            text = ""
        if output is not None:
            wanted = pattern(self.literally(output))
            terminal.type(text)
            self._staying.append(terminal)
            terminal.wait(lambda: bool(wanted.search(terminal.shown, begins)), self.seconds, self._look)
        else:
            terminal.wait(terminal.paste(text), self.seconds, self._look)
        return terminal.shown[begins:]

    def _answer(self, terminal: Terminal, text: str) -> None:
        """Types the secret that a command asks for, and waits for its end: it throws away what is typed too early."""
        terminal.type(text)
        terminal.wait(lambda: terminal.shown.endswith(": "), self.seconds, self._look)
        begins = len(terminal.shown)
        terminal.type(SECRET)
        terminal.wait(lambda: bool(PROMPT.search(terminal.shown, begins)), self.seconds, self._look)

    def _interrupt(self) -> None:
        """Ctrl-C in each terminal where something runs."""
        while self._staying:
            terminal = self._staying.pop()
            terminal.interrupt()
            terminal.wait(terminal.paste(""), self.seconds, self._look)

    def _copied(self, placeholder: re.Match[str]) -> str:
        found = re.findall(rf"\b{placeholder[1]}_[0-9A-Za-z]{{8,}}", self.terminals[-1].shown)
        assert found, f"nothing like {placeholder[0]} was shown in this terminal"
        return str(found[-1])

    def _look(self) -> None:
        """Opens each pay link that is shown, in a browser, and pays."""
        for terminal in self.terminals:
            terminal.read()
        links = re.compile(re.escape(self.literally(PAY_LINK)) + r"\w{20,}(?=\W)")
        for url in links.findall(self.terminals[-1].shown):
            if url not in self.paid:
                self.paid[url] = asyncio.run(pay(url))


async def pay(url: str) -> dict[str, Any]:
    """The customer's way to the gateway, its pay button, and back; gives the ledger's row."""
    async with aiohttp.ClientSession() as session:
        customer = Customer(session)
        gateway_page = (await customer.open(url)).location
        assert gateway_page, url
        back = (await customer.press(gateway_page, "pay")).location
        assert back, gateway_page
        await customer.open(back)
        server, _, key = gateway_page.rpartition("/invoice/pay/")
        async with session.get(f"{server}/control/invoices/{key}") as answer:
            row: dict[str, Any] = await answer.json()
    assert row["bank_code"], (url, gateway_page, back, row)
    return row
