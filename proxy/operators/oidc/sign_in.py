"""The authorization code flow with PKCE (RFC 7636, RFC 9700): what a browser takes to the provider, and brings back.

Nothing is stored between the two. The browser holds one random secret in a cookie, and from it come the `state`, the
`nonce` and PKCE's verifier: an answer fits only the browser that began, and of the three only the verifier's hash and
two values that tell nothing of it are seen elsewhere.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import structlog

from proxy.kernel.clock import SECOND, Now
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import Ids
from proxy.kernel.urls import with_params
from proxy.operators.oidc.id_token import UnknownKey, verified_claims
from proxy.operators.oidc.provider import KEYS_LEAST_AGE, OidcClient, Provider
from proxy.operators.oidc.refusals import NoRole, Reason, SignInRefused
from proxy.operators.records import Role

log = structlog.get_logger()

SECRET_CHARS: Final = 43  # 256 bits
MAX_NAME_CHARS: Final = 64
_KNOWN_AS: Final = ("preferred_username", "email", "sub")
_PLAIN: Final = frozenset("._@+-")
_DENIED: Final = frozenset({"access_denied", "login_required", "interaction_required", "consent_required"})


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom the provider knows. `subject` is a digest of issuer and `sub`, which name them for good; `name` and
    `sub` stand in the audit log.
    """

    subject: str
    name: str
    role: Role
    sub: str


class SignIn:
    def __init__(self, client: OidcClient, provider: Provider, ids: Ids, now: Now) -> None:
        self._client = client
        self._provider = provider
        self._ids = ids
        self._now = now

    async def close(self) -> None:
        await self._provider.close()

    @property
    def issuer(self) -> str:
        return self._client.issuer

    @property
    def button(self) -> str | None:
        """The operator's text for the login's button."""
        return self._client.button

    async def check(self) -> None:
        """Raises ProviderUnavailable where nobody could sign in now."""
        await self._provider.discovery()
        await self._provider.keys()

    async def begin(self) -> tuple[str, str]:
        """The provider's URL for the browser, and the secret that the browser keeps. Raises ProviderUnavailable."""
        discovery, secret = await self._provider.discovery(), self._ids.random(SECRET_CHARS)
        challenge = _base64url(hashlib.sha256(_part(secret, "verifier").encode()).digest())
        query = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_uri,
            "scope": self._client.scopes,
            "state": _part(secret, "state"),
            "nonce": _part(secret, "nonce"),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return with_params(discovery.authorization_endpoint, query), secret

    async def finish(self, secret: str, answer: Mapping[str, str]) -> Person:
        """The person whom the answer's code stands for. Raises SignInRefused, NoRole and ProviderUnavailable."""
        try:
            return await self._finish(secret, answer)
        except SignInRefused as error:
            log.warning("sign_in_refused", reason=error.reason.value)
            raise

    async def _finish(self, secret: str, answer: Mapping[str, str]) -> Person:
        if not secret or not _same(answer.get("state", ""), _part(secret, "state")):
            raise SignInRefused(Reason.STATE)
        discovery = await self._provider.discovery()
        if answer.get("iss", None if discovery.names_issuer else self.issuer) != self.issuer:
            raise SignInRefused(Reason.ISSUER)
        code = answer.get("code", "")
        if not code:
            raise SignInRefused(Reason.DENIED if answer.get("error") in _DENIED else Reason.CODE)
        token = await self._provider.redeem(code, _part(secret, "verifier"))
        claims = await self._verified(token, _part(secret, "nonce"))
        role = self._role(claims)
        if role is None:
            raise NoRole
        return Person(
            _subject(self.issuer, claims["sub"]), f"oidc:{_plain(_known_as(claims))}", role, _plain(claims["sub"])
        )

    async def _verified(self, token: str, nonce: str) -> Mapping[str, Any]:
        expected: dict[str, Any] = {
            "issuer": self.issuer,
            "client_id": self._client.client_id,
            "nonce": nonce,
            "now_seconds": self._now() / SECOND,
        }
        try:
            return verified_claims(token, await self._provider.keys(), **expected)
        except UnknownKey:
            keys = await self._provider.keys(KEYS_LEAST_AGE)
        try:
            return verified_claims(token, keys, **expected)
        except UnknownKey:
            raise SignInRefused(Reason.TOKEN) from None

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest role of the person's groups. An address that the provider has not verified is none."""
        name = self._client.groups_claim
        if name == "email" and claims.get("email_verified") is not True:
            return None
        said = _claim(claims, name)
        groups = said if isinstance(said, list) else [said]
        roles = {self._client.roles.get(group) for group in groups if isinstance(group, str)} - {None}
        return next((role for role in reversed(Role) if role in roles), None)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by its path, such as `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _known_as(claims: Mapping[str, Any]) -> str:
    return next(text for key in _KNOWN_AS if isinstance(text := claims.get(key), str) and text)


def _plain(text: str) -> str:
    return "".join(char if char.isalnum() or char in _PLAIN else "_" for char in text[:MAX_NAME_CHARS])


def _subject(issuer: str, sub: str) -> str:
    # Of one form with the digest of a token, so that a replica of an older version finds nobody by it.
    return hashlib.sha256(f"{issuer}\0{sub}".encode(errors="surrogatepass")).hexdigest()


def _part(secret: str, name: str) -> str:
    return _base64url(hmac.digest(secret.encode(errors="surrogateescape"), name.encode(), hashlib.sha256))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _same(said: str, expected: str) -> bool:
    return hmac.compare_digest(said.encode(errors="surrogatepass"), expected.encode())
