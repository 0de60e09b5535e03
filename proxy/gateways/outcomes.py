"""The outcomes of answers that do not do what was asked, for families whose table is a mapping of codes. Pure."""

from collections.abc import Mapping

from proxy.gateways.answers import NoAnswer
from proxy.gateways.family import Meaning
from proxy.gateways.port import CheckUnknown, RequestRefused, RequestUnknown

Codes = Mapping[int, Meaning]


def request_unknown(no_answer: NoAnswer) -> RequestUnknown:
    """The outcome of a `request` that was not answered, or not clearly. Nobody has a link, so it may be requested
    again.
    """
    return RequestUnknown(no_answer.reason, timed_out=no_answer.timed_out, http_status=no_answer.http_status)


def request_refused(code: int, codes: Codes) -> RequestRefused | RequestUnknown:
    """The outcome of a `request` that was answered with an error code: refused for good where the table says so."""
    known = codes.get(code)
    if known is not None and known.refuses:
        return RequestRefused(code)
    return RequestUnknown("unknown_code", error_code=code)


def check_unknown(invoice_key: str, no_answer: NoAnswer) -> CheckUnknown:
    """The outcome of a call about an invoice that was not answered, or not clearly. It holds until the next call, and
    says nothing of the money.
    """
    return CheckUnknown(invoice_key, no_answer.reason, http_status=no_answer.http_status)


def check_refused(invoice_key: str, code: int, codes: Codes) -> CheckUnknown:
    """The outcome of a call about an invoice that was answered with a code that says nothing about its payment: an
    alert where the table says that the code tells of the terminal or of our call.
    """
    known = codes.get(code)
    alert = known is not None and known.alerts
    return CheckUnknown(invoice_key, "terminal" if alert else "unknown_code", error_code=code, alert=alert)
