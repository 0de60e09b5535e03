"""Drives clients of ZarinPal and Zibal that others wrote, as their documents tell a shop to.

`-m clients.families.drive CLIENT FAMILY CREDENTIALS` reads a command a line from standard input, and answers each
with a line of JSON:

    {"do": "request", "amount_rials": 150000, "number": 17, "callback": "https://…"}
        → {"reference": "…", "url": "https://…", "fields": null}, where fields are those of a form to post
    {"do": "verify", "amount_rials": 150000, "number": 17, "reference": "…", "method": "GET", "returned": {…}}
        → {"verdict": "paid" | "again" | "refused" | "differs", "says": …}

A `base` among the credentials is a URL in place of the gateway's host: the client is told it as docs/drop-in.md says.

`again` is what a client tells apart as verified before, `differs` a paid amount that is not the asked one. What a
client raises by design is `refused`; any other exception is `broken`, for both commands. Nothing of a client is
changed. Its modules are imported only when it is driven, because no environment has all of them.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

Answer = dict[str, Any]
Credentials = Mapping[str, str]


class Driver(Protocol):
    """A client of one family. Makes a new client for each call, as the requests of a shop do."""

    raises: tuple[type[Exception], ...]

    def request(self, order: "Order") -> Answer: ...

    def verify(self, order: "Order", back: "Back") -> Answer: ...


@dataclass(frozen=True)
class Order:
    amount_rials: int
    number: int
    callback: str = ""


@dataclass(frozen=True)
class Back:
    """What the shop stored at the request, and what the customer brought back."""

    reference: str
    method: str
    returned: Mapping[str, str]


def way(reference: Any, url: str, fields: Mapping[str, str] | None = None) -> Answer:
    return {"reference": str(reference), "url": url, "fields": fields}


def by_code(code: Any, paid: int, again: int, says: Any) -> Answer:
    """The verdict of a client that hands the gateway's answer on."""
    return {"verdict": {paid: "paid", again: "again"}.get(code, "refused"), "says": says}


class IrgatewayZarinpal:
    def __init__(self, credentials: Credentials) -> None:
        self._api = import_module("irgateway.zarinpal")
        types = import_module("irgateway.zarinpal.types")
        self._base = credentials.get("base")
        start = {"startpay_endpoint": f"{self._base}/pg/StartPay/"} if self._base else {}
        self._config = types.ZarinpalConfig(fee_type="MERCHANT", currency="IRR", **start)
        self._merchant = credentials["merchant_id"]
        core = import_module("irgateway._core")
        self.raises = (import_module("irgateway.zarinpal.errors").ZarinpalException, core.GatewayHTTPError)

    def _client(self) -> Any:
        client = self._api.ZarinpalClient(self._merchant, config=self._config)
        if self._base:
            client._base_url = f"{self._base}/"
        return client

    def request(self, order: Order) -> Answer:
        made = self._client().request(order.amount_rials, order.callback, f"order {order.number}")
        return way(made.authority, made.payment_url)

    def verify(self, order: Order, back: Back) -> Answer:
        told = self._client().verify(
            back.reference, order.amount_rials, allow_already_verified=True, amount_is_rials=True
        )
        return by_code(told.code, 100, 101, told.ref_id)


class IrgatewayZibal:
    def __init__(self, credentials: Credentials) -> None:
        self._api = import_module("irgateway.zibal")
        types = import_module("irgateway.zibal.types")
        base = credentials.get("base")
        host = {"api_base_url": f"{base}/v1/", "startpay_endpoint": f"{base}/start/{{track_id}}"} if base else {}
        self._config = types.ZibalConfig(fee_type="MERCHANT", currency="IRR", **host)
        self._merchant = credentials["merchant"]
        self._differs = import_module("irgateway._core").PaymentAmountMismatch
        self.raises = (import_module("irgateway.zibal.errors").ZibalException,)

    def _client(self) -> Any:
        return self._api.ZibalClient(self._merchant, config=self._config)

    def request(self, order: Order) -> Answer:
        made = self._client().request(order.amount_rials, order.callback, order_id=str(order.number))
        return way(made.track_id, made.payment_url)

    def verify(self, order: Order, back: Back) -> Answer:
        try:
            told = self._client().verify(
                int(back.reference), expected_amount=order.amount_rials, allow_already_verified=True
            )
        except self._differs as error:
            return {"verdict": "differs", "says": error.actual_rials}
        return by_code(told.code, 100, 201, told.ref_number)


class PardakhtZarinpal:
    raises = ()

    def __init__(self, credentials: Credentials) -> None:
        self._merchant, self._base = credentials["merchant_id"], credentials.get("base")

    def _client(self, callback: str) -> Any:
        client = import_module("pardakht.dargah").ZarinPal(self._merchant, callback)
        if self._base:
            client.zarinpal_api = f"{self._base}/pg/v4/payment"
        return client

    def request(self, order: Order) -> Answer:
        url = self._client(order.callback).make_payment(order.amount_rials, str(order.number), "an order")
        if not url.startswith("https://"):
            return {"verdict": "refused", "says": url}
        authority = url.rpartition("/")[2]
        return way(authority, f"{self._base}/pg/StartPay/{authority}" if self._base else url)

    def verify(self, order: Order, back: Back) -> Answer:
        told = self._client("").verify_payment(back.reference, order.amount_rials)
        verdict = {"Payment successful": "paid", "Payment already verified": "again"}.get(told["message"], "refused")
        return {"verdict": verdict if told["success"] else "refused", "says": told["ref_id"]}


class PardakhtZibal:
    raises = ()

    def __init__(self, credentials: Credentials) -> None:
        self._client = import_module("pardakht.dargah").Zibal(credentials["merchant"])
        if base := credentials.get("base"):
            self._client.BASE_URL, self._client.START_URL = f"{base}/v1", f"{base}/start/"

    def request(self, order: Order) -> Answer:
        made = self._client.request_payment(order.amount_rials, order.callback, order_id=str(order.number))
        if made["result"] != 100:
            return {"verdict": "refused", "says": made["result"]}
        return way(made["trackId"], self._client.start_payment(made["trackId"]))

    def verify(self, order: Order, back: Back) -> Answer:
        told = self._client.verify_payment(back.returned.get("trackId", back.reference), order.amount_rials)
        if told.get("amount", order.amount_rials) != order.amount_rials:
            return {"verdict": "differs", "says": told["amount"]}
        return by_code(told["result"], 100, 201, told.get("refNumber"))


class ZibalClient:
    raises = ()

    def __init__(self, credentials: Credentials) -> None:
        module: Any = import_module("zibal.client")
        if base := credentials.get("base"):
            module.IPG_BASE_URL, module.PAYMENT_BASE_URL = f"{base}/v1/", f"{base}/start/"
        self._client = module.ZibalIPGClient(credentials["merchant"])

    def request(self, order: Order) -> Answer:
        made = self._client.request_transaction(order.amount_rials, order.callback, order_id=str(order.number))
        if hasattr(made, "result_code"):
            return {"verdict": "refused", "says": made.result_code}
        return way(made.track_id, self._client.create_payment_link(made.track_id))

    def verify(self, order: Order, back: Back) -> Answer:
        told = self._client.verify_transaction(int(back.reference))
        if hasattr(told, "result_code"):
            return by_code(told.result_code, 100, 201, told.result_meaning)
        if told.amount != order.amount_rials:
            return {"verdict": "differs", "says": told.amount}
        return by_code(told.result, 100, 201, told.ref_number)


class ZarinpalPySdk:
    def __init__(self, credentials: Credentials) -> None:
        self._sdk = import_module("zarinpal")
        self._config = import_module("zarinpal_utils.Config").Config(merchant_id=credentials["merchant_id"])
        self._base = credentials.get("base")
        self.raises = (RuntimeError,)  # of every HTTP status that is not 2xx

    def _client(self) -> Any:
        client = self._sdk.ZarinPal(self._config)
        client.base_url = self._base or client.base_url
        return client

    def request(self, order: Order) -> Answer:
        client = self._client()
        fields = {"amount": order.amount_rials, "callback_url": order.callback, "description": "an order"}
        made = client.payments.create(fields)
        if not made["data"]:
            return {"verdict": "refused", "says": made["errors"]["code"]}
        authority = made["data"]["authority"]
        return way(authority, client.payments.generate_payment_url(authority))

    def verify(self, order: Order, back: Back) -> Answer:
        told = self._client().verifications.verify({"amount": order.amount_rials, "authority": back.reference})
        if not told["data"]:
            return {"verdict": "refused", "says": told["errors"]["code"]}
        return by_code(told["data"]["code"], 100, 101, told["data"]["ref_id"])


class PaymanZarinpal:
    def __init__(self, credentials: Credentials) -> None:
        client: Any = import_module("zarinpal").ZarinPal
        self._base, merchant_id = credentials.get("base"), credentials["merchant_id"]
        made: Any = import_module("zarinpal.adapters.http_client").AsyncHttpClient

        def moved() -> Any:
            return client(merchant_id=merchant_id, http_client=made(base_url=f"{self._base}/pg/v4/payment"))

        self._client: Callable[[], Any] = moved if self._base else lambda: client(merchant_id=merchant_id)
        # Its own for an error that came with 200, and its HTTP client's for one that did not.
        http = import_module("payman.core.exceptions.http").HttpStatusError
        self.raises = (import_module("zarinpal.exception").ZarinPalGatewayException, http)

    def request(self, order: Order) -> Answer:
        client = self._client()
        fields = {"amount": order.amount_rials, "callback_url": order.callback, "description": "an order"}
        made = asyncio.run(client.initiate_payment(fields))
        url = client.get_payment_redirect_url(made.authority)
        return way(made.authority, f"{self._base}/pg/StartPay/{made.authority}" if self._base else url)

    def verify(self, order: Order, back: Back) -> Answer:
        fields = {"amount": order.amount_rials, "authority": back.reference}
        told = asyncio.run(self._client().verify_payment(fields))
        return by_code(int(told.code), 100, 101, told.ref_id)


class PaymanZibal:
    def __init__(self, credentials: Credentials) -> None:
        client: Any = import_module("zibal").Zibal
        client.BASE_URL = credentials.get("base", client.BASE_URL)
        self._client: Callable[[], Any] = lambda: client(merchant_id=credentials["merchant"])
        errors = import_module("zibal.exceptions")
        self._again, self.raises = errors.AlreadyConfirmedError, (errors.ZibalGatewayError,)

    def request(self, order: Order) -> Answer:
        client = self._client()
        fields = {"amount": order.amount_rials, "callback_url": order.callback, "order_id": str(order.number)}
        made = asyncio.run(client.initiate_payment(fields))
        return way(made.track_id, client.get_payment_redirect_url(made.track_id))

    def verify(self, order: Order, back: Back) -> Answer:
        try:
            told = asyncio.run(self._client().verify_payment({"track_id": int(back.reference)}))
        except self._again as error:
            return {"verdict": "again", "says": str(error)}
        if told.amount != order.amount_rials:
            return {"verdict": "differs", "says": told.amount}
        return by_code(int(told.result), 100, 201, told.ref_number)


DRIVERS: dict[tuple[str, str], Any] = {
    ("irgateway", "zarinpal"): IrgatewayZarinpal,
    ("irgateway", "zibal"): IrgatewayZibal,
    ("pardakht", "zarinpal"): PardakhtZarinpal,
    ("pardakht", "zibal"): PardakhtZibal,
    ("zibal-client", "zibal"): ZibalClient,
    ("zarinpal-py-sdk", "zarinpal"): ZarinpalPySdk,
    ("payman-zarinpal", "zarinpal"): PaymanZarinpal,
    ("payman-zibal", "zibal"): PaymanZibal,
}


def answer(driver: Driver, command: dict[str, Any]) -> Answer:
    order = Order(command["amount_rials"], command["number"], command.get("callback", ""))
    try:
        if command["do"] == "request":
            return driver.request(order)
        return driver.verify(order, Back(command["reference"], command["method"], command["returned"]))
    except driver.raises as error:
        return {"verdict": "refused", "says": f"{type(error).__name__}: {error}"}
    except Exception as error:  # noqa: BLE001  whatever a client dies of is its answer
        return {"verdict": "broken", "says": f"{type(error).__name__}: {error}"}


def serve(driver: Driver) -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(driver, json.loads(line)), default=str) + "\n")
        sys.stdout.flush()


def main(drivers: Mapping[tuple[str, str], Any]) -> None:
    name, family, credentials = sys.argv[1:]
    serve(drivers[name, family](json.loads(credentials)))


if __name__ == "__main__":
    main(DRIVERS)
