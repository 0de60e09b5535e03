"""`dargah webhook verify`: whether a captured request is what Dargah sent, and if not, why."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import click

from proxy.cli.options import read_secret
from proxy.cli.output import Output

SECRET_VARIABLE: Final = "DARGAH_WEBHOOK_SECRET"  # noqa: S105  a variable's name
TOLERANCE_SECONDS: Final = 300
MAX_REQUEST_BYTES: Final = 1024 * 1024
_REQUIRED: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


@dataclass(frozen=True, slots=True)
class Captured:
    """A request as it was received: header names in lower case, and the exact bytes of the body."""

    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "Captured":
        """Of header lines (also with a request line before them), an empty line, and the body."""
        first_crlf, first_lf = raw.find(b"\r\n\r\n"), raw.find(b"\n\n")
        at, width = (first_crlf, 4) if first_crlf >= 0 and (first_lf < 0 or first_crlf < first_lf) else (first_lf, 2)
        head, body = (raw, b"") if at < 0 else (raw[:at], raw[at + width :])
        pairs = (line.partition(":") for line in head.decode("latin-1").splitlines())
        return cls({name.strip().lower(): value.strip() for name, mark, value in pairs if mark}, body)


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is valid, or what is wrong."""

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
    captured = Captured.parse(request_file.read(MAX_REQUEST_BYTES))
    secret = os.environ.get(SECRET_VARIABLE) or read_secret("secret", from_stdin=secret_stdin)
    now = int(time.time())
    found = finding(captured, secret.strip(), now, None if ignore_age else tolerance)
    Output(as_json=as_json).done(f"{found.code}: {found.detail}", {"result": found.code, "detail": found.detail})
    if found.code != "valid":
        raise click.exceptions.Exit(1)


def finding(captured: Captured, secret: str, now: int, tolerance: int | None) -> Finding:
    """What there is to say; the first thing that is wrong. Raises click.UsageError for a secret that is none."""
    headers = captured.headers
    missing = [name for name in _REQUIRED if not headers.get(name)]
    if missing:
        return Finding("missing_header", f"the request has no {', '.join(missing)}")
    stamp = headers["webhook-timestamp"]
    if not stamp.isascii() or not stamp.isdigit():
        return Finding("bad_timestamp", f"webhook-timestamp is not seconds since the epoch: {stamp[:40]!r}")
    if not _matches(captured, secret, captured.body):
        return _mismatch(captured, secret)
    age = now - int(stamp)
    if tolerance is not None and abs(age) > tolerance:
        when = f"{age} seconds old" if age > 0 else f"{-age} seconds in the future"
        return Finding("stale_timestamp", f"the signature is right, but it is {when}; at most {tolerance} are allowed")
    return Finding("valid", f"the signature of {headers['webhook-id']} is right")


def _mismatch(captured: Captured, secret: str) -> Finding:
    """Tells a body that is not the one sent from a key that is not the one that signed, as far as can be known."""
    from proxy.outgoing import content_digest  # noqa: PLC0415  cryptography is slow to import

    length, digest = captured.headers.get("content-length"), captured.headers.get("content-digest")
    body = captured.body
    if _matches(captured, secret, body.rstrip(b"\r\n")):
        return Finding("altered_body", "the body has a line end after it that was not sent")
    if any(_matches(captured, secret, each) for each in _as_compact_json(body)):
        return Finding("altered_body", "the body was written anew as JSON; verify the exact bytes, before any parsing")
    if length is not None and length.isdigit() and int(length) != len(body):
        return Finding("altered_body", f"{length} bytes were sent, and {len(body)} are here")
    if digest is None:
        return Finding(
            "wrong_secret_or_altered_body", "no signature matches; without its content-digest, more is unknown"
        )
    if digest != content_digest(body):
        return Finding("altered_body", "the body is not the one that was sent: its digest is another")
    return Finding("wrong_secret", "the body is the one that was sent, but this secret did not sign it")


def _as_compact_json(body: bytes) -> list[bytes]:
    try:
        value: Any = json.loads(body)
    except ValueError:
        return []
    return [json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()]


def _matches(captured: Captured, secret: str, body: bytes) -> bool:
    """Whether one of the signatures is this key's."""
    from proxy.webhook import PUBLIC_PREFIX, sign, verified_by  # noqa: PLC0415  cryptography is slow to import

    headers = captured.headers
    given = headers["webhook-signature"].split(" ")
    message_id, seconds = headers["webhook-id"], int(headers["webhook-timestamp"])
    try:
        if secret.startswith(PUBLIC_PREFIX):
            return any(verified_by(secret, each, message_id, seconds, body) for each in given)
        return sign([secret], message_id, seconds, body) in given
    except ValueError as error:
        raise click.UsageError(f"this is no webhook secret: {error}") from None
