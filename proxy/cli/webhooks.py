"""`dargah webhook`."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

import click

from proxy.cli.api import Api
from proxy.cli.options import SECRET_VARIABLE, given, limit_option, own_path, read_secret, read_stdin, shop_command
from proxy.cli.output import Output
from proxy.cli.resends import resend, resends, stop_resend
from proxy.cli.times import PAST_HELP, past
from proxy.kernel.frozen import dataclass
from proxy.webhooks.request import PUBLIC_PREFIX, content_digest, sign, verified_by

TOLERANCE_SECONDS: Final = 300
MAX_REQUEST_BYTES: Final = 1024 * 1024
_REQUIRED: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """A request as it was received: header names in lower case, and the exact bytes of the body."""

    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "ReceivedWebhook":
        """Of header lines (also with a request line before them), an empty line, and the body."""
        first_crlf, first_lf = raw.find(b"\r\n\r\n"), raw.find(b"\n\n")
        at, width = (first_crlf, 4) if first_crlf >= 0 and (first_lf < 0 or first_crlf < first_lf) else (first_lf, 2)
        head, body = (raw, b"") if at < 0 else (raw[:at], raw[at + width :])
        pairs = (line.partition(":") for line in head.decode("latin-1").splitlines())
        return cls({name.strip().lower(): value.strip() for name, mark, value in pairs if mark}, body)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is `valid`, or names the fault."""

    code: str
    detail: str


@click.command()
@click.argument("request_file", type=click.File("rb"), default="-")
@click.option("--secret-stdin", is_flag=True, help="Read the secret from standard input (the request from a file).")
@click.option(
    "--tolerance", type=click.IntRange(0), default=TOLERANCE_SECONDS, show_default=True, help="Seconds of age allowed."
)
@click.option("--ignore-age", is_flag=True, help="Do not mind how old it is: a captured request is old soon.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def verify(*, request_file: BinaryIO, secret_stdin: bool, tolerance: int, ignore_age: bool, as_json: bool) -> None:
    """Check a captured webhook: its headers, an empty line and the exact body, in a file or on standard input.

    The secret (whsec_…, or a whpk_… public key for v1a) comes from DARGAH_WEBHOOK_SECRET, standard input or a prompt.
    Says valid and exits 0, or why not and exits 1.
    """
    if secret_stdin and request_file.name == "<stdin>":
        raise click.UsageError("the request and the secret cannot both come from standard input")
    captured = ReceivedWebhook.parse(request_file.read(MAX_REQUEST_BYTES))
    secret = os.environ.get(SECRET_VARIABLE) or (
        read_stdin("secret") if secret_stdin else read_secret("secret", "--secret-stdin")
    )
    now = int(time.time())
    found = finding(captured, secret.strip(), now, None if ignore_age else tolerance)
    Output(as_json=as_json).done(f"{found.code}: {found.detail}", {"result": found.code, "detail": found.detail})
    if found.code != "valid":
        raise click.exceptions.Exit(1)


def finding(captured: ReceivedWebhook, secret: str, now: int, tolerance: int | None) -> Verdict:
    """The first fault of the request, or `valid`. Raises click.UsageError for a malformed secret."""
    headers = captured.headers
    missing = [name for name in _REQUIRED if not headers.get(name)]
    if missing:
        return Verdict("missing_header", f"the request has no {', '.join(missing)}")
    stamp = headers["webhook-timestamp"]
    if not stamp.isascii() or not stamp.isdigit():
        return Verdict("bad_timestamp", f"webhook-timestamp is not seconds since the epoch: {stamp[:40]!r}")
    if not _matches(captured, secret, captured.body):
        return _mismatch(captured, secret)
    age = now - int(stamp)
    if tolerance is not None and abs(age) > tolerance:
        when = f"{age} seconds old" if age > 0 else f"{-age} seconds in the future"
        return Verdict("stale_timestamp", f"the signature is right, but it is {when}; at most {tolerance} are allowed")
    return Verdict("valid", f"the signature of {headers['webhook-id']} is right")


def _mismatch(captured: ReceivedWebhook, secret: str) -> Verdict:
    """Distinguishes an altered body from a wrong key, as far as possible."""
    length, digest = captured.headers.get("content-length"), captured.headers.get("content-digest")
    body = captured.body
    if _matches(captured, secret, body.rstrip(b"\r\n")):
        return Verdict("altered_body", "the body has a line end after it that was not sent")
    if any(_matches(captured, secret, each) for each in _as_compact_json(body)):
        return Verdict("altered_body", "the body was written anew as JSON; verify the exact bytes, before any parsing")
    if length is not None and length.isdigit() and int(length) != len(body):
        return Verdict("altered_body", f"{length} bytes were sent, and {len(body)} are here")
    if digest is None:
        return Verdict(
            "wrong_secret_or_altered_body", "no signature matches; without its content-digest, more is unknown"
        )
    if digest != content_digest(body):
        return Verdict("altered_body", "the body is not the one that was sent: its digest is another")
    return Verdict("wrong_secret", "the body is the one that was sent, but this secret did not sign it")


def _as_compact_json(body: bytes) -> list[bytes]:
    try:
        value: Any = json.loads(body)
    except ValueError:
        return []
    return [json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()]


def _matches(captured: ReceivedWebhook, secret: str, body: bytes) -> bool:
    """Whether one of the signatures is this key's."""
    headers = captured.headers
    given = headers["webhook-signature"].split(" ")
    message_id, seconds = headers["webhook-id"], int(headers["webhook-timestamp"])
    try:
        if secret.startswith(PUBLIC_PREFIX):
            return any(verified_by(secret, each, message_id, seconds, body) for each in given)
        return sign([secret], message_id, seconds, body) in given
    except ValueError as error:
        raise click.UsageError(f"this is no webhook secret: {error}") from None


_COLUMNS = ("id", "event_id", "status", "attempts", "next_attempt_at", "delivered_at")
_LOG_COLUMNS = ("number", "started_at", "outcome", "http_status", "error", "duration_ms", "excerpt")
_EXCERPT_CHARS = 60  # of a table's cell; --json has all of it
_since = click.option("--since", required=True, metavar="TIME", type=past, help=PAST_HELP)


@click.group()
def webhook() -> None:
    """A shop's webhooks and their redelivery. With the shop's own token (DARGAH_TOKEN)."""


for _command in (verify, resend, resends, stop_resend):
    webhook.add_command(_command)


@webhook.command()
@shop_command
def endpoints(*, api: Api, out: Output) -> None:
    """List the endpoints."""
    columns = ("id", "mode", "url", "storefront", "event_types", "state", "state_reason", "state_since")
    out.table(api.get("/webhook-endpoints")["data"], columns)


@webhook.command()
@click.argument("endpoint_id")
@click.option("--status", type=click.Choice(["pending", "delivered", "failed", "dropped"]), help="Only these.")
@limit_option
@shop_command
def deliveries(*, api: Api, out: Output, endpoint_id: str, status: str | None, limit: int) -> None:
    """List an endpoint's deliveries, newest event first."""
    out.table(api.rows(f"{own_path('endpoint', endpoint_id)}/deliveries", limit, status=status), _COLUMNS)


@webhook.command()
@click.argument("delivery_id")
@shop_command
def delivery(*, api: Api, out: Output, delivery_id: str) -> None:
    """Show a delivery with every attempt."""
    _show(out, api.get(own_path("delivery", delivery_id)))


@webhook.command()
@click.argument("delivery_id")
@shop_command
def retry(*, api: Api, out: Output, delivery_id: str) -> None:
    """Send one again now, in any state."""
    _show(out, api.post(f"{own_path('delivery', delivery_id)}/retry"))


@webhook.command()
@click.argument("endpoint_id")
@_since
@shop_command
def recover(*, api: Api, out: Output, endpoint_id: str, since: str) -> None:
    """Send again the undelivered events since a time."""
    _finish(out, _batches(api, f"{own_path('endpoint', endpoint_id)}/recover", {"since": since}, out))


@webhook.command()
@click.argument("endpoint_id")
@_since
@click.option("--until", metavar="TIME", type=past, help=f"{PAST_HELP}  [default: now]")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only these types; repeatable.")
@shop_command
def replay(*, api: Api, out: Output, endpoint_id: str, since: str, until: str | None, types: tuple[str, ...]) -> None:
    """Send every event of a span again, including delivered ones, and those from before the endpoint."""
    body = given(since=since, until=until, types=types)
    _finish(out, _batches(api, f"{own_path('endpoint', endpoint_id)}/replay", body, out))


@webhook.command()
@click.argument("endpoint_id")
@shop_command
def test(*, api: Api, out: Output, endpoint_id: str) -> None:
    """Send a ping now, and show the answer."""
    answer = api.post(f"{own_path('endpoint', endpoint_id)}/test")
    out.record(answer)
    if answer["outcome"] != "delivered":
        raise click.exceptions.Exit(1)


@webhook.command()
@click.argument("endpoint_id")
@shop_command
def stats(*, api: Api, out: Output, endpoint_id: str) -> None:
    """How an endpoint is doing."""
    out.record(api.get(f"{own_path('endpoint', endpoint_id)}/stats"))


def _show(out: Output, shown: dict[str, Any]) -> None:
    if out.as_json:
        out.record(shown)
        return
    out.record({name: value for name, value in shown.items() if name != "log"})
    if shown["log"]:
        click.echo()
        out.table(({**each, "excerpt": each["excerpt"][:_EXCERPT_CHARS]} for each in shown["log"]), _LOG_COLUMNS)


def _batches(api: Api, path: str, body: dict[str, Any], out: Output) -> Iterator[int]:
    """How many became due in each batch; progress goes to standard error."""
    cursor, total = None, 0
    while True:
        done = api.post(path, given(**body, cursor=cursor))
        total, cursor = total + done["requeued"], done["next_cursor"]
        yield done["requeued"]
        if cursor is None:
            return
        out.note(f"{total} so far")


def _finish(out: Output, batches: Iterator[int]) -> None:
    total = sum(batches)
    out.done(f"{total} on their way again", {"requeued": total})
