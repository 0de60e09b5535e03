"""The context of one page request: viewer, side, language, and the sent form."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from proxy.api.auth import delivery_of_path, endpoint_of_path, payment_of_path
from proxy.console.audit_acts import ACTS
from proxy.console.jobs import COUNTING_SECONDS, Ended, Job, JobRedirect, Work
from proxy.console.language import (
    DECISIONS,
    DELIVERIES,
    ENDPOINTS,
    EVENTS,
    GIVEN_BACK_REASONS,
    MODES,
    OUTCOMES,
    RESENDS,
    REVIEW_REASONS,
    ROLES,
    STATUSES,
    STEPS,
    Pair,
    Words,
)
from proxy.console.persian_settings import SETTINGS
from proxy.console.services import ConsoleServices
from proxy.console.viewer import MerchantView, Side, Viewer, view_path
from proxy.gateways.registry import FAMILIES
from proxy.http.headers import PAGE_SECURITY_HEADERS, permissions_policy
from proxy.http.parsing import plain_number
from proxy.http.static_assets import ASSETS, FONT_NAME, Asset, environment
from proxy.kernel.frozen import dataclass
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

if TYPE_CHECKING:
    from jinja2 import Environment

_FONT_FACE: Final = (
    f'@font-face {{ font-family: Vazirmatn; src: url("{FONT_NAME}") format("woff2"); font-weight: 400 700; '
    "font-display: swap; }\n"
)
_STYLE: Final = _FONT_FACE.encode() + files("proxy.console").joinpath("templates/console.css").read_bytes()
_SCRIPT: Final = files("proxy.console").joinpath("templates/console.js").read_bytes()
STYLE_NAME: Final = f"console.{hashlib.sha256(_STYLE).hexdigest()[:12]}.css"
SCRIPT_NAME: Final = f"console.{hashlib.sha256(_SCRIPT).hexdigest()[:12]}.js"
FILES: Final[Mapping[str, Asset]] = {
    FONT_NAME: ASSETS[FONT_NAME],
    STYLE_NAME: Asset(_STYLE, "text/css; charset=utf-8"),
    SCRIPT_NAME: Asset(_SCRIPT, "text/javascript; charset=utf-8"),
    "icon.svg": Asset(files("proxy.console").joinpath("templates/icon.svg").read_bytes(), "image/svg+xml"),
}

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; font-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors "
)


def headers(embed_origin: str | None = None) -> dict[str, str]:
    """The headers of a page that only `embed_origin` may frame, or nobody.

    The referrer goes to our own pages: without it browsers hide a form's origin, which distinguishes our forms from
    others'.
    """
    return {
        **PAGE_SECURITY_HEADERS,
        "Content-Type": "text/html; charset=utf-8",
        "Permissions-Policy": permissions_policy("clipboard-write"),
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
def _environment() -> "Environment":
    pages = environment("proxy.console")
    pages.globals.update(
        style_name=STYLE_NAME,
        script_name=SCRIPT_NAME,
        STATUSES=STATUSES,
        DECISIONS=DECISIONS,
        DELIVERIES=DELIVERIES,
        ENDPOINTS=ENDPOINTS,
        OUTCOMES=OUTCOMES,
        RESENDS=RESENDS,
        MODES=MODES,
        EVENTS=EVENTS,
        ROLES=ROLES,
        REVIEW_REASONS=REVIEW_REASONS,
        GIVEN_BACK_REASONS=GIVEN_BACK_REASONS,
        STEPS=STEPS,
        ACTS=ACTS,
        SETTINGS=SETTINGS,
        FAMILIES=FAMILIES,
        credential_field=credential_field,
        view_path=view_path,
    )
    return pages


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

    @property
    def view(self) -> MerchantView | None:
        return self.viewer.view

    def url(self, path: str) -> str:
        return f"{self.side if self.view is None else self.view.base}{path}"

    def page(self, template: str, *, status: int = 200, refresh: int | None = None, **values: Any) -> web.Response:
        """The template with this context as `context`, its words as `w`; loaded again after `refresh` seconds."""
        origin = self.viewer.embed_origin
        return page(template, self.words, status=status, embed_origin=origin, context=self, refresh=refresh, **values)

    def go(self, path: str) -> web.Response:
        """303 to a page of this side."""
        return web.Response(status=303, headers={"Location": self.url(path)})

    async def work(self, persian: str, english: str, work: Work) -> web.Response:
        """The result of `work`, or the page of its progress."""
        return self._shown(await self.services.jobs.start(self.owner, (persian, english), work, self._merchant_id))

    async def count(self, persian: str, english: str, work: Work) -> web.Response:
        """The same of work that reads many payments, of which only some run at once. Raises TooManyLongReads."""

        async def counting(job: Job) -> Ended:
            with self.long_read():
                return await work(job)

        title, patience = (persian, english), COUNTING_SECONDS
        return self._shown(
            await self.services.jobs.start(self.owner, title, counting, self._merchant_id, patience_seconds=patience)
        )

    def long_read(self) -> AbstractContextManager[None]:
        """A place for reading many payments. Raises TooManyLongReads."""
        return self.services.long_reads.place(self._merchant_id)

    @property
    def _merchant_id(self) -> str:
        """Whose share of the places it is; empty for an operator."""
        return "" if self.token is None else self.token.merchant_id

    def _shown(self, job: Job) -> web.Response:
        return self.ended(job) if job.done.is_set() else self.go(f"/jobs/{job.id}")

    def ended(self, job: Job) -> web.Response:
        """The result of a finished job."""
        if job.error is not None:
            raise job.error
        ended: Ended | None = job.ended
        assert ended is not None, "a job ends with an error or a page"
        return self.go(ended.path) if isinstance(ended, JobRedirect) else self.page(ended.template, **ended.values)

    @property
    def looks(self) -> int:
        """How often this page has been looked at again by itself."""
        return plain_number(self.request.query.get("looks"), 2) or 0

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
        public_url=context.services.public_url,
        family=FAMILIES[token.protocol] if token is not None and Scope.FACADE in token.scopes else None,
    )


def operator_page(context: PageContext, operator: Operator, secret: Secret) -> web.Response:
    """The only page that has an operator's token."""
    return context.page("operator.html", operator=operator, secret=secret)
