"""`make demo` on a machine that lacks something: one sentence says what to do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from supply.licences import REPOSITORY, locked

ENVIRONMENT = REPOSITORY / ".ci" / "environment"
LOCK = REPOSITORY / "requirements-demo.txt"


def said(*command: str | Path, **env: str) -> tuple[int, list[str]]:
    """The exit code, and the lines on both outputs."""
    done = subprocess.run(
        list(map(str, command)),
        # A make within a make says where it enters.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | env,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout.splitlines()


def interpreter(folder: Path, preamble: str) -> Path:
    """This interpreter, changed by a line that runs before each `-c`."""
    path = folder / "python3"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; {preamble}; exec(sys.argv[2])" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("preamble", "sentence"),
    [
        ("sys.version_info = (3, 10, 13)", r"Dargah needs Python 3\.11 or newer, and \S+ is 3\.10: .*PYTHON=.*"),
        (
            "sys.modules['ensurepip'] = None",
            r".*cannot make virtual environments: `apt-get install python3\.\d+-venv`.*",
        ),
        ("sys.exit(127)", r"Dargah needs Python 3\.11 or newer, and \S+ does not run here: .*PYTHON=.*"),
    ],
)
def test_an_interpreter_that_will_not_do_is_told_in_a_sentence(tmp_path: Path, preamble: str, sentence: str) -> None:
    code, lines = said(ENVIRONMENT, interpreter(tmp_path, preamble), tmp_path / "venv", LOCK)
    assert (code, len(lines)) == (2, 1)
    assert re.fullmatch(sentence, lines[0])
    assert not (tmp_path / "venv").exists()


def test_a_machine_without_python_is_told_so_by_make() -> None:
    code, lines = said("make", "--always-make", ".venv/.ready-run", "PYTHON=no-such-python")
    assert code == 2
    assert lines[0].startswith("Dargah needs Python 3.11 or newer, and there is no no-such-python here: ")
    assert lines[1].startswith("make: ***")


def test_what_cannot_be_installed_is_named_without_the_rest_of_pip_s_words(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("no-such-library-here==1 --hash=sha256:" + "0" * 64 + "\n")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    code, lines = said(ENVIRONMENT, sys.executable, sys.prefix, lock, **offline)
    assert code == 1
    assert any(line.startswith("ERROR: ") and "no-such-library-here==1" in line for line in lines)
    assert "install.log" in lines[-1]
    assert len(lines) <= 5


def test_running_installs_what_runs_and_nothing_that_only_develops() -> None:
    run = {each.name for each in locked()}
    assert {each.name for each in locked(LOCK.read_text("utf-8"))} - run == {"standardwebhooks", "setuptools"}


def test_developing_changes_nothing_that_runs() -> None:
    for_running, for_developing = (
        {(each.name, each.version) for each in locked((REPOSITORY / name).read_text("utf-8"))}
        for name in ("requirements-demo.txt", "requirements-dev.txt")
    )
    assert for_running <= for_developing
