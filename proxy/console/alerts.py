"""Alerts: whom they go to, what was told last, and a test."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from proxy.console.jobs import Ended, Job, JobPage
from proxy.console.page_context import PageContext
from proxy.operations.alerts.answers import SendResult, sentence
from proxy.operations.alerts.channels import Channel
from proxy.operations.alerts.rules import News


async def show_alerts(context: PageContext) -> web.StreamResponse:
    """The channels without their secrets, and the newest messages with where each went."""
    return context.page("alerts.html", **await _values(context))


async def send_test(context: PageContext) -> web.StreamResponse:
    """Sends a test to every target; its page says what each answered."""

    async def work(_job: Job) -> Ended:
        answers = await context.services.alerter.test(None)
        failed = sum(answer.failure is not None for _, answer in answers)
        await context.note("alerts.test", {"channel": None, "taken": len(answers) - failed, "failed": failed})
        return JobPage("alerts.html", await _values(context, answers))

    return await context.work("فرستادن هشدار آزمایشی", "Sending a test alert", work)


async def _values(context: PageContext, answers: Sequence[tuple[Channel, SendResult]] = ()) -> dict[str, Any]:
    alerter = context.services.alerter
    overview = await alerter.overview()
    texts = await alerter.texts([message for message, _ in overview.recent], context.words.language)
    return {
        "targets": [(*target.split(" ", 1), overview.failing.get(target)) for target in overview.targets],
        "said": {channel.name: (answer.failure is None, sentence(channel.kind, answer)) for channel, answer in answers},
        "recent": [
            (message, text, all(item.news is News.OVER for item in message.items), sent)
            for (message, sent), text in zip(overview.recent, texts, strict=True)
        ],
        "explain": _explain,
    }


def _explain(kind: str, failure: str) -> tuple[str, str]:
    """What a stored failure means, in Persian and English."""
    english, persian = sentence(kind, SendResult.parse(failure))
    return persian, english
