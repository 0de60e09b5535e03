"""Planted bugs about families that capture by a call of ours: when it is made, what is believed, what must not be kept.

And about what the gateway does by itself meanwhile: it gives money back, or keeps it.
"""

from typing import Final

from . import Edit, bug

_PAYMENT, _CONFIRMATION, _WRITES = "payments/transitions.py", "payments/confirmation.py", "payments/storage/writes.py"
_CALLS: Final = "tests/gateways/test_confirmation.py"
_CONFIRMED: Final = "tests/core/test_confirmed_payment.py"
_REVERSED: Final = "tests/gateways/test_reversal.py"
_LEASED: Final = "intent is not began and abs(self._now() - intent.at) < CALL_LEASE"
_ASKED: Final = "        if step is None:\n            return await self._look(claim, evidence)\n"

GATEWAYS: Final = (
    bug(
        "verified before is a success, whoever's receipt the answer names",
        Edit("gateways/sep/answers.py", "    if any(names_another(", "    if False and any(names_another("),
        by="tests/gateways/test_sep.py",
    ),
    bug(
        "the money of another payment's receipt is given back",
        Edit(_PAYMENT, " and reversible and fact.bank_code_of is None:", " and reversible:"),
        Edit(_WRITES, "        if reverses and isinstance(", "        if False and isinstance("),
        by=_CALLS,
    ),
    bug(
        "confirm finds out whether somebody paid",
        Edit(_CONFIRMATION, "        if traits.checks:\n            check =", "        if False:\n            check ="),
        by=_CALLS,
    ),
    bug(
        "a look that finds money confirms it at once, before the intent",
        Edit(
            _CONFIRMATION,
            _ASKED,
            "        if step is None:\n"
            "            said = await self._look(claim, evidence)\n"
            "            found = isinstance(said.outcome, PaidUnconfirmed) and not said.outcome.presumed\n"
            "            return await self.ask(payment, GatewayStep.CONFIRM) if found else said\n",
        ),
    ),
    bug(
        "a settle that was under way is taken for another's for ever",
        Edit(
            _CONFIRMATION,
            _LEASED,
            "intent is not began and (abs(self._now() - intent.at) < CALL_LEASE or intent.step is GatewayStep.SETTLE)",
        ),
        by="tests/torture/test_campaigns.py::test_death_at_any_point_breaks_no_promise[settle]",
    ),
    bug(
        "a return that says OK is a payment",
        Edit(
            _CONFIRMATION,
            _ASKED,
            "        if step is None and claim is ReturnClaim.PAID:\n"
            "            from proxy.gateways.port import Captured\n"
            "            number = str(abs(hash(self.invoice_key)))\n"
            "            return _Said(Captured(self.invoice_key, payment.amount_rials, number), self.now())\n" + _ASKED,
        ),
    ),
    bug(
        "another amount than was asked is confirmed",
        Edit(
            _PAYMENT,
            "    if fact.amount_rials not in {None, payment.amount_rials}:\n",
            "    if fact.amount_rials == 0:\n",
        ),
    ),
    bug(
        "a second payment of a paid order is confirmed",
        Edit(_WRITES, "        if paid and paid[0][0] != after.id:\n", "        if paid and False:\n"),
        by="tests/gateways/test_conformance.py::test_a_second_payment_of_a_paid_order_is_not_kept",
    ),
    bug(
        "two payments of an order are confirmed at once",
        Edit(
            _WRITES,
            '        if await transaction.run("claim_confirm", (*order, after.id)) == 0:\n',
            '        if await transaction.run("claim_confirm", (*order, after.id)) == 2:\n',
        ),
        by=_CALLS,
    ),
    bug(
        "the order stays claimed by a confirm that failed",
        Edit(_WRITES, '        await transaction.run("release_confirm", (*order, after.id))\n', "        return\n"),
        by=_CALLS,
    ),
    bug(
        "an order that the shop withdrew is confirmed",
        Edit(
            _PAYMENT,
            "    return None if payment.withdrawn_at is None else GivenBackReason.ORDER_WITHDRAWN\n",
            "    return None\n",
        ),
        by="tests/gateways/test_conformance.py::test_an_order_that_the_shop_withdrew_is_not_kept",
    ),
    bug(
        "a return that names another invoice is used all the same",
        Edit("gateways/sep/answers.py", "        return ReturnClaim.FOREIGN\n", "        said['ResNum'] = res_num\n"),
        by="tests/gateways/test_sep.py",
    ),
    bug(
        "a whole card number is kept with the return",
        Edit("gateways/family.py", "card: _masked(kept[card])", "card: kept[card]"),
        by=_CALLS,
    ),
    bug(
        "too late is the same as not paid",
        Edit(_PAYMENT, "    TooLate: _too_late,\n", "    TooLate: _not_paid,\n"),
        by=_CONFIRMED,
    ),
    bug(
        "what the bank gave back is told as canceled",
        Edit(_PAYMENT, "    Reversed: _reversed,\n", "    Reversed: _canceled,\n"),
        by=_CONFIRMED,
    ),
    bug(
        "a shop's stored wish to have money back is not carried out",
        Edit(
            "payments/checkout.py",
            "complete=self._with_wish)\n        if not change.after.is_asked_back",
            "complete=self._with_wish)\n        change = replace(change, after=replace(change.after, intent=None))\n"
            "        if not change.after.is_asked_back",
        ),
        by=_REVERSED,
    ),
    bug(
        "money that a shop had reversed at the last moment is reversed twice",
        Edit(_PAYMENT, "unasked = payment.intent is None and payment.given_back is None\n", "unasked = True\n"),
        by=_REVERSED,
    ),
    bug(
        "a reversal that nobody answered counts as made",
        Edit(
            _PAYMENT,
            "    if isinstance(fact, Reversed) and payment.given_back is not None:\n        given_back = replace",
            "    if isinstance(fact, Reversed | CheckUnknown) and payment.given_back is not None:\n"
            "        given_back = replace",
        ),
        by=_REVERSED,
    ),
    bug(
        "nobody knows until when money goes back by itself",
        Edit(_CONFIRMATION, "        if after is None or not isinstance(", "        if True or not isinstance("),
        by="tests/gateways/test_conformance.py::test_an_order_that_the_shop_withdrew_is_not_kept",
    ),
    bug(
        "a call that a wrong clock decided waits for that time",
        Edit(_CONFIRMATION, "abs(self._now() - intent.at) < CALL_LEASE", "self._now() < intent.at + CALL_LEASE"),
        by=_CALLS,
    ),
    bug(
        "an intent of an earlier return is tried for ever with a later one",
        Edit(
            _CONFIRMATION,
            "        if step is GatewayStep.CONFIRM and self.family.traits.needs_return and",
            "        if False and",
        ),
        by=_CALLS,
    ),
    bug(
        "the shop can withdraw while the money is being taken",
        Edit(
            _PAYMENT,
            "    if payment.status not in OPEN or payment.intent is not None:\n        return payment, ()\n"
            "    return _changed(payment, now, status=Status.CANCELED, withdrawn_at=now)",
            "    if payment.status not in OPEN:\n        return payment, ()\n"
            "    return _changed(payment, now, status=Status.CANCELED, withdrawn_at=now)",
        ),
    ),
)
