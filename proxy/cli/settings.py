"""`dargah config`."""

from dataclasses import asdict

import click

from proxy.cli.output import Output
from proxy.config.settings import SECRETS_DIR, SettingsError, load
from proxy.config.shown import setting_lines


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def config(*, as_json: bool) -> None:
    """Show every setting, what it means, its default and its present value. Secrets are masked."""
    try:
        settings, error = load(), None
    except SettingsError as refused:
        settings, error = None, refused
    rows = [asdict(line) for line in setting_lines(settings)]
    if as_json:
        Output(as_json=True).table(rows, ())
    else:
        click.echo(f"Each can also be a file in {SECRETS_DIR}, named in lower case, such as dargah_admin_token.\n")
        for row in rows:
            click.echo(f"{click.style(row['name'], bold=True)} = {row['value'] if settings else '?'}")
            click.echo(f"    {row['description']}\n    Default: {row['default']}\n")
    if error is not None:
        raise click.ClickException(str(error))
