"""What the commands for a shop's developer have in common: the shop's own token, and where its Dargah is."""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from proxy.cli.api import MERCHANT, Api, ApiError
from proxy.cli.output import Output


def shop_command(command: Callable[..., None]) -> Callable[..., None]:
    """Gives the command `api` and `out`, from the options that every one of them has."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
    @click.option("--url", default=None, metavar="URL", help="Where Dargah is. [env: DARGAH_URL]")
    @click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A file with the shop's token, instead of DARGAH_TOKEN.",
    )
    @functools.wraps(command)
    def run(*, as_json: bool, url: str | None, token_file: Path | None, **options: Any) -> None:
        where = url or os.environ.get(MERCHANT.url) or MERCHANT.default_url
        command(api=Api(where, shop_token(token_file), MERCHANT), out=Output(as_json=as_json), **options)

    return run


def shop_token(token_file: Path | None, environ: Mapping[str, str] = os.environ) -> str:
    """The shop's token, of the file or of DARGAH_TOKEN. Raises ApiError."""
    try:
        text = environ.get(MERCHANT.token, "") if token_file is None else token_file.read_text()
    except (OSError, UnicodeDecodeError):
        raise ApiError(f"{token_file} cannot be read") from None
    token = text.strip()
    if not token:
        raise ApiError("no token: set DARGAH_TOKEN to the shop's (dg_live_… or dg_test_…), or name a file")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ApiError("the token has characters that no token has; was another file meant?")
    return token


def own_path(kind: str, record_id: str) -> str:
    """The API's path of an endpoint or a delivery. Raises ApiError for what is not the id of one."""
    prefix, path = {"endpoint": ("ep_", "webhook-endpoints"), "delivery": ("dlv_", "deliveries")}[kind]
    if not record_id.startswith(prefix) or not record_id.isascii() or not record_id[len(prefix) :].isalnum():
        raise ApiError(f"{record_id!r} is no id of the kind {kind}; those look like {prefix}…")
    return f"/{path}/{record_id}"
