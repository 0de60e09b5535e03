"""From bytes and query strings to validated values; every fault becomes an error of the tree.

The JSON is read strictly: a repeated key, NaN, a lone surrogate or bytes that are not UTF-8 mean different things to
different readers, and here they decide about money.
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import unquote_to_bytes

import orjson
from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from proxy.http.connections import waiting_for_body
from proxy.http.forms import MAX_TYPE_CHARS, media_type
from proxy.http.problems import (
    BodyTooLarge,
    BodyTooSlow,
    IdempotencyKeyRequired,
    MalformedBody,
    UnsupportedMediaType,
)
from proxy.kernel.errors import FieldError, InvalidInput, invalid

MAX_BODY_BYTES: Final = 64 * 1024
BODY_TIMEOUT_SECONDS: Final = 15

Model = TypeVar("Model", bound=BaseModel)


class CompressedBody(UnsupportedMediaType):
    def __init__(self) -> None:
        super().__init__()
        self.detail = "Send the body as it is, without a `Content-Encoding`."
        self.detail_fa = "بدنه را بدون فشرده‌سازی و بی‌سرآیند `Content-Encoding` بفرستید."


class _RepeatedKey(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RepeatedKey
    return members


def plain_number(text: object, most_digits: int = 9) -> int | None:
    """The number that so many plain digits at most are; None for all else.

    int() also takes signs, underscores and other scripts' digits, and as many of them as come.
    """
    if isinstance(text, str) and len(text) <= most_digits and text.isascii() and text.isdigit():
        return int(text)
    return None


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object)


def parse_object(body: bytes) -> dict[str, Any]:
    """The one JSON object in `body`. Raises MalformedBody."""
    try:
        # orjson refuses what json lets pass (NaN, surrogates, other encodings, depth); json sees keys that stand twice.
        value = orjson.loads(body)
        # Written again it is the same bytes where nothing stands twice in it: so write most callers' encoders.
        if orjson.dumps(value) != body:
            value = _DECODER.decode(body.decode())
    except _RepeatedKey:
        raise MalformedBody("a key stands twice in an object", "کلیدی دو بار آمده است") from None
    except (ValueError, TypeError, RecursionError):  # TypeError is orjson's for what is nested too deep to be written
        raise MalformedBody("it cannot be read", "خوانده نمی‌شود") from None
    if not isinstance(value, dict):
        raise MalformedBody("it is something else", "چیز دیگری است")
    return value


def content_type_of(request: web.BaseRequest) -> str:
    """The Content-Type; empty where there is none. Raises UnsupportedMediaType for one that is too long.

    It is the only way to that header: aiohttp's `content_type` and `charset` go through `email`, see `http.forms`.
    """
    sent = request.headers.get(hdrs.CONTENT_TYPE, "")
    if len(sent) > MAX_TYPE_CHARS:
        raise UnsupportedMediaType
    return sent


async def read_object(request: web.Request) -> dict[str, Any]:
    """The request's JSON object. Raises UnsupportedMediaType, BodyTooLarge or MalformedBody."""
    if media_type(content_type_of(request)) != "application/json":
        raise UnsupportedMediaType
    return parse_object(await read_body(request))


async def read_optional_object(request: web.Request) -> dict[str, Any]:
    """The same, or an empty object when there is no body."""
    return await read_object(request) if request.can_read_body else {}


async def read_body(request: web.Request) -> bytes:
    """The body, at most MAX_BODY_BYTES, which is also the application's `client_max_size`.

    Raises BodyTooLarge (without reading it if Content-Length says so), CompressedBody, BodyTooSlow or MalformedBody.
    """
    if request.content_length is not None and request.content_length > MAX_BODY_BYTES:
        raise BodyTooLarge(MAX_BODY_BYTES)
    if hdrs.CONTENT_ENCODING in request.headers:  # a thousand times as much may be in it
        raise CompressedBody
    try:
        if request.content.is_eof():  # it came with the head: there is nothing to wait for
            body = request.content.read_nowait()
            if len(body) > MAX_BODY_BYTES:
                raise BodyTooLarge(MAX_BODY_BYTES)
            return body
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            with waiting_for_body(request):
                return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge(MAX_BODY_BYTES) from None
    except web.RequestPayloadError:
        raise MalformedBody("it is not framed as it says", "قالب انتقال آن درست نیست") from None
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


def check_query(request: web.Request) -> None:
    """Raises InvalidInput for a query that is not UTF-8, which aiohttp would decode to other texts."""
    raw = request.rel_url.raw_query_string
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeError:
        raise invalid("query", "not_utf8", "must be UTF-8, percent-encoded", "باید UTF-8 باشد") from None


def query_of(request: web.Request) -> dict[str, str]:
    """The query's parameters. Raises InvalidInput for a repeated one, or a text that is not UTF-8."""
    if not request.query_string:
        return {}
    check_query(request)
    parameters: dict[str, str] = {}
    for name, value in request.query.items():
        if name in parameters:
            raise invalid(name, "repeated", "must stand only once", "باید فقط یک بار بیاید")
        parameters[name] = value
    return parameters


MAX_ERRORS: Final = 20

_Say = Callable[[Mapping[str, Any]], tuple[str, str, str]]


def _always(code: str, detail: str, detail_fa: str) -> _Say:
    return lambda _context: (code, detail, detail_fa)


def _limit(code: str, key: str, detail: str, detail_fa: str) -> _Say:
    return lambda context: (code, detail.format(context[key]), detail_fa.format(context[key]))


def _one_of(context: Mapping[str, Any]) -> tuple[str, str, str]:
    # pydantic tells the choices as English: "'IRR' or 'IRT'".
    choices = ", ".join(re.findall(r"'([^']*)'", context["expected"]))
    return "not_one_of", f"must be one of {choices}", f"باید یکی از اینها باشد: {choices}"


_TEXT: Final = _always("not_text", "must be text", "باید متن باشد")
_NUMBER: Final = _always("not_integer", "must be a whole number", "باید عدد صحیح باشد")
_OBJECT: Final = _always("not_object", "must be an object", "باید شیء باشد")
_AT_LEAST: Final = _limit("too_small", "ge", "must be at least {}", "باید دست‌کم {} باشد")
_AT_MOST: Final = _limit("too_large", "le", "must be at most {}", "باید حداکثر {} باشد")

_SAY: Final[Mapping[str, _Say]] = {
    "missing": _always("required", "is required", "لازم است"),
    "extra_forbidden": _always(
        "unknown_field", "is not a field that can be given here", "چنین فیلدی اینجا پذیرفته نیست"
    ),
    "string_type": _TEXT,
    "string_unicode": _TEXT,
    "int_type": _NUMBER,
    "int_parsing": _NUMBER,
    "int_from_float": _NUMBER,
    "int_parsing_size": _NUMBER,
    "bool_type": _always("not_boolean", "must be true or false", "باید true یا false باشد"),
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "list_type": _always("not_list", "must be a list", "باید فهرست باشد"),
    "string_too_short": _limit(
        "too_short", "min_length", "must have at least {} characters", "باید دست‌کم {} نویسه باشد"
    ),
    "string_too_long": _limit("too_long", "max_length", "must have at most {} characters", "باید حداکثر {} نویسه باشد"),
    "too_long": _limit("too_many", "max_length", "must have at most {} entries", "باید حداکثر {} عضو داشته باشد"),
    "greater_than_equal": _AT_LEAST,
    "less_than_equal": _AT_MOST,
    "literal_error": _one_of,
    "enum": _one_of,
}


def refuse(code: str, detail: str, detail_fa: str) -> PydanticCustomError:
    """The error that a validator raises about its own field; the code is Dargah's."""
    return PydanticCustomError("dargah", "{detail}", {"code": code, "detail": detail, "detail_fa": detail_fa})


def refuse_as(error: InvalidInput) -> PydanticCustomError:
    """The core's InvalidInput about one field, raised by that field's validator."""
    first = error.errors[0]
    return refuse(first.code, first.detail, first.detail_fa)


def field_errors(error: ValidationError) -> list[FieldError]:
    """One FieldError per thing that pydantic found wrong, at most 20. The offending values are not shown."""
    found = error.errors(include_url=False, include_input=False)
    return [_field_error(each) for each in found[:MAX_ERRORS]]


def _field_error(error: ErrorDetails) -> FieldError:
    field = ".".join(str(part) for part in error["loc"] if part != "[key]") or "body"
    context: Mapping[str, Any] = error.get("ctx", {})
    if error["type"] == "dargah":
        return FieldError(field, context["code"], context["detail"], context["detail_fa"])
    say = _SAY.get(error["type"])
    if say is None:
        return FieldError(field, "invalid", "is not valid", "معتبر نیست")
    return FieldError(field, *say(context))


_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key(request: web.Request) -> str | None:
    """The header's key, None where there is none. Raises IdempotencyKeyRequired for several or a malformed one."""
    keys = request.headers.getall("Idempotency-Key", [])
    if not keys:
        return None
    if len(keys) != 1 or not _IDEMPOTENCY_KEY.fullmatch(keys[0]):
        raise IdempotencyKeyRequired
    return keys[0]
