"""SOAP as far as Behpardakht Mellat needs it: each call is one fixed text, and each answer holds one text. Pure.

Its WSDL has the document style with unqualified fields and an empty SOAPAction (a copy of 2020 in the banktest
simulator); Parbad and others send the same envelope, with no library for SOAP.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from proxy.gateways.answers import MAX_ANSWER_BYTES, OK, Answer, NoAnswer, Unclear, unpacked

PATH: Final = "/pgwchannel/services/pgw"
HEADERS: Final = {
    "Content-Type": "text/xml; charset=utf-8",
    "SOAPAction": '""',
    "Accept": "text/xml",
    "User-Agent": "dargah",
}
NAMESPACE: Final = "http://interfaces.core.sw.bps.com/"
_ENVELOPE: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
    "<soapenv:Body>{inside}</soapenv:Body></soapenv:Envelope>"
)
_FAULT: Final = "<soapenv:Fault><faultcode>soapenv:Client</faultcode><faultstring>{words}</faultstring></soapenv:Fault>"
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def envelope(operation: str, fields: Mapping[str, str | int]) -> str:
    """The call, its fields in the order of the WSDL. Characters that no XML can hold are left out."""
    inside = "".join(f"<{name}>{_text(value)}</{name}>" for name, value in fields.items())
    return _ENVELOPE.format(inside=f'<pgw:{operation} xmlns:pgw="{NAMESPACE}">{inside}</pgw:{operation}>')


def returned(answer: Answer, operation: str) -> str | NoAnswer:
    """The text that the call returned; else why there is none. A fault is none, whatever its status is."""
    if isinstance(answer, NoAnswer):
        return answer
    if answer.status != OK:
        return NoAnswer("http_status", http_status=answer.status)
    try:
        body = _only(_only([_root(answer.body)], "Envelope"), "Body")
        response = _only(body, f"{operation}Response", alone=True)
        value = _only(response, "return", alone=True)
    except Unclear as unclear:
        return NoAnswer(unclear.reason)
    return NoAnswer("bad_answer") if len(value) else (value.text or "").strip()


def response(operation: str, text: str) -> str:
    """The bank's answer to a call."""
    return envelope(f"{operation}Response", {"return": text})


def fault(words: str) -> str:
    """The answer to a text that is no call."""
    return _ENVELOPE.format(inside=_FAULT.format(words=_text(words)))


def call_of(body: bytes) -> tuple[str, dict[str, str]]:
    """The operation of a call, and its fields. Raises Unclear."""
    inside = list(_only(_only([_root(body)], "Envelope"), "Body"))
    if len(inside) != 1:
        raise Unclear("bad_answer")
    [call] = inside
    return _local_name(call), {_local_name(field): (field.text or "").strip() for field in call}


def _text(value: str | int) -> str:
    return escape(_NOT_XML.sub("", str(value)), quote=False)


def _root(body: bytes) -> Any:
    # Its import takes 6 ms, which processes without such a terminal do without.
    from defusedxml import DefusedXmlException  # noqa: PLC0415
    from defusedxml.ElementTree import ParseError, fromstring  # noqa: PLC0415

    try:
        plain = unpacked(body)
    except Unclear:
        raise Unclear("not_xml") from None
    if len(plain) > MAX_ANSWER_BYTES:
        raise Unclear("too_large")
    try:
        return fromstring(plain.strip(), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise Unclear("not_xml") from None


def _only(parent: Any, name: str, *, alone: bool = False) -> Any:
    """The one child of that name, with `alone` the only child at all. Two may say two things, so they say none."""
    found = [child for child in parent if _local_name(child) == name]
    if len(found) != 1 or (alone and len(parent) != 1):
        raise Unclear("bad_answer")
    return found[0]


def _local_name(element: Any) -> str:
    """The name without its namespace: the bank's own changed with its frameworks."""
    return str(element.tag).rpartition("}")[2]
