"""The common parts of the commands: the server's URL and token, `--json`, and the records that they name."""

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import click

from proxy.cli.api import MERCHANT, Api, admin_token, admin_url
from proxy.cli.output import Output, Refused
from proxy.kernel.ids import merchant_of_id

MAX_SECRET_CHARS: Final = 10_000
SECRET_VARIABLE: Final = "DARGAH_WEBHOOK_SECRET"  # noqa: S105  a variable's name
_KINDS: Final = {"terminal": "trm_", "token": "tok_", "endpoint": "ep_"}


def shop_token(token_file: Path | None, environ: Mapping[str, str] = os.environ) -> str:
    """The shop's token, of the file or of DARGAH_TOKEN. Raises Refused."""
    try:
        text = environ.get(MERCHANT.token, "") if token_file is None else token_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise Refused(f"{token_file} cannot be read ({why}): name a file with the token alone") from None
    token = text.strip()
    if not token:
        raise Refused("no token: set DARGAH_TOKEN to the shop's (dg_live_… or dg_test_…), or name a file")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Refused("the token has characters that no token has; was another file meant?")
    return token


def _command(
    url_option: str, url_help: str, token: str, connect: Callable[[str | None, Path | None], Api]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a command `api` and `out`, from the options that every command of its side has."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
        @click.option(url_option, "api_url", default=None, metavar="URL", help=url_help)
        @click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False), help=f"A file with the {token}.")
        @functools.wraps(command)
        def run(*, as_json: bool, api_url: str | None, token_file: Path | None, **options: Any) -> None:
            command(api=connect(api_url, token_file), out=Output(as_json=as_json), **options)

        return run

    return decorate


def _operator_api(url: str | None, token_file: Path | None) -> Api:
    return Api(url or admin_url(), admin_token(token_file))


def _shop_api(url: str | None, token_file: Path | None) -> Api:
    return Api(url or MERCHANT.url_in(), shop_token(token_file), MERCHANT)


operator_command = _command(
    "--admin-url",
    "The operator's API. [env: DARGAH_ADMIN_URL]",
    "operator's token, instead of DARGAH_ADMIN_TOKEN",
    _operator_api,
)
shop_command = _command(
    "--url", "Where Dargah is. [env: DARGAH_URL]", "shop's token, instead of DARGAH_TOKEN", _shop_api
)
merchant_option = click.option("--merchant", required=True, metavar="ID", help="The merchant's id (mer_…).")
limit_option = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="How many at most."
)


def irreversible(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator for a command that cannot be taken back: it asks on a terminal, and needs `--yes` without one.

    `what` is what it would do, as a question's beginning.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
        @functools.wraps(command)
        def run(*, yes: bool, **options: Any) -> None:
            if not yes and not sys.stdin.isatty():
                raise Refused(f"{what} cannot be taken back, and there is no terminal to ask on: add --yes")
            if not yes:
                click.confirm(f"{what} cannot be taken back. Do it?", abort=True, err=True)
            command(**options)

        return run

    return decorate


def path_of(kind: str, record_id: str) -> str:
    """The API's path of a record; its id contains its merchant's."""
    merchant_id = merchant_of_id(record_id)
    if merchant_id is None or not record_id.startswith(_KINDS[kind]):
        raise Refused(f"{record_id!r} is not the id of a {kind}; those look like {_KINDS[kind]}…")
    return f"/merchants/{merchant_id}/{kind}s/{record_id}"


def merchant_path(merchant_id: str) -> str:
    """The API's path of a merchant."""
    if not merchant_id.startswith("mer_") or not merchant_id.isascii() or not merchant_id[4:].isalnum():
        raise Refused(f"{merchant_id!r} is not a merchant's id; those look like mer_…")
    return f"/merchants/{merchant_id}"


def payment_path(payment_id: str) -> str:
    """The API's path of a payment."""
    if merchant_of_id(payment_id) is None or not payment_id.startswith("pay_"):
        raise Refused(f"{payment_id!r} is not a payment's id; those look like pay_…")
    return f"/payments/{payment_id}"


def read_secret(name: str, otherwise: str) -> str:
    """A secret, asked for without an echo: an argument would stay in the shell's history. `otherwise` is the option
    that reads it from standard input.
    """
    if not sys.stdin.isatty():
        raise Refused(f"there is no terminal to ask for the {name} on: pass it to {otherwise}")
    return str(click.prompt(name, hide_input=True))


def read_stdin(name: str) -> str:
    """A secret from standard input."""
    text = sys.stdin.read(MAX_SECRET_CHARS).strip("\r\n")
    if not text:
        raise Refused(f"standard input has no {name}")
    return text


def read_pairs(texts: Iterable[str], where: str) -> dict[str, str]:
    """The NAME=VALUE texts as a mapping. An error names where they stand, and none of them: they may be secrets."""
    pairs: dict[str, str] = {}
    for text in filter(None, texts):
        name, mark, value = text.partition("=")
        if not mark or name in pairs:
            raise Refused(f"{where}: write each as NAME=VALUE, and each name once")
        pairs[name] = value
    return pairs


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: a multiple one that was not is an empty tuple."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def own_path(kind: str, record_id: str) -> str:
    """The API's path of an endpoint or a delivery. Raises Refused for any other id."""
    prefix, path = {"endpoint": ("ep_", "webhook-endpoints"), "delivery": ("dlv_", "deliveries")}[kind]
    if not record_id.startswith(prefix) or not record_id.isascii() or not record_id[len(prefix) :].isalnum():
        raise Refused(f"{record_id!r} is no id of the kind {kind}; those look like {prefix}…")
    return f"/{path}/{record_id}"


def without_password(url: str | None, option: str, otherwise: str) -> str | None:
    """The database's URL, of `option`. Raises click.BadParameter for a password in it, because every user of the
    machine can read a process's arguments; `otherwise` is what to do instead.
    """
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return url  # what is no URL is refused by its form
    if parts.password or "password" in parse_qs(parts.query):
        raise click.BadParameter(
            f"everybody on this machine saw the password in it: change that, and {otherwise}, or the password by "
            "PGPASSWORD or PGPASSFILE",
            param_hint=option,
        )
    return url
