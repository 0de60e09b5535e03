"""Troubles that the database tells of: every process at it sees the same ones."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import orjson

from proxy.database.repository import LIST_LIMIT, Repository
from proxy.database.transaction import Row, Transaction
from proxy.gateways.registry import FAMILIES
from proxy.kernel.urls import host_of
from proxy.merchants.merchant import Mode, Token
from proxy.operations.troubles.trouble import (
    COUNTED,
    DANGER_PARTS,
    ENDED_FOR,
    ENDS_WITHIN,
    FAILING_AFTER,
    IN_USE_FOR,
    LATE_AFTER,
    MISSED_FOR,
    NAMED,
    Trouble,
    TroubleKind,
)
from proxy.operators.second_factor import WRONG_CODES, WRONG_CODES_WITHIN
from proxy.payments.payment import GivenBackReason
from proxy.webhooks.endpoint import Endpoint, EndpointState

# How many stopped endpoints are looked at: those that were stopped last.
STOPPED: Final = 200
# Between two steps that count what waits at endpoints, others use the database.
_AT_ONCE: Final = 10
_LOST: Final = frozenset({GivenBackReason.TOO_LATE, GivenBackReason.REVERSED})
_STOPPED: Final = {
    EndpointState.DISABLED: TroubleKind.ENDPOINT_DISABLED,
    EndpointState.PAUSED: TroubleKind.ENDPOINT_PAUSED,
}


class _Stalled(NamedTuple):
    """An endpoint that gets nothing, and since when. Of an archived merchant only with live news waiting."""

    kind: TroubleKind
    merchant_id: str
    endpoint_id: str
    mode: str
    url: str
    since: int
    archived_at: int | None = None


class TroubleRepository(Repository):
    """Each reading goes by an index that has only what is in trouble, and is bounded."""

    async def troubles(self, now: int) -> list[Trouble]:
        """All of them, in no order."""
        return [
            *await self._stalled(now),
            *_reviews(await self._rows("open_reviews", (LIST_LIMIT,))),
            *_in_danger(await self._rows("confirming_payments", (LIST_LIMIT,)), now),
            *_missed(await self._rows("given_back_since", (now - MISSED_FOR, LIST_LIMIT))),
            *await self._late(now),
            *await self._ending(now),
            *await self._guessed(now),
        ]

    async def of_token(self, token: Token, endpoints: Sequence[Endpoint], now: int) -> list[Trouble]:
        """Open reviews of what the token sees, tests too where it is one, and what is wrong of these endpoints."""
        rows = await self._rows("open_reviews_of_merchant", (token.merchant_id, LIST_LIMIT))
        reviews = [(token.merchant_id, row[3]) for row in rows if token.sees(row[0], Mode(row[1]), row[2])]
        rows = await self._rows("failing_of_merchant", (token.merchant_id, now - FAILING_AFTER, LIST_LIMIT))
        failing: dict[str, int] = {row[0]: row[1] for row in rows}
        stalled = [
            _Stalled(kind, each.merchant_id, each.id, each.mode, each.url, failing.get(each.id, each.state_since))
            for each in endpoints
            if (kind := TroubleKind.ENDPOINT_FAILING if each.id in failing else _STOPPED.get(each.state)) is not None
        ]
        urgent = token.mode is Mode.LIVE
        return [*await self._told(stalled), *_together(TroubleKind.REVIEWS_WAITING, reviews, {}, urgent=urgent)]

    async def _stalled(self, now: int) -> list[Trouble]:
        """Endpoints that fail, and stopped ones for which something waits."""
        failing = await self._rows("failing_endpoints", (now - FAILING_AFTER, LIST_LIMIT))
        stopped = await self._rows("stopped_endpoints", (STOPPED,))
        return await self._told(
            [
                *(_Stalled(TroubleKind.ENDPOINT_FAILING, *row) for row in failing),
                *(_Stalled(_STOPPED[EndpointState(row[-1])], *row[:-1]) for row in stopped),
            ]
        )

    async def _told(self, stalled: Sequence[_Stalled]) -> list[Trouble]:
        found: list[Trouble] = []
        for kind in (TroubleKind.ENDPOINT_FAILING, *_STOPPED.values()):
            these = await self._named([each for each in stalled if each.kind is kind])
            found += [each for each in these if each.count > 0 or kind is TroubleKind.ENDPOINT_FAILING]
        return found

    async def _named(self, stalled: Sequence[_Stalled]) -> list[Trouble]:
        """The first NAMED, live ones first, each with how many events wait for it; and the others in one."""
        stalled = sorted(stalled, key=lambda each: each.mode != Mode.LIVE)
        named, others = stalled[:NAMED], stalled[NAMED:]
        found: list[Trouble] = []
        for place in range(0, len(named), _AT_ONCE):
            these = named[place : place + _AT_ONCE]
            counts = await self._read.do(partial(_waiting, these=these))
            told = [(each, count) for each, count in zip(these, counts, strict=True) if _matters(each, count)]
            found += [_endpoint(each, count) for each, count in told]
        return [*found, _others(others)] if others else found

    async def _late(self, now: int) -> list[Trouble]:
        found = []
        for query, kind in (
            ("next_check_at", TroubleKind.CHECKS_LATE),
            ("next_delivery_at", TroubleKind.DELIVERIES_LATE),
        ):
            row = await self._row(query)
            if row is not None and row[0] is not None and now - row[0] > LATE_AFTER:
                found.append(Trouble(kind, "", None, row[0], 1, urgent=True))
        return found

    async def _ending(self, now: int) -> list[Trouble]:
        span = (now - ENDED_FOR, now + ENDS_WITHIN, LIST_LIMIT)
        tokens = [
            Trouble(
                TroubleKind.TOKEN_ENDING, token_id, merchant_id, ends_at - ENDS_WITHIN, 1, urgent=False, facts=facts
            )
            for merchant_id, token_id, mode, ends_at, used_at in await self._rows("ending_tokens", span)
            if used_at is not None and now - used_at < IN_USE_FOR
            for facts in ({"mode": mode, "ends_at": ends_at},)
        ]
        return tokens[:NAMED]

    async def _guessed(self, now: int) -> list[Trouble]:
        """Second factors whose guesses are used up, while a token that they were made with may still be used."""
        rows = await self._rows("guessed_second_factors", (WRONG_CODES, now - WRONG_CODES_WITHIN, now, NAMED))
        return [
            Trouble(TroubleKind.SECOND_FACTOR_GUESSED, factor_id, None, since, 1, urgent=True, facts={"name": name})
            for factor_id, name, since in rows
        ]


async def _waiting(transaction: Transaction, these: Sequence[_Stalled]) -> list[int]:
    """How many events wait for each endpoint, up to COUNTED."""
    keys = [(each.merchant_id, each.endpoint_id, COUNTED) for each in these]
    return [(await transaction.rows("backlog", key))[0][0] for key in keys]


def _matters(stalled: _Stalled, waiting: int) -> bool:
    return stalled.archived_at is None or (stalled.mode == Mode.LIVE and waiting > 0)


def _endpoint(stalled: _Stalled, waiting: int) -> Trouble:
    live = stalled.mode == Mode.LIVE
    urgent = live and waiting > 0 and stalled.kind is not TroubleKind.ENDPOINT_PAUSED
    facts = {"mode": stalled.mode, "host": host_of(stalled.url)}
    return Trouble(stalled.kind, stalled.endpoint_id, stalled.merchant_id, stalled.since, waiting, urgent, facts)


def _others(stalled: Sequence[_Stalled]) -> Trouble:
    """Those that are not named: `count` is how many endpoints they are."""
    kind, since = stalled[0].kind, min(each.since for each in stalled)
    urgent = kind is not TroubleKind.ENDPOINT_PAUSED and any(each.mode == Mode.LIVE for each in stalled)
    return Trouble(kind, "", None, since, len(stalled), urgent, {"endpoints": len(stalled)})


def _reviews(rows: Sequence[Row]) -> list[Trouble]:
    live = [row for row in rows if row[1] == Mode.LIVE]
    return _together(TroubleKind.REVIEWS_WAITING, [(row[0], row[2]) for row in live], {})


def _in_danger(rows: Sequence[Row], now: int) -> list[Trouble]:
    """Of live payments, those of which a good part of the window has passed since the confirm was decided."""
    found, ends = [], []
    for merchant_id, mode, gateway, text in rows:
        window = FAMILIES[gateway].traits.gives_back_after if gateway in FAMILIES else None
        if mode != Mode.LIVE or text is None or window is None:
            continue
        at = _json(text)["at"]
        if now - at > window // DANGER_PARTS:
            found.append((merchant_id, at))
            ends.append(at + window)
    return _together(TroubleKind.CONFIRM_IN_DANGER, found, {"goes_back_at": min(ends, default=0)})


def _missed(rows: Sequence[Row]) -> list[Trouble]:
    live = [
        (merchant_id, updated_at)
        for merchant_id, mode, text, updated_at in rows
        if mode == Mode.LIVE and text is not None and _json(text)["reason"] in _LOST
    ]
    return _together(TroubleKind.CONFIRM_MISSED, live, {})


def _together(
    kind: TroubleKind, found: Sequence[tuple[str, int]], facts: Mapping[str, int | str], *, urgent: bool = True
) -> list[Trouble]:
    """One trouble of all payments, each a merchant and a time; of one merchant where they all are."""
    if not found:
        return []
    merchants = {merchant_id for merchant_id, _ in found}
    merchant_id = next(iter(merchants)) if len(merchants) == 1 else None
    facts = {**facts, "merchants": len(merchants)}
    return [Trouble(kind, "", merchant_id, min(at for _, at in found), len(found), urgent, facts)]


def _json(text: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = orjson.loads(text)
    return found
