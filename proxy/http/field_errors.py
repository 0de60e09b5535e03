"""pydantic's errors as FieldErrors: a dotted name, a stable code, and the remedy in English and in Persian."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from proxy.kernel.errors import FieldError, InvalidInput

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
    """One FieldError per thing that is wrong, at most 20. The offending values are not shown."""
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
