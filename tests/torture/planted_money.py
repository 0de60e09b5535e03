"""Planted bugs about money: what is believed, what is compared, and for how long somebody looks."""

from typing import Final

from .planted_edits import Edit, Planted

_PAYMENT, _WATCH, _CHECKOUT = "payment.py", "watch.py", "checkout.py"

MONEY: Final = (
    Planted(
        "the return's status is trusted",
        (
            Edit(
                _CHECKOUT,
                "        return await self.check(payment, read=plan, plan=plan)\n",
                '        if params.get("status") == "0" and payment.invoice_key:\n'
                "            from proxy.facts import Captured\n"
                '            paid = Captured(payment.invoice_key, payment.amount_rials, params.get("bank_code", "0"))\n'
                "            entry = timeline.customer_return(payment, now, params)\n"
                "            return await self._settle_all(payment, [(paid, entry)], plan, plan)\n"
                "        return await self.check(payment, read=plan, plan=plan)\n",
            ),
        ),
    ),
    Planted(
        "the amount is not compared",
        (Edit(_PAYMENT, "    if fact.amount_rials != payment.amount_rials:\n", "    if False:\n"),),
    ),
    Planted(
        "the returned key is checked instead of the stored one",
        (
            Edit(
                _CHECKOUT,
                "        return await self.check(payment, read=plan, plan=plan)\n",
                "        from dataclasses import replace\n"
                '        told = params.get("invoice_key") or payment.invoice_key\n'
                "        return await self.check(replace(payment, invoice_key=told), read=plan, plan=plan)\n",
            ),
        ),
    ),
    Planted(
        "a check that times out means canceled",
        (
            Edit(
                "adapters/gateway_answers.py",
                "            return CheckUnknown(invoice_key, reason)\n",
                "            return Canceled(invoice_key)\n",
            ),
        ),
        "state machine",
    ),
    Planted(
        "a request that times out means refused",
        (
            Edit(
                "adapters/gateway_answers.py",
                "            return RequestUnknown(reason, timed_out=timed_out)\n",
                "            return RequestRefused(301)\n",
            ),
        ),
        "state machine",
    ),
    Planted(
        "a bank that cannot be reached (301) means not paid",
        (Edit("adapters/gateway_answers.py", "    if code == NOT_PAID:\n", "    if code in {NOT_PAID, 301}:\n"),),
        "state machine",
    ),
    Planted(
        "a payment expires by the clock alone",
        (
            Edit(
                "watcher.py",
                "        if not payment.invoice_keys():\n",
                "        if not payment.invoice_keys() or self._now() >= payment.expires_at:\n",
            ),
            Edit(
                _PAYMENT,
                "    if payment.status is not Status.CREATED or now < payment.expires_at:\n",
                "    if payment.status not in {Status.CREATED, Status.PENDING} or now < payment.expires_at:\n",
            ),
        ),
    ),
    Planted(
        "an invoice that nobody was handed is forgotten",
        (
            Edit(
                _PAYMENT,
                "    return _changed(payment, now, spare_invoice_keys=spares,",
                "    return payment, ()\n    return _changed(payment, now, spare_invoice_keys=spares,",
            ),
        ),
        "contract tests",
        "tests/core/test_payment_table.py",
    ),
    Planted(
        "the watch ends at an unclear answer",
        (
            Edit(
                _WATCH,
                "    if not payment.open_invoice_keys():\n",
                '    if not payment.open_invoice_keys() or type(fact).__name__ == "CheckUnknown":\n',
            ),
        ),
    ),
    Planted(
        "the watch ends at a cancel",
        (
            Edit(
                _WATCH,
                "    if not payment.open_invoice_keys():\n",
                "    if not payment.open_invoice_keys() or isinstance(fact, Canceled):\n",
            ),
        ),
    ),
    Planted(
        "the watch ends at the expiry",
        (
            Edit(
                _WATCH,
                "    if not payment.open_invoice_keys():\n",
                "    if not payment.open_invoice_keys() or now > payment.expires_at:\n",
            ),
        ),
    ),
    Planted(
        "money that comes late is ignored",
        (
            Edit(
                _PAYMENT,
                "    if fact.invoice_key not in payment.open_invoice_keys():\n",
                "    if fact.invoice_key not in payment.open_invoice_keys() or payment.status in _CLOSED:\n",
            ),
            Edit(
                _PAYMENT,
                "def _review_reason(",
                "_CLOSED = (Status.CANCELED, Status.EXPIRED)\n\n\ndef _review_reason(",
            ),
        ),
    ),
    Planted(
        "a late answer overturns a paid payment",
        (
            Edit(
                _PAYMENT,
                "    if payment.status is not Status.PENDING or fact.invoice_key != payment.invoice_key:\n",
                "    if payment.status not in _OPEN or fact.invoice_key != payment.invoice_key:\n",
            ),
            Edit(
                _PAYMENT,
                "def _check_unknown(",
                "_OPEN = (Status.PENDING, Status.PAID)\n\n\ndef _check_unknown(",
            ),
        ),
        "contract tests",
        "tests/core/test_payment_table.py",
    ),
    Planted(
        "the gateway's key stands in the timeline",
        (
            Edit(
                _CHECKOUT,
                'calls.append((checked.fact, timeline.call("gateway.check", started, checked)))',
                'entry = timeline.call("gateway.check", started, checked)\n'
                '            data = {**entry.data, "key": account.api_key}\n'
                "            calls.append((checked.fact, Entry(started, entry.kind, 1, data)))",
            ),
        ),
    ),
)
