"""The kinds of callers, and what a call may answer each of them: the words of the principals' tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from web.lab import Answer

from proxy.merchants.merchant import Scope
from proxy.operators.records import Role

EMPTY: Final = "200 with an empty list"
PAID: Final = "200 with status 1"


class Code(int):
    """The errorCode of a drop-in's answer, which is always a 200."""


Outcome = int | str


class Principal(StrEnum):
    """Who calls. The victim is the storefront `main` of a merchant, in live mode, at its first terminal."""

    OWN = "the storefront's own token"
    BOUND = "a token of the storefront that is bound to the payment's terminal"
    TERMINAL = "a token of the storefront that is bound to another terminal"
    TEST = "a test token of the storefront"
    SHOP = "a token of another storefront"
    STRANGER = "a token of another merchant"
    SCOPELESS = "a token of the storefront without the scope"
    NOBODY = "nobody"
    REVOKED = "a revoked token of the storefront"
    EXPIRED = "an expired token of the storefront"
    PORTAL = "a portal session of the storefront"
    READ = "an operator who reads"
    OPERATE = "an operator who operates"
    OWNER = "an operator who owns"


TOKENS: Final = (
    Principal.OWN,
    Principal.BOUND,
    Principal.TERMINAL,
    Principal.TEST,
    Principal.SHOP,
    Principal.STRANGER,
)
ROLES: Final[Mapping[Principal, Role]] = {
    Principal.READ: Role.READ,
    Principal.OPERATE: Role.OPERATE,
    Principal.OWNER: Role.OWNER,
}
OVER: Final = (Principal.REVOKED, Principal.EXPIRED)
OUTSIDERS: Final = (Principal.NOBODY, *OVER)


@dataclass(frozen=True)
class Records:
    """`ids` are all that a stranger may have come to know. The others are canaries: what no answer may show to who sees
    nothing of the storefront, to who sees its payments but no webhooks, and to nobody but an operator.
    """

    ids: Mapping[str, str]
    hidden: frozenset[str]
    webhooks: frozenset[str]
    owners: frozenset[str]

    def canaries(self, principal: Principal) -> frozenset[str]:
        match principal:
            case Principal.OWN:
                return self.owners
            case Principal.BOUND:
                return self.owners | self.webhooks
            case _:
                return self.owners | self.webhooks | self.hidden


@dataclass(frozen=True)
class Call:
    """One call of an operation, and what each token gets; `{…}` in its texts is filled from the ids.

    `operation` is as in openapi.yaml, `at` a path with ids in the places of its variables. `scope` None takes no token.
    """

    operation: str
    scope: Scope | None
    gets: Mapping[Principal, Outcome]
    at: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return self.operation.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.at or self.operation.partition(" ")[2]

    def outcome(self, principal: Principal) -> Outcome:
        """What this principal gets. Without a scope there is nothing to look at, and everybody gets the same."""
        if principal in self.gets:
            return self.gets[principal]
        if self.scope is None:
            return self.gets[Principal.OWN]
        if self.scope is Scope.FACADE:
            return Code(101)
        return 403 if principal is Principal.SCOPELESS else 401


def call(
    scope: Scope | None,
    operation: str,
    *gets: Outcome,
    at: str = "",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Call:
    """A row of the table: what the principals of TOKENS get, in their order; one outcome alone is everybody's."""
    outcomes = gets * len(TOKENS) if len(gets) == 1 else gets
    return Call(operation, scope, dict(zip(TOKENS, outcomes, strict=True)), at, body, headers or {})


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """`value` with every `{name}` in its texts filled in; a name that nobody knows is a KeyError."""
    match value:
        case str():
            return value.format_map(ids)
        case dict():
            return {name: filled(each, ids) for name, each in value.items()}
        case _:
            return value


def is_outcome(outcome: Outcome, answer: Answer) -> bool:
    match outcome:
        case Code():
            return answer.status == 200 and answer.json["errorCode"] == outcome
        case int():
            return answer.status == outcome
        case _:
            return answer.status == 200 and (
                answer.json["status"] == 1 if outcome == PAID else answer.json["data"] == []
            )
