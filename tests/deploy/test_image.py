"""The image that the Dockerfile makes, followed step by step and started. `make test-image` runs it, as root."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from support.dargah import API_KEY, KEY_RING, OPERATOR_TOKEN, gateway
from support.debian_root import run
from support.ports import free_port
from support.receiver import Receiver, receiver
from support.shop import RETURN_ORIGIN, Shop

from deploy import image
from deploy.image import START_SECONDS, Container, Stage
from deploy.tools import REPOSITORY

pytestmark = [pytest.mark.timeout(240, func_only=True), pytest.mark.xdist_group("image")]
# `make test-image` sets it.
if os.environ.get("DARGAH_TEST_IMAGE") != "required":
    pytest.skip(
        "NOT RUN: the image's own start, which needs root and registries: `make test-image`", allow_module_level=True
    )

# What the interpreter writes, and what a developer makes assets with.
UNSHIPPED = {".pyc", ".sh"}

Built = tuple[Stage, image.Root]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("image")
    yield image.build(folder / "roots")
    run("rm", "-rf", folder)


@dataclass(frozen=True)
class Running:
    container: Container
    shop: Shop
    data: Path


async def ready(output: asyncio.StreamReader) -> None:
    said = []
    async with asyncio.timeout(START_SECONDS):
        while line := (await output.readline()).decode():
            said.append(line)
            if "ready on" in line:
                return
    pytest.fail("".join(said))


def owned(folder: Path, user: str) -> Path:
    """A folder of the image's user, as a volume is."""
    folder.mkdir(mode=0o700)
    uid, _, gid = user.partition(":")
    os.chown(folder, int(uid), int(gid))
    return folder


def secrets(folder: Path, user: str) -> Path:
    owned(folder, user)
    for name, text in {"dargah_keys": KEY_RING, "dargah_admin_token": OPERATOR_TOKEN}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o400)
        os.chown(folder / name, *map(int, user.split(":")))
    return folder


async def set_up(inside: Container, url: str, gateway_url: str, made: Receiver, session: aiohttp.ClientSession) -> Shop:
    """A merchant, by the commands inside the container, as docs/operations.md says."""
    merchant = await inside.dargah("merchant", "create", "--name", "فروشگاه", "--return-origin", RETURN_ORIGIN)
    of = ("--merchant", merchant["id"])
    terminal = await inside.dargah(
        *("terminal", "create", *of, "--name", "main", "--gateway-url", gateway_url, "--api-key-stdin"), stdin=API_KEY
    )
    token = await inside.dargah("token", "create", *of, "--storefront", "main")
    endpoint = await inside.dargah("endpoint", "create", *of, "--url", made.url)
    made.secret = endpoint["secret"]
    return Shop(
        url, gateway_url, merchant["id"], terminal["id"], token["token"], merchant["return_secret"], session, made
    )


@pytest.fixture
async def started(built: Built, tmp_path: Path) -> AsyncIterator[Running]:
    stage, root = built
    data = owned(tmp_path / "data", root.user)
    url, admin = f"http://127.0.0.1:{free_port()}", f"admin:{free_port()}"
    root.inside("/etc/hosts").write_text("127.0.0.1 localhost admin\n")  # as the network's alias in Compose
    async with AsyncExitStack() as stack:
        gateway_url = await stack.enter_async_context(gateway())
        made = await stack.enter_async_context(receiver())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        inside, output = await stack.enter_async_context(
            image.running(
                *(stage, root, data, secrets(tmp_path / "secrets", root.user)),
                DARGAH_ENVIRONMENT="development",
                DARGAH_LISTEN=url.removeprefix("http://"),
                DARGAH_ADMIN_LISTEN=admin,
                DARGAH_ADMIN_URL=f"http://{admin}",
                DARGAH_ADMIN_TOKEN=OPERATOR_TOKEN,
            )
        )
        await ready(output)
        yield Running(inside, await set_up(inside, url, gateway_url, made, session), data)


async def test_a_payment_in_the_image_on_a_read_only_root(started: Running) -> None:
    shop = started.shop
    await shop.paid()
    [event] = await shop.receiver.told()
    assert (event["type"], event["data"]["amount_rials"]) == ("payment.paid", 150_000)
    assert (started.data / "dargah.db").is_file()


async def test_the_healthcheck_passes_and_its_failure_is_seen(started: Running) -> None:
    command = started.container.stage.healthcheck
    code, said = await started.container.exec(*command)
    assert code == 0, said
    code, said = await started.container.exec("env", f"DARGAH_LISTEN=127.0.0.1:{free_port()}", *command)
    assert (code, "nothing answers" in said) == (1, True)


async def test_it_stops_clean_within_what_an_engine_waits(started: Running) -> None:
    async with asyncio.timeout(10):
        assert await started.container.stop() == 0


async def test_nobody_inside_can_write_or_build(started: Running) -> None:
    async def refused(*command: str) -> str:
        code, said = await started.container.exec(*command)
        assert code != 0, (command, said)
        return said

    assert "Read-only" in await refused("touch", "/opt/dargah/x")
    for tool in ("pip", "gcc", "cc", "curl", "git"):
        await refused("sh", "-c", f"command -v {tool}")
    assert "No module named" in await refused("python", "-c", "import pip")
    code, said = await started.container.exec("sh", "-c", "id -u; id -g; grep CapEff /proc/1/status; cat /proc/1/comm")
    assert said.split() == ["10001", "10001", "CapEff:", "0000000000000000", "tini"], code


async def test_what_runs_is_the_built_package_with_all_its_files(built: Built) -> None:
    _, root = built
    [package] = root.inside("/opt/dargah/lib").glob("python3.*/site-packages/proxy")
    there = shipped(package)
    source = root.path.with_name("0") / "src" / "proxy"  # what the first stage was given
    assert there == shipped(source)


def shipped(folder: Path) -> set[Path]:
    """The files below it, also where a link leads to their folder."""
    below = [Path(place) / name for place, _, names in os.walk(folder, followlinks=True) for name in names]
    return {path.relative_to(folder) for path in below if path.suffix not in UNSHIPPED}


async def test_it_says_what_is_missing_when_it_has_no_secrets(built: Built, tmp_path: Path) -> None:
    stage, root = built
    data, none = owned(tmp_path / "data", root.user), owned(tmp_path / "none", root.user)
    async with image.running(stage, root, data, none) as (inside, output):
        said = (await output.read()).decode()
        assert await inside.process.wait() == 2
    assert {"DARGAH_PUBLIC_URL", "DARGAH_ADMIN_TOKEN", "DARGAH_KEYS"} <= set(said.replace(":", " ").split()), said


def test_the_user_owns_nothing_but_its_data_and_its_secrets(built: Built) -> None:
    _, root = built
    uid = int(root.user.partition(":")[0])
    owned_paths = [path for path in root.path.rglob("*") if not path.is_symlink() and path.stat().st_uid == uid]
    assert {str(path.relative_to(root.path)) for path in owned_paths} == {"data", "etc/dargah"}


def test_the_page_s_steps_on_a_server_install_it(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text("utf-8").partition("## On a server")[2]
    [steps, *_] = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    # Debian's packages are in the root already, and no systemd runs in it.
    lines = [line for line in steps.splitlines() if not line.startswith(("apt-get ", "systemctl "))]
    root = image.Root.empty(tmp_path / "server", image.base_tar("bookworm"))
    root.workdir = "/src"
    checkout = root.inside(".")
    run("git", "clone", "-q", REPOSITORY, checkout)
    root.inside("/etc/systemd/system").mkdir(parents=True, exist_ok=True)
    try:
        root.run(["sh", "-euc", "\n".join(lines)])
        serve = ". /etc/dargah/settings; DARGAH_PUBLIC_URL=$DARGAH_PUBLIC_URL /opt/dargah/bin/dargah config"
        root.run(["sh", "-euc", f"export DARGAH_SECRETS_DIR=/etc/dargah/secrets; {serve}"])
        modes = {path.name: path.stat().st_mode & 0o777 for path in root.inside("/etc/dargah/secrets").iterdir()}
        assert modes == {"dargah_keys": 0o600, "dargah_admin_token": 0o600}
        assert root.inside("/etc/systemd/system/dargah.service").is_file()
    finally:
        run("rm", "-rf", root.path)
