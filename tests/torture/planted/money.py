"""Planted bugs about money and time: what is believed and compared, for how long somebody looks, clocks that jump."""

from typing import Final

from . import Edit, bug

_PAYMENT, _SCHEDULE, _CHECKOUT = "payments/payment.py", "payments/check_schedule.py", "payments/checkout.py"
_WATCH, _WATCHED = "operations/clock_watch.py", "tests/core/test_clock.py"
_PULLS, _PULLED = "operations/storage/due_times.py", "tests/store/test_pulls.py"

MONEY: Final = (
    bug(
        "the return's status is trusted",
        Edit(
            _CHECKOUT,
            "        return await self.check(payment, schedule)\n",
            '        if params.get("status") == "0" and payment.invoice_key:\n'
            "            from proxy.gateways.port import Captured\n"
            '            paid = Captured(payment.invoice_key, payment.amount_rials, params.get("bank_code", "0"))\n'
            "            entry = timeline.customer_return(payment, now, params)\n"
            "            change = await self._settlement.settle(payment, paid, (entry,), schedule)\n"
            "            return Checkup(change.after, paid)\n"
            "        return await self.check(payment, schedule)\n",
        ),
    ),
    bug(
        "the amount is not compared",
        Edit(_PAYMENT, "    if fact.amount_rials != payment.amount_rials:\n", "    if False:\n"),
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
            "    if not payment.open_invoice_keys():\n",
            '    if not payment.open_invoice_keys() or type(fact).__name__ == "CheckUnknown":\n',
        ),
    ),
    bug(
        "the checks end at a cancel",
        Edit(
            _SCHEDULE,
            "    if not payment.open_invoice_keys():\n",
            "    if not payment.open_invoice_keys() or isinstance(fact, Canceled):\n",
        ),
    ),
    bug(
        "the checks end at the expiry",
        Edit(
            _SCHEDULE,
            "    if not payment.open_invoice_keys():\n",
            "    if not payment.open_invoice_keys() or now > payment.expires_at:\n",
        ),
    ),
    bug(
        "money that comes late is ignored",
        Edit(
            _PAYMENT,
            "    if fact.invoice_key not in payment.open_invoice_keys():\n",
            "    if fact.invoice_key not in payment.open_invoice_keys() or payment.status in _CLOSED:\n",
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
            'calls.append((checked.outcome, history.call("gateway.check", started, checked)))',
            'entry = history.call("gateway.check", started, checked)\n'
            '            data = {**entry.data, "key": account.api_key}\n'
            "            calls.append((checked.outcome, Entry(started, entry.kind, 1, data)))",
        ),
    ),
    bug(
        "one clear answer after its window ends the checks",
        Edit(
            "payments/check_schedule.py",
            "    if clear and point == len(FROM_LINK):\n",
            "    if clear and (point == len(FROM_LINK) or now >= linked_at + FROM_LINK[-1]):\n",
        ),
        by="tests/core/test_watch.py",
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
        by="tests/delivery/test_retention.py",
    ),
    bug(
        "a delivery that was claimed before the clock went back is begun",
        Edit(
            "webhooks/worker.py",
            "if not 0 <= self._now() - claim.claimed_at <= LATEST_START:",
            "if self._now() - claim.claimed_at > LATEST_START:",
        ),
    ),
)
