"""`python3 .ci/install.py VENV LOCK`: the packages of a hash-locked file in a virtual environment, with progress.

The environment is made where there is none of this Python. All that pip says is kept in VENV/install.log, and of a
failure its errors are shown.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# A requirement, or a file that it was found as.
PACKAGE: Final = re.compile(
    r"^(?:Collecting|Processing|Requirement already satisfied:) (?:\S*/)?([\w.]+?(?:-[a-z][\w.]*)*)[^\w.]"
)
LOCKED: Final = re.compile(r"^([a-z0-9][^ =]*)==", re.MULTILINE)
SHOWN_ERRORS: Final = 5


class Progress:
    """A line that is rewritten, in a terminal; elsewhere a line for each tenth package."""

    def __init__(self, names: Iterable[str]) -> None:
        self._whole = {name.replace("-", "_") for name in names}
        self._done: set[str] = set()
        self._live = sys.stdout.isatty()

    def read(self, line: str) -> None:
        """Tells what a line of pip's means, if it means progress."""
        name = found[1].lower().replace("-", "_") if (found := PACKAGE.match(line)) else ""
        if name in self._whole - self._done:
            self._done.add(name)
            self._tell(name)
        elif line.startswith("Installing collected") and self._live:
            self._tell("unpacking")

    def end(self, text: str) -> None:
        """The last word, in the line's place."""
        print("\r\033[K" if self._live else "", text, sep="", flush=True)

    def _tell(self, what: str) -> None:
        if self._live:
            print(f"\r\033[K  {len(self._done)} of {len(self._whole)}  {what}", end="", flush=True)
        elif len(self._done) % 10 == 0:
            print(f"  {len(self._done)} of {len(self._whole)}", flush=True)


def make(venv: Path) -> None:
    """Makes the environment, unless one of this Python stands there and runs."""
    version = [str(venv / "bin" / "python"), "-c", "import sys; print(sys.version_info[:2])"]
    try:
        found = subprocess.run(version, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found = ""
    if found != str(sys.version_info[:2]):
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)


def install(venv: Path, lock: Path, progress: Progress) -> list[str]:
    """Gives what pip calls errors: none when all of the lock is installed."""
    pip = (venv / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off")
    said = []
    with (
        (venv / "install.log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [*pip, "--require-hashes", "-r", lock], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            said += [line.rstrip()] if line.startswith("ERROR") else []
            progress.read(line)
    return (said or [f"pip ended with {process.returncode}"]) if process.returncode else []


def main(venv: Path, lock: Path) -> int:
    """The exit code."""
    since = time.monotonic()
    names = set(LOCKED.findall(lock.read_text("utf-8")))
    print(f"Installing {len(names)} packages ({lock.name}) into {venv}, this once", flush=True)
    make(venv)
    progress = Progress(names)
    errors = install(venv, lock, progress)
    if errors:
        progress.end("\n".join(errors[:SHOWN_ERRORS]))
        print(f"{lock.name} is not installed; all that pip said is in {venv}/install.log", file=sys.stderr)
        return 1
    size = sum(path.lstat().st_size for path in venv.rglob("*") if path.is_file()) // 1_000_000
    progress.end(f"  {len(names)} packages, {size} MB, {time.monotonic() - since:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
