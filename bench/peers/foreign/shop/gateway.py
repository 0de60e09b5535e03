"""Zibal of az-iranian-bank-gateways at another address."""

import os

from azbankgateways.banks import Zibal


class LocalZibal(Zibal):
    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        for name in ("_token_api_url", "_payment_url", "_verify_api_url"):
            path = getattr(self, name).split("/", 3)[3]
            setattr(self, name, f"{os.environ['SHOP_GATEWAY']}/{path}")
