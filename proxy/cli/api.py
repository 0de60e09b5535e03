"""The client of Dargah's two APIs that the commands share, over TCP or a socket file."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import click

from proxy.cli.output import Refused
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import ascii_url, origin_of

DEFAULT_URL: Final = "http://127.0.0.1:8081"
TIMEOUT_SECONDS: Final = 30.0
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
PAGE: Final = 100
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  listened on, not called
UNIX: Final = "unix:"


class ApiError(click.ClickException):
    """The API's refusal or absence, in one clear line, and one more per field that was wrong.

    `passing` when it may go by itself: nobody answered, or the server was not able to.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class ApiSide:
    """One of the two APIs: its base path, its name for people, and the environment variables of its URL and token."""

    base: str
    name: str
    url: str
    token: str
    default_url: str
    listen: str

    def url_in(self, environ: Mapping[str, str] = os.environ) -> str:
        """The URL's variable, else where a server of this environment listens, else the default."""
        if url := environ.get(self.url):
            return url
        first = environ.get(self.listen, "").partition(",")[0].strip().partition("?")[0]
        if first.startswith(UNIX):
            return first
        host, _, port = first.rpartition(":")
        return f"http://{_WILDCARDS.get(host, host)}:{port}" if host else self.default_url


OPERATOR: Final = ApiSide(
    "/admin/v1", "the operator's API", "DARGAH_ADMIN_URL", "DARGAH_ADMIN_TOKEN", DEFAULT_URL, "DARGAH_ADMIN_LISTEN"
)
MERCHANT: Final = ApiSide(
    "/v1", "the merchant's API", "DARGAH_URL", "DARGAH_TOKEN", "http://127.0.0.1:8080", "DARGAH_LISTEN"
)


def split_url(url: str) -> tuple[str, str]:
    """The origin of a URL of http or https, without which it is http, and what follows it, both in ASCII.

    Raises ValueError.
    """
    url = url if "://" in url else f"http://{url}"
    parts = urlsplit(ascii_url(url))
    return origin_of(url), parts.path + (f"?{parts.query}" if parts.query else "")


class Api:
    """Calls one side, through no proxy and after no redirect, since it carries the token."""

    def __init__(self, url: str, token: str, side: ApiSide = OPERATOR) -> None:
        if url.startswith(f"{UNIX}/"):
            self._url, path = url, ""
        else:
            try:
                self._url, path = split_url(url)
            except ValueError as error:
                raise Refused(
                    f"{url!r} is not a URL of {side.name} ({error}); write it like {side.default_url}"
                ) from None
        self._side = side
        self._base = path.rstrip("/") + side.base
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def get(self, path: str, **query: object) -> Any:
        return self._call("GET", path, query=query)

    def get_slowly(self, path: str, timeout_seconds: float, **query: object) -> Any:
        return self._call("GET", path, query=query, timeout_seconds=timeout_seconds)

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> Any:
        return self._call("POST", path, body=body or {}, timeout_seconds=timeout_seconds)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("PATCH", path, body=body)

    def delete(self, path: str, **query: object) -> Any:
        return self._call("DELETE", path, query=query)

    def rows(
        self, path: str, limit: int, first: Mapping[str, object] | None = None, **query: object
    ) -> Iterator[dict[str, Any]]:
        """Up to `limit` rows of a list, page by page; `first` is only for the first page."""
        cursor, more = None, first or {}
        while limit > 0:
            page = self.get(path, limit=min(limit, PAGE), cursor=cursor, **query, **more)
            more = {}
            yield from page["data"][:limit]
            limit -= len(page["data"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Any:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{self._base}{path}" + (f"?{urlencode(given)}" if given else "")
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({} if data is None else {"Content-Type": "application/json"})
        connection = connection_to(self._url, timeout_seconds)
        try:
            connection.request(method, target, data, headers)
            with connection.getresponse() as answer:
                return self._read(answer)
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    @contextmanager
    def reading(self, path: str, timeout_seconds: float) -> Iterator[HTTPResponse]:
        """The answer to a POST, read as it arrives; a silence longer than the time-out ends it."""
        headers = self._headers | {"Content-Type": "application/json"}
        with self._answer("POST", path, b"{}", headers, timeout_seconds) as answer:
            yield answer

    @contextmanager
    def downloading(self, path: str, timeout_seconds: float, **query: object) -> Iterator[HTTPResponse]:
        """The file that a GET answers with, read as it arrives; a silence longer than the time-out ends it."""
        target = f"{path}?{urlencode(query)}"
        with self._answer("GET", target, None, self._headers, timeout_seconds) as answer:
            yield answer

    @contextmanager
    def _answer(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_seconds: float
    ) -> Iterator[HTTPResponse]:
        connection = connection_to(self._url, timeout_seconds)
        try:
            connection.request(method, f"{self._base}{path}", body, headers)
            with connection.getresponse() as answer:
                if answer.status >= 300:  # noqa: PLR2004  the HTTP class
                    self._read(answer)
                yield answer
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def _unreachable(self, error: Exception) -> ApiError:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ApiError(
            f"{self._side.name} at {self._url} cannot be reached ({why}): is `dargah serve` running there? "
            f"{self._side.url} says where it is",
            passing=True,
        )

    def _read(self, answer: HTTPResponse) -> Any:
        body = answer.read(MAX_ANSWER_BYTES)
        if answer.status == 204:  # noqa: PLR2004  No Content
            return None
        try:
            value = json.loads(body)
        except ValueError:
            raise ApiError(
                f"{self._url} answered HTTP {answer.status} without JSON: is it {self._side.name} of Dargah?",
                passing=answer.status >= 500,  # noqa: PLR2004  the HTTP class
            ) from None
        if answer.status < 300:  # noqa: PLR2004  the HTTP class
            return value
        raise ApiError(_problem(answer.status, value, self._side), passing=answer.status >= 500)  # noqa: PLR2004  the HTTP class


def admin_url(environ: Mapping[str, str] = os.environ) -> str:
    """Where the operator's API is."""
    return OPERATOR.url_in(environ)


def admin_token(token_file: Path | None, environ: Mapping[str, str] = os.environ) -> str:
    """The operator's token: of the file, of DARGAH_ADMIN_TOKEN, or of the secret file that a server here would read."""
    text = environ.get("DARGAH_ADMIN_TOKEN", "") if token_file is None else _text(token_file)
    directory = environ.get("DARGAH_SECRETS_DIR")
    if not text and directory and (file := Path(directory) / "dargah_admin_token").is_file():
        text = _text(file)
    # A server may have several, as name:token, comma separated; the first one is as good as any.
    token = text.replace("\n", ",").split(",")[0].rpartition(":")[2].strip()
    if not token:
        raise Refused("no operator's token: set DARGAH_ADMIN_TOKEN, or name a file with --token-file")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Refused("the operator's token has characters that no token has; was another file meant?")
    return token


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise Refused(f"{path} cannot be read ({why}): name a file with the token alone") from None


def _problem(status: int, problem: Mapping[str, Any], side: ApiSide) -> str:
    if status == 401:  # noqa: PLR2004  Unauthorized
        return f"the server does not know this token: {side.token} must be one of the server's"
    errors = problem.get("errors")
    if errors:
        return "\n".join(["the request was refused:", *(f"  {each['field']}: {each['detail']}" for each in errors)])
    return f"{problem.get('detail', 'the server refused')} (HTTP {status}, {problem.get('code', 'unknown')})"


class UnixConnection(HTTPConnection):
    """HTTP over the socket file at `path`."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connection_to(url: str, timeout: float) -> HTTPConnection:
    """One to `http://…`, `https://…` or `unix:/path`, not yet opened."""
    if url.startswith(UNIX):
        return UnixConnection(url.removeprefix(UNIX), timeout)
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.netloc, timeout=timeout)
