"""The provider over HTTP: its discovery document, its keys, and the exchange of a code for an ID token.

Each call has a deadline and a limit of bytes. What was fetched is kept for a while, fetched once for all who wait, and
a failure is told to all for a moment, so that no crowd at the login is a crowd at the provider.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, quote_plus

import aiohttp
import orjson
from joserfc.jwk import KeySet

from proxy.http.outbound.connector import DIAL, ClientOptions, Dial, Outbound
from proxy.http.outbound.exchange import RAISED
from proxy.http.outbound.failures import failure_name
from proxy.kernel.clock import MINUTE, SECOND, Now
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import origin_of
from proxy.operators.oidc.id_token import signing_keys
from proxy.operators.oidc.refusals import ProviderUnavailable, Reason, SignInRefused
from proxy.operators.records import Role

CALL_SECONDS: Final = 5.0
MAX_BYTES: Final = 256 * 1024
MAX_EXCHANGES: Final = 32
DISCOVERY_AGE: Final = 10 * MINUTE
KEYS_AGE: Final = MINUTE
"""How long a key that the provider took out is still believed, at most."""
KEYS_LEAST_AGE: Final = 5 * SECOND
"""Between two fetches for the sake of a key that is not known."""
FAILURE_AGE: Final = 2 * SECOND
WELL_KNOWN: Final = "/.well-known/openid-configuration"
_OK: Final = 200
_REFUSED: Final = frozenset({400, 401})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OidcClient:
    """What the settings say: who we are at which provider, and the roles of its groups."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    redirect_uri: str
    scopes: str
    groups_claim: str
    roles: Mapping[str, Role]
    button: str | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """The discovery document, as far as a sign-in needs it. `names_issuer`: its answers say `iss` (RFC 9207)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_issuer: bool
    posts_secret: bool


class Provider:
    """Made inside the running loop; `close` it when nothing is under way any more."""

    def __init__(self, client: OidcClient, options: ClientOptions) -> None:
        self._client = client
        self._outbound = Outbound(options, {"Accept": "application/json"})
        self._discovery = _Kept(self._discover, options.now)
        self._keys = _Kept(self._fetch_keys, options.now)
        self._exchanges = 0

    async def close(self) -> None:
        await self._outbound.close()

    async def discovery(self) -> Discovery:
        """Raises ProviderUnavailable."""
        return await self._discovery.get(DISCOVERY_AGE)

    async def keys(self, max_age: int = KEYS_AGE) -> KeySet:
        """Raises ProviderUnavailable."""
        return await self._keys.get(max_age)

    async def redeem(self, code: str, verifier: str) -> str:
        """The ID token for a code. Raises SignInRefused where the provider does not take the code, and
        ProviderUnavailable.
        """
        discovery = await self.discovery()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect_uri,
            "code_verifier": verifier,
        }
        if self._exchanges >= MAX_EXCHANGES:
            raise ProviderUnavailable("busy")
        self._exchanges += 1
        try:
            status, document = await self._call("POST", discovery.token_endpoint, *self._authenticated(form, discovery))
        finally:
            self._exchanges -= 1
        if status in _REFUSED:
            raise _refusal(document.get("error"))
        token = document.get("id_token")
        if status != _OK or not isinstance(token, str):
            raise ProviderUnavailable("token_endpoint")
        return token

    def _authenticated(self, form: dict[str, str], discovery: Discovery) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """The form and the headers that say who we are (RFC 6749, 2.3.1)."""
        name, secret = self._client.client_id, self._client.client_secret
        if secret is None:
            return form | {"client_id": name}, {}
        if discovery.posts_secret:
            return form | {"client_id": name, "client_secret": secret}, {}
        pair = f"{quote_plus(name)}:{quote_plus(secret)}".encode()
        return form, {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    async def _discover(self) -> Discovery:
        issuer = self._client.issuer
        status, document = await self._call("GET", issuer.rstrip("/") + WELL_KNOWN)
        if status != _OK:
            raise ProviderUnavailable(f"http_{status}", _no_issuer(issuer))
        named = document.get("issuer")
        if named != issuer:
            raise ProviderUnavailable("other_issuer", _other_issuer(named))
        authorization, token, keys = (
            _endpoint(document, name, issuer) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        )
        methods = document.get("token_endpoint_auth_methods_supported")
        basic = not isinstance(methods, list) or "client_secret_basic" in methods
        names_issuer = document.get("authorization_response_iss_parameter_supported") is True
        return Discovery(authorization, token, keys, names_issuer, not basic)

    async def _fetch_keys(self) -> KeySet:
        discovery = await self.discovery()
        status, document = await self._call("GET", discovery.jwks_uri)
        try:
            if status == _OK:
                return signing_keys(document)
        except ValueError:
            pass
        raise ProviderUnavailable("keys")

    async def _call(
        self, method: str, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """The status and the JSON object of an answer, an empty one where it has none. Raises ProviderUnavailable."""
        dial = Dial()
        DIAL.set(dial)
        try:
            async with (
                asyncio.timeout(CALL_SECONDS),
                self._outbound.session.request(
                    method, url, data=form, headers=headers, allow_redirects=False
                ) as answer,
            ):
                return answer.status, _object(await _bounded(answer.content))
        except RAISED as error:
            name = failure_name(error, dial)
            raise ProviderUnavailable(name, _unreachable(self._client.issuer)) from None


class _Kept(Generic[T]):
    """A value that is fetched when it is older than somebody wants it, once for all who wait."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], now: Now) -> None:
        self._fetch = fetch
        self._now = now
        self._turn = asyncio.Lock()
        self._value: tuple[int, T] | None = None
        self._failure: tuple[int, ProviderUnavailable] | None = None

    async def get(self, max_age: int) -> T:
        async with self._turn:
            if self._value is not None and 0 <= self._now() - self._value[0] < max_age:
                return self._value[1]
            if self._failure is not None and 0 <= self._now() - self._failure[0] < FAILURE_AGE:
                raise ProviderUnavailable(self._failure[1].why, self._failure[1].advice)
            try:
                found = await self._fetch()
            except ProviderUnavailable as error:
                self._failure = (self._now(), error)
                raise
            self._value = (self._now(), found)
            return found


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    while chunk := await content.readany():
        body += chunk
        if len(body) > MAX_BYTES:
            raise aiohttp.ClientPayloadError
    return bytes(body)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _endpoint(document: Mapping[str, Any], name: str, issuer: str) -> str:
    """A URL of the document, https where the issuer is. Raises ProviderUnavailable."""
    url = document.get(name)
    try:
        origin_of(url if isinstance(url, str) else "")
    except ValueError:
        url = ""
    if not isinstance(url, str) or not url.startswith("https://" if issuer.startswith("https://") else "http"):
        raise ProviderUnavailable("bad_document", _no_issuer(issuer))
    return url


def _refusal(error: object) -> SignInRefused | ProviderUnavailable:
    if error == "invalid_grant":
        return SignInRefused(Reason.CODE)
    advice = (
        "The provider does not know this client: see DARGAH_OIDC_CLIENT_ID and DARGAH_OIDC_CLIENT_SECRET.",
        "سامانهٔ ورود این کارخواه را نمی‌شناسد: DARGAH_OIDC_CLIENT_ID و DARGAH_OIDC_CLIENT_SECRET را ببینید.",
    )
    return ProviderUnavailable("client_refused" if error == "invalid_client" else "token_endpoint", advice)


def _no_issuer(issuer: str) -> tuple[str, str]:
    where = quote(issuer.rstrip("/") + WELL_KNOWN, safe="/:.-_~%[]")
    return (
        f"{where} is no discovery document: see DARGAH_OIDC_ISSUER.",
        f"{where} سند OpenID نیست: DARGAH_OIDC_ISSUER را ببینید.",
    )


def _other_issuer(named: object) -> tuple[str, str]:
    shown = quote(named, safe="/:.-_~%[]?=&")[:200] if isinstance(named, str) else "nothing"
    return (
        f"The provider calls itself {shown}: write DARGAH_OIDC_ISSUER exactly so.",
        f"سامانهٔ ورود خود را {shown} می‌نامد: DARGAH_OIDC_ISSUER را درست همین بنویسید.",
    )


def _unreachable(issuer: str) -> tuple[str, str]:
    return (
        f"{issuer} cannot be reached from here: see DARGAH_OIDC_ISSUER, DARGAH_OIDC_CA_FILE and the way out.",
        f"{issuer} از اینجا در دسترس نیست: DARGAH_OIDC_ISSUER، DARGAH_OIDC_CA_FILE و راه بیرون را ببینید.",
    )
