"""What is shown once: tokens and secrets, on the answer to the form that made them and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web

from proxy.console.language import Pair
from proxy.console.visit import Visit
from proxy.merchant import Merchant, Token
from proxy.operators.records import Operator


@dataclass(frozen=True, slots=True)
class Secret:
    """Its name in both languages, and its text, which is kept out of every repr."""

    name: Pair
    text: str = field(repr=False)


def secrets_page(
    visit: Visit, merchant: Merchant, secrets: Sequence[Secret], *, token: Token | None = None, fresh: bool = False
) -> web.Response:
    """The only page that has them. With a `token` a test payment can be made from it."""
    return visit.page(
        "secrets.html",
        merchant=merchant,
        secrets=secrets,
        token=token,
        fresh=fresh,
        api_url=f"{visit.services.public_url}/v1/payments",
    )


def operator_page(visit: Visit, operator: Operator, secret: Secret) -> web.Response:
    """The only page that has an operator's token."""
    return visit.page("operator.html", operator=operator, secret=secret)
