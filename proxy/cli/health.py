"""`dargah health`."""

from http.client import HTTPConnection, HTTPException
from typing import Final

import click

# Below the five seconds after which Docker and Kubernetes give up by themselves, so that the reason is told.
TIMEOUT_SECONDS: Final = 4.0
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  listened on, not called


@click.command()
@click.option("--ready", is_flag=True, help="Ask whether it may be sent work, too: the store can be written.")
def health(*, ready: bool) -> None:
    """Whether the process that listens at DARGAH_LISTEN is alive; exits 1 when not. For HEALTHCHECK and scripts.

    Where DARGAH_ROLES has no api, that is asked at DARGAH_ADMIN_LISTEN.
    """
    from proxy.config.settings import SettingsError, load  # noqa: PLC0415  the other commands start without it
    from proxy.roles import Role  # noqa: PLC0415

    try:
        settings = load()
        address = settings.listen if Role.API in settings.roles else settings.admin_listen
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    path = "/readyz" if ready else "/healthz"
    host = _WILDCARDS.get(address.host, address.host)
    try:
        status, answer = _get(host, address.port, path)
    except (OSError, HTTPException) as error:
        raise click.ClickException(f"nothing answers at {address} ({error})") from None
    if status != 200:  # noqa: PLR2004  HTTP's OK
        raise click.ClickException(f"{path} says {status}: {answer}")
    click.echo(answer)


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode(errors="replace")
    finally:
        connection.close()
