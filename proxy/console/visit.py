"""One look at a page: who looks, from which side, in which language, and what they sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web

from proxy.console.jobs import Ended, Goes, Job, Work
from proxy.console.language import Words
from proxy.console.pages import page
from proxy.console.services import ConsoleServices
from proxy.errors import NotFound
from proxy.ids import digest, merchant_of_id
from proxy.merchant import Endpoint, Scope, Token
from proxy.operators.records import Role
from proxy.operators.sessions import form_token
from proxy.payment import Payment
from proxy.web.middleware import MERCHANT_ID, PAYMENT_ID


class Side(StrEnum):
    """Where the pages hang: the operator's console, or the merchant's portal."""

    CONSOLE = "/console"
    PORTAL = "/portal"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose session it is: an operator with a role, or a merchant's API token. `secret` is what the browser holds."""

    name: str
    secret: str = field(repr=False)
    role: Role | None = None
    token: Token | None = None
    embed_origin: str | None = None

    def may(self, role: Role, scope: Scope | None) -> bool:
        """Whether a route that needs this role, or of the portal this scope, is theirs."""
        if self.token is not None:
            return scope is not None and scope in self.token.scopes
        return self.role is not None and self.role.covers(role)


@dataclass(frozen=True, slots=True)
class Visit:
    services: ConsoleServices
    request: web.Request
    side: Side
    words: Words
    viewer: Viewer
    form: Mapping[str, str] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def token(self) -> Token | None:
        """The API token that confines what is seen here; None for an operator."""
        return self.viewer.token

    @property
    def csrf(self) -> str:
        return form_token(self.viewer.secret)

    @property
    def operates(self) -> bool:
        """Whether they may ask again: check a payment, or resolve it."""
        return self.viewer.may(Role.OPERATE, Scope.PAYMENTS_WRITE)

    @property
    def resends(self) -> bool:
        return self.viewer.may(Role.OPERATE, Scope.WEBHOOKS)

    @property
    def owns(self) -> bool:
        return self.viewer.may(Role.OWNER, None)

    def url(self, path: str) -> str:
        return f"{self.side}{path}"

    def page(self, template: str, *, status: int = 200, refresh: int | None = None, **values: Any) -> web.Response:
        """The template with the visit as `visit` and its words as `w`. `refresh` loads it again after some seconds."""
        return page(self, template, status=status, refresh=refresh, values=values)

    def go(self, path: str) -> web.Response:
        """303 to a page of this side."""
        return web.Response(status=303, headers={"Location": self.url(path)})

    async def work(self, persian: str, english: str, work: Work) -> web.Response:
        """What comes of `work`, or where to see how far it is."""
        job = await self.services.jobs.start(self.owner, (persian, english), work)
        return self.ended(job) if job.done.is_set() else self.go(f"/jobs/{job.id}")

    def ended(self, job: Job) -> web.Response:
        """What came of a job that is over."""
        if job.error is not None:
            raise job.error
        ended: Ended | None = job.ended
        assert ended is not None, "a job ends with an error or a page"
        return self.go(ended.path) if isinstance(ended, Goes) else self.page(ended.template, **ended.values)

    @property
    def owner(self) -> bytes:
        """Whose a job is."""
        return digest(self.viewer.secret)

    async def payment(self) -> Payment:
        """The payment of the path. Raises NotFound when it is not one that is seen here."""
        payment_id = self.request.match_info["payment_id"]
        payment = await self.services.store.payment(self.merchant_of(payment_id, "payment"), payment_id)
        if not self.sees(payment):
            raise NotFound("payment")
        self.request[PAYMENT_ID] = payment.id
        return payment

    async def endpoint(self) -> Endpoint:
        """The endpoint of the path. Raises NotFound."""
        endpoint_id = self.request.match_info["endpoint_id"]
        return await self.services.store.endpoint(self.merchant_of(endpoint_id, "endpoint"), endpoint_id)

    def sees(self, payment: Payment) -> bool:
        token = self.token
        return token is None or (
            payment.merchant_id == token.merchant_id
            and token.sees(payment.storefront, payment.mode, payment.terminal_id)
        )

    def merchant_of(self, record_id: str, what: str) -> str:
        """The merchant of a record. Raises NotFound when it is no id, or not of the merchant who looks."""
        merchant_id = merchant_of_id(record_id)
        if merchant_id is None or (self.token is not None and merchant_id != self.token.merchant_id):
            raise NotFound(what)
        self.request[MERCHANT_ID] = merchant_id
        return merchant_id

    async def note(self, action: str, data: Mapping[str, object]) -> None:
        """An operator's act that nothing else puts into the audit log."""
        if self.token is None:
            await self.services.operators.noted(self.viewer.name, action, data)
