"""The repository whose deploy/ is looked at, and the real programs that it is held against, where they are."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest

REPOSITORY = Path(__file__).parents[2]
# `make test-deploy` sets it: then a tool that is missing is a failure.
REQUIRED = os.environ.get("DARGAH_TEST_DEPLOY") == "required"
BESIDE_PYTHON = Path(sys.executable).parent
RUN_SECONDS = 60


def find(name: str) -> str:
    """Where the program is, among the wheels' first; without it the test is skipped and says so."""
    path = shutil.which(name, path=os.pathsep.join((str(BESIDE_PYTHON), os.environ["PATH"], "/usr/sbin")))
    if path is None:
        missing(name)
    return path


def imported(name: str) -> Any:
    """The module of a tool that is a library; without it the test is skipped and says so."""
    try:
        return import_module(name)
    except ImportError:
        missing(name)


def missing(name: str) -> NoReturn:
    why = f"NOT RUN: {name} is not installed (`make test-deploy` installs it where it can)"
    if REQUIRED:
        pytest.fail(why)
    pytest.skip(why)


def call(
    name: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find(name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
        cwd=cwd,
        env=dict(os.environ) | dict(env or {}),
    )


def run(name: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What it prints; fails with what it said when it finds fault."""
    done = call(name, *arguments, env=env, cwd=cwd)
    assert done.returncode == 0, f"{name} {arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout
