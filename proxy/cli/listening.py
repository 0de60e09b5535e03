"""`dargah listen`: the shop's events, forwarded to a server on this machine as webhooks of their own secret."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import chain
from typing import Any, Final
from urllib.parse import urlsplit

import click

from proxy.cli.api import Api, ApiError
from proxy.cli.output import Output, text_of
from proxy.cli.shop import shop_command

WAIT_SECONDS: Final = 20
FORWARD_SECONDS: Final = 20.0
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 15.0


@click.command()
@click.option("--forward-to", required=True, metavar="URL", help="Gets each event, such as http://localhost:3000/hook.")
@click.option("--after", default="latest", show_default=True, metavar="SEQUENCE", help="Begin after this event.")
@shop_command
def listen(*, api: Api, out: Output, forward_to: str, after: str) -> None:
    """Bring the shop's webhooks to this machine while it is being built; it needs no public URL.

    Each event is signed with a secret of this session, which is shown at the start, and posted as Dargah would post it.
    What the server here answers is shown; nothing is tried again. Ends with Ctrl-C.
    """
    from proxy.webhook import new_secret  # noqa: PLC0415  cryptography is slow to import

    target = Target.of(forward_to)
    secret = new_secret(os.urandom(32))
    events = follow(api, after, out)
    first = next(events)  # whatever is wrong with the token or the URL is told before anything else
    _begin(out, secret, forward_to)
    for event in chain([first], events):
        if event is not None:
            _forward(out, target, secret, event)


def follow(
    api: Api, after: str, out: Output, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Mapping[str, Any] | None]:
    """The events from `after` on, as they happen, for ever; None each time that there was none.

    Raises ApiError for what will not pass by itself; what may is waited out.
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
class Target:
    """Where events are forwarded to."""

    secure: bool
    netloc: str
    path: str

    @classmethod
    def of(cls, url: str) -> "Target":
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise click.BadParameter("write it like http://localhost:3000/hook", param_hint="--forward-to")
        return cls(
            parts.scheme == "https", parts.netloc, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        )

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


def _begin(out: Output, secret: str, forward_to: str) -> None:
    if out.as_json:
        click.echo(json.dumps({"secret": secret, "forward_to": forward_to}))
    else:
        click.echo(f"Forwarding to {forward_to}, signed with the secret of this session:\n\n    {secret}\n")


def _forward(out: Output, target: Target, secret: str, event: Mapping[str, Any]) -> None:
    from proxy.clock import system_now  # noqa: PLC0415  with the rest
    from proxy.outgoing import signed_headers  # noqa: PLC0415

    message = {name: event[name] for name in ("type", "timestamp", "data")}
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    headers = signed_headers([secret], event["id"], body, system_now())
    began = time.perf_counter()
    status, error = target.post(headers, body)
    milliseconds = round((time.perf_counter() - began) * 1000)
    if out.as_json:
        row = {"event_id": event["id"], "type": event["type"], "sequence": event["sequence"], "http_status": status}
        click.echo(json.dumps(row | {"error": error, "duration_ms": milliseconds}))
    else:
        answered = text_of(status if error is None else error)
        click.echo(f"{event['timestamp']}  {event['type']:<24} {event['id']}  -> {answered}  {milliseconds} ms")
