# Dargah's client for shops, 0.1.0, Apache-2.0. A newer one: `dargah client python > dargah_client.py`.
"""Payments through Dargah, in one file for Python 3.10 or later without a dependency: copy it into the shop.

`Dargah()` reads DARGAH_URL, DARGAH_TOKEN, DARGAH_MODE, DARGAH_STOREFRONT, and DARGAH_WEBHOOK_SECRET and
DARGAH_RETURN_SECRET, each one secret or several with spaces between. Amounts are whole numbers, `amount_rials` rials.
"""
import base64, hashlib, hmac, http.client, importlib, json, os, random, re, socket, ssl, threading, time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple, TypedDict, cast
from urllib.parse import quote, urlsplit
# types from openapi.yaml, by `make docs`
Currency = Literal["IRR", "IRT"]
Mode = Literal["live", "test"]
Status = Literal["created", "pending", "paid", "failed", "canceled", "expired", "given_back", "needs_review"]
EventType = Literal["payment.paid", "payment.failed", "payment.canceled", "payment.expired", "payment.given_back",
    "payment.needs_review", "payment.review_resolved", "endpoint.disabled", "ping"]
Metadata = dict[str, str | int | bool | None]
_NewPayment = TypedDict("_NewPayment", {"amount": int, "currency": Currency, "order_id": str})
class NewPayment(_NewPayment, total=False):
    return_url: str | None; terminal_id: str | None; description: str | None; metadata: Metadata; expires_in: int | None
Failure = TypedDict("Failure", {"reason": Literal["gateway_refused", "no_invoice"], "gateway_error_code": int | None})
Resolution = TypedDict("Resolution", {"decision": Literal["accepted", "refunded", "rejected"], "note": str, "by": str,
    "at": str})
Review = TypedDict("Review", {"reason": Literal["amount_differs", "bank_code_missing", "bank_code_reused",
    "order_paid_twice", "order_withdrawn", "paid_twice"], "expected_rials": int, "captured_rials": int | None,
    "bank_code": str | None, "invoice_key": str, "other_payment_id": str | None, "resolution": Resolution | None})
GivenBack = TypedDict("GivenBack", {"reason": Literal["amount_differs", "merchant_reversed", "order_paid_twice",
    "order_withdrawn", "paid_twice", "reversed", "too_late"], "amount_rials": int | None, "by": str | None,
    "at": str | None, "invoice_key": str, "other_payment_id": str | None})
PaymentFields = TypedDict("PaymentFields", {"id": str, "status": Status, "mode": Mode, "test": bool, "storefront": str,
    "terminal_id": str, "gateway": str, "order_id": str, "amount_rials": int, "amount_toman": float,
    "currency": Currency, "description": str | None, "metadata": Metadata, "invoice_key": str | None,
    "bank_code": str | None, "card_mask": str | None, "trace_number": str | None, "fee_rials": int | None, "late": bool,
    "failure": Failure | None, "review": Review | None, "given_back": GivenBack | None, "withdrawn_at": str | None,
    "version": int, "created_at": str, "updated_at": str, "expires_at": str, "paid_at": str | None})
class Payment(PaymentFields):
    pay_url: str; return_url: str | None
Check = TypedDict("Check", {"outcome": Literal["captured", "not_paid", "canceled", "paid_unconfirmed", "confirmed",
    "too_late", "reversed", "amount_differs", "unknown", "not_asked"], "reason": str | None,
    "gateway_error_code": int | None, "http_status": int | None})
class CheckedPayment(PaymentFields):
    pay_url: str; return_url: str | None; check: Check
class _PaymentEvent(PaymentFields):
    sequence: int
class PaymentEvent(_PaymentEvent, total=False):
    order_paid_by: str | None
FieldError = TypedDict("FieldError", {"field": str, "code": str, "detail": str, "detail_fa": str})
# end of types
Return = TypedDict("Return", {"payment_id": str, "order_id": str, "status": str, "payment_mode": str})
SECRET = r"(whsec|whpk(?=_[^=]{43}=$))_((?:[A-Za-z0-9+/]{4}){8,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)"
TRIES, TRY_SECONDS, CALL_SECONDS, MAX_BYTES, TOLERANCE_SECONDS, MAX_SIGNATURES = 4, 30.0, 60.0, 1024 * 1024, 300, 20


class Refused(Exception):
    """This webhook or way back is not Dargah's, not of now or not of this shop's mode: answer 400, and do nothing."""


class DargahError(Exception):
    """A call that failed. Decide by `code`; the status is 0 where no whole answer came.
    `errors` has an entry for each field that is wrong, and `problem` is Dargah's whole answer."""
    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status, self.problem, self.errors = status, problem, cast(list[FieldError], problem.get("errors", []))
        self.code, self.detail = str(problem.get("code")), str(problem.get("detail"))


class Event(NamedTuple):
    """A verified webhook. `id` is the same each time that it comes; `payment` is None where it tells of none.
    `paid_order` is the order to credit, once; where it is None, `differs` names what is not as the shop's order is."""
    id: str
    type: EventType
    data: Mapping[str, Any]
    payment: PaymentEvent | None
    paid_order: str | None
    differs: str | None


class Dargah:
    """One storefront of a merchant in one mode."""
    def __init__(self, url: str | None = None, token: str | None = None, *, webhook_secrets: str | None = None,
                 return_secrets: str | None = None, mode: str | None = None, storefront: str | None = None) -> None:
        env = os.environ.get
        self._url = urlsplit((url or env("DARGAH_URL") or "http://127.0.0.1:8080").rstrip("/"))
        if self._url.scheme not in ("http", "https") or not self._url.hostname or self._url.username is not None:
            raise ValueError("DARGAH_URL is like https://pay.example.ir")
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._token = (token or env("DARGAH_TOKEN") or "").strip()
        self._keys = [_key(each) for each in (webhook_secrets or env("DARGAH_WEBHOOK_SECRET") or "").split()]
        self._return_secrets = (return_secrets or env("DARGAH_RETURN_SECRET") or "").split()
        self.mode = mode or env("DARGAH_MODE") or "live"
        self.storefront = storefront or env("DARGAH_STOREFRONT") or "main"
        if self.mode not in ("live", "test") or not re.fullmatch(f"(dg_{self.mode}_[0-9A-Za-z]+)?", self._token):
            raise ValueError(f"DARGAH_MODE is live or test, and DARGAH_TOKEN is of that mode: dg_{self.mode}_…")

    def create(self, order: NewPayment, attempt: int = 1, key: str | None = None) -> Payment:
        """A payment: send the customer to its `pay_url`. The same order and attempt give the same payment, also after
        an error. For another try of the customer, or when the order was changed, take the next attempt."""
        name = order["order_id"]
        if not re.fullmatch("[!-~]{1,100}", name):
            name = hashlib.sha256(name.encode()).hexdigest()
        return cast(Payment, self._call("POST", "", order, key or f"order-{name}-try-{attempt}"))

    def get(self, payment_id: str) -> Payment:
        """The payment as Dargah knows it now."""
        return cast(Payment, self._call("GET", f"/{quote(payment_id, '')}"))

    def check(self, payment_id: str, seconds: float = CALL_SECONDS) -> CheckedPayment:
        """The payment after the gateway was asked, unless its outcome was known."""
        return cast(CheckedPayment, self._call("POST", f"/{quote(payment_id, '')}/check", seconds=seconds))

    def cancel(self, payment_id: str) -> Payment:
        """The payment, withdrawn; DargahError `payment_not_withdrawn` when it is paid or has ended."""
        return cast(Payment, self._call("POST", f"/{quote(payment_id, '')}/cancel"))

    def wait(self, payment_id: str, seconds: float = 60.0) -> CheckedPayment:
        """The payment once its outcome is known, or as it is after so many seconds: look at its `status`."""
        ends = time.monotonic() + seconds
        while True:
            payment, left = self.check(payment_id, max(ends - time.monotonic(), 5.0)), ends - time.monotonic()
            if payment["status"] not in ("created", "pending") or left <= 0:
                return payment
            time.sleep(min(left, 2.0 + (seconds - left) / 10))

    def differs(self, payment: PaymentFields, order_id: str, amount_rials: int) -> str | None:
        """The first field by which a payment does not pay this order of this shop; None when it does."""
        if type(amount_rials) is not int:
            raise TypeError("what an order costs is an int, in rials")
        ours = {"status": "paid", "mode": self.mode, "test": self.mode == "test", "storefront": self.storefront,
                "order_id": order_id, "amount_rials": amount_rials}
        return next((name for name, value in ours.items() if payment.get(name, False) != value), None)

    def paid_for(self, payment: PaymentFields, order_id: str, amount_rials: int) -> bool:
        """Whether a payment pays this order of this shop, to the rial."""
        return self.differs(payment, order_id, amount_rials) is None

    def refunded(self, payment: PaymentFields) -> bool:
        """Whether its money went back or goes back by itself (`given_back`), or an operator noted a refund."""
        resolution = payment["review"] and payment["review"]["resolution"]
        return payment["given_back"] is not None or bool(resolution and resolution["decision"] == "refunded")

    def webhook(self, body: bytes, headers: Mapping[str, Any], amount_of: Callable[[str], int | None],
                now: float | None = None) -> Event:
        """The event of a request, by its exact bytes and its headers (or its WSGI environ). Raises Refused.
        `amount_of` gives what the open order of an id costs, in rials, and None where there is none."""
        if not self._keys:
            raise ValueError("DARGAH_WEBHOOK_SECRET is not set")
        given = {name.lower().replace("_", "-").removeprefix("http-"): value for name, value in headers.items()}
        event_id, stamp, texts = (str(given.get(f"webhook-{each}", "")) for each in ("id", "timestamp", "signature"))
        if not event_id or not re.fullmatch("[0-9]{1,12}", stamp):
            raise Refused("webhook-id or webhook-timestamp is missing")
        if abs((time.time() if now is None else now) - int(stamp)) > TOLERANCE_SECONDS:
            raise Refused("the webhook was not signed within these five minutes; or is a clock wrong?")
        signed = f"{event_id}.{stamp}.".encode("utf-8", "surrogatepass") + body
        if not any(_signed_by(*key, text, signed) for text in texts.split(" ")[:MAX_SIGNATURES] for key in self._keys):
            raise Refused("no signature is of this secret and these bytes")
        told = json.loads(body)
        kind, data = told["type"], told["data"]
        amount = amount_of(data["order_id"]) if kind == "payment.paid" else None
        unknown = "order_id" if kind == "payment.paid" else "type"
        differs = unknown if amount is None else self.differs(data, data["order_id"], amount)
        payment = data if kind.startswith("payment.") else None
        return Event(event_id, kind, data, payment, data["order_id"] if differs is None else None, differs)

    def verify_return(self, query: Mapping[str, Any]) -> Return:
        """What Dargah signed into the customer's way back, by its decoded query. Raises Refused. It chooses the page to
        show and credits nothing: the customer may keep the link."""
        if not self._return_secrets:
            raise ValueError("DARGAH_RETURN_SECRET is not set")
        prefix = "dargah_" if "dargah_signature_v2" in query else ""
        found = {key: str(query.get(prefix + key, "")) for key in ("payment_id", "order_id", "status", "payment_mode")}
        text = "&".join(f"{name}={value}" for name, value in found.items()).encode("utf-8", "surrogatepass")
        given = str(query.get(f"{prefix}signature_v2", "")).encode("utf-8", "surrogatepass")
        made = [hmac.digest(each.encode(), text, "sha256").hex().encode() for each in self._return_secrets]
        if found["payment_mode"] != self.mode or not any(hmac.compare_digest(each, given) for each in made):
            raise Refused("Dargah did not send the customer with these words")
        return cast(Return, found)

    def _call(self, method: str, path: str, body: Any = None, key: str = "", seconds: float = CALL_SECONDS) -> Any:
        """The answer's JSON. A failure that may pass is met by the same call again, until tries or seconds are over."""
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": "dargah-python/0.1.0"}
        if body is not None:
            headers, body = headers | {"Idempotency-Key": key, "Content-Type": "application/json"}, json.dumps(body)
        ends, tries = time.monotonic() + seconds, 0
        while True:
            left = min(TRY_SECONDS, max(ends - time.monotonic(), 1.0))
            status, found, after = self._once(method, f"{self._url.path}/v1/payments{path}", body, headers, left)
            if 200 <= status < 300:
                return found
            error, tries = DargahError(status, found), tries + 1
            passing = status in (0, 429, 502, 503, 504) or error.code == "request_in_progress"
            pause = max(after, 0.25 * 2**tries * (0.5 + random.random()))
            if not passing or error.code == "gateway_refused" or tries == TRIES or time.monotonic() + pause > ends:
                raise error
            time.sleep(pause)

    def _once(self, method: str, path: str, body: Any, headers: Any, seconds: float) -> tuple[int, Any, float]:
        """Status, JSON and Retry-After; the status is 0 when no whole answer came."""
        host, port = self._url.hostname or "", self._url.port
        call = (http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls) if self._tls
                else http.client.HTTPConnection(host, port, timeout=seconds))
        peer: list[socket.socket] = []
        watchdog = threading.Timer(seconds, _hang_up, peer)  # the time-out is for each read: this is for all of them
        try:
            call.connect()
            peer.append(call.sock)
            watchdog.start()
            call.request(method, path, body, headers)
            answer = call.getresponse()
            status, after, raw = answer.status, answer.headers.get("Retry-After", ""), answer.read(MAX_BYTES)
        except (OSError, http.client.HTTPException) as error:
            return 0, {"code": "network", "detail": f"no answer from {host}: {error!r}"}, 0.0
        finally:
            watchdog.cancel()
            call.close()
        found = None
        with suppress(ValueError, RecursionError):
            found = json.loads(raw)
        if not isinstance(found, dict) or answer.length:
            found = {"code": f"http_{status}", "detail": "the answer is not Dargah's: is DARGAH_URL where it is?"}
            status = 0 if status < 300 else status
        return status, found, float(after) if re.fullmatch("[0-9]{1,6}", after) else 0.0


def _hang_up(peer: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(peer, socket.SHUT_RDWR)


def _key(secret: str) -> tuple[str, bytes]:
    found = re.fullmatch(SECRET, secret)
    if found is None:
        raise ValueError("DARGAH_WEBHOOK_SECRET is whsec_… or whpk_…, whole, as it was shown")
    if found[1] == "whpk":
        importlib.import_module("cryptography")  # what is missing is told now, and not at the first webhook
    return found[1], base64.b64decode(found[2])


def _signed_by(kind: str, key: bytes, text: str, signed: bytes) -> bool:
    """Whether a signature is of a key: `v1` of a whsec_, `v1a` of a whpk_, which needs the package `cryptography`."""
    version, _, signature = text.partition(",")
    with suppress(ValueError):
        given = base64.b64decode(signature)
        if kind == "whsec":
            return version == "v1" and hmac.compare_digest(hmac.digest(key, signed, "sha256"), given)
        ed25519 = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
        with suppress(importlib.import_module("cryptography.exceptions").InvalidSignature):
            ed25519.Ed25519PublicKey.from_public_bytes(key).verify(given, signed)
            return version == "v1a"
    return False
