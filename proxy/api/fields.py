"""The types of fields that the bodies and queries of both APIs share: strict, and with errors in both languages."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from proxy.http.parsing import plain_number, refuse
from proxy.kernel.clock import parse_rfc3339
from proxy.kernel.text import is_blank, refused_in
from proxy.merchants.merchant import Mode

MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 20


class Input(BaseModel):
    """A strict model: no conversion, no unknown fields, and no error that repeats the input."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        defer_build=True,  # each with its first use, 3 ms at most: nobody uses all thirty
    )


def printable(text: str) -> str:
    refused = refused_in(text)
    if refused is not None or text != text.strip() or is_blank(text):
        raise refuse(
            "not_printable",
            f"must be one line that can be seen, without white space around it{_without(refused)}",
            f"باید یک خط دیدنی و بدون فاصله در دو سر باشد{_without(refused)}",
        )
    return text


def free_text(text: str) -> str:
    refused = refused_in(text, lines=True)
    if refused is not None:
        raise refuse(
            "control_characters",
            f"must not have control characters{_without(refused)}",
            f"نباید نویسهٔ کنترلی داشته باشد{_without(refused)}",
        )
    return text


def _without(refused: str | None) -> str:
    return "" if refused is None else f" ({refused})"


def digits(text: Any) -> Any:
    """A query's number; other text is left for the field to refuse."""
    number = plain_number(text)
    return text if number is None else number


def _time(value: str) -> str:
    try:
        parse_rfc3339(value)
    except (ValueError, OverflowError):
        raise refuse(
            "not_a_time",
            "must be a time with its offset, such as 2026-11-24T10:00:00Z",
            "باید زمان با اختلاف ساعت باشد، مانند 2026-11-24T10:00:00Z",
        ) from None
    return value


Printable = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(printable)]
FreeText = Annotated[str, Field(max_length=500), AfterValidator(free_text)]
Url = Annotated[str, Field(min_length=1, max_length=2000)]
ModeName = Annotated[Mode, Field(strict=False)]
YesOrNo = Annotated[bool, BeforeValidator({"true": True, "false": False}.get)]
Limit = Annotated[int, BeforeValidator(digits), Field(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str, Field(min_length=1, max_length=200)]
Time = Annotated[str, Field(max_length=40), AfterValidator(_time)]


class PageQuery(Input):
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None
