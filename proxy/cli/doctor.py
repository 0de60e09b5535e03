"""`dargah doctor` and `dargah health`."""

from collections.abc import Iterator
from dataclasses import asdict
from http.client import HTTPException
from typing import Any, Final

import click

from proxy.cli.api import Api, ApiError, connection_to
from proxy.cli.options import merchant_path, operator_command
from proxy.cli.output import Output, text_of
from proxy.config.settings import SettingsError, load
from proxy.config.values import ProcessRole
from proxy.kernel.errors import VaultError
from proxy.merchants.vault import KeyRing
from proxy.operations.doctor.base import Finding, fine, problem, warning

MAX_MERCHANTS: Final = 10_000
# A hundred terminals and endpoints each, sixteen at once, a few seconds for each that does not answer.
CHECK_SECONDS: Final = 150.0
_MARKS: Final = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("PROBLEM", "red")}


@click.command()
@click.option("--merchant", metavar="ID", help="Look at this merchant only.  [default: the server, and every merchant]")
@click.option("--quiet", is_flag=True, help="Leave out what is well.")
@operator_command
def doctor(*, api: Api, out: Output, merchant: str | None, quiet: bool) -> None:
    """See whether everything is set up right, and what to do where it is not.

    Looks at the settings, the key ring, the database, the clock, the public URL, each terminal's gateway and key (by a
    check of an impossible invoice: none is made), and sends a ping to each webhook endpoint. Exits 1 on a problem.
    """
    found = [asdict(finding) for finding in _here()]
    try:
        found.extend(_there(api, merchant))
    except ApiError as error:
        found.append(asdict(_unreachable(error)))
    shown = [each for each in found if not (quiet and each["level"] == "ok")]
    if out.as_json:
        out.table(shown, ())
    else:
        for each in shown:
            _show(each)
    problems = sum(each["level"] == "problem" for each in found)
    if problems:
        raise click.exceptions.Exit(1)


def _here() -> Iterator[Finding]:
    """The findings from this shell's own settings, which are the server's if it runs in the same environment."""
    try:
        settings = load()
    except SettingsError as error:
        yield problem(
            "settings",
            "here",
            (str(error), "تنظیم‌ها در این محیط نادرست است"),
            ("`dargah config` shows what each takes.", "`dargah config` هر تنظیم را شرح می‌دهد."),
        )
        return
    if settings.keys is None and settings.keys_file is None:
        yield warning(
            "key_ring",
            "here",
            ("no key ring is set in this shell", "در این محیط دسته‌کلیدی نیست"),
            ("That is fine when the server runs elsewhere.", "اگر سرور جای دیگری است ایرادی ندارد."),
        )
        return
    try:
        KeyRing.parse(settings.key_text())
    except (SettingsError, VaultError) as error:
        yield problem(
            "key_ring",
            "here",
            (str(error), "دسته‌کلید خوانده نمی‌شود"),
            ("`dargah keys generate` makes a line of it.", "`dargah keys generate` یک خط آن را می‌سازد."),
        )
    else:
        yield fine("key_ring", "here", "it can be read", "خوانده می‌شود")


def _there(api: Api, merchant: str | None) -> Iterator[dict[str, Any]]:
    """The running server's findings, about itself and about each merchant."""
    if merchant is None:
        yield from _ask(api, {})
        merchants = [row["id"] for row in api.rows("/merchants", MAX_MERCHANTS)]
    else:
        merchant_path(merchant)
        merchants = [merchant]
    for merchant_id in merchants:
        yield from _ask(api, {"merchant_id": merchant_id})


def _ask(api: Api, body: dict[str, Any]) -> list[dict[str, Any]]:
    findings: list[dict[str, Any]] = api.post("/doctor", body)["findings"]
    return findings


def _unreachable(error: ApiError) -> Finding:
    return problem(
        "server",
        "DARGAH_ADMIN_URL",
        (error.message, "به API گردانندهٔ سامانه دسترسی نیست"),
        (
            "Start `dargah serve`, or say where it is and with which token.",
            "`dargah serve` را اجرا کنید یا نشانی و توکن آن را بدهید.",
        ),
    )


def _show(finding: dict[str, Any]) -> None:
    word, colour = _MARKS[finding["level"]]
    name, subject = finding["check"], text_of(finding["subject"])
    click.echo(f"{click.style(f'{word:<8}', fg=colour)} {name:<18} {subject}: {text_of(finding['detail'])}")
    if finding["advice"]:
        click.echo(f"{'':<9}{'':<19}{text_of(finding['advice'])}")
        click.echo(f"{'':<9}{'':<19}{text_of(finding['detail_fa'])}. {text_of(finding['advice_fa'])}")


# Below the five seconds after which Docker and Kubernetes give up by themselves, so that the reason is told.
TIMEOUT_SECONDS: Final = 4.0


@click.command()
@click.option("--ready", is_flag=True, help="Ask whether it may be sent work, too: the store can be written.")
def health(*, ready: bool) -> None:
    """Whether the process that listens at DARGAH_LISTEN is alive; exits 1 when not. For HEALTHCHECK and scripts.

    Where DARGAH_ROLES has no api, that is asked at DARGAH_ADMIN_LISTEN.
    """
    try:
        settings = load()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    place = (settings.listen if ProcessRole.API in settings.roles else settings.admin_listen).called
    path = "/readyz" if ready else "/healthz"
    try:
        status, answer = _get(place.url, path)
    except (OSError, HTTPException) as error:
        raise click.ClickException(f"nothing answers at {place} ({error})") from None
    if status != 200:  # noqa: PLR2004  HTTP's OK
        raise click.ClickException(f"{path} says {status}: {answer}")
    click.echo(answer)


def _get(url: str, path: str) -> tuple[int, str]:
    connection = connection_to(url, TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode(errors="replace")
    finally:
        connection.close()
