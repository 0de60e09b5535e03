"""The shop's pages, as the package's README writes them: pay, its own callback, and the page after it."""

import json

from azbankgateways import bankfactories, models
from azbankgateways.urls import az_bank_gateways_urls
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def pay(request: HttpRequest) -> JsonResponse:
    """What the page that sends the customer to the gateway is made of."""
    bank = bankfactories.BankFactory().create()
    bank.set_request(request)
    bank.set_amount(json.loads(request.body)["amount"])
    bank.set_client_callback_url("/paid")
    row = bank.ready()
    return JsonResponse({"id": row.tracking_code, **bank.get_gateway()}, status=201)


def paid(request: HttpRequest) -> HttpResponse:
    row = models.Bank.objects.get(tracking_code=request.GET["tc"])
    return HttpResponse("paid" if row.is_success else "not paid")


urlpatterns = [
    path("pay/", pay),
    path("paid", paid),
    path("bank/", az_bank_gateways_urls()),
]
