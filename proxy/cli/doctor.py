"""`dargah doctor`, `dargah health` and `dargah alert`."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from http.client import HTTPException
from typing import Any, Final

import click

from proxy.cli.api import Api, ApiError, connection_to
from proxy.cli.options import given, merchant_path, operator_command
from proxy.cli.output import Output, text_of
from proxy.config.settings import SettingsError, load
from proxy.config.values import ProcessRole
from proxy.http.listeners import Place
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
@click.option(
    "--lang", type=click.Choice(["en", "fa", "both"]), help="English or Persian.  [default: as LC_ALL or LANG says]"
)
@operator_command
def doctor(*, api: Api, out: Output, merchant: str | None, quiet: bool, lang: str | None) -> None:
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
            _show(each, lang or _language())
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
        merchants = [row["id"] for row in api.rows("/merchants", MAX_MERCHANTS, archived="false")]
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


def _language(environ: Mapping[str, str] = os.environ) -> str:
    named = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    return "fa" if named.startswith("fa") else "en"


def _show(finding: dict[str, Any], language: str) -> None:
    word, colour = _MARKS[finding["level"]]
    name, subject = finding["check"], text_of(finding["subject"])
    endings = {"en": ("",), "fa": ("_fa",), "both": ("", "_fa")}[language]
    said = [text_of(finding[f"detail{ending}"]) for ending in endings]
    click.echo(f"{click.style(f'{word:<8}', fg=colour)} {name:<18} {subject}: {said[0]}")
    for also in said[1:]:
        click.echo(f"{'':<9}{'':<19}{also}")
    for ending in endings:
        if finding["advice"]:
            click.echo(f"{'':<9}{'':<19}{text_of(finding[f'advice{ending}'])}")


# Below the five seconds after which Docker and Kubernetes give up by themselves, so that the reason is told.
TIMEOUT_SECONDS: Final = 4.0
MAX_WAIT_SECONDS: Final = 600
PAUSE_SECONDS: Final = 0.2


@click.command()
@click.option("--ready", is_flag=True, help="Ask whether it may be sent work, too: the store can be written.")
@click.option(
    "--wait",
    type=click.FloatRange(0, MAX_WAIT_SECONDS),
    default=0,
    metavar="SECONDS",
    help="While the answer is no, ask again for so long.",
)
def health(*, ready: bool, wait: float) -> None:
    """Whether the process that listens at DARGAH_LISTEN is alive; exits 1 when not. For HEALTHCHECK and scripts.

    Where DARGAH_ROLES has no api, that is asked at DARGAH_ADMIN_LISTEN.
    """
    settings = load()
    place = (settings.listen if ProcessRole.API in settings.roles else settings.admin_listen).called
    path = "/readyz" if ready else "/healthz"
    ends = time.monotonic() + wait
    while True:
        try:
            click.echo(_healthy(place, path))
        except click.ClickException:
            if time.monotonic() >= ends:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return


def _healthy(place: Place, path: str) -> str:
    """The answer. Raises ClickException when it is a no, or when there is none."""
    try:
        status, answer = _get(place.url, path)
    except (OSError, HTTPException) as error:
        raise click.ClickException(f"nothing answers at {place} ({error})") from None
    if status != 200:  # noqa: PLR2004  HTTP's OK
        raise click.ClickException(f"{path} says {status}: {answer}")
    return answer


def _get(url: str, path: str) -> tuple[int, str]:
    connection = connection_to(url, TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode(errors="replace")
    finally:
        connection.close()


# Longer than the server asks each target; all are asked at once.
TEST_SECONDS: Final = 60.0


@click.group()
def alert() -> None:
    """People who are told when something is wrong, by a bot, by e-mail or by a webhook: the settings DARGAH_ALERT_…."""


@alert.command("test")
@click.option("--channel", type=click.Choice(["bot", "email", "webhook"]), help="Only these.  [default: all]")
@click.option("--lang", type=click.Choice(["en", "fa"]), help="English or Persian.  [default: as LC_ALL or LANG says]")
@operator_command
def send_test(*, api: Api, out: Output, channel: str | None, lang: str | None) -> None:
    """Send a test through the running server, and show what each channel answered; exit 1 where one did not take it."""
    answers = api.post("/alerts/test", given(channel=channel), timeout_seconds=TEST_SECONDS)["data"]
    if out.as_json:
        out.table(answers, ())
    else:
        detail = "detail_fa" if (lang or _language()) == "fa" else "detail"
        for each in answers:
            word, colour = ("ok", "green") if each["taken"] else ("PROBLEM", "red")
            target = f"{each['channel']} {text_of(each['target'])}"
            click.echo(f"{click.style(f'{word:<8}', fg=colour)} {target}: {text_of(each[detail])}")
    if not all(each["taken"] for each in answers):
        raise click.exceptions.Exit(1)
