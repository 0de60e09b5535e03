"""Alerts in the store: what people were told of, the messages on their way, and which process tells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson

from proxy.database.repository import Repository, json_text
from proxy.database.transaction import Row, Transaction
from proxy.kernel.frozen import dataclass
from proxy.operations.alerts.rules import AlertDecision, Item, Key, News, Standing, Told
from proxy.operations.troubles import Trouble, TroubleKind

KEPT: Final = 200
"""Messages that are kept, with where they went."""
_NAME: Final = "alerts"  # the one turn, and the lane of whoever writes here


@dataclass(frozen=True, slots=True)
class AlertMessage:
    number: int
    at: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class AlertClaim:
    """A delivery that is being made, until `due_at` at the latest. `attempts` counts this one too."""

    target: str
    message: AlertMessage
    attempts: int
    due_at: int


@dataclass(frozen=True, slots=True)
class AlertDelivery:
    """Where a message went: sent, to be tried again at `due_at`, or given up for the last `failure`."""

    target: str
    attempts: int
    due_at: int | None
    sent_at: int | None
    failure: str | None


@dataclass(frozen=True, slots=True)
class FailingTarget:
    target: str
    since: int
    failure: str


class AlertRepository(Repository):
    async def take_turn(self, holder: str, now: int, until: int) -> bool:
        """Whether `holder` is the one that tells; its turn lasts until `until` then."""
        row = await self._row("alert_turn", (_NAME,))
        half = (now + until) // 2
        if row is not None and now < row[1] <= until and (row[0] != holder or row[1] > half):
            return bool(row[0] == holder)
        return bool(await self._write.do(lambda step: step.run("take_alert_turn", (_NAME, holder, now, until)), _NAME))

    async def told(self) -> Told:
        return await self._read.do(_told)

    async def tell(
        self,
        holder: str,
        at: int,
        decide: Callable[[Told], AlertDecision],
        targets: Callable[[Sequence[Item]], list[str]],
    ) -> AlertDecision | None:
        """Stores what `decide` makes of what was told, with a message to `targets` of its items, due at `at`. None when
        somebody else has the turn by now.
        """
        return await self._write.do(partial(_tell, holder=holder, at=at, decide=decide, targets=targets), _NAME)

    async def claim(self, target: str, now: int, until: int, latest: int) -> AlertClaim | None:
        """The oldest message that waits for `target`, if it is due, or after `latest`, as a clock that was ahead left
        it; nobody else gets it before `until`.
        """
        return await self._write.do(partial(_claim, target=target, now=now, until=until, latest=latest), _NAME)

    async def waits(self, target: str) -> bool:
        return await self._row("waiting_alert", (target,)) is not None

    async def sent(self, claim: AlertClaim, now: int) -> None:
        await self._write.do(partial(_end, claim=claim, due_at=None, sent_at=now, failure=None, now=now), _NAME)

    async def failed(self, claim: AlertClaim, failure: str, due_at: int | None, now: int) -> None:
        """It is tried again at `due_at`; None gives it up."""
        await self._write.do(partial(_end, claim=claim, due_at=due_at, sent_at=None, failure=failure, now=now), _NAME)

    async def answers(self, target: str, now: int) -> None:
        """The target took a test: it fails no more, and what waits for it is due."""

        async def step(transaction: Transaction) -> None:
            await transaction.run("end_alert_failure", (target,))
            await transaction.run("hurry_alert_deliveries", (target, now))

        await self._write.do(step, _NAME)

    async def failing(self) -> list[FailingTarget]:
        return [FailingTarget(*row) for row in await self._rows("alert_failures", ("",))]

    async def recent(self, limit: int) -> list[tuple[AlertMessage, list[AlertDelivery]]]:
        """The newest messages, each with where it went."""
        messages = [_message(row) for row in await self._rows("recent_alerts", (0, limit))]
        if not messages:
            return []
        rows = await self._rows("recent_alert_deliveries", (messages[-1].number,))
        return [(each, [AlertDelivery(*row[1:]) for row in rows if row[0] == each.number]) for each in messages]


async def _told(transaction: Transaction) -> Told:
    turn = await transaction.row("alert_turn", (_NAME,))
    rows = await transaction.rows("alert_standings", ("",))
    standings = {each.trouble.key: each for each in map(_standing, rows) if each is not None}
    return Told(standings, None if turn is None else turn[2])


async def _tell(
    transaction: Transaction,
    *,
    holder: str,
    at: int,
    decide: Callable[[Told], AlertDecision],
    targets: Callable[[Sequence[Item]], list[str]],
) -> AlertDecision | None:
    if not await transaction.run("use_alert_turn", (_NAME, holder, None)):
        return None
    before = await _told(transaction)
    decision = decide(before)
    await _save(transaction, before.standings, decision.after.standings)
    if decision.items:
        await transaction.run("use_alert_turn", (_NAME, holder, decision.after.message_at))
        await _add_message(transaction, at, decision.items, targets(decision.items))
    return decision


async def _save(transaction: Transaction, before: Mapping[Key, Standing], after: Mapping[Key, Standing]) -> None:
    await transaction.run_all("forget_alert_standing", [key for key in before if key not in after])
    changed = [each for key, each in after.items() if differs(before.get(key), each)]
    await transaction.run_all("save_alert_standing", [_row_of(each) for each in changed])


def differs(before: Standing | None, after: Standing) -> bool:
    """Whether more than a count of the trouble changed, which alone is no reason to write."""

    def shape(each: Standing) -> tuple[object, ...]:
        return each.trouble.urgent, each.seen_at, each.gone_at, each.told_at

    return before is None or shape(before) != shape(after)


async def _add_message(transaction: Transaction, at: int, items: Sequence[Item], targets: Iterable[str]) -> None:
    last = await transaction.row("last_alert_number", (0,))
    number = 1 if last is None else last[0] + 1
    await transaction.run("insert_alert_message", (number, at, json_text([_object_of(item) for item in items])))
    await transaction.run_all("insert_alert_delivery", [(target, number, at) for target in targets])
    await transaction.run("forget_alert_messages", (number - KEPT,))
    await transaction.run("forget_alert_deliveries", (number - KEPT,))


async def _claim(transaction: Transaction, *, target: str, now: int, until: int, latest: int) -> AlertClaim | None:
    row = await transaction.row("waiting_alert", (target,))
    if row is None or now < row[2] <= latest:
        return None
    number, attempts, due_at, *rest = row
    if not await transaction.run("move_alert_delivery", (target, number, due_at, attempts + 1, until, None, None)):
        return None
    return AlertClaim(target, _message((number, *rest)), attempts + 1, until)


async def _end(
    transaction: Transaction,
    *,
    claim: AlertClaim,
    due_at: int | None,
    sent_at: int | None,
    failure: str | None,
    now: int,
) -> None:
    ended = (claim.target, claim.message.number, claim.due_at, claim.attempts, due_at, sent_at, failure)
    await transaction.run("move_alert_delivery", ended)
    if failure is None:
        await transaction.run("end_alert_failure", (claim.target,))
    else:
        await transaction.run("note_alert_failure", (claim.target, now, failure))


def _row_of(standing: Standing) -> Row:
    each = standing.trouble
    about = (each.kind.value, each.subject, each.merchant_id, each.since, each.count, int(each.urgent))
    return *about, json_text(each.facts), standing.seen_at, standing.gone_at, standing.told_at


def _standing(row: Row) -> Standing | None:
    """None for a kind that only newer code knows."""
    if row[0] not in set(TroubleKind):
        return None
    kind, subject, merchant_id, since, count, urgent, facts, *times = row
    trouble = Trouble(TroubleKind(kind), subject, merchant_id, since, count, bool(urgent), orjson.loads(facts))
    return Standing(trouble, *times)


def _object_of(item: Item) -> Mapping[str, Any]:
    each = item.trouble
    return {
        "news": item.news.value,
        "kind": each.kind.value,
        "subject": each.subject,
        "merchant_id": each.merchant_id,
        "since": each.since,
        "count": each.count,
        "urgent": each.urgent,
        "facts": dict(each.facts),
    }


def _message(row: Row) -> AlertMessage:
    number, at, text = row
    found = [each for each in orjson.loads(text) if each["kind"] in set(TroubleKind)]
    return AlertMessage(number, at, tuple(map(_item, found)))


def _item(value: dict[str, Any]) -> Item:
    news, kind = News(value.pop("news")), TroubleKind(value.pop("kind"))
    return Item(news, Trouble(kind, **value))
