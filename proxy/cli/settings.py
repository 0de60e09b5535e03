"""`dargah config`."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from proxy.cli.output import Output
from proxy.config import PREFIX, SECRETS_DIR, Settings, SettingsError, load

_SECRET = "(set)"  # noqa: S105  what is shown instead of one


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def config(*, as_json: bool) -> None:
    """Show every setting, what it means, its default and its present value. Secrets are masked."""
    try:
        settings, error = load(), None
    except SettingsError as refused:
        settings, error = None, refused
    rows = list(_rows(settings))
    if as_json:
        Output(as_json=True).table(rows, ())
    else:
        click.echo(f"Each can also be a file in {SECRETS_DIR}, named in lower case, such as dargah_admin_token.\n")
        for row in rows:
            click.echo(f"{click.style(row['name'], bold=True)} = {row['value'] if settings else '?'}")
            click.echo(f"    {row['description']}\n    Default: {row['default']}\n")
    if error is not None:
        raise click.ClickException(str(error))


def _rows(settings: Settings | None) -> Iterator[dict[str, str | None]]:
    for name, field in Settings.by_weight().items():
        yield {
            "name": f"{PREFIX}{name}".upper(),
            "description": field.description,
            "default": _shown(_default(field)),
            "value": None if settings is None else _shown(getattr(settings, name)),
        }


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=False)


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return _SECRET
    if value is None or value == ():
        return "(none)"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
