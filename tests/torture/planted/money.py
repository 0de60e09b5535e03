"""Planted bugs about money and time, and about what real shops, browsers and gateways send.

What is believed of it and compared, for how long somebody looks, and clocks that jump.
"""

from typing import Final

from . import Edit, bug

_PAYMENT, _SCHEDULE, _CHECKOUT = "payments/transitions.py", "payments/check_schedule.py", "payments/checkout.py"
_WATCH, _WATCHED = "operations/clock_watch.py", "tests/core/test_clock.py"
_PULLS, _PULLED = "operations/clock_watch.py", "tests/store/test_pulls.py"

_BANK_FILE: Final = "tests/core/test_money.py"

_CUSTOMER: Final = "api/customer/handlers.py"
_VISIT: Final = "api/customer/visit.py"
_NEXT_STEP: Final = "payments/next_step.py"
_WAYS_IN: Final = "tests/web/test_ways_in.py"
_CUSTOMERS_WAY: Final = "tests/web/test_customer.py"
_ANSWERS: Final = "gateways/invoice_script/answers.py"
_WORDS: Final = "tests/adapters/test_gateway_answers.py"

_URLS, _HOSTS, _TEXT = "kernel/urls.py", "tests/core/test_urls.py", "tests/web/test_input.py"
_NOT_PRINTABLE: Final = (
    "    if not text.isprintable():\n"
    '        return f"U+{ord(next(char for char in text if not char.isprintable())):04X}"\n'
)

_DROP_IN, _WIRE = "tests/web/test_facade.py", "tests/web/test_facade_wire.py"

MONEY: Final = (
    bug(
        "the return's status is trusted",
        Edit(
            _CHECKOUT,
            "        return await self.check(payment, schedule)\n",
            '        if params.get("status") == "0" and payment.invoice_key:\n'
            "            from proxy.gateways.port import Captured\n"
            '            paid = Captured(payment.invoice_key, payment.amount_rials, params.get("bank_code", "0"))\n'
            "            entry = history.customer_return(payment, now, params)\n"
            "            change = await self._settlement.settle(payment, paid, (entry,), schedule)\n"
            "            return Checkup(change.after, paid)\n"
            "        return await self.check(payment, schedule)\n",
        ),
    ),
    bug(
        "the amount is not compared",
        Edit(_PAYMENT, "AMOUNT_DIFFERS, fact.amount_rials != payment.amount_rials),", "AMOUNT_DIFFERS, False),"),
    ),
    bug(
        "the returned key is checked instead of the stored one",
        Edit(
            _CHECKOUT,
            "        return await self.check(payment, schedule)\n",
            "        from dataclasses import replace\n"
            '        told = params.get("invoice_key") or payment.invoice_key\n'
            "        return await self.check(replace(payment, invoice_key=told), schedule)\n",
        ),
    ),
    bug(
        "a check that times out means canceled",
        Edit(
            "gateways/invoice_script/answers.py",
            "        return CheckUnknown(invoice_key, meaning.reason, http_status=meaning.http_status)\n",
            "        return Canceled(invoice_key)\n",
        ),
        by="state machine",
    ),
    bug(
        "a request that times out means refused",
        Edit(
            "gateways/invoice_script/answers.py",
            "            return RequestUnknown(reason, timed_out=timed_out, http_status=http_status)\n",
            "            return RequestRefused(301)\n",
        ),
        by="state machine",
    ),
    bug(
        "a bank that cannot be reached (301) means not paid",
        Edit(
            "gateways/invoice_script/answers.py",
            "    if known is Code.NOT_PAID:\n",
            "    if known in {Code.NOT_PAID, Code.BANK_UNREACHABLE}:\n",
        ),
        by="state machine",
    ),
    bug(
        "a payment expires by the clock alone",
        Edit(
            "payments/poller.py",
            "        if not payment.invoice_keys():\n",
            "        if not payment.invoice_keys() or self._now() >= payment.expires_at:\n",
        ),
        Edit(
            _PAYMENT,
            "    if payment.status is not Status.CREATED or now < payment.expires_at:\n",
            "    if payment.status not in {Status.CREATED, Status.PENDING} or now < payment.expires_at:\n",
        ),
    ),
    bug(
        "an invoice that nobody was handed is forgotten",
        Edit(
            _PAYMENT,
            "    return _changed(payment, now, spare_invoice_keys=spares,",
            "    return payment, ()\n    return _changed(payment, now, spare_invoice_keys=spares,",
        ),
        by="tests/core/test_payment.py",
    ),
    bug(
        "the checks end at an unclear answer",
        Edit(
            _SCHEDULE,
            "    if not payment.due_invoice_keys():\n",
            '    if not payment.open_invoice_keys() or type(fact).__name__ == "CheckUnknown":\n',
        ),
    ),
    bug(
        "the checks end at a cancel",
        Edit(
            _SCHEDULE,
            "    if not payment.due_invoice_keys():\n",
            "    if not payment.open_invoice_keys() or isinstance(fact, Canceled):\n",
        ),
    ),
    bug(
        "the checks end at the expiry",
        Edit(
            _SCHEDULE,
            "    if not payment.due_invoice_keys():\n",
            "    if not payment.open_invoice_keys() or now > payment.expires_at:\n",
        ),
    ),
    bug(
        "money that comes late is ignored",
        Edit(
            _PAYMENT,
            "payment.open_invoice_keys() or payment.intends(GatewayStep.REVERSE, fact.invoice_key):\n",
            "payment.open_invoice_keys() or payment.status in _CLOSED:\n",
        ),
        Edit(_PAYMENT, "def _review_reason(", "_CLOSED = (Status.CANCELED, Status.EXPIRED)\n\n\ndef _review_reason("),
    ),
    bug(
        "a late answer overturns a paid payment",
        Edit(
            _PAYMENT,
            "    if payment.status is not Status.PENDING or fact.invoice_key != payment.invoice_key:\n",
            "    if payment.status not in _OPEN or fact.invoice_key != payment.invoice_key:\n",
        ),
        Edit(_PAYMENT, "def _check_unknown(", "_OPEN = (Status.PENDING, Status.PAID)\n\n\ndef _check_unknown("),
        by="tests/core/test_payment.py",
    ),
    bug(
        "the gateway's key stands in the timeline",
        Edit(
            _CHECKOUT,
            'calls.append((checked.outcome, started, history.call("gateway.check", started, checked)))',
            'entry = history.call("gateway.check", started, checked)\n'
            '            data = {**entry.data, "key": account.api_key}\n'
            "            calls.append((checked.outcome, started, Entry(started, entry.kind, 1, data)))",
        ),
    ),
    bug(
        "an answer from before the expiry ends a payment behind it",
        Edit(
            "payments/settlement.py",
            "fact if asked_at is None else _as_of(asked_at, fact, payment, self._now())",
            "fact",
        ),
        by="tests/web/test_customer.py",
    ),
    bug(
        "one clear answer after its window ends the checks",
        Edit(
            "payments/check_schedule.py",
            "    if clear and point == len(FROM_LINK):\n",
            "    if clear and (point == len(FROM_LINK) or now >= linked_at + FROM_LINK[-1]):\n",
        ),
        by="tests/core/test_schedules.py",
    ),
    bug(
        "due times that a clock ahead has left are not pulled in",
        Edit(_PULLS, "            if beyond:\n", "            if False:\n"),
        by="machines",
        part="clock jumps",
    ),
    bug(
        "nobody looks at the time of day once a process runs",
        Edit(_WATCH, "        self._look()\n        if not self._begun", "        if not self._begun"),
        by="machines",
        part="clock jumps",
    ),
    bug(
        "the circuit breaker goes by the time of day",
        Edit("app.py", "CircuitBreaker(storage.steady)", "CircuitBreaker(now)"),
        by="tests/e2e/test_clocks.py",
    ),
    bug(
        "the time that a clock jumped over was waited for",
        Edit("kernel/clock.py", "            self.skip(old, now)\n", "            pass\n"),
        by=_WATCHED,
    ),
    bug(
        "due times are pulled in once after a jump, and not again",
        Edit(_WATCH, "        self._again_at = self.clock.steady() + AGAIN_AFTER\n", ""),
        by=_WATCHED,
    ),
    bug(
        "a jump ahead forgets that the clock was ahead before",
        Edit(
            _WATCH,
            "self._again_strictly = self._again_strictly or self._strictly",
            "self._again_strictly = self._strictly",
        ),
        by=_WATCHED,
    ),
    bug(
        "a jump leaves no heartbeat for the next start",
        Edit(_WATCH, "        self._pending, self._beat_at = True, 0", "        self._pending = True"),
        by=_WATCHED,
    ),
    bug(
        "a clock that was ahead is forgotten before the second walk",
        Edit(_WATCH, "was_ahead = self._strictly or self._again_strictly", "was_ahead = self._strictly"),
        by=_WATCHED,
    ),
    bug(
        "a walk at a jump ends the lease of a create that is under way",
        Edit(_PULLS, "now + LONGEST_LEASE", "now + REQUEST_LEASE"),
        by=_PULLED,
    ),
    bug(
        "history is forgotten by a clock that is ahead",
        Edit("webhooks/retention.py", "forget(min(now, self._settled()) - keep", "forget(now - keep"),
        by="tests/core/test_schedules.py",
    ),
    bug(
        "a delivery that was claimed before the clock went back is begun",
        Edit(
            "webhooks/worker.py",
            "if not 0 <= started - claim.claimed_at <= LATEST_START:",
            "if started - claim.claimed_at > LATEST_START:",
        ),
    ),
    bug(
        "what a gateway says twice is believed",
        Edit("gateways/answers.py", "    if len(fields) != len(pairs):\n", "    if False:\n"),
        by=_WORDS,
    ),
    bug(
        "a check that names another invoice is believed",
        Edit(_ANSWERS, "    if _names_another(invoice_key, meaning.fields):\n", "    if False:\n"),
        by=_WORDS,
    ),
    bug(
        "a bank_code of zeros or null is taken for one",
        Edit("gateways/answers.py", "    return text if _names(text) else None\n", "    return text\n"),
        by=_WORDS,
    ),
    bug(
        "money without a bank_code is never reviewed",
        Edit(_PAYMENT, "    if fact.captured_rials is None or now < payment.expires_at:\n", "    if True:\n"),
        by="tests/core/test_payment.py",
    ),
    bug(
        "a gateway's Retry-After is not kept",
        Edit("gateways/circuit_breaker.py", "        if retry_after_seconds:\n", "        if False:\n"),
        by="tests/core/test_gateway_calls.py",
    ),
    bug(
        "a quote in a bank's file may swallow rows",
        Edit("operations/reconciliation/file.py", ", strict=True), 1)", "), 1)"),
        by=_BANK_FILE,
    ),
    bug(
        "separators of an amount are taken out wherever they stand",
        Edit(
            "operations/reconciliation/cells.py",
            "    found = _AMOUNT.fullmatch(text)\n",
            '    found = _AMOUNT.fullmatch(re.sub("[, ]", "", text))\n',
        ),
        by=_BANK_FILE,
    ),
    bug(
        "a reversed row is passed over",
        Edit(
            "operations/reconciliation/file.py",
            "        return Reversal(number, code, out) if code else SkippedRow(",
            "        return SkippedRow(",
        ),
        by=_BANK_FILE,
    ),
    bug(
        "the way to a gateway tells it no referrer",
        Edit(_CUSTOMER, "_see_other(step.way.url, ORIGIN_REFERRER)", "_see_other(step.way.url)"),
        by=_WAYS_IN,
    ),
    bug(
        "a browser from a shop's page is redirected, and tells the gateway of the shop",
        Edit(_CUSTOMER, "if not visit.from_elsewhere and step.way.fields is None:", "if step.way.fields is None:"),
        by=_WAYS_IN,
    ),
    bug(
        "the other link of a paid order leads to the gateway",
        Edit(
            _NEXT_STEP,
            "        if (paid := await self._paid_by(payment)) is not None:\n",
            "        if (paid := await self._paid_by(payment)) is not None and not insists:\n",
        ),
        by=_CUSTOMERS_WAY,
    ),
    bug(
        "an attempt that ends unpaid does not tell that its order is paid",
        Edit(
            "payments/storage/writes.py",
            '"order_paid_by": rows[0][0] if rows else None})\n',
            '"order_paid_by": None})\n',
        ),
        by=_CUSTOMERS_WAY,
    ),
    bug(
        "a return from a bot's user agent shows the invitation",
        Edit(
            _VISIT,
            "request.method == hdrs.METH_GET and is_ahead(request)",
            "request.method == hdrs.METH_GET and is_preview(request)",
        ),
        by=_WAYS_IN,
    ),
    bug(
        "what was pasted behind a link is a part of it",
        Edit(
            "api/rate_limiting.py",
            "    return PayLink(text, tail, merchant_of_link(text))\n",
            "    return PayLink(text + tail, tail, merchant_of_link(text + tail))\n",
        ),
        by=_WAYS_IN,
    ),
    bug(
        "a link that is opened again leads to the gateway unasked",
        Edit("payments/checkout.py", "(opened_before or now >= payment.created_at + FRESH)", "False"),
        by=_WAYS_IN,
    ),
    bug(
        "a customer waits for a slow check before an empty page",
        Edit("kernel/background.py", "await asyncio.wait({task}, timeout=seconds)", "await asyncio.wait({task})"),
        by=_WAYS_IN,
    ),
    bug(
        "hosts are mapped as IDNA 2003 does",
        Edit(
            _URLS,
            "    name = idna.uts46_remap(unquote_to_bytes(text).decode(), std3_rules=False)\n",
            '    name = unquote_to_bytes(text).decode().encode("idna").decode().lower()\n',
        ),
        by=_HOSTS,
    ),
    bug(
        "the return URL shadows the shop's own parameters",
        Edit(
            "payments/return_url.py",
            "    return PARAMETERS if _parameter_names_in(return_url).isdisjoint(PARAMETERS) else PREFIXED\n",
            "    return PARAMETERS\n",
        ),
        by="tests/web/test_pay_links.py",
    ),
    bug(
        "the return URL rewrites the shop's own query",
        Edit(
            _URLS,
            '    base, mark, fragment = url.partition("#")\n',
            '    from yarl import URL\n\n    base, mark, fragment = str(URL(url)).partition("#")\n',
        ),
        by="tests/web/test_pay_links.py",
    ),
    bug(
        "a half-space is a control character",
        Edit("kernel/text.py", "    if text.isascii() and text.isprintable():\n        return None\n", _NOT_PRINTABLE),
        by=_TEXT,
    ),
    bug(
        "an order_id that the drop-in cannot keep is dropped",
        Edit(
            "gateways/invoice_script/drop_in.py",
            "        raise refused(Code.BANK_UNREACHABLE, BAD_ORDER_ID) from None\n",
            "        return None\n",
        ),
        by="tests/web/test_facade_wire.py",
    ),
    bug(
        "a query that is not UTF-8 finds what reads like it",
        Edit(
            "http/parsing.py",
            "        unquote_to_bytes(raw).decode()\n",
            '        unquote_to_bytes(raw).decode(errors="replace")\n',
        ),
        by="tests/web/test_payments.py",
    ),
    bug(
        "bytes that are in no charset are replaced",
        Edit("gateways/shop_calls.py", 'raw.decode(codec, "surrogateescape")', 'raw.decode(codec, "replace")'),
        by=_WIRE,
    ),
    bug(
        "windows-1256 is not known where it is not stated",
        Edit("gateways/shop_calls.py", '    return "cp1256"\n', '    return "utf-8"\n'),
        by=_WIRE,
    ),
    bug(
        "a bank_code goes back with a payment that is not paid",
        Edit(
            "payments/serializers.py",
            "        payment.bank_code if payment.status is Status.PAID else None,\n",
            "        payment.bank_code,\n",
        ),
        by=_DROP_IN,
    ),
    bug(
        "a return by both ways has its parameters in the form alone",
        Edit(
            _NEXT_STEP,
            "if payment.drop_in is not ReturnMethod.POST else",
            "if payment.drop_in is ReturnMethod.GET else",
        ),
        by=_DROP_IN,
    ),
    bug(
        "a drop-in shop waits as long as the gateway",
        Edit("api/drop_in/invoice_script.py", "asyncio.timeout(calls.ANSWER_SECONDS)", "asyncio.timeout(None)"),
        by=_WIRE,
    ),
    bug(
        "of two places to go back to the first is taken",
        Edit("gateways/invoice_script/wire.py", "    if len(urls) > 1:\n", "    if False:\n"),
        by=_WIRE,
    ),
    bug(
        "what a shop had reversed is money of today",
        Edit("console/daily_totals.py", "            if each.is_reversed:\n", "            if each.part < 0:\n"),
        by="tests/gateways/test_reversal.py",
    ),
)
