"""The limit of open files (RLIMIT_NOFILE): raised as far as allowed, and divided among its users."""

import resource
from contextlib import suppress
from typing import Final

import structlog

from proxy.config.settings import Settings
from proxy.http.connection_limits import PROBES, operator_connections
from proxy.kernel.errors import StartRefused

log = structlog.get_logger()

LEAST_FILES: Final = 256
# The event loop's, the listeners, the store's files, names, logs; and newcomers on the way to be refused.
OWN_FILES: Final = 64
_LISTENERS: Final = 2


class TooFewFiles(StartRefused):
    """The process may not open as many files as it needs to serve anybody."""


def fitted(settings: Settings) -> Settings:
    """The settings with no more connections of each kind than fit together: a process without a free file answers
    nobody and stores nothing. Raises TooFewFiles, with the number needed.
    """
    own = OWN_FILES + settings.database_connections + _LISTENERS * PROBES
    clients, others = settings.max_connections, settings.gateway_calls_total + settings.webhook_in_flight
    needed = own + clients + operator_connections(clients) + others
    limit = _raise_limit(needed)
    if limit is None or limit >= needed:
        return settings
    if limit < LEAST_FILES:
        raise TooFewFiles(
            f"this process may open {limit} files (`ulimit -n`): {LEAST_FILES} are the least, and {needed} are needed "
            "for all that the settings allow at once"
        )
    log.warning("few_open_files_allowed", count=limit)
    free = limit - own
    # Half for clients at least: the rest is of use only for what they ask.
    share = min(1.0, free // 2 / others)
    calls, webhooks = (int(number * share) for number in (settings.gateway_calls_total, settings.webhook_in_flight))
    callers = free - calls - webhooks
    return settings.model_copy(
        update={
            "max_connections": min(clients, callers - operator_connections(callers)),
            "gateway_calls_total": calls,
            "gateway_calls_per_terminal": min(calls, settings.gateway_calls_per_terminal),
            "webhook_in_flight": webhooks,
        }
    )


def _raise_limit(needed: int) -> int | None:
    """The limit, after raising it to the need or to this process's maximum; None where there is no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
