"""The sessions of the console: an operator's own, and for an owner those of all operators."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from proxy.console.page_context import PageContext
from proxy.operators.records import Session


async def list_sessions(context: PageContext) -> web.StreamResponse:
    sessions = await _within(context)
    return context.page("sessions.html", sessions=sessions, current=_current(context))


async def end_session(context: PageContext) -> web.StreamResponse:
    """Ends one of those that the viewer sees; the present one as logging out does."""
    await context.services.sessions.end(
        context.request.match_info["session_id"], await _within(context), context.viewer.name
    )
    return context.go("/sessions?said=session_ended")


async def end_others(context: PageContext) -> web.StreamResponse:
    """Ends every session of the viewer but this one."""
    await context.services.sessions.end_others(_current(context), context.viewer.name)
    return context.go("/sessions?said=sessions_ended")


async def _within(context: PageContext) -> Sequence[Session]:
    return await context.services.sessions.operators(None if context.owns else _current(context))


def _current(context: PageContext) -> Session:
    session = context.viewer.session
    assert session is not None, "a viewer of the console has a session"
    return session


# The first that stands in it: most of them name others too.
_BROWSERS: Final = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


def browser_name(user_agent: str) -> str | None:
    """Such as `Firefox, Linux`, enough to know one's own by, and no more; None of what names neither."""
    named = (next((name for mark, name in table if mark in user_agent), None) for table in (_BROWSERS, _SYSTEMS))
    return ", ".join(filter(None, named)) or None
