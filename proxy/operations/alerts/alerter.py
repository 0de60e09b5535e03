"""Tells people of troubles: one process decides and stores a message, and it is sent to each target by itself.

A message is stored with what was told, in one transaction, before it is sent: a restart neither tells twice nor forgets
an end. A process that dies between a peer's answer and its commit sends that message once more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from proxy.config.alerts import QuietHours
from proxy.kernel.clock import HOUR, MINUTE, SECOND, Now
from proxy.kernel.errors import Conflict, InvalidInput, NotFound, StoreUnavailable, invalid
from proxy.kernel.frozen import dataclass
from proxy.merchants.storage.repository import MerchantRepository
from proxy.operations.alerts.answers import SendResult
from proxy.operations.alerts.channels import Channel, Note
from proxy.operations.alerts.rules import AlertDecision, Item, News, Rules, Told, decide
from proxy.operations.alerts.storage import (
    AlertClaim,
    AlertDelivery,
    AlertMessage,
    AlertRepository,
    FailingTarget,
    differs,
)
from proxy.operations.alerts.words import Letter
from proxy.operations.troubles import Trouble, TroubleKind, Troubles

log = structlog.get_logger()

LOOK_EVERY: Final = 5 * SECOND
# Longer than a look and a write; a process that is stopped gives its turn up by this.
TURN: Final = 1 * MINUTE
SEND_SECONDS: Final = 30.0
CLAIM: Final = 1 * MINUTE  # longer than a send
RETRY_AFTER: Final = (10 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE)
"""After each failed try, the last one again and again."""
GIVEN_UP_AFTER: Final = 6 * HOUR
"""What could not be told for so long is old."""
STOP_SECONDS: Final = 2.0
RECENT: Final = 20


class AlertTestRunning(Conflict):
    def __init__(self) -> None:
        super().__init__("A test is being sent already. Wait for its end.", "آزمایشی در حال فرستادن است. صبر کنید.")


@dataclass(frozen=True, slots=True)
class Clocks:
    """`now` is the store's time, `settled` that for irreversible steps, `steady` for durations inside the process."""

    now: Now
    settled: Now
    steady: Now


@dataclass(frozen=True, slots=True)
class Manner:
    """How people are told: by which rules, in which hours not, in which language, and as which site."""

    rules: Rules
    quiet: QuietHours | None
    language: str
    site: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The channels' targets, those that fail, and the newest messages with where they went."""

    targets: Sequence[str]
    failing: Mapping[str, FailingTarget]
    recent: Sequence[tuple[AlertMessage, Sequence[AlertDelivery]]]


class Alerter:
    """`step` looks, decides and starts what is due; `stop` ends what is under way. `holder` names this process."""

    def __init__(
        self,
        alerts: AlertRepository,
        troubles: Troubles,
        merchants: MerchantRepository,
        channels: Sequence[Channel],
        manner: Manner,
        clocks: Clocks,
        holder: str,
    ) -> None:
        self._alerts = alerts
        self._troubles = troubles
        self._merchants = merchants
        self.channels = tuple(channels)
        self._manner = manner
        self._clocks = clocks
        self._holder = holder
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._testing = False
        self._store_down_since: int | None = None
        self._told_store_down = False

    async def step(self) -> int | None:
        if not self.channels:
            return None
        now = self._clocks.now()
        try:
            if await self._alerts.take_turn(self._holder, now, now + TURN):
                await self._tell(await self._troubles.now())
                self._send_waiting()
        except StoreUnavailable:
            self._store_failed()
            raise
        self._store_works()
        return self._clocks.now() + LOOK_EVERY

    async def stop(self) -> None:
        """Ends the sends, after a moment for those that are nearly done; the next process sends the others."""
        sending = list(self._sending.values())
        if sending:
            _, late = await asyncio.wait(sending, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def test(self, kind: str | None) -> list[tuple[Channel, SendResult]]:
        """Sends a test to each target of a kind of channel, or of all, and gives what each answered.

        Raises InvalidInput where there is none, and AlertTestRunning.
        """
        channels = [each for each in self.channels if kind in {None, each.kind}]
        if not channels:
            raise no_channel(kind)
        if self._testing:
            raise AlertTestRunning
        self._testing = True
        try:
            at = self._clocks.now()
            subject, text = self._letter({}).test()
            document = {"type": "operator.alert_test", "data": {"site": self._manner.site, "text": text}}
            note = Note(f"alert-test-{at}", subject, text, document)
            answers = await asyncio.gather(*(_sent(each, note) for each in channels))
            for channel, answer in zip(channels, answers, strict=True):
                if answer.failure is None:
                    await self._alerts.answers(channel.name, self._clocks.now())
            return list(zip(channels, answers, strict=True))
        finally:
            self._testing = False

    async def overview(self) -> Overview:
        targets = [each.name for each in self.channels]
        failing = {each.target: each for each in await self._alerts.failing() if each.target in targets}
        return Overview(targets, failing, await self._alerts.recent(RECENT))

    async def texts(self, messages: Sequence[AlertMessage], language: str) -> list[str]:
        """The texts of messages in a reader's language."""
        names = await self._names([item for message in messages for item in message.items])
        letter = replace(self._letter(names), language=language)
        return [letter.text(message.items) for message in messages]

    async def _tell(self, troubles: Sequence[Trouble]) -> None:
        decided = partial(self._decide, troubles=troubles)
        told = await self._alerts.told()
        decision = decided(told)
        if not decision.items and not _changes(told, decision.after):
            return
        stored = await self._alerts.tell(self._holder, self._clocks.now(), decided, self._targets)
        if stored is not None and stored.items:
            log.info("alert_told", count=len(stored.items))

    def _decide(self, told: Told, *, troubles: Sequence[Trouble]) -> AlertDecision:
        quiet = self._manner.quiet is not None and self._manner.quiet.holds(self._clocks.now())
        return decide(told, troubles, self._clocks.settled(), self._manner.rules, quiet=quiet)

    def _targets(self, items: Sequence[Item]) -> list[str]:
        """All but one that would only be told of itself."""
        return [
            each.name
            for each in self.channels
            if any(item.trouble.key != (TroubleKind.ALERT_CHANNEL_FAILING, each.name) for item in items)
        ]

    def _send_waiting(self) -> None:
        """A target that hangs is left to itself; the others go on."""
        for channel in self.channels:
            if channel.name not in self._sending:
                task = asyncio.create_task(self._send_all(channel), name=f"alerts to {channel.name}")
                self._sending[channel.name] = task
                task.add_done_callback(lambda _, name=channel.name: self._sending.pop(name))  # type: ignore[misc]

    async def _send_all(self, channel: Channel) -> None:
        """Sends what is due to this target, the oldest first, until one fails."""
        try:
            while (claim := await self._claim(channel)) is not None:
                note = self._note(claim.message, await self._names(claim.message.items))
                if not await self._ended(channel, claim, await _sent(channel, note)):
                    return
        except StoreUnavailable as error:
            log.warning("alert_not_sent", kind=channel.kind, error=type(error).__name__)
        except Exception:
            log.exception("alert_not_sent", kind=channel.kind)

    async def _claim(self, channel: Channel) -> AlertClaim | None:
        now = self._clocks.now()
        if not await self._alerts.waits(channel.name):
            return None
        return await self._alerts.claim(channel.name, now, now + CLAIM, latest=now + RETRY_AFTER[-1] + HOUR)

    async def _ended(self, channel: Channel, claim: AlertClaim, answer: SendResult) -> bool:
        """Stores the answer. Whether the message was taken, or given up."""
        now = self._clocks.now()
        if answer.failure is None:
            await self._alerts.sent(claim, now)
            log.info("alert_sent", kind=channel.kind, attempts=claim.attempts)
            return True
        due_at = _next_try(claim, answer, now)
        await self._alerts.failed(claim, str(answer), due_at, now)
        said = {"kind": channel.kind, "error": str(answer), "attempts": claim.attempts}
        if due_at is not None:
            log.warning("alert_failed", **said)
            return False
        log.warning("alert_given_up", **said)
        return True

    def _note(self, message: AlertMessage, names: Mapping[str, str]) -> Note:
        letter = self._letter(names)
        document = letter.document(message.items, message.at)
        return Note(
            f"alert-{message.at}-{message.number}", letter.subject(message.items), letter.text(message.items), document
        )

    def _letter(self, names: Mapping[str, str]) -> Letter:
        return Letter(self._manner.language, self._manner.site, names)

    async def _names(self, items: Sequence[Item]) -> dict[str, str]:
        names = {}
        for merchant_id in {item.trouble.merchant_id for item in items if item.trouble.merchant_id is not None}:
            try:
                names[merchant_id] = (await self._merchants.merchant(merchant_id)).name
            except NotFound:
                continue
        return names

    def _store_failed(self) -> None:
        """What cannot be stored cannot be told as other troubles are: it is told once by each process, at once."""
        steady = self._clocks.steady()
        if self._store_down_since is None:
            self._store_down_since = steady
        lasts = steady - self._store_down_since
        if not self._told_store_down and lasts >= self._manner.rules.hold:
            self._told_store_down = True
            self._tell_of_store(News.BEGUN, lasts)

    def _store_works(self) -> None:
        since, self._store_down_since = self._store_down_since, None
        if since is not None and self._told_store_down:
            self._told_store_down = False
            self._tell_of_store(News.OVER, self._clocks.steady() - since)

    def _tell_of_store(self, news: News, lasts: int) -> None:
        now = self._clocks.now()
        trouble = Trouble(TroubleKind.DATABASE_UNAVAILABLE, "", None, now - lasts, 1, urgent=True)
        note = self._note(AlertMessage(0, now, (Item(news, trouble),)), {})
        for channel in self.channels:
            name = f"{channel.name} {news}"
            task = asyncio.create_task(self._send_unstored(channel, note), name=f"alerts to {name}")
            self._sending[name] = task
            task.add_done_callback(lambda _, name=name: self._sending.pop(name, None))  # type: ignore[misc]

    async def _send_unstored(self, channel: Channel, note: Note) -> None:
        answer = await _sent(channel, note)
        if answer.failure is not None:
            log.warning("alert_given_up", kind=channel.kind, error=str(answer), attempts=1)


async def _sent(channel: Channel, note: Note) -> SendResult:
    """What a target answered, in bounded time."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            return await channel.send(note)
    except TimeoutError:
        return SendResult("timeout")
    except Exception:
        log.exception("alert_channel_broke", kind=channel.kind)
        return SendResult("bad_response")


def _next_try(claim: AlertClaim, answer: SendResult, now: int) -> int | None:
    delay = RETRY_AFTER[min(claim.attempts, len(RETRY_AFTER)) - 1]
    due_at = now + max(delay, (answer.retry_after_seconds or 0) * SECOND)
    return due_at if due_at < claim.message.at + GIVEN_UP_AFTER else None


def _changes(told: Told, after: Told) -> bool:
    before = told.standings
    return before.keys() != after.standings.keys() or any(
        differs(before[key], each) for key, each in after.standings.items()
    )


def no_channel(kind: str | None) -> InvalidInput:
    """That no channel of the kind is set up, or none at all."""
    return invalid(
        "channel",
        "not_set",
        f"no {kind or 'channel'} is set up at this process: see the settings DARGAH_ALERT_{(kind or 'BOT').upper()}_…",
        "چنین کانالی برای این پردازه تنظیم نشده است؛ تنظیم‌های DARGAH_ALERT_… را ببینید",
    )
