"""What each kind of token gets of a payment of another shop, in each protocol of the drop-in but the script's."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import pytest
from support.dargah import API_KEY
from web.clients import facade_token
from web.lab import Lab

from proxy.merchants.merchant import ALL_SCOPES, Mode, Scope

CALLBACK: Final = "https://shop.example.ir/back"


class Caller(StrEnum):
    OWN = "the storefront's own token"
    BOUND = "one bound to the payment's terminal"
    TERMINAL = "one bound to another terminal"
    TEST = "a test token of the storefront"
    SHOP = "one of another storefront"
    STRANGER = "one of another merchant"
    REVOKED = "a revoked one"
    EXPIRED = "an expired one"
    OTHER = "one of the other protocol"
    SCRIPT = "one of the script's drop-in"
    API = "one of the API, with all scopes"
    NOBODY = "none"


SEES: Final = (Caller.OWN, Caller.BOUND)
UNKNOWN: Final = (Caller.TERMINAL, Caller.TEST, Caller.SHOP, Caller.STRANGER)


@dataclass(frozen=True)
class Protocol:
    """`operations` are the bodies by path, in which REFERENCE is the victim's; the codes are what each group gets."""

    name: str
    token: str
    operations: dict[str, dict[str, Any]]
    unknown: int
    refused: int
    other: str
    pages: tuple[str, ...] = field(default=())

    def code(self, said: dict[str, Any]) -> int:
        if self.name == "zibal":
            return int(said["result"])
        return int(said["data"]["code"] if said["data"] else said["errors"]["code"])


ZARINPAL: Final = Protocol(
    "zarinpal",
    "merchant_id",
    {
        "/pg/v4/payment/verify.json": {"authority": "REFERENCE", "amount": 150_000},
        "/pg/v4/payment/inquiry.json": {"authority": "REFERENCE"},
        "/pg/v4/payment/reverse.json": {"authority": "REFERENCE"},
        "/pg/v4/payment/unVerified.json": {},
        "/pg/v4/payment/request.json": {"amount": 150_000, "description": "order", "callback_url": CALLBACK},
    },
    -54,
    -10,
    "zibal",
    ("/pg/StartPay/A{link}",),
)
ZIBAL: Final = Protocol(
    "zibal",
    "merchant",
    {
        "/v1/verify": {"trackId": "REFERENCE"},
        "/v1/inquiry": {"trackId": "REFERENCE"},
        "/v1/request": {"amount": 150_000, "callbackUrl": CALLBACK},
    },
    203,
    102,
    "zarinpal",
    ("/start/{number}",),
)
OPERATIONS: Final = frozenset(
    [("POST", path) for each in (ZARINPAL, ZIBAL) for path in each.operations]
    + [("GET", page) for each in (ZARINPAL, ZIBAL) for page in each.pages]
    + [("POST", page) for page in ZARINPAL.pages]
)


async def tokens_of(lab: Lab, protocol: Protocol) -> dict[Caller, str]:
    setup = lab.dargah.services.setup
    second = await setup.add_terminal(lab.merchant_id, "second", lab.gateway_url, API_KEY, Mode.LIVE, actor="test")
    stranger, _ = await setup.create_merchant("a stranger", [CALLBACK.rpartition("/")[0]], actor="test")
    await setup.add_terminal(stranger.id, "main", lab.gateway_url, API_KEY, Mode.LIVE, actor="test")

    async def bound(terminal_id: str) -> str:
        made = await setup.issue_token(
            lab.merchant_id, scopes=[Scope.FACADE], terminal_id=terminal_id, protocol=protocol.name, actor="test"
        )
        return made[1]

    revoked, revoked_text = await setup.issue_token(lab.merchant_id, protocol=protocol.name, actor="test")
    await setup.revoke_token(lab.merchant_id, revoked.id, actor="test")
    over = lab.clock.now + 10
    _, expired = await setup.issue_token(lab.merchant_id, protocol=protocol.name, expires_at=over, actor="test")
    lab.clock.forward(10)
    return {
        Caller.OWN: await facade_token(lab, protocol=protocol.name),
        Caller.BOUND: await bound(lab.terminal_id),
        Caller.TERMINAL: await bound(second.id),
        Caller.TEST: await facade_token(lab, protocol=protocol.name, mode=Mode.TEST),
        Caller.SHOP: await facade_token(lab, protocol=protocol.name, storefront="another"),
        Caller.STRANGER: await facade_token(lab, protocol=protocol.name, merchant_id=stranger.id),
        Caller.REVOKED: revoked_text,
        Caller.EXPIRED: expired,
        Caller.OTHER: await facade_token(lab, protocol=protocol.other),
        Caller.SCRIPT: await facade_token(lab),
        Caller.API: await lab.issue(scopes=ALL_SCOPES),
        Caller.NOBODY: "",
    }


@pytest.mark.parametrize("protocol", [ZARINPAL, ZIBAL], ids=lambda each: each.name)
async def test_each_caller_gets_what_the_table_says(lab: Lab, protocol: Protocol) -> None:
    tokens = await tokens_of(lab, protocol)

    async def call(caller: Caller, path: str, fields: dict[str, Any], reference: Any) -> tuple[int, str]:
        body = {name: reference if value == "REFERENCE" else value for name, value in fields.items()}
        answer = await lab.call("POST", path, json=body | {protocol.token: tokens[caller]}, token="")
        return protocol.code(answer.json), answer.text

    ask, request = list(protocol.operations.items())[-1]
    made = (await lab.call("POST", ask, json=request | {protocol.token: tokens[Caller.BOUND]}, token="")).json
    reference = made["trackId"] if protocol is ZIBAL else made["data"]["authority"]
    payments = lab.dargah.services.store.payments
    payment = (
        await payments.payment_by_number(reference)
        if protocol is ZIBAL
        else await payments.payment_by_link(lab.merchant_id, reference[1:])
    )
    await lab.call("GET", await lab.act({"invoice_key": payment.invoice_key}, "pay"))
    about = [(path, fields) for path, fields in protocol.operations.items() if "REFERENCE" in fields.values()]
    before = lab.rows()
    for caller in tokens:
        if caller not in SEES:
            for path, fields in about:
                code, text = await call(caller, path, fields, reference)
                assert code == (protocol.unknown if caller in UNKNOWN else protocol.refused), (caller, path)
                assert str(reference) not in text
    # Nothing of another's call is noted: the first verify is still to come.
    assert lab.rows() == before
    for path, fields in protocol.operations.items():
        if "REFERENCE" not in fields.values():
            for caller in set(tokens) - set(SEES):
                code, text = await call(caller, path, fields, reference)
                assert (code == protocol.refused) is (caller not in UNKNOWN), (caller, path)
                assert str(reference) not in text
    codes = [(await call(caller, about[0][0], about[0][1], reference))[0] for caller in SEES]
    assert codes == ([100, 201] if protocol is ZIBAL else [100, 101])
