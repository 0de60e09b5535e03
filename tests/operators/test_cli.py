"""The `dargah` command as an operator runs it: its own process against a live operator's API."""

import asyncio
import json
import os
import pty
import re
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from aiohttp import web
from databases.places import AnyStore
from support.clock import ManualClock
from support.command import DEADLINE_SECONDS, Cli, Ran
from support.dargah import server

from operators.conftest import OPERATORS, Admin
from proxy.cli import dargah
from proxy.cli.api import admin_token, admin_url
from proxy.cli.output import Refused
from proxy.kernel.ids import digest
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.vault import KeyRing, Vault, generate_line

API_KEY = "canary-api-key-5b7e"


@pytest.fixture
def nowhere(tmp_path: Path) -> Cli:
    return Cli({}, tmp_path)


async def test_a_merchant_is_set_up_from_a_script(cli: Cli, store: AnyStore, vault: Vault) -> None:
    merchant = await cli.json("merchant", "create", "--name", "فروشگاه", "--return-origin", "https://shop.ir")
    owner = ("--merchant", merchant["id"])
    terminal = await cli.json(
        *("terminal", "create", *owner, "--name", "main", "--gateway-url", "https://pay.ir", "--api-key-stdin"),
        stdin=f"{API_KEY}\n",
    )
    token = await cli.json("token", "create", *owner, "--storefront", "web", "--terminal", terminal["id"])
    endpoint = await cli.json(
        *("endpoint", "create", *owner, "--url", "https://shop.ir/hook"),
        *("--event-type", "payment.paid", "--event-type", "ping", "--header", "X-Team: a:b"),
    )

    assert merchant["return_secret"].startswith("dg_return_")
    assert endpoint["secret"].startswith("whsec_")
    assert endpoint["header_names"] == ["x-team"]
    [sealed] = await store.merchants.secrets(merchant["id"], terminal["id"])
    assert vault.open(sealed, "https://pay.ir") == API_KEY
    stored = await store.merchants.token_by_digest(merchant["id"], digest(token["token"]))
    assert stored is not None
    assert (stored.storefront, stored.terminal_id) == ("web", terminal["id"])
    for kind, made in (("merchant", merchant), ("terminal", terminal), ("token", token), ("endpoint", endpoint)):
        of = () if kind == "merchant" else owner
        [listed] = await cli.json(kind, "list", *of)
        assert listed == await cli.json(kind, "show", made["id"])
        assert listed["id"] == made["id"]
    assert [entry["action"] for entry in await cli.json("audit", "list", *owner)] == [
        "endpoint.create",
        "token.issue",
        "terminal.create",
        "merchant.create",
    ]


async def test_a_merchant_is_archived_and_taken_back(cli: Cli) -> None:
    merchant, other = [await cli.json("merchant", "create", "--name", name) for name in ("Shop", "Other")]
    archived = await cli.json("merchant", "archive", merchant["id"])
    assert (archived["id"], archived["archived_at"] is None) == (merchant["id"], False)
    assert await cli.json("merchant", "archive", merchant["id"]) == archived
    assert [each["id"] for each in await cli.json("merchant", "list")] == [other["id"]]
    assert [each["id"] for each in await cli.json("merchant", "list", "--archived")] == [merchant["id"]]
    assert (await cli.json("merchant", "unarchive", merchant["id"]))["archived_at"] is None
    assert {each["id"] for each in await cli.json("merchant", "list")} == {merchant["id"], other["id"]}
    assert (await cli.run("merchant", "archive", "mer_00000000")).code != 0


async def test_a_merchants_set_up_can_be_changed_and_ended(cli: Cli) -> None:
    merchant = await cli.json("merchant", "create", "--name", "Shop")
    owner = ("--merchant", merchant["id"])
    changed = await cli.json("merchant", "update", merchant["id"], "--return-origin", "https://a.ir")
    assert (changed["name"], changed["return_origins"]) == ("Shop", ["https://a.ir"])
    rotated = await cli.json("merchant", "rotate-return-secret", merchant["id"], "--yes")
    assert rotated["return_secret"] != merchant["return_secret"]
    terminal = await cli.json(
        *("terminal", "create", *owner, "--name", "main", "--gateway-url", "https://pay.ir", "--mode", "test"),
        *("--return-base-url", "https://pay.shop.ir", "--api-key-stdin"),
        stdin=API_KEY,
    )
    assert (terminal["mode"], terminal["return_base_url"]) == ("test", "https://pay.shop.ir")
    changed = await cli.json(
        *("terminal", "update", terminal["id"], "--disable", "--no-return-base-url", "--api-key-stdin"), stdin="other"
    )
    assert (changed["enabled"], changed["return_base_url"], changed["name"]) == (False, None, "main")
    token = await cli.json(
        "token", "create", *owner, "--scope", "payments:read", "--expires-at", "2090-01-01T00:00:00Z"
    )
    assert (token["scopes"], token["expires_at"]) == (["payments:read"], "2090-01-01T00:00:00.000Z")
    assert (await cli.json("token", "revoke", token["id"], "--after-seconds", "5", "--yes"))["revoked_at"] is not None
    endpoint = await cli.json("endpoint", "create", *owner, "--url", "https://shop.ir/hook", "--max-in-flight", "64")
    assert endpoint["max_in_flight"] == 64
    assert (await cli.json("endpoint", "pause", endpoint["id"]))["state"] == "paused"
    assert (await cli.json("endpoint", "resume", endpoint["id"]))["state"] == "enabled"
    assert (await cli.json("endpoint", "update", endpoint["id"], "--description", "x"))["description"] == "x"
    assert (await cli.json("endpoint", "update", endpoint["id"], "--max-in-flight", "1"))["max_in_flight"] == 1
    assert (
        "65 is not in the range 1<=x<=64"
        in (await cli.run("endpoint", "update", endpoint["id"], "--max-in-flight", "65")).error
    )
    asked = await cli.run("endpoint", "delete", endpoint["id"])
    assert (asked.code, asked.error.count("\n"), "add --yes" in asked.error) == (2, 1, True)
    assert (await cli.json("endpoint", "delete", endpoint["id"], "--yes")) == {"id": endpoint["id"], "deleted": True}
    assert await cli.json("endpoint", "list", *owner) == []


async def test_people_get_lines_and_tables_with_a_shown_once_secret_marked(cli: Cli) -> None:
    made = await cli.run("merchant", "create", "--name", "Shop", "--return-origin", "https://shop.ir")
    assert made.code == 0
    [marked] = [line for line in made.out.splitlines() if "shown once" in line]
    assert marked.split()[0] == "return_secret"
    assert marked.split()[1].startswith("dg_return_")
    listed = await cli.run("merchant", "list")
    head, row = listed.out.splitlines()
    assert head.split() == ["ID", "NAME", "RETURN_ORIGINS", "CREATED_AT"]
    assert row.split()[1:3] == ["Shop", "https://shop.ir"]
    assert row.index("Shop") == head.index("NAME")


async def test_an_api_key_is_shown_by_no_command(cli: Cli) -> None:
    merchant = await cli.json("merchant", "create", "--name", "Shop")
    owner = ("--merchant", merchant["id"])
    create = ("terminal", "create", *owner, "--name", "main", "--gateway-url", "https://pay.ir", "--api-key-stdin")
    made = await cli.run(*create, stdin=API_KEY)
    refused = await cli.run(*create, stdin=f"{API_KEY}\x01")
    terminal_id = (await cli.json("terminal", "list", *owner))[0]["id"]
    shown = [
        made,
        refused,
        await cli.run("terminal", "list", *owner, "--json"),
        await cli.run("terminal", "show", terminal_id),
        await cli.run("audit", "list", "--json"),
    ]
    assert [ran.code for ran in shown] == [0, 1, 0, 0, 0]
    assert "api_key:" in refused.error
    assert not any(API_KEY in ran.out + ran.error for ran in shown)


async def test_an_api_key_is_asked_for_without_an_echo(cli: Cli, store: AnyStore, vault: Vault) -> None:
    merchant = await cli.json("merchant", "create", "--name", "Shop")
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "terminal", "create", "--merchant", merchant["id"]),
        *("--name", "main", "--gateway-url", "https://pay.ir", "--json"),
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
        env=cli.env,
        start_new_session=True,  # without a terminal of its own, it asks on its standard input
    )
    os.close(theirs)
    seen = await asyncio.to_thread(_read_until, ours, b"api_key")
    os.write(ours, f"{API_KEY}\n".encode())
    async with asyncio.timeout(DEADLINE_SECONDS):
        out, _ = await process.communicate()
    seen += await asyncio.to_thread(_read_until, ours, None)
    os.close(ours)
    terminal = json.loads(out)
    assert API_KEY.encode() not in seen + out
    [sealed] = await store.merchants.secrets(merchant["id"], terminal["id"])
    assert vault.open(sealed, "https://pay.ir") == API_KEY


async def test_without_a_terminal_to_ask_on_it_says_how_to_pass_the_key(cli: Cli) -> None:
    merchant = await cli.json("merchant", "create", "--name", "Shop")
    create = ("terminal", "create", "--merchant", merchant["id"], "--name", "m", "--gateway-url", "https://pay.ir")
    assert_refused(await cli.run(*create), "--api-key-stdin", code=2)
    assert_refused(await cli.run(*create, "--api-key-stdin"), "standard input has no api_key", code=2)
    asked = await cli.run(*create, "--api-key", API_KEY)
    assert asked.code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("merchant", "create", "--name", "Shop", "--return-origin", "shop.ir"), "return_origins: 'shop.ir'"),
        (("merchant", "show", "mer_00000000"), "There is no such"),
        (("merchant", "update", "mer_00000000"), "must change at least one field"),
        (("endpoint", "create", "--merchant", "mer_00000000", "--url", "http://a.ir"), "url: must be https://"),
    ],
)
async def test_a_refusal_of_the_servers_is_one_clear_line_and_exit_code_1(
    cli: Cli, arguments: tuple[str, ...], told: str
) -> None:
    assert_refused(await cli.run(*arguments), told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("merchant", "show", "trm_1"), "not a merchant's id"),
        (("terminal", "show", "tok_" + "0" * 26), "not the id of a terminal"),
        (("token", "show", "../../etc"), "not the id of a token"),
        (("terminal", "list", "--merchant", "mer_../x"), "not a merchant's id"),
        (("merchant", "list", "--token-file", "/nowhere"), "/nowhere cannot be read"),
        (("merchant", "list", "--admin-url", "ftp://a"), "is not a URL of the operator's API"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_the_server_is_asked(
    nowhere: Cli, arguments: tuple[str, ...], told: str
) -> None:
    assert_refused(await nowhere.given(DARGAH_ADMIN_TOKEN=API_KEY).run(*arguments), told, code=2)


async def test_a_header_without_a_colon_is_a_usage_error(cli: Cli) -> None:
    ran = await cli.run("endpoint", "create", "--merchant", "mer_00000000", "--url", "https://a.ir", "--header", "X")
    assert ran.code == 2
    assert "Name: value" in ran.error


async def test_a_wrong_token_or_none_is_told(cli: Cli) -> None:
    assert_refused(await cli.given(DARGAH_ADMIN_TOKEN="w" * 30).run("merchant", "list"), "does not know this token")
    assert_refused(await cli.given(DARGAH_ADMIN_TOKEN="").run("merchant", "list"), "no operator's token", code=2)


async def test_a_server_that_is_not_there_is_told(cli: Cli, unused_tcp_port: int) -> None:
    ran = await cli.given(DARGAH_ADMIN_URL=f"http://127.0.0.1:{unused_tcp_port}").run("merchant", "list")
    assert_refused(ran, "cannot be reached (Connection refused)")
    assert "DARGAH_ADMIN_URL" in ran.error


async def test_the_token_goes_where_it_is_told_and_not_after_a_redirect(
    cli: Cli, other_server: tuple[str, list[str]]
) -> None:
    url, seen = other_server
    ran = await cli.given(DARGAH_ADMIN_URL=url, http_proxy=f"{url}/proxy").run("merchant", "list")
    assert_refused(ran, "answered HTTP 302 without JSON")
    assert seen == ["/admin/v1/merchants"]


async def test_the_token_may_be_in_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{OPERATORS['omid']}\n")
    without = cli.given(DARGAH_ADMIN_TOKEN="")
    await without.json("merchant", "create", "--name", "Shop", "--token-file", str(tmp_path / "token"))
    assert (await cli.json("audit", "list"))[0]["actor"] == "omid"


async def test_a_server_in_the_same_environment_needs_no_more_settings(admin: Admin, tmp_path: Path) -> None:
    (tmp_path / "dargah_admin_token").write_text(",".join(f"{name}:{token}" for name, token in OPERATORS.items()))
    port = admin.url.rpartition(":")[2]
    cli = Cli({"DARGAH_ADMIN_LISTEN": f"0.0.0.0:{port}", "DARGAH_SECRETS_DIR": str(tmp_path)}, tmp_path)
    assert await cli.json("merchant", "list") == []


def test_where_the_server_is_and_who_asks() -> None:
    assert admin_url({}) == "http://127.0.0.1:8081"
    assert admin_url({"DARGAH_ADMIN_URL": "http://a", "DARGAH_ADMIN_LISTEN": "b:1"}) == "http://a"
    assert admin_url({"DARGAH_ADMIN_LISTEN": "[::]:9000"}) == "http://[::1]:9000"
    assert admin_token(None, {"DARGAH_ADMIN_TOKEN": "sara:tok-en,omid:other"}) == "tok-en"
    with pytest.raises(Refused, match="characters that no token has"):
        admin_token(None, {"DARGAH_ADMIN_TOKEN": "to ken"})


async def test_long_lists_come_page_by_page_up_to_a_limit(cli: Cli, setup: MerchantSetup) -> None:
    for number in range(103):
        await setup.create_merchant(f"Shop {number}", [], actor="sara")
    assert len(await cli.json("merchant", "list")) == 103
    assert len(await cli.json("merchant", "list", "--limit", "101")) == 101


async def test_generated_keys_are_lines_for_the_ring(nowhere: Cli) -> None:
    first, second = await nowhere.run("keys", "generate"), await nowhere.run("keys", "generate", "--id", "k2")
    ring = KeyRing.parse(second.out + first.out)
    assert [kek_id.partition("-")[0][:3] for kek_id in ring.keys] == ["k2", "k20"]
    refused = await nowhere.run("keys", "generate", "--id", "k:2")
    assert refused.code == 2
    assert "a key's name" in refused.error


async def test_keys_are_rotated_through_the_running_server(
    serve_admin: Callable[[MerchantSetup], Any], cli: Cli, store: AnyStore, key_line: str, clock: ManualClock
) -> None:
    for _ in range(3):
        await cli.json("merchant", "create", "--name", "Shop")
    vault = Vault(KeyRing.parse(f"{generate_line('k2')}\n{key_line}"))
    newer: Admin = await serve_admin(MerchantSetup(store.merchants, vault, clock))
    ran = await cli.given(DARGAH_ADMIN_URL=newer.url).run("keys", "rotate", "--batch", "2")
    assert (ran.code, ran.out) == (0, f"3 secrets are now under {vault.kek_id}\n")
    assert ran.error == "2 secrets so far\n"
    assert await store.merchants.kek_ids() == {vault.kek_id}
    assert (await cli.given(DARGAH_ADMIN_URL=newer.url).json("keys", "rotate"))["rewrapped"] == 0


async def test_a_rotation_that_could_not_open_something_says_so_and_fails(
    serve_admin: Callable[[MerchantSetup], Any], cli: Cli, store: AnyStore, clock: ManualClock
) -> None:
    merchant = await cli.json("merchant", "create", "--name", "Shop")
    vault = Vault(KeyRing.parse(generate_line("k2")))  # the old key was thrown away too early
    newer: Admin = await serve_admin(MerchantSetup(store.merchants, vault, clock))
    ran = await cli.given(DARGAH_ADMIN_URL=newer.url).run("keys", "rotate")
    assert ran.code == 1
    assert f"{merchant['id']} return_secret" in ran.error


async def test_config_shows_every_setting_and_no_secret(nowhere: Cli) -> None:
    settings = {
        "DARGAH_ADMIN_TOKEN": "canary-token-0123456789abcdef",
        "DARGAH_KEYS": "k1:canary",
        "DARGAH_LISTEN": "0.0.0.0:80",
    }
    shown = await nowhere.given(**settings).run("config")
    assert shown.code == 0
    assert "canary" not in shown.out + shown.error
    assert "DARGAH_LISTEN = 0.0.0.0:80" in shown.out
    assert "DARGAH_KEYS = (set)" in shown.out
    rows = {row["name"]: row for row in await nowhere.given(**settings).json("config")}
    assert rows["DARGAH_LISTEN"]["default"] == "127.0.0.1:8080"
    assert rows["DARGAH_ADMIN_TOKEN"]["value"] == "(set)"
    assert rows["DARGAH_KEYS_FILE"]["value"] == "(none)"
    assert all(row["description"] for row in rows.values())


async def test_config_with_a_wrong_setting_still_explains_them_and_fails(nowhere: Cli) -> None:
    ran = await nowhere.given(DARGAH_LISTEN="here").run("config")
    assert ran.code == 2
    assert "Where storefronts and customers come to" in ran.out
    assert "DARGAH_LISTEN: write host:port" in ran.error


async def test_serve_says_all_that_is_missing_before_it_touches_anything(nowhere: Cli) -> None:
    ran = await nowhere.run("serve")
    assert_refused(ran, "DARGAH_ADMIN_TOKEN is missing", code=2)
    assert "DARGAH_KEYS or DARGAH_KEYS_FILE is missing" in ran.error
    assert list(nowhere.folder.iterdir()) == []


async def test_help_lists_every_command_and_each_has_its_own(nowhere: Cli) -> None:
    shown = await nowhere.run("--help")
    assert shown.code == 0
    for name in ("serve", "simulator", "config", "keys", "merchant", "terminal", "token", "endpoint", "audit"):
        assert f"\n  {name} " in shown.out
        helped = await nowhere.run(name, "--help")
        assert (helped.code, helped.out.startswith(f"Usage: dargah {name}")) == (0, True)
    assert (await nowhere.run("paymint")).code == 2


async def test_the_operators_commands_start_without_the_server(nowhere: Cli) -> None:
    script = "import sys, proxy.cli.merchants, proxy.cli.payments, proxy.__main__; print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, env=nowhere.env
    )
    out, _ = await process.communicate()
    assert not {"aiohttp", "pydantic", "cryptography", "aiosqlite", "jinja2"} & set(out.decode().split())


@pytest.fixture
async def other_server() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that is no Dargah: it sends every caller elsewhere on it, and notes the paths."""
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"}, text="moved")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", elsewhere)
    async with server(app) as url:
        yield url, seen


def assert_refused(ran: Ran, told: str, code: int = 1) -> None:
    assert (ran.code, ran.out) == (code, "")
    assert re.match('({.*"event":"start_refused".*}\n)?Error: ', ran.error)
    assert told in ran.error
    assert "Traceback" not in ran.error


def _read_until(terminal: int, text: bytes | None) -> bytes:
    """What is on the terminal up to `text`, or to its end."""
    seen = b""
    while text is None or text not in seen:
        try:
            piece = os.read(terminal, 1024)
        except OSError:  # Linux says so when the other side is closed
            break
        if not piece:
            break
        seen += piece
    return seen


def commands_of(command: click.Command, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for part in command.list_commands(context):
        found = command.get_command(context, part)
        assert found is not None
        yield from commands_of(found, (*name, part))


def test_every_command_ends_its_help_with_an_example_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bank.csv").touch()
    Path("captured.txt").touch()
    Path("dargah-backup.db").touch()
    Path("dargah.db").touch()
    for name, command in commands_of(dargah):
        example = command.get_help(click.Context(command, info_name=name[-1])).rpartition("Example:")[2].strip()
        line = " ".join(example.split())
        assert line.startswith(f"dargah {' '.join(name)}"), name
        words = shlex.split(line.partition(" < ")[0].partition(" > ")[0].partition(" >> ")[0])
        command.make_context(name[-1], words[1 + len(name) :]).close()


async def test_help_names_every_command_in_its_group(nowhere: Cli) -> None:
    ran = await nowhere.run("--help")
    assert ran.code == 0
    for word in ("Begin:", "Run:", "Set up a shop:", "Day to day:", "For a shop's developer:"):
        assert word in ran.out
    for name in {first for (first, *_), _ in commands_of(dargah)}:
        assert f"\n  {name} " in ran.out, name


async def test_a_shell_gets_its_completion(nowhere: Cli) -> None:
    asked = nowhere.given(_DARGAH_COMPLETE="bash_complete", COMP_WORDS="dargah pay", COMP_CWORD="1")
    assert "plain,payment" in (await asked.run()).out.splitlines()
    for shell in ("bash", "zsh", "fish"):
        assert "_DARGAH_COMPLETE" in (await nowhere.run("completion", shell)).out


async def test_a_second_factor_is_removed_once_the_operator_says_so(cli: Cli) -> None:
    made = await cli.json("operator", "add", "--name", "amir", "--role", "read")
    [listed] = await cli.json("operator", "list")
    assert (made["second_factor_at"], listed["second_factor_at"]) == (None, None)
    assert (await cli.run("operator", "remove-second-factor", made["id"])).code == 2
    ran = await cli.run("operator", "remove-second-factor", made["id"], "--yes")
    assert (ran.code, ran.out.strip()) == (0, f"{made['id']} has no second factor")
    assert (await cli.run("operator", "remove-second-factor", "amir", "--yes")).code == 2


async def test_a_time_may_be_a_span_or_of_either_calendar(cli: Cli) -> None:
    made = await cli.json("operator", "add", "--name", "amir", "--role", "read", "--expires-at", "1450/01/01")
    assert made["expires_at"] == "2071-03-20T20:30:00.000Z"
    month = await cli.json("operator", "add", "--name", "zahra", "--role", "read", "--expires-at", "30d")
    assert month["expires_at"].endswith("Z")
    ran = await cli.run("operator", "add", "--name", "x", "--role", "read", "--expires-at", "next week")
    assert (ran.code, "2026-11-20T10:00:00Z" in ran.error) == (2, True)
