"""A lab for each test, and for each module a house: a running Dargah with a victim whose records all hold canaries, and
every kind of caller around it. Hundreds of calls are asked of a house, and none may change what it holds.
"""

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest_asyncio
from databases.places import database_in
from store.records import new_audit
from support.dargah import UNLIMITED
from web.clients import OPERATOR_TOKEN, portal
from web.conftest import lab, more_settings
from web.lab import API_KEY, ORIGIN, Answer, Lab, lab_in, link_of

from proxy.kernel.clock import rfc3339
from proxy.kernel.ids import EVENT, Ids
from proxy.merchants.merchant import ALL_SCOPES, Mode, Scope, Token
from proxy.stores.store import Store
from proxy.webhooks.endpoint import Endpoint, endpoint_data
from proxy.webhooks.event import Event
from proxy.webhooks.resend import ResendActor, ResendChoice, ResendFilter, ResendRequest
from security.principals import ROLES, Call, Principal, Records, filled

__all__ = ["house", "lab", "more_settings"]

CANARIES: Final = {
    "order_id": "canary-order-b1",
    "description": "canary-description-b2",
    "metadata": "canary-metadata-b3",
    "hook": "canary-hook-b4",
    "owners_hook": "canary-owners-hook-b5",
}
# The ids that nobody is shown who sees nothing of the storefront; nor its webhooks; nor what is the operator's.
HIDDEN: Final = (
    "payment_id", "event_id", "order_id", "invoice_key", "bank_code", "link", "drop_in_link", "idempotency_key"
)  # fmt: skip
WEBHOOKS: Final = ("endpoint_id", "delivery_id", "disabled_event_id")
OWNERS: Final = ("owners_endpoint_id", "owners_delivery_id", "owners_event_id")
# What a call that does nothing may still move on: numbers, the time of a token's last use, and who is logged in.
COUNTERS: Final = frozenset({"heartbeat", "event_sequences", "audit_heads", "sessions"})


@dataclass
class House:
    lab: Lab
    tokens: dict[Principal, str] = field(default_factory=dict)
    scopeless: dict[Scope, str] = field(default_factory=dict)
    terminals: dict[Principal, str] = field(default_factory=dict)
    operators: dict[Principal, str] = field(default_factory=dict)
    owners: Endpoint | None = None
    victim: Records | None = None
    _cookie: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def is_file(self) -> bool:
        """Whether the database is SQLite's."""
        return isinstance(database_in(self.lab.folder), Path)

    @property
    def _store(self) -> Store:
        return self.lab.dargah.services.store

    def token(self, principal: Principal, scope: Scope | None = None) -> str:
        """What stands in the caller's Authorization; empty where it has none."""
        if principal is Principal.SCOPELESS:
            return self.scopeless[scope or Scope.FACADE]
        return self.tokens.get(principal) or self.operators.get(principal, "")

    async def act(self, principal: Principal, method: str, path: str, body: Any) -> Answer:
        """The answer of the operator's listener."""
        token = self.operators.get(principal) or self.tokens.get(principal, "")
        cookie = await self.portal_cookie() if principal is Principal.PORTAL else ""
        headers = {"Cookie": cookie} if cookie else {}
        return await self.lab.call(method, self.lab.dargah.admin_url + path, json=body, token=token, headers=headers)

    async def acted_on(self) -> Records:
        """Records with a token and an operator beside them, for an operator to do everything with."""
        records, name = await self.records(), f"operator-{next(self._numbers)}"
        token, _ = await self.lab.dargah.services.setup.issue_token(
            self.lab.merchant_id, terminal_id=self.lab.terminal_id, actor="test"
        )
        operator_id, _ = await hire(self.lab, name, "read")
        more = {"token_id": token.id, "operator_id": operator_id, "fresh_name": f"{name}-new"}
        return replace(records, ids={**records.ids, **more})

    async def ask(self, principal: Principal, one: Call, records: Records, method: str = "") -> Answer:
        """The answer of the public listener to a call of this principal's."""
        token = self.token(principal, one.scope)
        own = {
            "token": token or "none",
            "my_terminal_id": self.terminals.get(principal, self.lab.terminal_id),
            "fresh_key": f"fresh-{next(self._numbers)}",
        }
        headers = filled(dict(one.headers), {**records.ids, **own})
        if principal is Principal.PORTAL:
            headers["Cookie"] = await self.portal_cookie()
        path, body = (filled(each, {**records.ids, **own}) for each in (one.path, one.body))
        return await self.lab.call(method or one.method, path, json=body, headers=headers, token=token)

    async def portal_cookie(self) -> str:
        if not self._cookie:
            browser = await portal(self.lab, self.tokens[Principal.OWN])
            self._cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        return self._cookie

    def rows(self) -> Counter[tuple[str, str]]:
        """Every row of every table but COUNTERS, without a token's last use."""
        found = Counter[tuple[str, str]]()
        for name, rows in self.lab.rows().items():
            for row in rows if name not in COUNTERS else ():
                found[name, repr(row)] += 1
        return found

    async def records(self) -> Records:
        """Payments of a storefront, made in both ways, an endpoint that holds what is sent to it, and their events."""
        assert self.owners is not None
        number, hook = next(self._numbers), await self._hook()
        key = f"canary-key-{number}"
        payment = await self._paid(number, key)
        ids = {
            **{name: payment[name] for name in ("order_id", "invoice_key", "bank_code", "terminal_id")},
            "payment_id": payment["id"],
            "place": payment["id"][-18:],
            "amount": str(payment["amount_rials"]),
            "link": link_of(payment),
            "drop_in_link": await self._paid_by_drop_in(),
            "idempotency_key": key,
            "endpoint_id": hook["id"],
            "owners_endpoint_id": self.owners.id,
            "disabled_event_id": await self._disabled(
                await self._store.webhooks.endpoint(self.lab.merchant_id, hook["id"])
            ),
            "owners_event_id": await self._disabled(self.owners),
            "merchant_id": self.lab.merchant_id,
            "origin": ORIGIN,
            "job_id": "0" * 32,
            "resend_id": await self._resent(),
        }
        ids |= await self._looked_up(ids)
        return Records(
            ids,
            hidden=frozenset({*CANARIES.values(), self.tokens[Principal.OWN], *(ids[name] for name in HIDDEN)}),
            webhooks=frozenset({CANARIES["hook"], hook["secret"], *(ids[name] for name in WEBHOOKS)}),
            owners=frozenset({CANARIES["owners_hook"], *(ids[name] for name in OWNERS)}),
        )

    async def _hook(self) -> Any:
        """A paused endpoint of the storefront's, with its secret."""
        body = {"url": f"http://127.0.0.1:9/{CANARIES['hook']}", "storefront": "main", "description": CANARIES["hook"]}
        own = self.tokens[Principal.OWN]
        hook = (await self.lab.call("POST", "/v1/webhook-endpoints", json=body, token=own)).json
        await self.lab.call("PATCH", f"/v1/webhook-endpoints/{hook['id']}", json={"paused": True}, token=own)
        return hook

    async def _resent(self) -> str:
        """An operator's, which had nothing to send."""
        nothing = ResendChoice(ResendFilter(0, 1), (), ())
        made, _ = await self.lab.dargah.services.resends.begin(ResendRequest(nothing, ResendActor("root")))
        return made.id

    async def _looked_up(self, ids: Mapping[str, str]) -> dict[str, str]:
        """The event and the deliveries of the payment, and where the lists go on."""
        events = await self._list(f"/v1/events?payment_id={ids['payment_id']}")
        event_id = events["data"][0]["id"]
        page = await self._list(f"/v1/webhook-endpoints/{ids['endpoint_id']}/deliveries?limit=1")
        deliveries = await self._store.webhooks.list_deliveries(self.lab.merchant_id, event_id)
        of_endpoint = {delivery.endpoint_id: delivery.id for delivery in deliveries}
        return {
            "event_id": event_id,
            "delivery_id": of_endpoint[ids["endpoint_id"]],
            "owners_delivery_id": of_endpoint[ids["owners_endpoint_id"]],
            "deliveries_cursor": page["next_cursor"],
            "payments_cursor": (await self._list("/v1/payments?limit=1"))["next_cursor"],
            "events_cursor": (await self._list("/v1/events?limit=1"))["next_cursor"],
        }

    async def _paid(self, number: int, key: str) -> dict[str, Any]:
        own, terminal_id = self.tokens[Principal.OWN], self.lab.terminal_id
        made = await self.lab.created(
            token=own,
            key=key,
            amount=16_000 + number,
            terminal_id=terminal_id,
            order_id=f"{CANARIES['order_id']}-{number}",
            description=CANARIES["description"],
            metadata={"note": CANARIES["metadata"]},
        )
        await self.lab.call("GET", await self.lab.act(made, "pay"))
        paid: dict[str, Any] = (await self.lab.call("GET", f"/v1/payments/{made['id']}", token=own)).json
        assert paid["status"] == "paid"
        return paid

    async def _paid_by_drop_in(self) -> str:
        body = {"api_key": self.tokens[Principal.BOUND], "amount": 150_000, "return_url": f"{ORIGIN}/back"}
        made = (await self.lab.call("POST", "/invoice/request", json=body)).json
        link: str = made["invoice_key"]
        payment = await self._store.payments.payment_by_link(self.lab.merchant_id, link)
        await self.lab.call("GET", await self.lab.act({"invoice_key": payment.invoice_key}, "pay"))
        return link

    async def _list(self, path: str) -> Any:
        return (await self.lab.call("GET", path, token=self.tokens[Principal.OWN])).json

    async def _disabled(self, endpoint: Endpoint) -> str:
        """The event of an endpoint's end, as the delivery engine writes it."""
        ids, now = Ids(self.lab.dargah.services.random_bytes), self.lab.clock.now
        event_id = ids.record(EVENT, endpoint.merchant_id, now)
        event = Event(
            id=event_id,
            merchant_id=endpoint.merchant_id,
            storefront=endpoint.storefront,
            mode=endpoint.mode,
            type="endpoint.disabled",
            payment_id=None,
            occurred_at=now,
            data=endpoint_data(endpoint) | {"state": "disabled", "state_reason": "gone"},
        )
        await self._store.webhooks.add_event(event)
        return event_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(folder_of_module: Path) -> AsyncIterator[House]:
    """The limits of calls are off: whoever tries everything would soon be told to wait."""
    async with lab_in(folder_of_module, **UNLIMITED) as lab:
        house = House(lab)
        await _issue(house)
        await _employ(house)
        endpoints = lab.dargah.services.endpoints
        url = f"http://127.0.0.1:9/{CANARIES['owners_hook']}"
        endpoint, _ = await endpoints.add_endpoint(lab.merchant_id, url, actor="test")
        house.owners = await endpoints.change_endpoint(lab.merchant_id, endpoint.id, paused=True, actor="test")
        house.victim = await house.records()
        yield house


async def _issue(house: House) -> None:
    lab = house.lab
    setup = lab.dargah.services.setup
    second = await setup.add_terminal(lab.merchant_id, "second", lab.gateway_url, API_KEY, Mode.LIVE, actor="test")
    stranger, _ = await setup.create_merchant("a stranger", [], actor="test")
    theirs = await setup.add_terminal(stranger.id, "main", lab.gateway_url, API_KEY, Mode.LIVE, actor="test")
    house.terminals = {
        Principal.TERMINAL: second.id,
        Principal.TEST: lab.test_terminal_id,
        Principal.STRANGER: theirs.id,
    }
    revoked, revoked_text = await setup.issue_token(lab.merchant_id, scopes=ALL_SCOPES, actor="test")
    await setup.revoke_token(lab.merchant_id, revoked.id, actor="test")
    over = lab.clock.now + 10
    _, expired_text = await setup.issue_token(lab.merchant_id, scopes=ALL_SCOPES, expires_at=over, actor="test")
    lab.clock.forward(10)
    house.tokens = {
        Principal.OWN: await lab.issue(scopes=ALL_SCOPES),
        Principal.BOUND: await _bound(lab, lab.terminal_id),
        Principal.TERMINAL: await _bound(lab, second.id),
        Principal.TEST: await lab.issue(mode=Mode.TEST, scopes=ALL_SCOPES),
        Principal.SHOP: await lab.issue("another", scopes=ALL_SCOPES),
        Principal.STRANGER: await lab.issue("stranger", scopes=ALL_SCOPES, merchant_id=stranger.id),
        Principal.REVOKED: revoked_text,
        Principal.EXPIRED: expired_text,
    }
    house.scopeless = {scope: await lab.issue(scopes=ALL_SCOPES - {scope}) for scope in Scope}


async def _bound(lab: Lab, terminal_id: str) -> str:
    """A token of one terminal that has every scope, as tokens may have from before `webhooks` was refused to them."""
    token, text = await lab.dargah.services.setup.issue_token(
        lab.merchant_id, scopes=ALL_SCOPES - {Scope.WEBHOOKS}, terminal_id=terminal_id, actor="test"
    )
    old: Token = replace(token, scopes=ALL_SCOPES)
    await lab.dargah.services.store.merchants.save_token(old, new_audit(lab.merchant_id, lab.clock.now, "token.scopes"))
    return text


async def _employ(house: House) -> None:
    lab = house.lab
    for principal, role in ROLES.items():
        _, house.operators[principal] = await hire(lab, role.value, role.value)
    revoked, house.operators[Principal.REVOKED] = await hire(lab, "revoked", "owner")
    path = f"{lab.dargah.admin_url}/admin/v1/operators"
    await lab.call("DELETE", f"{path}/{revoked}", token=house.operators[Principal.OWNER])
    over = rfc3339(lab.clock.now + 10)
    _, house.operators[Principal.EXPIRED] = await hire(lab, "expired", "owner", expires_at=over)
    lab.clock.forward(10)


async def hire(lab: Lab, name: str, role: str, **more: str) -> tuple[str, str]:
    """A new operator's id and token."""
    path, body = f"{lab.dargah.admin_url}/admin/v1/operators", {"name": name, "role": role, **more}
    made = (await lab.call("POST", path, json=body, token=OPERATOR_TOKEN)).json
    return made["id"], made["token"]
