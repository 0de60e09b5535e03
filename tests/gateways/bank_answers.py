"""Answers of the banks' gateways for tests: bytes that say nothing, requests as they left, and the page of a family."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.gateways.answers import Answer, HttpAnswer, NoAnswer
from proxy.gateways.family import Meaning

DOCS = Path(__file__).parents[2] / "docs" / "gateways"
RETURN_URL = "https://pay.example.ir/returns/tok_9f8e7d6c5b4a"

UNREADABLE: dict[str, tuple[Answer, str, int | None]] = {
    "no answer": (NoAnswer("timeout", timed_out=True), "timeout", None),
    "a server's error": (HttpAnswer(500, b'{"ResCode":0,"ResultCode":0,"status":1}'), "http_status", 500),
    "a refusal by status": (HttpAnswer(403, b"Forbidden"), "http_status", 403),
    "HTML": (HttpAnswer(200, b"<html>Bad Gateway</html>"), "not_json", None),
    "cut off": (HttpAnswer(200, b'{"ResCode":0,"ResultCode":0,"stat'), "not_json", None),
    "empty": (HttpAnswer(200, b""), "not_json", None),
    "a list": (HttpAnswer(200, b"[0]"), "bad_answer", None),
    "one name twice": (HttpAnswer(200, b'{"ResCode":0,"ResCode":-1}'), "duplicate_names", None),
    "no code": (HttpAnswer(200, b"{}"), "bad_answer", None),
    "a code that is none": (HttpAnswer(200, b'{"ResCode":true,"ResultCode":[0],"status":{}}'), "bad_answer", None),
    "codes that are empty": (HttpAnswer(200, b'{"ResCode":"","ResultCode":null,"status":""}'), "bad_answer", None),
}
"""Answers to any call of any family, with the reason that they leave and the status that it names."""


def said(fields: Mapping[str, Any]) -> HttpAnswer:
    return HttpAnswer(200, json.dumps(fields).encode())


def without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in fields.items() if each != name}


def sent(request: bytes) -> tuple[str, dict[str, str], Any]:
    """The request line, the headers by their names in lower case, and the JSON of the body."""
    head, _, body = request.decode().partition("\r\n\r\n")
    line, *headers = head.split("\r\n")
    pairs = (header.partition(":") for header in headers)
    return line, {name.lower(): value.strip() for name, _, value in pairs}, json.loads(body)


def code_rows(codes: Mapping[int, Meaning]) -> list[str]:
    """The rows of `docs/gateways/<family>.md` for its codes; those with the same texts stand on one."""
    rows: dict[str, list[str]] = {}
    for code, meaning in codes.items():
        advice = meaning.for_operator or meaning.for_developer or ("", "")
        rows.setdefault(" | ".join((*meaning.explanation, *advice)), []).append(str(code))
    return [f"| {', '.join(numbers)} | {texts} |" for texts, numbers in rows.items()]


def missing_in_page(family: str, codes: Mapping[int, Meaning]) -> list[str]:
    page = (DOCS / f"{family}.md").read_text(encoding="utf-8").splitlines()
    return [row for row in code_rows(codes) if row not in page]
