"""Holds real answers against openapi.yaml: status, content type, headers and body."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import yaml
from jsonschema_rs import Draft202012, Draft202012Validator, Registry

OPENAPI = Path(__file__).parents[2] / "openapi.yaml"
METHODS = ("get", "post", "put", "patch", "delete")
_URI = "urn:dargah"
# Those of gateways, whose documents are theirs.
_OTHER_PROTOCOLS = re.compile(r"/pg/(v4/payment|StartPay)/|/v1/(request|verify|inquiry)/?$|/start/")


@cache
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(OPENAPI.read_text("utf-8"), yaml.CSafeLoader)
    return loaded


def operations() -> set[tuple[str, str]]:
    """The (method, path) pairs of the document."""
    return {
        (method.upper(), path) for path, item in document()["paths"].items() for method in item if method in METHODS
    }


def check_answer(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raises AssertionError when the document does not have this answer. `path` is without its query."""
    if _OTHER_PROTOCOLS.search(path):
        return
    template = _template(path)
    operation = document()["paths"].get(template, {}).get(method.lower()) if template else None
    # The document has both listeners' paths; each knows only its own.
    if operation is None or b"/problems/route_not_found" in body:
        assert status in {404, 405}, (method, path, status)
        if not path.startswith(("/pay/", "/return/")):
            check_schema("Problem", orjson.loads(body))
        return
    assert str(status) in operation["responses"], f"{method} {template} has no {status}: {body!r}"
    pointer, response = _resolved(f"#/paths/{_escape(template or '')}/{method.lower()}/responses/{status}")
    _check_headers(pointer, response, headers)
    content = response.get("content")
    if content is None:
        assert body == b"", body
        return
    content_type = headers["Content-Type"].partition(";")[0]
    assert content_type in content, f"{method} {template} {status} is {content_type}"
    is_json = content_type.endswith("json")
    value = orjson.loads(body) if is_json else body.decode("utf-8", "replace")
    _validate(f"{pointer}/content/{_escape(content_type)}/schema", value)


def check_schema(name: str, value: Any) -> None:
    """Raises when `value` is not of the named component schema."""
    _validate(f"#/components/schemas/{name}", value)


def check_event(message: Any) -> None:
    """Raises when a webhook's body is not of its event type's schema."""
    check_schema(_event_schemas().get(message["type"], "WebhookMessage"), message)


@cache
def _event_schemas() -> dict[str, str]:
    mapping = document()["components"]["schemas"]["WebhookMessage"]["discriminator"]["mapping"]
    return {kind: ref.rpartition("/")[2] for kind, ref in mapping.items()}


def _check_headers(pointer: str, response: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    for name in response.get("headers", {}):
        at, header = _resolved(f"{pointer}/headers/{name}")
        if name in headers:
            _validate(f"{at}/schema", headers[name])
        else:
            assert not header.get("required"), f"{name} is missing"


def _validate(pointer: str, value: Any) -> None:
    _validator(pointer).validate(value)


@cache
def _validator(pointer: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": _URI + quote(pointer, safe="#/~")}, registry=_registry(), validate_formats=True
    )


@cache
def _registry() -> Registry:
    return Registry([(_URI, document())], draft=Draft202012)


def _template(path: str) -> str | None:
    return next((template for template, pattern in _patterns() if pattern.fullmatch(path)), None)


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """The templates of the document's paths, and what fits each."""
    return [(path, re.compile(re.sub(r"\{\w+\}", "[^/]+", path))) for path in document()["paths"]]


def _resolved(pointer: str) -> tuple[str, dict[str, Any]]:
    """The pointer and value after following a `$ref`."""
    value: Any = document()
    for part in pointer.removeprefix("#/").split("/"):
        value = value[part.replace("~1", "/").replace("~0", "~")]
    return (pointer, value) if "$ref" not in value else _resolved(value["$ref"])


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
