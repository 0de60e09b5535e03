"""`dargah event`, `dargah trigger` and `dargah listen`."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import chain
from typing import Any, Final

import click

from proxy.cli.api import Api, ApiError, split_url
from proxy.cli.options import SECRET_VARIABLE, given, limit_option, shop_command
from proxy.cli.output import Output, text_of
from proxy.kernel.clock import system_now
from proxy.kernel.frozen import dataclass
from proxy.webhooks.request import new_secret, sign, signed_headers


@click.group()
def event() -> None:
    """The events of a shop's payments. With the shop's own token (DARGAH_TOKEN)."""


@event.command("list")
@click.option("--after", help="The sequence after which to begin.")
@click.option("--type", "type_", metavar="TYPE", help="Only this type, such as payment.paid.")
@click.option("--payment", "payment_id", metavar="ID", help="Only this payment's.")
@click.option(
    "--delivered/--undelivered", default=None, help="Only what every endpoint has got, or what one of them has not."
)
@limit_option
@shop_command
def list_(*, api: Api, out: Output, limit: int, type_: str | None, delivered: bool | None, **filters: Any) -> None:
    """List events, oldest first."""
    wanted = given(type=type_, delivered=None if delivered is None else str(delivered).lower(), **filters)
    after = wanted.pop("after", None)
    rows = api.rows("/events", limit, first={"after": after}, **wanted)
    out.table(rows, ("sequence", "id", "mode", "type", "payment_id", "timestamp"))


@event.command()
@click.argument("event_id")
@shop_command
def show(*, api: Api, out: Output, event_id: str) -> None:
    """Show an event with its payload."""
    out.record(api.get(f"/events/{event_id}"))


@click.command()
@click.argument("type_", metavar="TYPE")
@shop_command
def trigger(*, api: Api, out: Output, type_: str) -> None:
    """Make a test event such as payment.paid.

    It tells of a payment that does not exist, is marked "test": true in its data, and is delivered like a real one.
    """
    out.record(api.post("/events/test", {"type": type_}))


WAIT_SECONDS: Final = 20
FORWARD_SECONDS: Final = 20.0
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 15.0


@click.command()
@click.option("--forward-to", required=True, metavar="URL", help="Gets each event, such as http://localhost:3000/hook.")
@click.option("--after", default="latest", show_default=True, metavar="SEQUENCE", help="Begin after this event.")
@click.option(
    "--secret",
    envvar=SECRET_VARIABLE,
    show_envvar=True,
    metavar="WHSEC",
    help="Sign with this secret, which the local server has already.  [default: one of this session, which is shown]",
)
@shop_command
def listen(*, api: Api, out: Output, forward_to: str, after: str, secret: str | None) -> None:
    """Bring the shop's webhooks to this machine while it is being built; it needs no public URL.

    Each event is signed and posted as Dargah would post it. The local server's answers are shown; nothing is retried.
    Ctrl-C ends it.
    """
    with suppress(KeyboardInterrupt):
        _listen(api, out, forward_to, after, secret)


def _listen(api: Api, out: Output, forward_to: str, after: str, given_secret: str | None) -> None:
    target = ForwardTarget.of(forward_to)
    secret = new_secret(os.urandom(32)) if given_secret is None else _checked(given_secret.strip())
    events = follow(api, after, out)
    first = next(events)  # whatever is wrong with the token or the URL is told before anything else
    _begin(out, secret, forward_to, given=given_secret is not None)
    for event in chain([first], events):
        if event is not None:
            _forward(out, target, secret, event)


def follow(
    api: Api, after: str, out: Output, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Mapping[str, Any] | None]:
    """The events after `after`, as they happen, for ever; None for each poll without one.

    Raises ApiError for permanent errors; temporary ones are waited out.
    """
    place: dict[str, Any] = {"after": after}
    pause = FIRST_PAUSE_SECONDS
    wait = 0  # the first call only finds the place
    while True:
        try:
            page = api.get("/events", **place, wait=wait, limit=100)
        except ApiError as error:
            if not error.passing or wait == 0:
                raise
            out.note(f"{error.message}; trying again")
            sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            continue
        pause, wait = FIRST_PAUSE_SECONDS, WAIT_SECONDS
        place = {"cursor": page["resume_cursor"]} if page["resume_cursor"] else {"after": 0}
        yield from page["data"] or [None]


@dataclass(frozen=True, slots=True)
class ForwardTarget:
    """Where events are forwarded to."""

    secure: bool
    netloc: str
    path: str

    @classmethod
    def of(cls, url: str) -> "ForwardTarget":
        try:
            origin, path = split_url(url)
        except ValueError as error:
            raise click.BadParameter(
                f"{error}; write it like http://localhost:3000/hook", param_hint="--forward-to"
            ) from None
        scheme, _, netloc = origin.partition("://")
        return cls(scheme == "https", netloc, path if path.startswith("/") else f"/{path}")

    def post(self, headers: Mapping[str, str], body: bytes) -> tuple[int | None, str | None]:
        """The HTTP status, or why there was none."""
        kind = HTTPSConnection if self.secure else HTTPConnection
        connection = kind(self.netloc, timeout=FORWARD_SECONDS)
        try:
            connection.request("POST", self.path, body, dict(headers))
            return connection.getresponse().status, None
        except (OSError, HTTPException) as error:
            return None, getattr(error, "strerror", None) or str(error) or type(error).__name__
        finally:
            connection.close()


def _checked(secret: str) -> str:
    try:
        sign([secret], "msg", 0, b"")
    except ValueError as error:
        raise click.BadParameter(f"this is no webhook secret: {error}", param_hint="--secret") from None
    return secret


def _begin(out: Output, secret: str, forward_to: str, *, given: bool) -> None:
    if out.as_json:
        click.echo(json.dumps({"secret": None if given else secret, "forward_to": forward_to}))
    elif given:
        click.echo(f"Forwarding to {forward_to}, signed with the secret that was given.\n")
    else:
        click.echo(f"Forwarding to {forward_to}, signed with the secret of this session:\n\n    {secret}\n")


def _forward(out: Output, target: ForwardTarget, secret: str, event: Mapping[str, Any]) -> None:
    message = {name: event[name] for name in ("type", "timestamp", "data")}
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    headers = signed_headers([secret], event["id"], body, system_now())
    began = time.perf_counter()
    status, error = target.post(headers, body)
    milliseconds = round((time.perf_counter() - began) * 1000)
    if out.as_json:
        row = {"event_id": event["id"], "type": event["type"], "sequence": event["sequence"], "mode": event["mode"]}
        click.echo(json.dumps(row | {"http_status": status, "error": error, "duration_ms": milliseconds}))
    else:
        answered = text_of(status if error is None else error)
        about = f"{event['timestamp']}  {event['mode']}  {event['type']:<24} {event['id']}"
        click.echo(f"{about}  -> {answered}  {milliseconds} ms")
