"""A gateway and a sender of webhooks for tests below HTTP."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from proxy.gateways.port import (
    NO_EVIDENCE,
    NO_PURCHASE,
    Account,
    CheckResult,
    Evidence,
    Inquiry,
    Purchase,
    RequestResult,
)
from proxy.webhooks.request import WebhookRequest, WebhookResult

OK: Final = WebhookResult(204, None, 3)


@dataclass
class FakeSender:
    """Keeps what it was given. `answers` go first, then `usual`; while `hold` is set, nothing is answered."""

    usual: WebhookResult = OK
    answers: list[WebhookResult] = field(default_factory=list)
    hold: asyncio.Event | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[WebhookRequest] = field(default_factory=list)
    lose: bool = False

    async def send(self, request: WebhookRequest) -> WebhookResult:
        if not self.lose:
            self.sent.append(request)
        self.began.set()
        if self.hold is not None:
            await self.hold.wait()
        return self.answers.pop(0) if self.answers else self.usual

    @property
    def ids(self) -> list[str]:
        return [each.headers["webhook-id"] for each in self.sent]


class NoGateway:
    """Nothing here is paid; whatever asks a gateway is tested with the simulator."""

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        raise NotImplementedError

    async def check(self, account: Account, invoice_key: str, evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        raise NotImplementedError

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        raise NotImplementedError

    async def settle(self, account: Account, inquiry: Inquiry) -> CheckResult:
        raise NotImplementedError

    async def reverse(self, account: Account, inquiry: Inquiry) -> CheckResult:
        raise NotImplementedError
