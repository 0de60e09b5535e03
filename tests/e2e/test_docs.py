"""README.md and docs/quickstart.md are followed to the letter here, on free ports.

`make test-first-run` does it on bare machines. The drop-in's steps come after the quickstart's.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from first_run.__main__ import ways
from first_run.page import Block, blocks, pattern
from first_run.reader import Done, Reader
from first_run.terminal import Terminal
from support.ports import free_port

from e2e.test_clients import require_language

QUICKSTART = "docs/quickstart.md"
SECTIONS = {"With curl": "", "In Python": "py", "In PHP": "php", "In Node": "mjs"}
BLOCK_SECONDS = 60
# Here Dargah is installed already.
INSTALLED = {
    "make demo": ".venv/bin/dargah demo",
    "python3 -m venv .venv && .venv/bin/pip install ./dargah-*.whl": "true",
}


@contextmanager
def reader(folder: Path) -> Iterator[Reader]:
    """Somebody in an empty folder, whose `.venv` is there."""
    for program in ("bash", "setsid", "curl"):
        if shutil.which(program) is None:
            pytest.skip(f"NOT RUN: {program} is not installed (`.ci/run` installs curl where it can)")
    (folder / ".venv").symlink_to(sys.prefix)
    ports = {port: str(free_port()) for port in ("8080", "8081", "8090", "8091")}
    others = f"--simulator-port {ports['8090']} --webhook-port {ports['8091']}"
    changes = ports | INSTALLED | {"dargah up\n": f"dargah up {others}\n"}

    def literally(text: str) -> str:
        for documented, here in changes.items():
            text = text.replace(documented, here)
        return text

    clean = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")}
    env = clean | {
        "HOME": str(folder),
        "DARGAH_LISTEN": f"127.0.0.1:{ports['8080']}",
        "DARGAH_ADMIN_LISTEN": f"127.0.0.1:{ports['8081']}",
    }
    with closing(Reader(lambda: Terminal(env=env, folder=folder), folder, literally, BLOCK_SECONDS)) as made:
        yield made


def test_the_readme_works_as_it_stands(tmp_path: Path) -> None:
    with reader(tmp_path) as somebody:
        somebody.follow(blocks("README.md"))
        assert [done.block.section for done in somebody.done if done.verified] == ["Take a payment"]
        assert (tmp_path / "pay" / "dargah.env").is_file()


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody who has started what the quickstart's payments need."""
    with reader(tmp_path_factory.mktemp("quick")) as somebody:
        somebody.follow(takewhile(lambda block: block.section not in SECTIONS, blocks(QUICKSTART)))
        somebody.terminals.append(somebody.open_terminal())  # in the first one it goes on
        yield somebody


@pytest.mark.parametrize("section", SECTIONS)
def test_the_quickstarts_ways_each_end_with_a_verified_payment(quick: Reader, section: str) -> None:
    if SECTIONS[section]:
        require_language(SECTIONS[section])
    before = len(quick.paid)
    quick.follow(block for block in blocks(QUICKSTART) if block.section == section)
    assert quick.done[-1].verified
    assert len(quick.paid) == before + 1


async def test_the_drop_ins_steps_let_a_shop_in(quick: Reader) -> None:
    def dargah(arguments: str) -> Any:
        command = f".venv/bin/dargah {arguments} --json"
        ran = subprocess.run(command.split(), cwd=quick.folder, capture_output=True, check=True, timeout=60)
        return json.loads(ran.stdout)

    [merchant] = dargah("merchant list")
    script, zarinpal, zibal = blocks("docs/drop-in.md")
    command = script.text.removeprefix("dargah ").replace("mer_…", merchant["id"]).strip()
    for options in ("", " --amount-unit toman --return-method post --any-https-return"):
        made = dargah(command + options)
        url = "https://elsewhere.example/cb" if options else merchant["return_origins"][0] + "/cb"
        form = {"api_key": made["token"], "amount": "15000", "return_url": url}
        address = quick.literally("http://127.0.0.1:8080/invoice/request")
        async with aiohttp.ClientSession() as session, session.post(address, data=form) as answer:
            said = await answer.json()
        assert said["status"] == 1, said
    url = merchant["return_origins"][0] + "/cb"
    calls = {
        zarinpal: ("/pg/v4/payment/request.json", "merchant_id", {"callback_url": url, "description": "order"}),
        zibal: ("/v1/request", "merchant", {"callbackUrl": url}),
    }
    for block, (path, name, order) in calls.items():
        made = dargah(block.text.removeprefix("dargah ").replace("mer_…", merchant["id"]).strip())
        body = {name: made["token"], "amount": 150_000, **order}
        address = quick.literally(f"http://127.0.0.1:8080{path}")
        async with aiohttp.ClientSession() as session, session.post(address, json=body) as answer:
            assert answer.status == 200, await answer.text()
    listed = dargah(f"token list --merchant {merchant['id']}")
    assert [row["amount_unit"] for row in listed].count("toman") == 1


def test_a_reader_notices_what_goes_wrong(tmp_path: Path) -> None:
    for text, why in {"no-such-command": "failed 127: no-such-command", "false\ntrue": "failed 1: false"}.items():
        (tmp_path / text[:2]).mkdir()
        with reader(tmp_path / text[:2]) as somebody, pytest.raises(AssertionError, match=why):
            somebody.follow([Block("sh", text)])
    assert pattern("a … b\n\nc").search("x\r\na 1 2 b\r\n\r\nc")
    assert not pattern("a … b\nc").search("a 1 2 b\r\nd")


def test_a_way_is_what_all_share_and_its_own_section() -> None:
    def done(section: str, text: str, seconds: float, *, verified: bool = False) -> Done:
        return Done(Block("sh", text, section=section), seconds, verified)

    followed = [
        done("Start", "make \\\n  demo  # once\n\n", 30),
        done("With curl", "create\ncheck\n", 6, verified=True),
        done("With curl", "more\n", 60),
        done("In PHP", "pay\n", 12, verified=True),
        done("In earnest", "serve\n", 60),
    ]
    assert list(ways(followed)) == [("With curl", 3, 0.6), ("In PHP", 2, 0.7)]
    assert list(ways(followed[:1])) == []
