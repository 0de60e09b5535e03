"""`dargah init`."""

import asyncio
import os
import shlex
import sys
from pathlib import Path

import click

from proxy.cli.options import without_password
from proxy.config import env_file
from proxy.operations import first_settings


@click.command()
@click.option("--public-url", metavar="URL", help="How customers reach Dargah, such as https://pay.example.ir.")
@click.option(
    "--database",
    metavar="DATABASE",
    callback=lambda _ctx, _param, value: without_password(
        value, "--database", "give the URL by the question or by DARGAH_DATABASE"
    ),
    help="Where payments are kept: a file, or postgresql://user@host:5432/database.  [default: dargah.db beside FILE]",
)
@click.option("--listen", metavar="ADDRESS", help="Where to listen.  [default: 127.0.0.1:8080]")
@click.option("--development", is_flag=True, help="To try it on this machine: gateways and webhooks may be plain http.")
@click.option("--file", type=click.Path(path_type=Path), help="The file to make.  [default: ./dargah.env]")
@click.option("--yes", is_flag=True, help="Ask nothing, and take the defaults.")
@click.pass_context
def init(
    ctx: click.Context,
    *,
    public_url: str | None,
    database: str | None,
    listen: str | None,
    development: bool,
    file: Path | None,
    yes: bool,
) -> None:
    """Make dargah.env: the key ring, the operator's token, the public URL and the database's place, for its owner only.

    `dargah serve` and every other command read it in the folder where they run, or by --env-file. Settings that the
    environment has already are written too. A file that is there stays as it is: it has the keys of a database.
    """
    path = (
        file or ctx.find_root().params["settings_file"] or Path(os.environ.get(env_file.VARIABLE) or env_file.DEFAULT)
    )
    first_settings.refuse_existing(path)
    if sys.stdin.isatty() and not yes:
        public_url = public_url or _ask_how_reached(development=development)
        database = database or _ask_for_database(path)
    wanted = {
        "DARGAH_ENVIRONMENT": "development" if development or public_url == "" else None,
        "DARGAH_PUBLIC_URL": public_url,
        "DARGAH_LISTEN": listen,
        "DARGAH_DATABASE": database,
    }
    settings = asyncio.run(first_settings.write(path, {name: value for name, value in wanted.items() if value}))
    click.echo(f"{env_file.shown(path)} has the key ring, the operator's token and the settings, for its owner only.")
    click.echo("Keep a copy of it apart from the database's backups: without its key ring they hold no api_key.")
    option = "" if path == env_file.DEFAULT else f"--env-file {shlex.quote(str(path))} "
    click.echo(f"Customers will reach Dargah at {settings.base_url}. Next: dargah {option}serve")


def _ask_how_reached(*, development: bool) -> str | None:
    """The public URL; "" for a trial on this machine, None where that is said already."""
    if development or os.environ.get("DARGAH_PUBLIC_URL"):
        return None
    answer: str = click.prompt(
        "How customers reach Dargah, such as https://pay.example.ir\n(nothing: only to try it on this machine)",
        default="",
        show_default=False,
    )
    return answer.strip()


def _ask_for_database(path: Path) -> str | None:
    if os.environ.get("DARGAH_DATABASE"):
        return None
    answer: str = click.prompt(
        "Where payments are kept: a file, or postgresql://user:password@host:5432/database",
        default=str(path.absolute().parent / first_settings.DATABASE_NAME),
    )
    return answer.strip()
