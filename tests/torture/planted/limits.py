"""Planted bugs about what a stranger or one merchant may take of what all share.

That is what listeners read and keep, limits by address, places, and the database's time.
"""

from typing import Final

from . import Edit, bug

_PARSERS: Final = "tests/security/test_parsers.py"
_BY_ADDRESS: Final = "tests/security/test_caller_limits.py"
_LIMITER: Final = "gateways/concurrency_limiter.py"
_LIVE: Final = "tests/security/test_fairness.py"
_COSTS: Final = "tests/store/test_lists.py"
_MIGRATION: Final = "database/sqlite/migrations/0008_lists_by_index.sql"

LIMITS: Final = (
    bug(
        "a Content-Type of any length is read by the library",
        Edit(
            "http/parsing.py",
            '    sent = request.headers.get(hdrs.CONTENT_TYPE, "")\n    if len(sent) > MAX_TYPE_CHARS:\n',
            "    sent = request.content_type\n    if len(sent) > MAX_TYPE_CHARS:\n",
        ),
        by=_PARSERS,
    ),
    bug(
        "a multipart form may have any number of parts, and parts of their own",
        Edit("http/forms.py", "MAX_PARTS: Final = 60\n", "MAX_PARTS: Final = 10**6\n"),
        Edit("http/forms.py", '.lower().startswith(b"multipart/"):\n', '.lower().startswith(b"nothing"):\n'),
        by="tests/core/test_uploads.py",
    ),
    bug(
        "JSON that cannot be written again is our fault",
        Edit("http/parsing.py", "(ValueError, TypeError, RecursionError)", "(ValueError, RecursionError)"),
        by=_PARSERS,
    ),
    bug(
        "a path of any length is routed",
        Edit("http/server.py", "        if len(request.rel_url.raw_path) > MAX_PATH_CHARS:\n", "        if False:\n"),
        by="tests/security/test_growth.py",
    ),
    bug(
        "an absent api_key is not counted",
        Edit(
            "gateways/invoice_script/drop_in.py",
            "        raise Unauthenticated\n",
            "        raise CallRefused(Code.WRONG_KEY)\n",
        ),
        by=_BY_ADDRESS,
    ),
    bug(
        "wrong tokens lock the right ones of their address out",
        Edit(
            "api/rate_limiting.py",
            "        elif rules.token is None:\n",
            "        elif rules.wrong.calls.check(call.caller, call.now) or rules.token is None:\n",
        ),
        by=_BY_ADDRESS,
    ),
    bug(
        "every guess at a token is looked up",
        Edit("merchants/cache.py", "        if hashed not in self._right:\n", "        if False:\n"),
        by=_BY_ADDRESS,
    ),
    bug(
        "a forwarded header is believed from anybody",
        Edit(
            "http/trusted_proxies.py",
            "                self._warn_if_forgotten(peer)\n            return peer\n",
            "                self._warn_if_forgotten(peer)\n"
            "            return request.headers.get(X_FORWARDED_FOR, peer)\n",
        ),
        by=_BY_ADDRESS,
    ),
    bug(
        "a forwarded header that is too long hides the client",
        Edit(
            "http/trusted_proxies.py",
            '            text = text[-MAX_CHARS:].partition(",")[2]  # without the hop that was cut\n',
            "            return peer\n",
        ),
        by=_BY_ADDRESS,
    ),
    bug(
        "whoever sends a slow body keeps its place",
        Edit(
            "http/connections.py",
            "        return None if since is None else (self._requests > 1, since)\n",
            "        return None\n",
        ),
        by="tests/security/test_slow_bodies.py",
    ),
    bug(
        "the admin listener answers to any name",
        Edit(
            "http/trusted_proxies.py",
            '        if not self._serves(request.headers.get(hdrs.HOST, "")):\n',
            "        if False:\n",
        ),
        by="tests/security/test_hosts.py",
    ),
    bug(
        "what a parser raised keeps the bytes that it was about",
        Edit("http/connections.py", "            error.__traceback__ = None\n", "            pass\n"),
        by=_PARSERS,
    ),
    bug(
        "a body's framing has no end",
        Edit("http/connections.py", "body.total_bytes <= MAX_FRAMING_BYTES:", "body.total_bytes <= 10**9:"),
        by="tests/security/test_slow_bodies.py",
    ),
    bug(
        "one merchant may take every gateway call",
        Edit(
            _LIMITER,
            "return terminal.in_flight < self._per_terminal and self._calls.has_room(terminal.merchant_id)",
            "return terminal.in_flight < self._per_terminal and self._calls.free > 0",
        ),
        by=f"{_LIVE}::test_a_neighbours_hanging_gateway_takes_no_create_its_place",
    ),
    bug(
        "gateway calls go to the merchant that came first",
        Edit(_LIMITER, "                        self._queue_last(terminal)\n", ""),
        by="tests/core/test_gateway_calls.py",
    ),
    bug(
        "the share of webhooks is each endpoint's",
        Edit(
            "webhooks/worker.py",
            "            if self.tasks.shares.has_room(claim.merchant_id):\n"
            "                self.tasks.start(self._attempt(claim), claim.merchant_id)\n",
            "            if self.tasks.shares.has_room(claim.endpoint.id):\n"
            "                self.tasks.start(self._attempt(claim), claim.endpoint.id)\n",
        ),
        by=f"{_LIVE}::test_a_neighbours_hanging_receivers_delay_no_webhook",
    ),
    bug(
        "pings have no share",
        Edit(
            "operations/test_events.py",
            "self.tasks.run(self._ping(endpoint), endpoint.merchant_id)",
            "self.tasks.run(self._ping(endpoint), self._ids.random(8))",
        ),
        by=f"{_LIVE}::test_a_neighbours_hanging_pings_refuse_no_ping",
    ),
    bug(
        "a merchant's due checks hide everybody else's",
        Edit(
            "payments/storage/transition.py",
            "    if not chosen:\n        return DueChecks([], reached)\n",
            "    if not chosen:\n        return DueChecks([], None)\n",
        ),
        by="tests/store/test_claims_in_turn.py",
    ),
    bug(
        "a list's index knows no storefront",
        Edit(
            _MIGRATION,
            "payments_of_storefront_by_status ON payments (merchant_id, storefront, mode, status, id);",
            "payments_of_storefront_by_status ON payments (merchant_id, status, id);",
        ),
        by=_COSTS,
    ),
    bug(
        "a list reads on until its page is full",
        Edit(
            "database/repository.py",
            "    while done < max(STRETCH, limit):\n        rows = await read(",
            "    while True:\n        rows = await read(",
        ),
        by=_COSTS,
    ),
    bug(
        "SQLite's planner is told nothing of the tables",
        Edit(_MIGRATION, "1 1');\nANALYZE sqlite_schema;\n", "1 1');\nDELETE FROM sqlite_stat1;\n"),
        by=_COSTS,
    ),
    bug(
        "creates wait however many come",
        Edit(_LIMITER, "wait > WAIT_TARGET_SECONDS", "wait > 60.0"),
        by="tests/core/test_gateway_calls.py",
    ),
    bug(
        "a storefront's deadline is not heard",
        Edit("api/v1/payments.py", 'name.strip().lower() == "wait"', 'name.strip().lower() == "timeout"'),
        by="tests/e2e/test_backpressure.py::test_a_create_that_may_not_wait_is_refused_at_once_and_not_stored",
    ),
)
