"""`python -m first_run [CODENAME …]`: follows README.md and docs/quickstart.md to the letter on bare Debian machines.

Prints the commands and the minutes to the first verified payment of one's own. Exits 1 when a block fails or a figure
is over its limit. Needs root, mmdebstrap, the package registries, and the ports that the pages name.
"""

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import takewhile
from pathlib import Path
from typing import Final

from first_run import machine
from first_run.page import blocks
from first_run.reader import Done, Reader

MINUTES: Final = 2.0
COMMANDS: Final = 6
PORTS: Final = (8080, 8081, 8090, 8091)
PAGES: Final[dict[str, Callable[[Path], None]]] = {
    "README.md": machine.copy_source,
    "docs/quickstart.md": machine.copy_wheel,
}


def ways(done: list[Done]) -> Iterator[tuple[str, int, float]]:
    """Each way to a first payment: the section that ends it, its commands and minutes, with all that is before it."""
    titles = dict.fromkeys(each.block.section for each in done if each.verified)
    start = list(takewhile(lambda each: each.block.section not in titles, done))
    for title in titles:
        way = [each for each in done if each.block.section == title]
        whole = start + way[: [each.verified for each in way].index(True) + 1]
        pasted = [each.block.commands for each in whole if each.block.language == "sh"]
        yield title, sum(pasted), sum(each.seconds for each in whole) / 60


def follow(page: str, here: machine.Machine) -> list[str]:
    """Prints what came of it, and gives what is wrong."""
    folder = here.folder(Path(page).stem)
    PAGES[page](folder)
    with closing(Reader(lambda: here.terminal(folder), folder)) as reader:
        try:
            reader.follow(blocks(page))
        except AssertionError as error:
            return [f"{page}: {error}"]
        found = list(ways(reader.done))
    for title, commands, minutes in found:
        print(f"  {page:20} {title:28} {commands} commands  {minutes:.1f} min")
    over = [title for title, commands, minutes in found if commands > COMMANDS or minutes > MINUTES]
    missing = [] if found else [f"{page}: no payment was verified"]
    return missing + [f"{page}, {title}: more than {COMMANDS} commands or {MINUTES:.0f} minutes" for title in over]


def taken(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return False
    return True


def main(codenames: list[str]) -> int:
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        print("NOT RUN: the pages on a bare Debian, which need root and mmdebstrap", file=sys.stderr)
        return 0
    if busy := [port for port in PORTS if taken(port)]:
        print(f"The pages' ports {busy} are in use here: end what listens there, and try again", file=sys.stderr)
        return 1
    wrong = []
    for codename in codenames or machine.RELEASES:
        print(machine.RELEASES[codename], flush=True)
        with (
            tempfile.TemporaryDirectory(prefix="first-run-") as folder,
            machine.installed(codename, Path(folder) / codename) as here,
        ):
            for page in PAGES:
                wrong += follow(page, here)
    print("\n".join(wrong) or "Every block works as it stands, and every figure is within its limit.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
