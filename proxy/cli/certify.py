"""`dargah certify`."""

import asyncio
import os
import shlex
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import click
from yarl import URL

from proxy.cli.options import SECRET_VARIABLE, read_secret, read_stdin
from proxy.cli.output import Output, Refused, text_of
from proxy.kernel.clock import system_now
from proxy.kernel.ids import Ids
from proxy.kernel.money import MIN_RIALS
from proxy.kernel.text import refused_in
from proxy.merchants.merchant import Mode
from proxy.operations.certification.message import Keys
from proxy.operations.certification.orders import (
    MAX_ID_CHARS,
    MOST_RIALS,
    CertificationStopped,
    OrderBook,
    ShopOrder,
    ShopQuestion,
    StateReader,
)
from proxy.operations.certification.player import (
    SETTLE_SECONDS,
    SILENCE_SECONDS,
    CertifiedShop,
    Patience,
    StoryPlayer,
)
from proxy.operations.certification.report import DOCUMENT, Certification
from proxy.operations.certification.rules import Ruling, StoryOutcome, rule
from proxy.operations.certification.stories import stories
from proxy.operations.certification.story import ShopStory
from proxy.webhooks.request import private_key, public_key

V1A_VARIABLE: Final = "DARGAH_WEBHOOK_PRIVATE_KEY"
DEFAULT_AMOUNT: Final = 150_000
MAX_ORDERS: Final = 1000
_MARKS: Final = {StoryOutcome.PASSED: "passed", StoryOutcome.FAILED: "FAILED", StoryOutcome.UNCLEAR: "could not tell"}
_LONGEST_WAIT: Final = 600


def _make_v1a_key(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        made = private_key(os.urandom(32))
        click.echo(f"the shop verifies with  {public_key(made)}\n{V1A_VARIABLE}={made}")
        ctx.exit()


@click.command()
@click.argument("url")
@click.option("--secret-stdin", is_flag=True, help=f"Read the secret from standard input. [env: {SECRET_VARIABLE}]")
@click.option(
    "--new-order",
    metavar="COMMAND|URL",
    help="Makes an open order of {amount_rials} (or {amount_toman}), gives its id.",
)
@click.option("--order", "orders", multiple=True, metavar="ID:RIALS", help="An open order of the shop; repeatable.")
@click.option("--order-state", metavar="COMMAND|URL", help="Tells the state of {order_id}.")
@click.option(
    "--paid-when",
    default="paid=true",
    show_default=True,
    metavar="PATH=VALUE|WORD",
    help="In the state of a paid order.",
)
@click.option("--credited", metavar="PATH", help="In the state, the number of credits, or rials. [default: credits]")
@click.option(
    "--amount",
    type=click.IntRange(MIN_RIALS, MOST_RIALS),
    default=DEFAULT_AMOUNT,
    show_default=True,
    metavar="RIALS",
    help="What a new order costs.",
)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.LIVE.value,
    show_default=True,
    help="The shop's.",
)
@click.option("--storefront", default="main", show_default=True, help="The shop's name at Dargah.")
@click.option("--only", multiple=True, metavar="STORY", help="Only this story, after the right event; repeatable.")
@click.option(
    "--silence",
    type=click.FloatRange(0, _LONGEST_WAIT),
    default=SILENCE_SECONDS,
    show_default=True,
    help="Seconds that a client stalls.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0, _LONGEST_WAIT),
    default=SETTLE_SECONDS,
    show_default=True,
    help="Seconds in which an order may be credited after the answer.",
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Keep the report as this HTML file.")
@click.option(
    "--new-v1a-key",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_make_v1a_key,
    help="Make a key pair for a shop that verifies v1a, show it, and end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def certify(
    *,
    url: str,
    secret_stdin: bool,
    mode: str,
    storefront: str,
    only: tuple[str, ...],
    silence: float,
    settle: float,
    report: Path | None,
    as_json: bool,
    **orders: Any,
) -> None:
    """Play every nasty story at a shop's webhook endpoint, and say what the shop did.

    For a shop that is being built: it credits orders for which nobody paid. Exit code 0: nothing failed. 1: something
    did. 2: it could not be played as asked for.

    The secret comes from DARGAH_WEBHOOK_SECRET, standard input or a prompt. A shop that verifies v1a is signed for with
    the key in DARGAH_WEBHOOK_PRIVATE_KEY.
    """
    if refused_in(storefront):
        raise Refused("--storefront: it has a character that no storefront's name has")
    shop = CertifiedShop(
        _checked_url(url), _keys(secret_stdin), Mode(mode), storefront, _order_book(**orders), _state(**orders)
    )
    chosen = _chosen(stories(shop.mode, public_key=bool(shop.keys.public_key_alone)), only)
    _check_report(report)
    out, patience = Output(as_json=as_json), Patience(silence=silence, settle=settle)
    pause = f"; one of them is silent for {silence:g} s" if any(story.stalls for story in chosen) else ""
    out.note(f"playing {len(chosen)} stories at {url}{pause}")
    player = StoryPlayer(shop, Ids(os.urandom), patience=patience)
    try:
        played = asyncio.run(player.play(chosen))
    except CertificationStopped as error:
        raise Refused(str(error)) from None
    certification = Certification(shop, patience, system_now(), rule(chosen, played))
    if as_json:
        out.record(certification.record())
    else:
        _print(certification.rulings)
        click.echo(certification.summary)
    if report is not None:
        _keep(report, certification.page())
    if certification.count(StoryOutcome.FAILED):
        raise SystemExit(1)


def _checked_url(url: str) -> str:
    try:
        parts = URL(url)
        fine = parts.scheme in {"http", "https"} and parts.host and parts.port and parts.user is None
    except ValueError:
        fine = False
    if not fine or parts.fragment or refused_in(url) or any(char.isspace() or char == "\\" for char in url):
        raise Refused("URL: write the endpoint's address like http://localhost:3000/hook")
    return url


def _keys(secret_stdin: bool) -> Keys:
    public = os.environ.get(V1A_VARIABLE, "").strip()
    secret = read_stdin("secret") if secret_stdin else os.environ.get(SECRET_VARIABLE, "")
    if not secret and not public:
        if not sys.stdin.isatty():
            raise Refused(f"no secret: set {SECRET_VARIABLE} to the endpoint's, or pass it to --secret-stdin")
        secret = read_secret("secret", "--secret-stdin")
    own = tuple(filter(None, (secret.strip(), public)))
    kinds = [key.partition("_")[0] for key in own]
    if kinds not in (["whsec"], ["whsk"], ["whsec", "whsk"]):
        raise Refused(
            f"the secret is the endpoint's whsec_… ({SECRET_VARIABLE}), and {V1A_VARIABLE} a whsk_… of --new-v1a-key"
        )
    try:
        return Keys.of(own, os.urandom)
    except ValueError as error:
        raise Refused(f"this is no webhook secret: {error}") from None


def _order_book(*, new_order: str | None, orders: Sequence[str], amount: int, **_: Any) -> OrderBook:
    if new_order and orders:
        raise Refused("give --new-order or --order, not both")
    named = [_named_order(text) for text in orders[: MAX_ORDERS + 1]]
    if len(named) > MAX_ORDERS or len({order.id for order in named}) != len(named):
        raise Refused(f"--order: name each order once, and at most {MAX_ORDERS}")
    question = _question("--new-order", new_order, "POST") if new_order else None
    return OrderBook(named, question, amount, Ids(os.urandom).random(8))


def _named_order(text: str) -> ShopOrder:
    order_id, mark, rials = text.rpartition(":")
    fine = mark and 0 < len(order_id) <= MAX_ID_CHARS and not refused_in(order_id)
    if not fine or not rials.isascii() or not rials.isdigit() or not MIN_RIALS <= int(rials[:17]) <= MOST_RIALS:
        raise Refused(f"--order: write an order's id and its rials like 17:150000, not {text[:100]!r}")
    return ShopOrder(order_id, int(rials))


def _state(*, order_state: str | None, paid_when: str, credited: str | None, **_: Any) -> StateReader | None:
    if order_state is None:
        if credited is not None:
            raise Refused("--credited is a place in the state that --order-state tells: give both")
        return None
    if "{order_id}" not in order_state:
        raise Refused("--order-state: write {order_id} where the order's id goes")
    path, mark, value = paid_when.partition("=")
    if mark and not path:
        raise Refused("--paid-when: write it like status=paid, or as the one word of a plain text")
    question = _question("--order-state", order_state)
    values = tuple((value if mark else path).split("|"))
    return StateReader(question, path if mark else None, values, credited or "credits", total_needed=bool(credited))


def _question(option: str, template: str, method: str = "GET") -> ShopQuestion:
    question = ShopQuestion(option, template, method)
    try:
        words = [_checked_url(template)] if question.is_url else shlex.split(template)
    except ValueError as error:
        raise Refused(f"{option}: {error}") from None
    if not words:
        raise Refused(f"{option}: give a command, or a URL")
    return question


def _chosen(every: Sequence[ShopStory], only: Sequence[str]) -> list[ShopStory]:
    names = {story.name for story in every}
    if unknown := [name for name in only if name not in names]:
        raise Refused(f"--only: there is no {unknown[0][:40]!r}; there is {', '.join(sorted(names))}")
    return [story for story in every if not only or story.name in only or story is every[0]]


def _check_report(report: Path | None) -> None:
    """Refused before anything is sent, rather than lost afterwards."""
    if report is None:
        return
    if report.suffix not in {".html", ".htm"}:
        raise Refused("--report: the report is an HTML page; name it like certification.html")
    if not report.parent.is_dir() or not os.access(report.parent, os.W_OK):
        raise Refused(f"--report: nothing can be written in {report.parent}")


def _keep(report: Path, page: str) -> None:
    try:
        report.write_text(page, "utf-8")
    except OSError as error:
        raise click.ClickException(f"{report}: {error.strerror}") from None


def _print(rulings: Sequence[Ruling]) -> None:
    for group, members in groupby(rulings, lambda ruling: ruling.story.group):
        click.echo(group.value)
        for ruling in members:
            story = ruling.story
            click.echo(f"  {_MARKS[ruling.outcome]:<15} {story.name:<20} {story.title}")
            if ruling.outcome is StoryOutcome.FAILED:
                click.echo(f"{'':<38} {text_of(ruling.why)}")
                click.echo(f"{'':<38} -> {story.remedy} ({DOCUMENT}#{story.section})")
        click.echo()
    unclear: dict[str, list[str]] = {}
    for ruling in rulings:
        if ruling.outcome is StoryOutcome.UNCLEAR:
            unclear.setdefault(ruling.why, []).append(ruling.story.name)
    for why, names in unclear.items():
        click.echo(f"Could not tell: {text_of(why)}\n  {', '.join(names)}\n")
