"""`dargah serve`."""

import sys
from types import ModuleType
from typing import cast

import click


@click.command()
@click.option(
    "--roles", metavar="ROLES", help="What this process does: api,watch,deliver, all by default. [env: DARGAH_ROLES]"
)
def serve(roles: str | None) -> None:
    """Run the payment proxy. The settings are those that `dargah config` shows."""
    from proxy.config.settings import SettingsError, load  # noqa: PLC0415  the other commands start without it
    from proxy.errors import VaultError  # noqa: PLC0415

    try:
        settings = load() if roles is None else load(roles=roles)
        settings.check_serving()
        # structlog imports them where they are installed, for what is not used here: 4 MB.
        for module in ("rich", "greenlet"):
            sys.modules.setdefault(module, cast("ModuleType", None))
        from proxy.process import run  # noqa: PLC0415  only with settings that are right

        run(settings)
    except (SettingsError, VaultError) as error:
        raise click.ClickException(str(error)) from None
