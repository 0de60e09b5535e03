"""`dargah.env`: which file is read, what may stand in it, what goes before it, and `dargah init`, which makes it."""

import asyncio
import os
import pty
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from databases.places import database_in
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support.command import Cli, Ran
from support.ports import free_port
from support.process import Process

from proxy.config.env_file import EnvFileError, line_of, read
from proxy.merchants.vault import generate_line

NOBODY: Final = 65534
TOKEN: Final = "operator-token-0123456789abcdef"


def written(folder: Path, content: str | bytes, name: str = "dargah.env") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o600)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(EnvFileError) as caught:
        read(path)
    return str(caught.value)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli({}, tmp_path)


async def setting(cli: Cli, name: str, *arguments: str) -> str:
    """Its value, as `dargah config` shows it."""
    rows = await cli.json(*arguments, "config")
    return str(next(row["value"] for row in rows if row["name"] == f"DARGAH_{name}"))


def assert_refused(ran: Ran, says: str) -> None:
    assert (ran.code, ran.out) == (2, ""), ran
    assert re.search(rf"\A(settings: .*\n)?Error: .*{says}.*\n\Z", ran.error), ran.error


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("DARGAH_URL=http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("  DARGAH_URL=x \t", "x"),
        ("DARGAH_URL=", ""),
        ("DARGAH_URL=''", ""),
        ("DARGAH_URL=a=b#c", "a=b#c"),
        ("DARGAH_URL='a b $c `d` \"e\" \\'", 'a b $c `d` "e" \\'),
        ('DARGAH_URL="it\'s"', "it's"),
        ("DARGAH_URL=/srv/فروشگاه", "/srv/فروشگاه"),
        ("# DARGAH_URL=y\n\n  # z\nDARGAH_URL=x\n# end", "x"),
        ("DARGAH_URL=x\r\n", "x"),
        ("\ufeffDARGAH_URL=x\n", "x"),
    ],
)
def test_a_line_says_what_sh_would_read(tmp_path: Path, line: str, value: str) -> None:
    assert read(written(tmp_path, line)).values == {"DARGAH_URL": value}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("DARGAH_URL=x\nDARGAH_TOKEN=a\nDARGAH_URL=x\n", "line 3: DARGAH_URL stands in line 1 already"),
        ("\n\nexport DARGAH_URL=x", "line 3: write NAME=value"),
        ("DARGAH_URL = x", "line 1: write NAME=value"),
        ("dargah_url=x", "line 1: write NAME=value"),
        ("just words", "line 1: write NAME=value"),
        ("PATH=/bin", "line 1: PATH is no setting of Dargah's: only DARGAH_"),
        ("DARGAH_URL=a b", "single quotes"),
        ("DARGAH_URL=$HOME", "single quotes"),
        ("DARGAH_URL=a&b", "single quotes"),
        ("DARGAH_URL=~/x", "single quotes"),
        ('DARGAH_URL="$HOME"', "single quotes"),
        ("DARGAH_URL='a' # why", "nothing after them"),
        ("DARGAH_URL='a", "single quotes"),
        ("DARGAH_URL='a\nb'", "line 1: put the value"),
        ("DARGAH_URL=a\x1bb", "line 1: there is a control character"),
        ("DARGAH_URL=a\x00b", "line 1: there is a control character"),
        ("DARGAH_URL=a\rb", "line 1: there is a control character"),
        (b"\nDARGAH_URL=\xff\n", "line 2: it is not UTF-8"),
        ("DARGAH_URL=x\n".encode("utf-16"), "not UTF-8"),
        (b"#" * 65_537, "larger than 65536 bytes"),
    ],
)
def test_another_line_is_refused_by_its_number(tmp_path: Path, content: str | bytes, says: str) -> None:
    path = written(tmp_path, content)
    assert re.search(rf"{path}.*{re.escape(says)}", refusal(path)), refusal(path)


def test_a_key_that_lost_its_name_is_not_shown(tmp_path: Path) -> None:
    key = generate_line("k").partition(":")[2]
    for line in (f"k1:{key}", key, f"DARGAH_KEYS=k1: {key}"):
        assert key[:20] not in refusal(written(tmp_path, line))


def test_what_is_no_private_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "no regular file" in refusal(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder")
    assert "cannot be read" in refusal(Path("/dev/null/x"))
    assert "no regular file" in refusal(Path("/dev/zero"))
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read" in refusal(tmp_path / "loop")
    path = written(tmp_path, "DARGAH_URL=x")
    for mode in (0o620, 0o602):
        path.chmod(mode)
        assert "can be written by others" in refusal(path)
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    assert read(tmp_path / "link").values == {"DARGAH_URL": "x"}
    tmp_path.chmod(0o777)
    assert "can be replaced by anybody" in refusal(path)


async def test_every_command_finds_the_file_of_its_folder_and_says_so_unless_it_is_asked_for_help(cli: Cli) -> None:
    written(cli.folder, "DARGAH_LISTEN=127.0.0.1:9001\n")
    ran = await cli.run("config", "--json")
    assert ran.error == "settings: ./dargah.env\n"
    assert await setting(cli, "LISTEN") == "127.0.0.1:9001"
    assert (await cli.run("merchant", "list")).error.startswith("settings: ./dargah.env\nError: no operator's token")
    written(cli.folder, "broken")
    assert_refused(await cli.run("merchant", "list"), "./dargah.env, line 1: write NAME=value")
    assert (await cli.run("merchant", "create", "--help")).code == 0


async def test_a_file_is_named_by_the_option_then_by_the_variable_and_an_empty_variable_names_none(cli: Cli) -> None:
    for number, name in enumerate(("dargah.env", "by-variable.env", "by-option.env"), 1):
        written(cli.folder, f"DARGAH_LISTEN=127.0.0.1:900{number}\n", name)
    named = cli.given(DARGAH_ENV_FILE="by-variable.env")
    assert await setting(cli, "LISTEN") == "127.0.0.1:9001"
    assert await setting(named, "LISTEN") == "127.0.0.1:9002"
    assert await setting(named, "LISTEN", "--env-file", "by-option.env") == "127.0.0.1:9003"
    none = await cli.given(DARGAH_ENV_FILE="").run("config", "--json")
    assert (none.error, "127.0.0.1:8080" in none.out) == ("", True)
    assert_refused(await cli.given(DARGAH_ENV_FILE="gone.env").run("config"), "./gone.env is not there")


async def test_the_environment_goes_before_the_file_and_the_file_before_the_secrets_directory(cli: Cli) -> None:
    secrets = cli.folder / "secrets"
    secrets.mkdir()
    (secrets / "dargah_listen").write_text("127.0.0.1:9003")
    (secrets / "dargah_drain_seconds").write_text("3")
    written(cli.folder, f"DARGAH_LISTEN=127.0.0.1:9002\nDARGAH_LOG_LEVEL=error\nDARGAH_SECRETS_DIR={secrets}\n")
    both = cli.given(DARGAH_LOG_LEVEL="debug", DARGAH_LISTEN="")
    assert await setting(both, "LOG_LEVEL") == "debug"
    assert await setting(both, "LISTEN") == "127.0.0.1:9002", "an empty variable is as good as none"
    assert await setting(both, "DRAIN_SECONDS") == "3"
    assert await setting(cli.given(dargah_listen="127.0.0.1:9001"), "LISTEN") == "127.0.0.1:9001"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("DARGAH_LISTN", "./dargah.env, line 2: DARGAH_LISTN is no setting; did you mean DARGAH_LISTEN"),
        ("DARGAH_TOKN", "did you mean DARGAH_TOKEN"),
        ("DARGAH_XYZXYZ", "`dargah config` shows them all"),
        ("DARGAH_ENV_FILE", "is no setting"),
    ],
)
async def test_an_unknown_name_is_refused(cli: Cli, name: str, says: str) -> None:
    written(cli.folder, f"DARGAH_TOKEN=t\n{name}=x\n")
    assert_refused(await cli.run("merchant", "list"), re.escape(says))


async def test_a_file_of_another_user_is_read_only_when_it_is_named(cli: Cli) -> None:
    path = written(cli.folder, "DARGAH_ADMIN_URL=http://127.0.0.1:1\n")
    try:
        os.chown(path, NOBODY, NOBODY)
    except PermissionError:
        pytest.skip("this takes root")
    assert_refused(await cli.run("config"), "belongs to another user .uid 65534.*--env-file ./dargah.env")
    assert (await cli.run("--env-file", "dargah.env", "config")).code == 0
    path.rename(cli.folder / "mine.env")
    os.chown(cli.folder / "mine.env", os.geteuid(), -1)
    path.symlink_to("mine.env")
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    assert_refused(await cli.run("config"), "belongs to another user")


async def test_a_file_that_all_may_read_is_warned_of(cli: Cli) -> None:
    written(cli.folder, "DARGAH_LISTEN=127.0.0.1:9001\n").chmod(0o644)
    ran = await cli.run("config")
    assert (ran.code, ran.error.splitlines()[1:]) == (
        0,
        ["warning: every user of this machine may read ./dargah.env: `chmod 600 ./dargah.env`"],
    )


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=30)


@examples(max_examples=30)
@given(st.lists(TEXTS, max_size=20))
def test_sh_reads_what_was_written_as_dargah_does(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("sh")
    said: dict[str, str] = {}
    for number, text in enumerate(texts):
        try:
            said[f"DARGAH_X{number}"] = text if line_of(f"DARGAH_X{number}", text) else ""
        except EnvFileError:
            assert "'" in text, "single quotes hold everything else"
            assert set(text) & set('"\\`$')
    path = written(folder, "".join(f"{line_of(name, text)}\n" for name, text in said.items()))
    assert read(path).values == said
    shell = subprocess.run(
        ["sh", "-c", "set -a; . ./dargah.env; env -0"],  # noqa: S607  of PATH
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    read_by_sh = dict(line.split("=", 1) for line in shell.stdout.decode().split("\0") if line.startswith("DARGAH_"))
    assert read_by_sh == said


async def made(cli: Cli, *arguments: str) -> dict[str, str]:
    """The values of the file that `dargah init` makes."""
    ran = await cli.run("init", *arguments)
    assert ran.code == 0, ran.error
    return dict(read(cli.folder / "dargah.env").values)


async def test_init_makes_a_private_file_with_new_secrets_and_names_the_next_command(cli: Cli) -> None:
    ran = await cli.run("init", "--public-url", "https://pay.example.ir/", "--listen", "0.0.0.0:8080")
    assert ran.code == 0, ran.error
    assert ran.out.endswith("reach Dargah at https://pay.example.ir. Next: dargah serve\n")
    path = cli.folder / "dargah.env"
    values = read(path).values
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in cli.folder.iterdir()] == ["dargah.env"]
    assert values.keys() == {
        *("DARGAH_PUBLIC_URL", "DARGAH_LISTEN", "DARGAH_DATABASE", "DARGAH_KEYS", "DARGAH_ADMIN_TOKEN")
    }
    assert values["DARGAH_DATABASE"] == f"sqlite://{cli.folder}/dargah.db"
    assert not any(values[name] in ran.out + ran.error for name in ("DARGAH_KEYS", "DARGAH_ADMIN_TOKEN"))


@pytest.mark.parametrize(
    ("answers", "values"),
    [
        (
            "https://pay.example.ir\nshop.db\n",
            {"PUBLIC_URL": "https://pay.example.ir", "DATABASE": "sqlite://{}/shop.db"},
        ),
        ("\n\n", {"ENVIRONMENT": "development", "DATABASE": "sqlite://{}/dargah.db"}),
    ],
)
async def test_on_a_terminal_init_asks(cli: Cli, answers: str, values: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "init"),
            cwd=cli.folder,
            env=cli.env | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=theirs,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=theirs,
        )
        os.write(ours, answers.encode())
        assert await process.wait() == 0, os.read(ours, 10_000)
    finally:
        os.close(ours)
        os.close(theirs)
    found = read(cli.folder / "dargah.env").values
    for name, value in values.items():
        assert found[f"DARGAH_{name}"] == value.format(cli.folder)


async def test_a_second_init_changes_nothing_also_when_two_run_at_once(cli: Cli) -> None:
    both = await asyncio.gather(*(cli.run("init", "--development") for _ in range(2)))
    assert sorted(ran.code for ran in both) == [0, 2]
    before = (cli.folder / "dargah.env").read_bytes()
    ran = await cli.run("init", "--public-url", "https://pay.example.ir", "--yes")
    assert_refused(ran, r"./dargah.env is there already, with its key ring, and stays as it is: .*--file")
    assert (cli.folder / "dargah.env").read_bytes() == before
    (cli.folder / "link.env").symlink_to("nowhere")
    assert_refused(await cli.run("init", "--development", "--file", "link.env"), "is there already")
    other = await cli.run("init", "--development", "--file", "other one.env")
    assert other.out.endswith("Next: dargah --env-file 'other one.env' serve\n")
    assert sorted(each.name for each in cli.folder.iterdir()) == ["dargah.env", "link.env", "other one.env"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say how customers reach Dargah, --public-url https://pay.example.ir, or --development"),
        (("--yes",), "say how customers reach Dargah"),
        (("--public-url", "http://pay.example.ir"), "DARGAH_PUBLIC_URL must be https://"),
        (("--public-url", "pay.example.ir"), "DARGAH_PUBLIC_URL: .*must start with https://"),
        (("--development", "--listen", "8080"), "DARGAH_LISTEN: write host:port"),
        (("--development", "--listen", "0.0.0.0:8080"), "DARGAH_PUBLIC_URL is missing"),
        (("--development", "--database", ":memory:"), "DARGAH_DATABASE: name a file"),
        (("--development", "--database", "nowhere/dargah.db"), "the folder .*/nowhere is not there: make it"),
        (("--development", "--database", "postgresql://x@127.0.0.1:1/x"), r"DARGAH_DATABASE .* cannot be reached"),
        (("--development", "--database", "text"), "it is no SQLite database"),
        (("--development", "--file", "nowhere/dargah.env"), "the folder .*/nowhere is not there"),
        (("--development", "--file", "n/x.env", "--database", "x.db"), "n/x.env cannot be written .No such file"),
        (("--development", "--database", "it's$.db"), "DARGAH_DATABASE has characters"),
    ],
)
async def test_init_refuses_what_the_settings_would_and_writes_nothing(
    cli: Cli, arguments: tuple[str, ...], says: str
) -> None:
    (cli.folder / "text").write_text("no database\n" * 100)
    assert_refused(await cli.run("init", *arguments), says)
    assert [each.name for each in cli.folder.iterdir() if each.name != "text.lock"] == ["text"]


async def test_a_folder_where_everybody_may_write_gets_no_key_ring(cli: Cli) -> None:
    cli.folder.chmod(0o777)
    assert_refused(await cli.run("init", "--development"), "./dargah.env can be replaced by anybody: `chmod o-w`")
    assert list(cli.folder.iterdir()) == []


async def test_a_password_on_the_command_line_is_refused(cli: Cli) -> None:
    ran = await cli.run("init", "--development", "--database", "postgresql://x:hunter2@127.0.0.1/x")
    assert (ran.code, "everybody on this machine saw the password" in ran.error) == (2, True)
    assert "hunter2" not in ran.error


async def test_init_takes_over_what_the_environment_says(cli: Cli) -> None:
    ring = [generate_line("k1"), generate_line("k2")]
    given = cli.given(
        DARGAH_KEYS=f"# two\n{ring[0]}\n{ring[1]}\n",
        DARGAH_ADMIN_TOKEN=TOKEN,
        DARGAH_PUBLIC_URL="https://pay.example.ir",
        DARGAH_TRUSTED_PROXIES="10.0.0.0/8",
        DARGAH_PORT="tcp://10.96.0.10:8080",
    )
    ran = await given.run("init", "--public-url", "https://other.example.ir")
    assert_refused(ran, "DARGAH_PUBLIC_URL is set otherwise in the environment")
    values = await made(given)
    assert values["DARGAH_KEYS"] == ",".join(ring)
    assert (values["DARGAH_ADMIN_TOKEN"], values["DARGAH_TRUSTED_PROXIES"]) == (TOKEN, "10.0.0.0/8")
    assert "DARGAH_PORT" not in values
    assert await setting(cli, "PUBLIC_URL") == "https://pay.example.ir"


async def test_a_key_ring_in_a_file_stays_there(cli: Cli) -> None:
    (cli.folder / "ring").write_text(generate_line("k1"))
    values = await made(cli.given(DARGAH_KEYS_FILE="ring"), "--development")
    assert (values["DARGAH_KEYS_FILE"], "DARGAH_KEYS" in values) == (str(cli.folder / "ring"), False)


def serving(folder: Path, **more: str) -> Process:
    """`dargah serve` with nothing but the file and free ports."""
    process = Process(folder, **more)
    keep = {"DARGAH_LISTEN", "DARGAH_ADMIN_LISTEN"}
    process.env = {
        name: value for name, value in process.env.items() if not name.startswith("DARGAH_") or name in keep
    } | {"DARGAH_ENV_FILE": str(folder / "dargah.env")}
    return process


async def test_the_first_start_the_other_shell_and_tomorrows_start_need_nothing_but_the_file(
    cli: Cli, folder: Path
) -> None:
    database = str(database_in(folder))
    ports = {name: f"127.0.0.1:{free_port()}" for name in ("DARGAH_LISTEN", "DARGAH_ADMIN_LISTEN")}
    settings = cli.given(**ports, DARGAH_DATABASE=database)
    await made(settings, "--development")
    process = serving(cli.folder)
    process.env = {name: value for name, value in process.env.items() if name not in ports}
    process.url = f"http://{ports['DARGAH_LISTEN']}"
    await process.start()
    try:
        assert '"settings_read"' in process.log.read_text()
        merchant = await cli.json("merchant", "create", "--name", "x", "--return-origin", "http://127.0.0.1:3000")
        terminal = ("terminal", "create", "--merchant", merchant["id"], "--name", "main")
        await cli.json(*terminal, "--gateway-url", "http://127.0.0.1:8090", "--api-key-stdin", stdin="key")
        assert await process.stop() == 0
        await process.start()
        assert [each["id"] for each in await cli.json("merchant", "list")] == [merchant["id"]]
    finally:
        await process.stop()
    await assert_lost_ring_is_told(cli, database, process)


async def assert_lost_ring_is_told(cli: Cli, database: str, process: Process) -> None:
    """Where the file is gone and its database is not."""
    path = cli.folder / "dargah.env"
    sealed = read(path).values["DARGAH_KEYS"]
    kept = path.rename(cli.folder / "kept")
    again = cli.given(DARGAH_DATABASE=database)
    ran = await again.run("init", "--development")
    assert_refused(ran, r"has secrets that are sealed under k\d+-\w+: set DARGAH_KEYS to that key ring")
    ran = await again.given(DARGAH_KEYS=generate_line("k2")).run("init", "--development")
    assert_refused(ran, "is not in the ring, and secrets in the database are sealed under it")
    assert not path.exists()
    await made(again.given(DARGAH_KEYS=sealed), "--development")
    other = generate_line("k9")
    path.write_text(kept.read_text().replace(sealed, other))
    ran = await cli.run("serve")
    assert_refused(
        Ran(ran.code, ran.out, ran.error[ran.error.index("Error:") :]),
        r"the key k\d+-\w+ is not in the ring.*: add its line to the ring, which has k9-\w+\. "
        r"The ring is DARGAH_KEYS in ./dargah.env, the database .*: where they do not belong together, set the other",
    )
    assert other.partition(":")[2] not in ran.error
