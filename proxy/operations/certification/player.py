"""Plays the stories at a shop, one after the other, and gathers what it answered and what became of the orders."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import field
from typing import Final

import aiohttp

from proxy.kernel.clock import Now, system_now
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import Ids
from proxy.merchants.merchant import Mode
from proxy.operations.certification.message import Keys, Message, Scene, Way
from proxy.operations.certification.orders import CertificationStopped, Credit, OrderBook, ShopOrder, StateReader
from proxy.operations.certification.story import Expected, ShopStory
from proxy.operations.certification.wire import ShopAnswer, ShopLine, shop_session
from proxy.webhooks.sender import TOTAL_SECONDS

COPIES: Final = 4
SILENCE_SECONDS: Final = 30.0
SETTLE_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class CertifiedShop:
    """The endpoint, the keys that sign for it, what it is told of itself, and its orders.

    `state` is None when nobody knows the orders' state.
    """

    url: str
    keys: Keys
    mode: Mode
    storefront: str
    orders: OrderBook
    state: StateReader | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for an answer, for the client that falls silent, and for an order that is credited after the answer."""

    answer: float = TOTAL_SECONDS
    silence: float = SILENCE_SECONDS
    settle: float = SETTLE_SECONDS


@dataclass(slots=True)
class Played:
    """A story as it went. `order` is None when there was none for it: then nothing was sent.

    `at_end` is the order's state after all stories, where no other story had the order; `trouble` says why an order or
    its state could not be had.
    """

    story: ShopStory
    order: ShopOrder | None
    answers: list[ShopAnswer] = field(default_factory=list)
    before: Credit | None = None
    after: Credit | None = None
    at_end: Credit | None = None
    trouble: str = ""


class StoryPlayer:
    """`on_story` is called before each story is played."""

    def __init__(
        self,
        shop: CertifiedShop,
        ids: Ids,
        *,
        patience: Patience,
        now: Now = system_now,
        on_story: Callable[[ShopStory], None] = lambda _story: None,
    ) -> None:
        self._shop = shop
        self._ids = ids
        self._patience = patience
        self._now = now
        self._on_story = on_story
        self._merchant_id = ids.merchant()

    async def play(self, stories: Sequence[ShopStory]) -> list[Played]:
        """All stories as they went; those after a first one that reached nobody were not played, and are left out.

        Raises CertificationStopped when the shop's orders or their state cannot be had as it was said.
        """
        async with shop_session() as session:
            line = ShopLine(session, self._shop.url, self._patience.answer)
            played: list[Played] = []
            for story in stories:
                self._on_story(story)
                if story.expected is Expected.IN_TIME:
                    others = [each for each in played if not each.story.stalls]
                    played.append(Played(story, None, [answer for each in others for answer in each.answers]))
                    continue
                played.append(await self._play(session, line, story))
                if played[0].trouble:
                    raise CertificationStopped(played[0].trouble)
                if all(answer.status is None for each in played for answer in each.answers) and played[0].order:
                    break
            await self._look_at_the_end(session, played)
        return played

    async def _play(self, session: aiohttp.ClientSession, line: ShopLine, story: ShopStory) -> Played:
        played = Played(story, None)
        try:
            order = await self._open_order(session, played)
            if order is not None:
                await self._tell(line, story, order, played)
                played.after = await self._settled(session, order, wanted=story.expected is Expected.CREDITED)
                if played.after is not None and played.after != played.before:
                    self._shop.orders.spoil(order)
        except CertificationStopped as stopped:
            played.trouble = str(stopped)
        return played

    async def _open_order(self, session: aiohttp.ClientSession, played: Played) -> ShopOrder | None:
        order = await self._shop.orders.take(session, shared=played.story.leaves_order)
        if order is None:
            return None
        played.before = await self._state(session, order)
        if played.before is not None and played.before.paid:
            raise CertificationStopped(
                f"order {order.id} is paid before anything was sent: name orders that are open, or look at --paid-when"
            )
        played.order = order
        return order

    async def _tell(self, line: ShopLine, story: ShopStory, order: ShopOrder, played: Played) -> None:
        """Sends the story's messages."""
        shop = self._shop
        scene = Scene(order, shop.keys, shop.mode, shop.storefront, self._merchant_id, self._ids, self._now)
        async with AsyncExitStack() as held:
            for message in story.messages:
                if message.way is Way.STALLED:
                    stalled = line.stalled(scene.prepare(message), self._patience.silence)
                    await held.enter_async_context(stalled)
                    continue
                played.answers += await self._send(line, scene, message)
                await held.aclose()

    async def _send(self, line: ShopLine, scene: Scene, message: Message) -> list[ShopAnswer]:
        if message.way in {Way.GET, Way.HEAD}:
            return [await line.send(message.way.value, None)]
        prepared = scene.prepare(message)
        copies = COPIES if message.way is Way.TOGETHER else 1
        return await asyncio.gather(*(line.send("POST", prepared) for _ in range(copies)))

    async def _state(self, session: aiohttp.ClientSession, order: ShopOrder) -> Credit | None:
        if self._shop.state is None or not order.known:
            return None
        return await self._shop.state.read(session, order)

    async def _settled(self, session: aiohttp.ClientSession, order: ShopOrder, *, wanted: bool) -> Credit | None:
        """The order's state; a shop that credits after its answer is given time for it."""
        until = time.monotonic() + self._patience.settle
        while True:
            state = await self._state(session, order)
            if not wanted or state is None or state.paid or time.monotonic() >= until:
                return state
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look_at_the_end(self, session: aiohttp.ClientSession, played: Sequence[Played]) -> None:
        ids = [each.order.id for each in played if each.order]
        for each in played:
            if each.order is not None and ids.count(each.order.id) == 1:
                with suppress(CertificationStopped):  # then it is judged by what was seen before
                    each.at_end = await self._state(session, each.order)
