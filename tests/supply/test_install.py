"""The wheel, installed into empty environments: it runs a payment there, and not beside another package of its name.

`make test-wheel` takes each Python that Dargah supports, with the libraries of the lock and of nowhere else. The suite
takes this Python alone and lends the wheel the libraries that the tests run with.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from e2e.test_up import Up, pay
from support.ports import free_port

from proxy.cli.entry import collision
from supply.licences import REPOSITORY
from supply.release import Commit, wheel
from supply.test_release import tree

pytestmark = pytest.mark.xdist_group("wheel")
REQUIRED = os.environ.get("DARGAH_TEST_WHEEL") == "required"
THIS = "{}.{}".format(*sys.version_info)
VERSIONS = ["3.11", "3.12", "3.13"]
PROXY_PY = REPOSITORY / "tests" / "supply" / "proxy-py.txt"


@dataclass(frozen=True)
class Environment:
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def pip(self, *arguments: str | Path) -> None:
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--quiet", "--python", self.python]
        done = subprocess.run([*pip, *arguments], capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr

    @property
    def command(self) -> Path:
        return self.folder / "bin" / "dargah"

    def env(self, home: Path) -> dict[str, str]:
        """All that the command is told of where it is; no setting."""
        path = f"{self.folder / 'bin'}:{os.defpath}"
        return {"PATH": path, "HOME": str(home), "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}

    def dargah(self, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """What the installed command does in a folder."""
        return subprocess.run(
            [self.command, *arguments],
            cwd=folder,
            env=self.env(folder),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    name, content = wheel(Commit("0" * 40, 1_700_000_000, tree()))
    path = tmp_path_factory.mktemp("wheel") / name
    path.write_bytes(content)
    return path


def interpreter(version: str) -> str:
    """A Python of this version: ours, the PATH's or pyenv's. Skips, or fails where it is required, without one."""
    asked = ["sh", "-c", 'pyenv prefix "$(pyenv latest "$1")"', "sh", version]
    pyenv = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False).stdout.strip()
    for found in (sys.executable, shutil.which(f"python{version}"), f"{pyenv}/bin/python"):
        if found is not None and _version(found) == version:
            return found
    why = f"NOT RUN: the wheel on Python {version}, which is not at hand"
    if REQUIRED:
        pytest.fail(why)
    pytest.skip(why)


def _version(python: str) -> str:
    asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False).stdout.strip()
    except OSError:
        return ""


def environment(folder: Path, version: str = THIS) -> Environment:
    """An empty environment, without pip."""
    subprocess.run([interpreter(version), "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    return Environment(folder)


def lend_libraries(to: Environment) -> None:
    """Puts the tests' libraries behind those of the environment. Our own package is not among them: the tests have it
    as a link, and the links of a folder that is added so are not followed.
    """
    [site] = to.folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")


@pytest.fixture(scope="module", params=VERSIONS if REQUIRED else [THIS])
def installed(
    request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    made = environment(tmp_path_factory.mktemp("environment") / "venv", request.param)
    if REQUIRED:
        made.pip("install", "--only-binary", ":all:", "--require-hashes", "-r", REPOSITORY / "requirements.txt")
    else:
        lend_libraries(made)
    made.pip("install", "--no-deps", "--no-index", built)
    yield made
    shutil.rmtree(made.folder)


def test_the_command_is_the_installed_one(installed: Environment, tmp_path: Path) -> None:
    said = installed.dargah("--version", folder=tmp_path)
    assert (said.returncode, said.stdout.startswith("dargah, version ")) == (0, True), said.stderr
    assert installed.dargah("client", "php", folder=tmp_path).stdout.startswith("<?php")
    asked = [str(installed.python), "-I", "-c", "import proxy; print(proxy.__file__)"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout
    assert Path(found.strip()).is_relative_to(installed.folder)


async def test_up_takes_a_payment_and_the_doctor_finds_nothing(installed: Environment, tmp_path: Path) -> None:
    ports = {name: f"127.0.0.1:{free_port()}" for name in ("DARGAH_LISTEN", "DARGAH_ADMIN_LISTEN")}
    options = ("--simulator-port", "0", "--webhook-port", "0")
    running = Up(
        await asyncio.create_subprocess_exec(
            *(installed.command, "up", *options),
            cwd=tmp_path,
            env=installed.env(tmp_path) | ports,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    )
    try:
        async with aiohttp.ClientSession() as session:
            await running.line("Ctrl-C ends it all")
            await pay(session, (await running.line(r"^Pay: +(\S+)"))[1])
            await running.line(r"^webhook verified: payment.paid .* 150000 rial")
        doctor = await asyncio.to_thread(installed.dargah, "doctor", folder=tmp_path)
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
        assert "it took a signed ping" in doctor.stdout  # so it asked the Dargah of this folder
        assert await running.interrupt() == 0
    finally:
        if running.process.returncode is None:
            running.process.kill()


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("proxy.py-2.4.10.dist-info", True),  # as pip names it, of proxy.py's own wheel
        ("proxy_py-2.4.10.dist-info", True),
        ("proxy.py-2.4.3-py3.11.egg-info", True),
        ("proxy_protocol-0.11.dist-info", False),
        ("proxy_py.pth", False),
    ],
)
def test_proxy_py_in_the_same_folder_is_known_by_its_name(tmp_path: Path, name: str, refused: bool) -> None:
    (tmp_path / name).mkdir()
    assert (collision(tmp_path) is not None) is refused


def test_a_folder_that_cannot_be_read_is_no_collision(tmp_path: Path) -> None:
    assert collision(tmp_path / "dargah.zip") is None


@pytest.mark.skipif(not REQUIRED, reason="NOT RUN: the lock's wheels for arm64, which `make test-wheel` fetches")
def test_the_lock_has_wheels_for_the_other_architecture_of_the_image(tmp_path: Path) -> None:
    platforms = [f"--platform=manylinux{kind}_aarch64" for kind in ("2014", "_2_17", "_2_28")]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", tmp_path, "--python-version", "3.11"]
    lock = ["--only-binary", ":all:", "--require-hashes", "-r", REPOSITORY / "requirements.txt"]
    subprocess.run([*map(str, pip), *platforms, *map(str, lock)], check=True, timeout=280)
    assert list(tmp_path.glob("*aarch64.whl"))


@pytest.mark.skipif(not REQUIRED, reason="NOT RUN: the wheel beside the real proxy.py, which `make test-wheel` fetches")
@pytest.mark.parametrize("last", ["dargah", "proxy.py"])
def test_beside_the_real_proxy_py_the_command_says_so_whichever_was_installed_last(
    built: Path, tmp_path: Path, last: str
) -> None:
    made = environment(tmp_path / "venv")
    lend_libraries(made)
    installs = {
        "dargah": ("--no-deps", "--no-index", built),
        "proxy.py": ("--no-deps", "--require-hashes", "-r", PROXY_PY),
    }
    for what in sorted(installs, key=lambda each: each == last):
        made.pip("install", *installs[what])
    for arguments in (["--version"], ["serve"], ["doctor", "--json"]):
        said = made.dargah(*arguments, folder=tmp_path)
        assert (said.returncode, said.stdout) == (2, "")
        assert re.fullmatch(
            r"Error: proxy\.py is in \S+ too, .*: install Dargah into a virtual environment of its own.*\n", said.stderr
        )
    # pip takes the files of both away with proxy.py.
    made.pip("uninstall", "--yes", "proxy.py")
    said = made.dargah("--version", folder=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert re.fullmatch(r"Error: files of Dargah's package `proxy` in \S+ are missing .*\n", said.stderr)
    made.pip("install", "--force-reinstall", "--no-deps", "--no-index", built)
    assert made.dargah("--version", folder=tmp_path).returncode == 0
