"""From bytes and query strings to validated values; whatever is wrong becomes an error of the tree.

The JSON is read strictly: a key that stands twice, NaN, a lone surrogate or bytes that are not UTF-8 mean different
things to different readers, and here they decide about money.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from proxy.errors import InvalidInput, invalid
from proxy.web.field_errors import field_errors
from proxy.web.problems import BodyTooLarge, BodyTooSlow, MalformedBody, UnsupportedMediaType

MAX_BODY_BYTES: Final = 64 * 1024
BODY_TIMEOUT_SECONDS: Final = 15

Model = TypeVar("Model", bound=BaseModel)


class _Repeated(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Repeated
    return members


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object)


def parse_object(body: bytes) -> dict[str, Any]:
    """The one JSON object in `body`. Raises MalformedBody."""
    try:
        # orjson refuses what json lets pass (NaN, surrogates, other encodings, depth); json sees keys that stand twice.
        value = orjson.loads(body)
        # Written again it is the same bytes where nothing stands twice in it: so write most callers' encoders.
        if orjson.dumps(value) != body:
            value = _DECODER.decode(body.decode())
    except _Repeated:
        raise MalformedBody("a key stands twice in an object", "کلیدی دو بار آمده است") from None
    except (ValueError, RecursionError):
        raise MalformedBody("it cannot be read", "خوانده نمی‌شود") from None
    if not isinstance(value, dict):
        raise MalformedBody("it is something else", "چیز دیگری است")
    return value


async def read_object(request: web.Request) -> dict[str, Any]:
    """The request's JSON object. Raises UnsupportedMediaType, BodyTooLarge or MalformedBody."""
    if request.content_type != "application/json":
        raise UnsupportedMediaType
    return parse_object(await read_body(request))


async def read_optional_object(request: web.Request) -> dict[str, Any]:
    """The same, or an empty object when there is no body."""
    return await read_object(request) if request.can_read_body else {}


async def read_body(request: web.Request) -> bytes:
    """The body, at most MAX_BODY_BYTES, which is also the application's `client_max_size`.

    Raises BodyTooLarge (without reading it where the length is told), BodyTooSlow or MalformedBody.
    """
    if request.content_length is not None and request.content_length > MAX_BODY_BYTES:
        raise BodyTooLarge(MAX_BODY_BYTES)
    try:
        if request.content.is_eof():  # it came with the head: there is nothing to wait for
            body = request.content.read_nowait()
            if len(body) > MAX_BODY_BYTES:
                raise BodyTooLarge(MAX_BODY_BYTES)
            return body
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge(MAX_BODY_BYTES) from None
    except web.RequestPayloadError:
        raise MalformedBody("it is not compressed as it says", "فشرده‌سازی آن درست نیست") from None
    except TimeoutError:
        raise BodyTooSlow from None
    except ConnectionError:  # the caller hung up, and nobody reads the answer: it is no fault of ours to be logged
        raise MalformedBody("it ended early", "ناتمام ماند") from None


def validated(model: type[Model], members: Mapping[str, Any], context: Mapping[str, Any] | None = None) -> Model:
    """`members` as `model`. Raises InvalidInput with one FieldError per thing that is wrong."""
    try:
        return model.model_validate(members, context=None if context is None else dict(context))
    except ValidationError as error:
        raise InvalidInput(field_errors(error)) from None


def query_of(request: web.Request) -> dict[str, str]:
    """The query's parameters. Raises InvalidInput for one that stands twice."""
    if not request.query_string:
        return {}
    parameters: dict[str, str] = {}
    for name, value in request.query.items():
        if name in parameters:
            raise invalid(name, "repeated", "must stand only once", "باید فقط یک بار بیاید")
        parameters[name] = value
    return parameters
