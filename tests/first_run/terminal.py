"""A person's terminal: bash on a pseudo-terminal, where text is pasted at once and the rest is waited for."""

import os
import re
import select
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

SHELL: Final = ("setsid", "--ctty", "bash", "--norc", "--noprofile", "--noediting", "-i")
# A person sees by themselves that a command failed.
NOTICE_FAILURES: Final = "trap 'printf \"\\n<failed %s: %s>\\n\" \"$?\" \"$BASH_COMMAND\"' ERR; PS1='$ '; PS2='> '"
FAILED: Final = re.compile(r"^<failed (.*)>\r?$", re.MULTILINE)
COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`inside` is a command that begins the shell's, such as one that enters a container. `shown` is all its text."""

    def __init__(self, *inside: str, env: Mapping[str, str], folder: Path | None) -> None:
        self._master, slave = os.openpty()
        modes = termios.tcgetattr(slave)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        self._shell = subprocess.Popen([*inside, *SHELL], stdin=slave, stdout=slave, stderr=slave, env=env, cwd=folder)
        os.close(slave)
        self._pastes = 0
        self.shown = ""
        self.type(NOTICE_FAILURES)

    def type(self, text: str) -> None:
        os.write(self._master, f"{text.rstrip()}\n".encode())

    def paste(self, text: str) -> Callable[[], bool]:
        """The same; gives whether the shell has done all of it."""
        self._pastes += 1
        self.type(f"{text.rstrip()}\nprintf '\\n<done %d>\\n' {self._pastes}")
        mark = f"<done {self._pastes}>"
        return lambda: mark in self.shown

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self._master, b"\x03")

    def wait(self, until: Callable[[], bool], seconds: float, look: Callable[[], None]) -> None:
        """Reads what is shown, and calls `look` after each piece. Raises AssertionError after so many seconds.

        It does, too, when a command has failed.
        """
        ends = time.monotonic() + seconds
        while not until():
            alive = self.read(0.2)
            assert alive and time.monotonic() < ends, f"this is not what the page says:\n{self.shown}"  # noqa: PT018
            look()
        assert not FAILED.search(self.shown), self.shown

    def read(self, seconds: float = 0) -> bool:
        """False at the end of the shell."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        data = b""
        with suppress(OSError):
            data = os.read(self._master, 65536)
        self.shown += COLOURS.sub("", data.decode(errors="replace"))
        return bool(data)

    def close(self) -> None:
        """Ends the jobs that were begun here, and closes the window.

        The hang-up alone would not do: under nohup, and so in what it starts, it is ignored.
        """
        with suppress(OSError):
            os.write(self._master, b"\x03\nkill $(jobs -p); wait; exit\n")
        ends = time.monotonic() + 15
        while time.monotonic() < ends and self.read(0.2):
            pass
        os.close(self._master)
        self._shell.wait(15)
