"""Drives two clients that know all five families, by the protocol of drive.py.

az-iranian-bank-gateways is an application of Django: this is the smallest project that has it, with a database in
memory. Its callback view takes the customer's return as a server would get it; the shop then reads the row's status.
django-iranian-payment is driven by its core, which stores nothing. Mellat's two steps are asked for one by one.
"""

from importlib import import_module
from typing import Any

from clients.families.drive import Answer, Back, Credentials, Order, main, way

HOST = "shop.example"
NAMES = {"zarinpal": "ZARINPAL", "zibal": "ZIBAL", "sep": "SEP", "sadad": "BMI", "mellat": "MELLAT"}


def az_settings(family: str, credentials: Credentials) -> dict[str, str]:
    """The credentials under az-iranian-bank-gateways' names."""
    if family in ("zarinpal", "zibal"):
        return {"MERCHANT_CODE": next(iter(credentials.values()))}
    if family == "sep":
        # The terminal stands where its code reads the merchant.
        return {"MERCHANT_CODE": credentials["terminal_id"], "TERMINAL_CODE": ""}
    if family == "sadad":
        return {
            "MERCHANT_CODE": credentials["merchant_id"],
            "TERMINAL_CODE": credentials["terminal_id"],
            "SECRET_KEY": credentials["key"],
        }
    return {
        "TERMINAL_CODE": credentials["terminal_id"],
        "USERNAME": credentials["username"],
        "PASSWORD": credentials["password"],
    }


class AzIranianBankGateways:
    """A row of its table is one payment; `reference` is the row's tracking code, which the package makes itself."""

    def __init__(self, family: str, credentials: Credentials) -> None:
        self._kind = NAMES[family]
        self._start(az_settings(family, credentials))
        if base := credentials.get("base"):
            self._move(base)
        self._models = import_module("azbankgateways.models")
        self._factory = import_module("azbankgateways.bankfactories").BankFactory()
        self._requests = import_module("django.test").RequestFactory(SERVER_NAME=HOST)
        self.raises = (import_module("azbankgateways.exceptions").AZBankGatewaysException,)

    def _start(self, gateway: dict[str, str]) -> None:
        import_module("django.conf").settings.configure(
            SECRET_KEY="only tests see it",
            ALLOWED_HOSTS=[HOST],
            INSTALLED_APPS=["azbankgateways"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            ROOT_URLCONF=__name__,
            USE_TZ=True,
            SECURE_REFERRER_POLICY="strict-origin-when-cross-origin",
            AZ_IRANIAN_BANK_GATEWAYS={"GATEWAYS": {self._kind: gateway}, "DEFAULT": self._kind},
        )
        import_module("django").setup()
        import_module("django.core.management").call_command("migrate", verbosity=0)
        global urlpatterns  # noqa: PLW0603  where Django looks for them
        urlpatterns = [
            import_module("django.urls").path("bank/", import_module("azbankgateways.urls").az_bank_gateways_urls())
        ]

    def _move(self, base: str) -> None:
        """A class of the shop's own in the place of the package's, which its setting BANK_CLASS is for."""
        settings: Any = import_module("azbankgateways.default_settings")
        kind = import_module("django.utils.module_loading").import_string(settings.BANK_CLASS[self._kind])

        class Moved(kind):  # type: ignore[misc, valid-type]
            def __init__(self, **given: Any) -> None:
                super().__init__(**given)
                names = [name for name, value in vars(self).items() if name.endswith("_url") and "://" in str(value)]
                for name in names:
                    setattr(self, name, base + "/" + getattr(self, name).split("/", 3)[3])

        globals()["Moved"] = Moved
        settings.BANK_CLASS = {**settings.BANK_CLASS, self._kind: f"{__name__}.Moved"}

    def request(self, order: Order) -> Answer:
        bank = self._factory.create()
        bank.set_request(self._requests.get("/pay", secure=True))
        bank.set_amount(order.amount_rials)
        bank.set_client_callback_url("/paid")
        row = bank.ready()
        there = bank.get_gateway()
        return way(row.tracking_code, there["url"], there["params"]) | {"method": there["method"]}

    def verify(self, _order: Order, back: Back) -> Answer:
        row = self._models.Bank.objects.get(tracking_code=back.reference)
        if row.status == self._models.PaymentStatus.REDIRECT_TO_BANK and back.returned:
            path = import_module("django.urls").reverse("azbankgateways:callback")
            asked = {"bank_type": self._kind, "identifier": "1"}
            if back.method == "GET":
                request = self._requests.get(path, asked | dict(back.returned), secure=True)
            else:
                query = "&".join("=".join(pair) for pair in asked.items())
                request = self._requests.post(f"{path}?{query}", dict(back.returned), secure=True)
            import_module("azbankgateways.views").callback_view(request)
        else:
            # What its documents give a shop for payments whose answer was lost.
            self._factory.create().verify(back.reference)
        row.refresh_from_db()
        done = row.status == self._models.PaymentStatus.COMPLETE
        return {"verdict": "paid" if done else "refused", "says": row.status}


urlpatterns: list[Any] = []


def moved(made: Any, base: str) -> dict[str, Any]:
    """The class attributes of a gateway of django-iranian-payment that have its addresses, at another host."""
    if hasattr(made, "_LIVE"):
        return {"_LIVE": {name: base + "/" + url.split("/", 3)[3] for name, url in made._LIVE.items()}}
    return {name: base + "/" + getattr(made, name).split("/", 3)[3] for name in ("_REQUEST", "_VERIFY", "_STARTPAY")}


class DjangoIranianPayment:
    def __init__(self, family: str, credentials: Credentials) -> None:
        self._core = import_module("django_iranian_payment.core")
        config = dict(credentials)
        if family == "sadad":
            made = import_module("django_iranian_payment.core.experimental.sadad").SadadGateway
            config["terminal_key"] = config.pop("key")
        else:
            made = self._core.get_gateway_class({"sep": "saman"}.get(family, family))
            config["settle_mode"] = "verify_only"
        if base := config.pop("base", None):
            made = type("Moved", (made,), moved(made, base))
        self._gateway = made(config)
        self.raises = (self._core.GatewayPaymentError,)

    def request(self, order: Order) -> Answer:
        asked = self._core.PaymentRequest(order.amount_rials, order.callback, str(order.number))
        made = self._gateway.initiate(asked)
        return way(made.authority, made.redirect_url, made.redirect_fields or None)

    def verify(self, order: Order, back: Back) -> Answer:
        told = self._gateway.verify(
            authority=back.reference,
            amount=order.amount_rials,
            order_id=str(order.number),
            extra=dict(back.returned),
        )
        if told.amount not in (None, order.amount_rials):
            return {"verdict": "differs", "says": told.amount}
        says: Any = told.error_code or told.reference_id
        if told.is_success and hasattr(self._gateway, "settle"):
            settled = self._gateway.settle(
                order_id=str(order.number),
                sale_order_id=back.returned["SaleOrderId"],
                sale_reference_id=back.returned["SaleReferenceId"],
            )
            if not settled.is_success:
                return {"verdict": "refused", "says": settled.error_code}
        return {"verdict": {"success": "paid", "duplicate": "again"}.get(told.status.value, "refused"), "says": says}


if __name__ == "__main__":
    main(
        {
            (name, family): (lambda credentials, make=make, family=family: make(family, credentials))
            for name, make in (
                ("az-iranian-bank-gateways", AzIranianBankGateways),
                ("django-iranian-payment", DjangoIranianPayment),
            )
            for family in NAMES
        }
    )
