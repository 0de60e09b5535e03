"""Keeps what was really asked and answered, one example for each operation of openapi.yaml, as strangers may see it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from web.lab import API_KEY
from web.openapi_check import METHODS, check_answer, document
from yarl import URL

# They open nothing any more, but whoever finds them in the repository cannot know it.
_SECRETS = (
    (r"(dg_[a-z]+_)[0-9A-Za-z]{36}", r"\1" + "EXAMPLE" * 5 + "0"),
    (r"whsec_[0-9A-Za-z+/]{42}[0-9A-Za-z+/=]{2}", "whsec_" + "EXAMPLE" * 6 + "A="),
    (re.escape(API_KEY), "the-gateways-api-key"),
)
SHOWN_HEADERS = ("Location", "Retry-After", "Link")


@dataclass
class Recorder:
    """`places` are this run's addresses and the ones that stand for them in the examples."""

    session: aiohttp.ClientSession
    token: str
    operator_token: str
    public_url: str
    admin_url: str
    places: Mapping[str, str]
    tick: Callable[[], None]  # between two acts, so that the newest is the newest
    examples: dict[str, Any] = field(default_factory=dict)

    async def ask(
        self,
        operation_id: str,
        where: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON, or its bytes; `where` fills the path. It must be a success, as openapi.yaml has it."""
        self.tick()
        method, template, operation = operations()[operation_id]
        sent = dict(headers or {})
        admin = template.startswith("/admin/")
        security = operation.get("security", document()["security"])
        if security:
            sent["Authorization"] = f"Bearer {self.operator_token if 'operator' in security[0] else self.token}"
        target = template.format_map(where or {}) + (f"?{urlencode(query)}" if query else "")
        data: bytes | None = None
        if body is not None:
            data, sent["Content-Type"] = orjson.dumps(body), "application/json"
        elif form is not None:
            data, sent["Content-Type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        base = self.admin_url if admin or template == "/metrics" else self.public_url
        url = URL(base + target, encoded=True)
        async with self.session.request(method, url, data=data, headers=sent, allow_redirects=False) as answer:
            raw = await answer.read()
            check_answer(method, target.partition("?")[0], answer.status, answer.headers, raw)
            assert answer.status < 400, (operation_id, answer.status, raw)
            kind = answer.headers.get("Content-Type", "").partition(";")[0]
            told = {name: answer.headers[name] for name in SHOWN_HEADERS if name in answer.headers}
            shown = None if operation_id == "apiDocument" else _body(kind, raw)  # it would hold itself
            sent.pop("Authorization", None)
            asked = {"method": method, "target": target, "headers": sent, "json": body, "form": form}
            given = {"status": answer.status, "headers": told, "content_type": kind or None, "body": shown}
            self.examples[operation_id] = self._placed({"request": asked, "answer": given})
            return orjson.loads(raw) if kind.endswith("json") else raw

    def add(self, operation_id: str, example: Any) -> None:
        self.examples[operation_id] = self._placed(example)

    def _placed(self, example: Any) -> Any:
        text = orjson.dumps(example).decode()
        for place, name in self.places.items():
            text = text.replace(place, name).replace(urlencode({"": place})[1:], urlencode({"": name})[1:])
        for pattern, placeholder in _SECRETS:
            text = re.sub(pattern, placeholder, text)
        return orjson.loads(text)


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation, by its id."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def _body(kind: str, raw: bytes) -> Any:
    """JSON as it is, a short text as text; of pages and files only that there is one."""
    if kind.endswith("json"):
        return orjson.loads(raw)
    if kind == "text/plain":
        lines = raw.decode().splitlines()
        return "\n".join([*lines[:12], "…"] if len(lines) > 12 else lines)
    return None


def shape(value: Any) -> Any:
    """What two examples of the same thing have in common: their members, and of lists whether there is something."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__ if not isinstance(value, int | float | str | None) else ""
