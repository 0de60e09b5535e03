"""Planted bugs about what a stranger or a weak token may do, and may take of what all share.

The latter is what listeners read and keep, limits by address, places, and the database's time.
"""

from typing import Final

from . import Edit, bug

_EXCHANGE: Final = "http/outbound/exchange.py"
_ENDLESS: Final = "tests/adapters/test_answers.py"
_MODES: Final = "tests/security/test_modes.py"

_PRINCIPALS: Final = "tests/security/test_principals.py"
_PAGES: Final = "tests/security/test_principals_pages.py"
_ORIGINS: Final = "tests/security/test_browsers.py"

_SECRETS: Final = "tests/security/test_secrets.py"

_HOSTILE: Final = "tests/security/test_hostile_input.py"
_BY_ADDRESS: Final = "tests/security/test_caller_limits.py"
_LIMITER: Final = "gateways/concurrency_limiter.py"
_LIVE: Final = "tests/security/test_fairness.py"
_COSTS: Final = "tests/store/test_lists.py"
_MIGRATION: Final = "database/sqlite/migrations/0008_lists_by_index.sql"

SECURITY: Final = (
    bug(
        "informational answers have no end",
        Edit(_EXCHANGE, "        self._heads_left = MAX_INFORMATIONAL + 1\n", "        self._heads_left = 10**9\n"),
        by=_ENDLESS,
    ),
    bug(
        "the heads of an answer may be of any length",
        Edit(_EXCHANGE, "        self._head_bytes_left = MAX_HEAD_BYTES\n", "        self._head_bytes_left = 10**9\n"),
        by=_ENDLESS,
    ),
    bug(
        "a gateway that echoes the api_key has it kept",
        Edit(
            "gateways/http_calls.py",
            "            text = text.replace(form, _HIDDEN)\n",
            "            pass\n",
        ),
        by="tests/adapters/test_gateway_answers.py",
    ),
    bug(
        "a test token sees the live endpoint",
        Edit(
            "payments/access.py",
            "self._sees(endpoint.merchant_id, endpoint.storefront, endpoint.mode, None)",
            "self.token is None or self._sees(\n"
            "            endpoint.merchant_id, endpoint.storefront, self.token.mode, None\n"
            "        )",
        ),
        by=_PRINCIPALS,
    ),
    bug(
        "a storefront's token reads another's delivery",
        Edit(
            "payments/access.py",
            "self._sees(delivery.merchant_id, delivery.storefront, delivery.mode, None)",
            "self.token is None or delivery.merchant_id == self.token.merchant_id",
        ),
        by="tests/security/test_confinement.py",
    ),
    bug(
        "the owner's endpoint is every storefront's",
        Edit(
            "merchants/merchant.py",
            "        return storefront == self.storefront and mode is self.mode",
            "        return storefront in {None, self.storefront} and mode is self.mode",
        ),
        by=_PRINCIPALS,
    ),
    bug(
        "a token of one terminal keeps its webhooks",
        Edit(
            "merchants/merchant.py",
            "        return scope in self.scopes and (scope is not Scope.WEBHOOKS or self.terminal_id is None)\n",
            "        return scope in self.scopes\n",
        ),
        by=_PRINCIPALS,
    ),
    bug(
        "a payment's history shows deliveries to the operator's endpoints",
        Edit(
            "payments/access.py",
            "        if self.token is None:\n            return await",
            "        if True:\n            return await",
        ),
        by=_PAGES,
    ),
    bug(
        "a portal session outlives its token",
        Edit("console/guard.py", "    if not token.alive(services.now()):\n        return None\n", ""),
        by=_PAGES,
    ),
    bug(
        "a new operation that no table of principals has",
        Edit(
            "api/public.py",
            '    ("POST", "/v1/portal-links", portal_links.create_portal_link),\n',
            '    ("POST", "/v1/portal-links", portal_links.create_portal_link),\n'
            '    ("GET", "/v1/portal-links", portal_links.create_portal_link),\n',
        ),
        by=_PRINCIPALS,
    ),
    bug(
        "an event goes to endpoints of the other mode",
        Edit(
            "webhooks/endpoint.py",
            "return self.mode == (mode or Mode.LIVE) and self.storefront",
            "return self.storefront",
        ),
        by=_MODES,
    ),
    bug(
        "an event goes to endpoints of another storefront",
        Edit("webhooks/endpoint.py", " and self.storefront in {None, storefront}\n", "\n"),
        by=_MODES,
    ),
    bug(
        "a replay does not compare the mode",
        Edit(
            "webhooks/storage/redelivery.py",
            "endpoint.wants(event_type, mode, storefront)",
            "endpoint.wants(event_type, endpoint.mode, storefront)",
        ),
        by=_MODES,
    ),
    bug(
        "what older code left for an endpoint of the other mode is sent",
        Edit(
            "webhooks/storage/claims.py",
            "    foreign = [row for row in rows if not queue.endpoint.may_get(row[8], row[7])]\n",
            "    foreign: list[Row] = []\n",
        ),
        by="tests/security/test_modes.py::test_what_waits_goes_out_signed_as_before_but_for_test_events",
    ),
    bug(
        "an endpoint that a test token makes is live",
        Edit("api/v1/webhooks.py", "        mode=token.mode,\n", "        mode=Mode.LIVE,\n"),
        by=_MODES,
    ),
    bug(
        "a test payment's return URL is signed by the live secret",
        Edit(
            "payments/next_step.py",
            "payment.merchant_id, payment.mode)",
            "payment.merchant_id, type(payment.mode).LIVE)",
        ),
        by=_MODES,
    ),
    bug(
        "the return URL's signature leaves out the mode",
        Edit("payments/return_url.py", 'f"{status}&payment_mode={mode}"', "status"),
        by="tests/web/test_pay_links.py",
    ),
    bug(
        "the origin is not in the seal",
        Edit(
            "merchants/vault.py", 'return row if origin is None else b"\\0".join((row, origin.encode()))', "return row"
        ),
        by=_SECRETS,
    ),
    bug(
        "an origin is in the seal of an api_key and of no other credential",
        Edit("merchants/vault.py", " or secret.startswith(_CREDENTIAL)", ""),
        by=_SECRETS,
    ),
    bug(
        "every start binds what was sealed for no origin",
        Edit("merchants/setup/binding.py", "if await self._merchants.secrets_bound_at() is not None:", "if False:"),
        by=_SECRETS,
    ),
    bug(
        "another origin needs no credential",
        Edit("merchants/setup/binding.py", "if secret not in given:", "if False:"),
        by=_SECRETS,
    ),
    bug(
        "a new credential is sealed for a URL that somebody else wrote",
        Edit("merchants/setup/binding.py", "for secret in elsewhere[:1]:", "for secret in ():"),
        by=_SECRETS,
    ),
    bug(
        "an endpoint's headers are kept with their values",
        Edit(
            "webhooks/endpoint_setup.py",
            'tuple(sorted(name.lower() for name in changes["headers"]))',
            'tuple(f"{name.lower()}: {value}" for name, value in changes["headers"].items())',
        ),
        by=_SECRETS,
    ),
    bug(
        "a portal link opens twice",
        Edit("console/entry.py", "    if not await services.sessions.close(secret):\n        raise LinkUnknown\n", ""),
        by="tests/security/test_browsers.py",
    ),
    bug(
        "an operator may act in a merchant's portal",
        Edit("console/merchant_view.py", "return route.method == hdrs.METH_GET and", "return"),
        by=_PAGES,
    ),
    bug(
        "an archived merchant takes payments",
        Edit("payments/creation.py", "        if merchant.archived_at is not None:\n", "        if False:\n"),
        by="tests/web/test_archiving.py",
    ),
    bug(
        "a change of a merchant takes it out of the archive",
        Edit(
            "merchants/storage/sql/common/merchants.sql",
            "contact = $6, more_contacts = $7 WHERE",
            "contact = $6, more_contacts = $7, archived_at = NULL WHERE",
        ),
        by="tests/web/test_archiving.py",
    ),
    bug(
        "a key ring that anybody can write is taken",
        Edit("config/secret_files.py", "if mode & (stat.S_IWGRP | stat.S_IWOTH):", "if False:"),
        by=_SECRETS,
    ),
    bug(
        "an origin stands in a policy as it was stored",
        Edit(
            "kernel/urls.py",
            "    return origin if origin is not None and _FRAMING.fullmatch(origin) else \"'none'\"\n",
            "    return origin or \"'none'\"\n",
        ),
        by=_ORIGINS,
    ),
    bug(
        "whatever origin is named may frame the portal",
        Edit("kernel/urls.py", "    if not _FRAMING.fullmatch(origin):\n", "    if False:\n"),
        by=_ORIGINS,
    ),
    bug(
        "any scheme may be registered as an app's",
        Edit("kernel/urls.py", "    if _NO_APP.fullmatch(scheme):\n", "    if False:\n"),
        by="tests/core/test_urls.py",
    ),
    bug(
        "a Content-Type of any length is read by the library",
        Edit(
            "http/parsing.py",
            '    sent = request.headers.get(hdrs.CONTENT_TYPE, "")\n    if len(sent) > MAX_TYPE_CHARS:\n',
            "    sent = request.content_type\n    if len(sent) > MAX_TYPE_CHARS:\n",
        ),
        by=_HOSTILE,
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
        by=_HOSTILE,
    ),
    bug(
        "a path of any length is routed",
        Edit("http/server.py", "        if len(request.rel_url.raw_path) > MAX_PATH_CHARS:\n", "        if False:\n"),
        by="tests/security/test_hostile_input.py::test_no_input_costs_more_than_its_size",
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
        by="tests/web/test_slow_clients.py::test_slow_bodies_fill_no_house",
    ),
    bug(
        "the admin listener answers to any name",
        Edit(
            "http/trusted_proxies.py",
            '        if not self._serves(request.headers.get(hdrs.HOST, "")):\n',
            "        if False:\n",
        ),
        by="tests/web/test_listeners.py::test_another_name_is_refused_at_every_path",
    ),
    bug(
        "what a parser raised keeps the bytes that it was about",
        Edit("http/connections.py", "            error.__traceback__ = None\n", "            pass\n"),
        by=_HOSTILE,
    ),
    bug(
        "a body's framing has no end",
        Edit("http/connections.py", "body.total_bytes <= MAX_FRAMING_BYTES:", "body.total_bytes <= 10**9:"),
        by="tests/web/test_slow_clients.py::test_what_frames_a_body_ends",
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
            "payments/storage/writes.py",
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
        by="tests/e2e/test_overload.py::test_a_create_that_may_not_wait_is_refused_at_once_and_not_stored",
    ),
    bug(
        "a portal tells of another storefront's reviews",
        Edit(
            "operations/troubles/stored.py",
            " for row in rows if token.sees(row[0], Mode(row[1]), row[2])]",
            " for row in rows]",
        ),
        by="tests/web/test_portal_troubles.py",
    ),
    bug(
        "an operator deletes what another keeps for themselves",
        Edit("console/saved_filters.py", "(kept.shared and context.owns)", "context.owns"),
        by="tests/web/test_saved_filters.py",
    ),
)
