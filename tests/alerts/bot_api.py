"""A bot API as a real HTTP server: one bot, some chats, and what a test makes it answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from support.dargah import server

TOKEN = "123456789:canary-bot-token_AAF"
CHAT = "-1001234567890"


@dataclass
class BotApi:
    """`answers` go first: a status, a body and headers each. `said` is what reached the chats."""

    base: str = ""
    chats: tuple[int | str, ...] = (int(CHAT), "@ops")
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    def texts(self) -> list[str]:
        return [each["text"] for each in self.said]

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.answers:
            status, body, headers = self.answers.pop(0)
            return web.json_response(body, status=status, headers=headers)
        if request.match_info["token"] != TOKEN:
            return _error(401, "Unauthorized")
        message = await request.json()
        if message["chat_id"] not in self.chats:
            return _error(400, "Bad Request: chat not found")
        if not 0 < len(message["text"].encode("utf-16-le")) // 2 <= 4096:
            return _error(400, "Bad Request: message is too long")
        self.said.append(message)
        return web.json_response({"ok": True, "result": {"message_id": len(self.said), "text": message["text"]}})


def _error(code: int, description: str) -> web.Response:
    return web.json_response({"ok": False, "error_code": code, "description": description}, status=code)


@asynccontextmanager
async def bot_api(path: str = "") -> AsyncIterator[BotApi]:
    """One under `path`, as Bale's might be."""
    api = BotApi()
    app = web.Application()
    app.router.add_post(f"{path}/bot{{token}}/sendMessage", api.handle)
    async with server(app) as url:
        api.base = f"{url}{path}"
        yield api
