"""The documents of the reference: pages, their Markdown, openapi.json, requests for editors and a text for models.

Each is made once for a public URL, which stands in it wherever an example was recorded at PUBLIC.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from importlib.resources import files
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import orjson
from markupsafe import Markup, escape

from proxy.api.customer.page_assets import source
from proxy.http.headers import OPENER_POLICY
from proxy.http.problems import problem_kinds
from proxy.http.static_assets import ICON_NAME, environment
from proxy.reference import markdown
from proxy.reference.document import Group, document, groups, schema_names, schemas, webhook
from proxy.reference.events import event_kinds
from proxy.reference.fields import kinds_of
from proxy.reference.requests_file import requests_file
from proxy.reference.samples import ADMIN, PUBLIC
from proxy.reference.search import EVENTS_PAGE, MAX_QUERY_CHARS, PROBLEMS_PAGE, search
from proxy.reference.served import NO_PAGE, Served, served

HTML: Final = "text/html; charset=utf-8"
MARKDOWN: Final = "text/markdown; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
_CODE: Final = re.compile(r"`([^`]+)`")
_BOLD: Final = re.compile(r"\*\*([^*]+)\*\*")
_STYLE: Final = files("proxy.reference").joinpath("templates/reference.css").read_text("utf-8")
_PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": f"default-src 'none'; style-src {source(_STYLE)}; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    OPENER_POLICY[0]: OPENER_POLICY[1],
}
_MAX_DOCUMENTS: Final = 100  # those of one public URL, which a process has, and room for a test's others


def document_at(path: str, public_url: str) -> Served | None:
    """The document at a path below the public URL; None where there is none. It is made once."""
    return _made(path, public_url) if path in _makers() else None


@lru_cache(_MAX_DOCUMENTS)
def _made(path: str, public_url: str) -> Served:
    made = _makers()[path]()
    return served(_placed(made.text, public_url), made.content_type, made.headers)


class _Text(NamedTuple):
    text: str
    content_type: str
    headers: Mapping[str, str] = NO_PAGE


@cache
def _makers() -> dict[str, Callable[[], _Text]]:
    """What makes each document, by its path."""
    makers: dict[str, Callable[[], _Text]] = {
        "docs": partial(_page, "index.html"),
        f"docs/{EVENTS_PAGE}": partial(_page, "events.html", EVENTS_PAGE),
        f"docs/{PROBLEMS_PAGE}": partial(_page, "problems.html", PROBLEMS_PAGE),
        f"docs/{EVENTS_PAGE}.md": lambda: _Text(markdown.events_text(), MARKDOWN),
        f"docs/{PROBLEMS_PAGE}.md": lambda: _Text(markdown.problems_text(), MARKDOWN),
        "docs/dargah.http": lambda: _Text(requests_file(), TEXT),
        "openapi.json": lambda: _Text(_openapi(), "application/json"),
        "llms.txt": lambda: _Text(markdown.models_text(), TEXT),
    }
    for group in groups():
        makers[f"docs/{group.slug}"] = partial(_page, "group.html", group.slug, group=group)
        makers[f"docs/{group.slug}.md"] = partial(_group_markdown, group)
    return makers


def _group_markdown(group: Group) -> _Text:
    return _Text(markdown.group_text(group), MARKDOWN)


def search_page(text: str, public_url: str) -> Served:
    """The answer to a search."""
    cut = len(text) > MAX_QUERY_CHARS
    found = search(text)
    made = _page("search.html", found=found, query=found.query, cut=cut, limit=MAX_QUERY_CHARS)
    return served(_placed(made.text, public_url), HTML, made.headers)


@cache
def event_types() -> Served:
    """The answer of `GET /v1/event-types`."""
    listed = {"data": [event.shown() for event in event_kinds()], "next_cursor": None}
    return served(orjson.dumps(listed).decode(), "application/json")


def _page(template: str, here: str = "", **values: Any) -> _Text:
    """`here` is its name below /docs; the index and the search have none, and stand at /docs itself."""
    context = {
        "info": document()["info"],
        "groups": groups(),
        "events": event_kinds(),
        "webhook": webhook(),
        "names": schema_names(document()["webhooks"]),
        "schemas": schemas(),
        "problems": problem_kinds(),
        "policy": markdown.policy(),
        "icon": ICON_NAME,
        "style": Markup(_STYLE),  # noqa: S704  a file of ours
        "base_url": PUBLIC,
        "root": "../" if here else "",
        "here": here,
        "markdown": bool(here),
        "query": "",
    }
    text = _environment().get_template(template).render(context | values)
    return _Text(text, HTML, _PAGE_HEADERS)


@cache
def _environment() -> Any:
    pages = environment("proxy.reference")
    pages.filters.update(prose=_prose, inline=_inline, pretty=_pretty, kinds=kinds_of)
    return pages


def _placed(text: str, public_url: str) -> str:
    """The text with this server's URL in it, in a form that is the same in HTML, JSON, a shell and a script."""
    return text.replace(PUBLIC, quote(public_url, safe=":/[]%-._~"))


def _openapi() -> str:
    """openapi.yaml with the servers of its two listeners."""
    paths = {path: item | _admin_server(path) for path, item in document()["paths"].items()}
    made = document() | {"servers": [{"url": PUBLIC, "description": "this Dargah"}], "paths": paths}
    return orjson.dumps(made).decode()


def _admin_server(path: str) -> dict[str, Any]:
    """Where a path of the operator's listener is asked by default."""
    ours = path.startswith(("/admin/", "/metrics"))
    return {"servers": [{"url": ADMIN, "description": "the operator's listener"}]} if ours else {}


def _inline(text: str) -> Markup:
    """Text between backticks as code, between ** as strong."""
    return Markup(_BOLD.sub(r"<b>\1</b>", _CODE.sub(r"<code>\1</code>", str(escape(text.strip())))))  # noqa: S704  escaped


def _prose(text: str) -> Markup:
    """The same in paragraphs."""
    return Markup("").join(Markup("<p>{}</p>").format(_inline(part)) for part in text.strip().split("\n\n") if part)


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
