"""The context of one page request: viewer, side, language, and the sent form."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment

from proxy.api.auth import delivery_of_path, endpoint_of_path, payment_of_path
from proxy.console.jobs import Ended, Job, JobRedirect, Work
from proxy.console.language import (
    DELIVERIES,
    ENDPOINTS,
    EVENTS,
    GIVEN_BACK_REASONS,
    MODES,
    OUTCOMES,
    REVIEW_REASONS,
    ROLES,
    STATUSES,
    STEPS,
    Pair,
    Words,
)
from proxy.console.services import ConsoleServices
from proxy.gateways.registry import FAMILIES
from proxy.http.headers import PAGE_SECURITY_HEADERS
from proxy.http.static_assets import ASSETS, FONT_NAME, Asset, environment
from proxy.kernel.ids import digest
from proxy.kernel.urls import framing_source
from proxy.merchants.merchant import Merchant, Scope, Token
from proxy.merchants.setup.families import credential_field
from proxy.operators.records import Operator, Role
from proxy.operators.sessions import form_token
from proxy.payments.access import Access
from proxy.payments.payment import Payment
from proxy.webhooks.delivery import Attempt, Delivery
from proxy.webhooks.endpoint import Endpoint

_FONT_FACE: Final = (
    f'@font-face {{ font-family: Vazirmatn; src: url("{FONT_NAME}") format("woff2"); font-weight: 400 700; '
    "font-display: swap; }\n"
)
_STYLE: Final = _FONT_FACE.encode() + files("proxy.console").joinpath("templates/console.css").read_bytes()
STYLE_NAME: Final = f"console.{hashlib.sha256(_STYLE).hexdigest()[:12]}.css"
FILES: Final[Mapping[str, Asset]] = {
    FONT_NAME: ASSETS[FONT_NAME],
    STYLE_NAME: Asset(_STYLE, "text/css; charset=utf-8"),
    "icon.svg": Asset(files("proxy.console").joinpath("templates/icon.svg").read_bytes(), "image/svg+xml"),
}

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors "
)


def headers(embed_origin: str | None = None) -> dict[str, str]:
    """The headers of a page that only `embed_origin` may frame, or nobody.

    The referrer goes to our own pages: without it browsers hide a form's origin, which distinguishes our forms from
    others'.
    """
    return {
        **PAGE_SECURITY_HEADERS,
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _POLICY + framing_source(embed_origin),
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def bare_page(
    template: str, words: Words, base: str, *, status: int = 200, refresh: str | None = None, **values: Any
) -> web.Response:
    """A page for anybody: the login, an error, the way in. `refresh` is where it leads by itself."""
    return page(template, words, status=status, base=base, refresh=refresh, **values)


def page(
    template: str, words: Words, *, status: int = 200, embed_origin: str | None = None, **values: Any
) -> web.Response:
    """The template with its words as `w`, in a page that only `embed_origin` may frame."""
    text = _environment().get_template(template).render(w=words, **values)
    return web.Response(status=status, body=text.encode(), headers=headers(embed_origin))


@cache
def _environment() -> Environment:
    pages = environment("proxy.console")
    pages.globals.update(
        style_name=STYLE_NAME,
        STATUSES=STATUSES,
        DELIVERIES=DELIVERIES,
        ENDPOINTS=ENDPOINTS,
        OUTCOMES=OUTCOMES,
        MODES=MODES,
        EVENTS=EVENTS,
        ROLES=ROLES,
        REVIEW_REASONS=REVIEW_REASONS,
        GIVEN_BACK_REASONS=GIVEN_BACK_REASONS,
        STEPS=STEPS,
        FAMILIES=FAMILIES,
        credential_field=credential_field,
    )
    return pages


class Side(StrEnum):
    """Where the pages hang: the operator's console, or the merchant's portal."""

    CONSOLE = "/console"
    PORTAL = "/portal"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The viewer of a session: an operator with a role, or a merchant's API token. `secret` is the secret of the
    browser's cookie.
    """

    name: str
    secret: str = field(repr=False)
    role: Role | None = None
    token: Token | None = None
    embed_origin: str | None = None

    def may(self, role: Role, scope: Scope | None) -> bool:
        """Whether a route that needs this role, or of the portal this scope, is theirs."""
        if self.token is not None:
            return scope is not None and self.token.allows(scope)
        return self.role is not None and self.role.covers(role)


@dataclass(frozen=True, slots=True)
class PageContext:
    services: ConsoleServices
    request: web.Request
    side: Side
    words: Words
    viewer: Viewer
    form: Mapping[str, str] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def token(self) -> Token | None:
        """The API token that confines the visible records; None for an operator."""
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
    def sees_webhooks(self) -> bool:
        return self.viewer.may(Role.READ, Scope.WEBHOOKS)

    @property
    def owns(self) -> bool:
        return self.viewer.may(Role.OWNER, None)

    def url(self, path: str) -> str:
        return f"{self.side}{path}"

    def page(self, template: str, *, status: int = 200, refresh: int | None = None, **values: Any) -> web.Response:
        """The template with this context as `context`, its words as `w`; loaded again after `refresh` seconds."""
        origin = self.viewer.embed_origin
        return page(template, self.words, status=status, embed_origin=origin, context=self, refresh=refresh, **values)

    def go(self, path: str) -> web.Response:
        """303 to a page of this side."""
        return web.Response(status=303, headers={"Location": self.url(path)})

    async def work(self, persian: str, english: str, work: Work) -> web.Response:
        """The result of `work`, or the page of its progress."""
        merchant_id = "" if self.token is None else self.token.merchant_id
        job = await self.services.jobs.start(self.owner, (persian, english), work, merchant_id)
        return self.ended(job) if job.done.is_set() else self.go(f"/jobs/{job.id}")

    def ended(self, job: Job) -> web.Response:
        """The result of a finished job."""
        if job.error is not None:
            raise job.error
        ended: Ended | None = job.ended
        assert ended is not None, "a job ends with an error or a page"
        return self.go(ended.path) if isinstance(ended, JobRedirect) else self.page(ended.template, **ended.values)

    @property
    def owner(self) -> bytes:
        """The owner of a job."""
        return digest(self.viewer.secret)

    async def payment(self) -> Payment:
        """The payment of the path. Raises NotFound when it is not one that is seen here."""
        return await payment_of_path(self.request, self.access)

    async def endpoint(self) -> Endpoint:
        """The endpoint of the path. Raises NotFound when it is not one that is seen here."""
        return await endpoint_of_path(self.request, self.access)

    async def delivery_log(self) -> tuple[Delivery, list[Attempt]]:
        """The delivery of the path with its attempts. Raises NotFound when it is not one that is seen here."""
        return await delivery_of_path(self.request, self.access)

    @property
    def access(self) -> Access:
        return Access(self.services.store.payments, self.services.store.webhooks, self.token)

    async def note(self, action: str, data: Mapping[str, object]) -> None:
        """An operator's act that nothing else puts into the audit log."""
        if self.token is None:
            await self.services.operators.noted(self.viewer.name, action, data)


@dataclass(frozen=True, slots=True)
class Secret:
    """Its name in both languages, and its text, which is kept out of every repr."""

    name: Pair
    text: str = field(repr=False)


def secrets_page(
    context: PageContext,
    merchant: Merchant,
    secrets: Sequence[Secret],
    *,
    token: Token | None = None,
    fresh: bool = False,
) -> web.Response:
    """The only page that has them. With a `token` a test payment can be made from it."""
    return context.page(
        "secrets.html",
        merchant=merchant,
        secrets=secrets,
        token=token,
        fresh=fresh,
        api_url=f"{context.services.public_url}/v1/payments",
    )


def operator_page(context: PageContext, operator: Operator, secret: Secret) -> web.Response:
    """The only page that has an operator's token."""
    return context.page("operator.html", operator=operator, secret=secret)
