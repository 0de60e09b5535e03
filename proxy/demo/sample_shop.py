"""The shop of `dargah up`: a merchant with a terminal at the simulator, a token and a webhook endpoint.

It is set up through the two APIs, as an operator and a shop's developer would. What is there already is used again:
what was shown once, by the settings' file; everything else, by its name.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Self

from aiohttp import ClientSession, ClientTimeout

from proxy.kernel.errors import StartRefused
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import merchant_of_api_token, token_kind
from proxy.kernel.urls import return_origin_of
from proxy.merchants.merchant import Mode

NAME: Final = "Sample shop"
NAME_FA: Final = "فروشگاه نمونه"
TERMINAL: Final = "simulator"
ENDPOINT: Final = "dargah up"
GATEWAY_KEY: Final = "dargah-up"
"""The api_key at the simulator. It opens nothing: the simulator has no money."""
LOCAL_ORIGINS: Final = ("http://127.0.0.1:3000", "http://localhost:3000")
"""Where customers may go back to: the usual place of a shop that is being built."""

_TIMEOUT: Final = ClientTimeout(total=30)
_FOUND: Final = 200
_UNAUTHORIZED: Final = 401
_MOST_PAGES: Final = 100


class ShopRefused(StartRefused):
    """The shop cannot be set up; the message is the API's."""


@dataclass(frozen=True, slots=True)
class SampleShop:
    """What the shop needs to know, in the variables that its clients read. `token` and both secrets are shown once."""

    token: str = ""
    webhook_secret: str = ""
    return_secret: str = ""

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "SampleShop":
        return cls(*(values.get(name, "") for name in _VARIABLES))

    @property
    def values(self) -> dict[str, str]:
        return dict(zip(_VARIABLES, (self.token, self.webhook_secret, self.return_secret), strict=True))


_VARIABLES: Final = ("DARGAH_TOKEN", "DARGAH_WEBHOOK_SECRET", "DARGAH_RETURN_SECRET")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the shop's parties are: Dargah's two APIs, the simulator, where the webhooks go, and whether that is a shop
    of its own, which customers go back to.
    """

    url: str
    admin_url: str
    gateway_url: str
    webhook_url: str
    own_shop: bool


class SampleShopSetup:
    """`async with`; then `complete` and `create_payment`."""

    def __init__(self, place: Place, admin_token: str) -> None:
        self._place = place
        self._admin = f"{place.admin_url}/admin/v1", admin_token
        self._session = ClientSession(timeout=_TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def complete(self, shop: SampleShop) -> SampleShop:
        """The shop with everything that it lacks, or that is over by now. Raises ShopRefused."""
        merchant_id = merchant_of_api_token(shop.token)
        endpoints = await self._endpoints_of(shop.token) if merchant_id else None
        mode = Mode(token_kind(shop.token) or Mode.LIVE) if merchant_id else Mode.LIVE
        if merchant_id is None or endpoints is None:
            merchant_id, return_secret = await self._merchant(merchant_id)
            token = (await self._call("POST", f"/merchants/{merchant_id}/tokens", {"mode": mode}))["token"]
            endpoints = await self._endpoints_of(token)
            shop = replace(shop, token=token, return_secret=return_secret or shop.return_secret)
        if self._place.own_shop:
            await self._allow_origin(merchant_id, return_origin_of(self._place.webhook_url))
        await self._terminal(merchant_id, mode)
        if not shop.return_secret:
            made = await self._call("POST", f"/merchants/{merchant_id}/rotate-return-secret", {"mode": mode})
            shop = replace(shop, return_secret=made["return_secret"])
        return replace(shop, webhook_secret=await self._endpoint(shop, endpoints or []))

    async def create_payment(self, shop: SampleShop, order: Mapping[str, Any]) -> dict[str, Any]:
        """A payment, as the API shows it. Raises ShopRefused."""
        return await self._call("POST", "/payments", order, self._shop(shop.token))

    async def _merchant(self, known: str | None) -> tuple[str, str | None]:
        """The merchant that is known, else the one of this name, else a new one and the secret of its customers' way
        back.
        """
        if known and (await self._ask("GET", f"/merchants/{known}", None, self._admin))[0] == _FOUND:
            return known, None
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._call("GET", "/merchants?limit=100" + (f"&cursor={cursor}" if cursor else ""))
            for merchant in page["data"]:
                if merchant["name"] == NAME:
                    return merchant["id"], None
            cursor = page["next_cursor"]
            if cursor is None:
                break
        new = {"name": NAME, "name_fa": NAME_FA, "return_origins": list(LOCAL_ORIGINS)}
        made = await self._call("POST", "/merchants", new)
        return made["id"], made["return_secret"]

    async def _allow_origin(self, merchant_id: str, origin: str) -> None:
        origins = (await self._call("GET", f"/merchants/{merchant_id}"))["return_origins"]
        if origin not in origins:
            await self._call("PATCH", f"/merchants/{merchant_id}", {"return_origins": [*origins, origin]})

    async def _terminal(self, merchant_id: str, mode: Mode) -> None:
        path = f"/merchants/{merchant_id}/terminals"
        there = {"gateway_url": self._place.gateway_url, "enabled": True}
        for terminal in (await self._call("GET", path))["data"]:
            if (terminal["name"], terminal["mode"]) == (TERMINAL, mode):
                if any(terminal[name] != value for name, value in there.items()):
                    await self._call("PATCH", f"{path}/{terminal['id']}", {**there, "api_key": GATEWAY_KEY})
                return
        new = {"name": TERMINAL, "mode": mode, "gateway_url": there["gateway_url"], "api_key": GATEWAY_KEY}
        await self._call("POST", path, new)

    async def _endpoints_of(self, token: str) -> list[dict[str, Any]] | None:
        """Those that the token sees; None where the token is over or none of this Dargah's."""
        status, answer = await self._ask("GET", "/webhook-endpoints", None, self._shop(token))
        if status == _UNAUTHORIZED:
            return None
        found: list[dict[str, Any]] = _read(status, answer)["data"]
        return found

    async def _endpoint(self, shop: SampleShop, endpoints: list[dict[str, Any]]) -> str:
        """The secret of the endpoint of this description, which is made, moved and resumed where that is needed."""
        side, url = self._shop(shop.token), self._place.webhook_url
        mine = next((each for each in endpoints if each["description"] == ENDPOINT), None)
        if mine is None:
            made = await self._call("POST", "/webhook-endpoints", {"url": url, "description": ENDPOINT}, side)
            return str(made["secret"])
        path = f"/webhook-endpoints/{mine['id']}"
        if (mine["url"], mine["state"]) != (url, "enabled"):
            await self._call("PATCH", path, {"url": url, "paused": False}, side)
        if shop.webhook_secret:
            return shop.webhook_secret
        return str((await self._call("POST", f"{path}/rotate-secret", {"overlap_seconds": 0}, side))["secret"])

    def _shop(self, token: str) -> tuple[str, str]:
        return f"{self._place.url}/v1", token

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, side: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        return _read(*await self._ask(method, path, body, side or self._admin))

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, side: tuple[str, str]
    ) -> tuple[int, dict[str, Any]]:
        base, token = side
        headers = {"Authorization": f"Bearer {token}"}
        if body is not None and "order_id" in body:
            headers["Idempotency-Key"] = str(body["order_id"])
        async with self._session.request(method, base + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)


def _read(status: int, answer: dict[str, Any]) -> dict[str, Any]:
    if status < 300:  # noqa: PLR2004  the HTTP class
        return answer
    errors = "; ".join(f"{each['field']}: {each['detail']}" for each in answer.get("errors", ()))
    raise ShopRefused(f"the sample shop cannot be set up: {errors or answer['detail']}")
