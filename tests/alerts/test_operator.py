"""A whole Dargah that tells people: the first alert after a start, `dargah alert test`, and the console's page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.command import Cli
from support.dargah import OPERATOR_TOKEN
from support.eventually import until
from support.receiver import Receiver, receiver
from web.clients import console, operator, words
from web.lab import Lab, lab_in

from alerts.bot_api import CHAT, TOKEN, BotApi, bot_api
from alerts.mail_server import Inbox, mail_server
from proxy.kernel.clock import DAY
from proxy.operations.troubles import WORDS, TroubleKind
from proxy.operators.records import Role
from proxy.webhooks.request import new_secret

SECRET = new_secret(bytes(range(32)))
ADVICE = WORDS[TroubleKind.OPERATOR_ENDING]


@dataclass
class Office:
    lab: Lab
    bot: BotApi
    inbox: Inbox
    hook: Receiver
    cli: Cli

    async def told(self) -> None:
        """Once each channel was told of something."""
        await until(lambda: self.bot.said and self.inbox.mails and self.hook.requests)


@asynccontextmanager
async def office(folder: Path, **more: Any) -> AsyncIterator[Office]:
    """One whose operator's token ends tomorrow, and who is told by all channels."""
    async with lab_in(folder) as lab:
        operators = lab.dargah.services.store.operators
        if not await operators.list_operators():
            body = {"name": "mina", "role": Role.READ, "expires_at": "2027-01-16T00:00:00Z"}
            headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
            url = f"{lab.dargah.admin_url}/admin/v1/operators"
            async with lab.session.post(url, json=body, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
        now = lab.clock.now
    async with bot_api() as bot, mail_server() as inbox, receiver() as hook:
        hook.secret, hook.any_event, hook.any_time = SECRET, True, True
        settings = {
            "alert_bot_token": TOKEN,
            "alert_bot_chats": CHAT,
            "alert_bot_url": bot.base,
            "alert_email_server": f"smtp://127.0.0.1:{inbox.port}",
            "alert_email_from": "dargah@example.ir",
            "alert_email_to": "ops@example.ir",
            "alert_webhook_url": hook.url,
            "alert_webhook_secret": SECRET,
            "alert_hold_seconds": 0,
        }
        async with lab_in(folder, **settings | more) as lab:
            assert lab.clock.now >= now - DAY
            variables = {"DARGAH_ADMIN_URL": lab.dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}
            yield Office(lab, bot, inbox, hook, Cli(variables, folder))


async def test_a_trouble_reaches_every_channel_and_a_restart_tells_nothing_twice(tmp_path: Path) -> None:
    for told in (True, False):
        async with office(tmp_path) as made:
            if told:
                await made.told()
            else:
                await made.cli.run("alert", "test")
        texts = made.bot.texts()
        assert [ADVICE.title[1] in text for text in texts] == ([True] if told else [False])
        assert len(made.inbox.mails) == len(made.hook.requests) == 1


async def test_the_command_says_what_each_answered_in_a_sentence(tmp_path: Path) -> None:
    async with office(tmp_path, alert_language="en") as made:
        await until(lambda: made.bot.said)
        ran = await made.cli.run("alert", "test", "--lang", "en")
        assert ran.code == 0
        assert ran.out.splitlines() == [
            f"ok       bot {CHAT}: it took the message.",
            "ok       webhook 127.0.0.1: it took the message.",
            "ok       email ops@example.ir: it took the message.",
        ]
        assert "This is a test of alerts. Nothing is wrong." in made.bot.texts()[-1]
        made.bot.answers.append((401, {"ok": False, "error_code": 401, "description": f"canary {TOKEN}"}, {}))
        refused = await made.cli.run("alert", "test", "--channel", "bot", "--lang", "fa")
        assert (refused.code, "توکن بات را نمی‌شناسد (۴۰۱)" in refused.out) == (1, True)
        assert "canary" not in refused.out + refused.error
        [answer] = await made.cli.json("alert", "test", "--channel", "email")
        assert (answer["taken"], answer["failure"], answer["target"]) == (True, None, "ops@example.ir")
        entries = await made.cli.json("audit", "list")
        noted = [each["data"] for each in entries if each["action"] == "alerts.test"]
        assert sorted(noted, key=str) == [
            {"channel": "bot", "taken": 0, "failed": 1},
            {"channel": "email", "taken": 1, "failed": 0},
            {"channel": None, "taken": 3, "failed": 0},
        ]


async def test_without_a_channel_the_command_says_which_setting_is_missing(tmp_path: Path) -> None:
    async with lab_in(tmp_path) as lab:
        variables = {"DARGAH_ADMIN_URL": lab.dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}
        ran = await Cli(variables, tmp_path).run("alert", "test", "--channel", "email")
        assert (ran.code, "DARGAH_ALERT_EMAIL_" in ran.error) == (1, True), ran
        page = await (await operator(lab)).get("/console/alerts?lang=en")
        assert "No channel is set up" in words(page)


@pytest.mark.parametrize("language", ["fa", "en"])
async def test_the_console_shows_channels_without_secrets_the_last_alerts_and_a_test(
    tmp_path: Path, language: str
) -> None:
    async with office(tmp_path, alert_language=language) as made:
        await made.told()
        browser = await operator(made.lab)
        await browser.get(f"/console/alerts?lang={language}")
        made.bot.answers.append((403, {"ok": False, "error_code": 403, "description": "canary"}, {}))
        shown = await browser.followed(await browser.post("/console/alerts/test"))
        assert shown.status == 200
        said = words(shown)
        assert ("it was blocked there" if language == "en" else "آنجا مسدود شده") in said
        assert CHAT in said
        assert "ops@example.ir" in said
        assert ADVICE.title[0 if language == "en" else 1] in said
        secret = ("canary", TOKEN, SECRET, made.hook.url)
        settings = await browser.get("/console/settings")
        assert [each for each in secret if each in shown.text + settings.text] == []
        reader = console(made.lab)
        assert (await reader.get("/console/alerts")).status == 303
