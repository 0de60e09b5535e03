"""The planted bugs: small wrong versions of the code, each as people have shipped it.

They are edits of the source, so a bug that no longer fits the code says so instead of being caught for nothing.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` stands exactly once in the file `path` of the package; `new` takes its place."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Planted:
    """One wrong version. `catcher` is the stage that must notice it; `tests` are what it runs of the contract tests."""

    name: str
    edits: tuple[Edit, ...]
    catcher: str = "simulation"
    tests: str = ""


_PAYMENT, _WATCH, _CHECKOUT = "payment.py", "watch.py", "checkout.py"
_STORE = "adapters/sqlite/"
_SQL = "adapters/sql/"

PLANTED: Final = (
    Planted(
        "the return's status is trusted",
        (
            Edit(
                _CHECKOUT,
                "        return await self.check(payment, read=plan, plan=plan)\n",
                '        if params.get("status") == "0" and payment.invoice_key:\n'
                "            from proxy.facts import Captured\n"
                '            paid = Captured(payment.invoice_key, payment.amount_rials, params.get("bank_code", "0"))\n'
                "            return await self._settle_all(payment, [(paid, noted)], plan, plan)\n"
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
        "the webhook goes out before the state is committed",
        (
            Edit(
                f"{_STORE}payments.py",
                "        await self._write.do(lambda connection: write_change(connection, change))\n",
                "        from dataclasses import replace\n"
                "        from proxy.adapters.sqlite.transition import write_event\n"
                "        for event in change.events:\n"
                "            version = change.after.version\n"
                "            await self._write.do(lambda connection: write_event(connection, event, version))\n"
                "        only = replace(change, events=())\n"
                "        await self._write.do(lambda connection: write_change(connection, only))\n",
            ),
        ),
    ),
    Planted(
        "synchronous is NORMAL",
        (Edit(f"{_STORE}connection.py", '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = NORMAL"'),),
        "contract tests",
        "tests/store/test_sqlite_file.py::test_a_commit_is_synced_and_written_ahead",
    ),
    Planted(
        "the idempotency key is read, then inserted",
        (
            Edit(
                f"{_SQL}sqlite/migrations/0001_first.sql",
                "    UNIQUE (merchant_id, storefront, mode, idempotency_key),\n",
                "",
            ),
            Edit(
                f"{_SQL}common/payments.sql",
                "ON CONFLICT (merchant_id, storefront, mode, idempotency_key) DO NOTHING",
                "ON CONFLICT DO NOTHING",
            ),
            Edit(
                f"{_STORE}payments.py",
                "        return await self._write.do(lambda connection: _create(connection, payment, intent, watch))\n",
                "        known = await self.stored(payment.merchant_id, payment.storefront, payment.mode, intent.key)\n"
                "        if known is not None:\n"
                "            return known\n"
                "        return await self._write.do(lambda connection: _create(connection, payment, intent, watch))\n",
            ),
        ),
        "contract tests",
        "tests/store/test_payments.py::test_racing_creates_with_one_key_make_one_payment",
    ),
    Planted(
        "a state is written without compare-and-set",
        (
            Edit(
                f"{_SQL}common/payments.sql",
                "WHERE merchant_id = $1 AND id = $2 AND version = $3;",
                "WHERE merchant_id = $1 AND id = $2 AND $3 = $3;",
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
        "the bank's tracking number is not claimed",
        (Edit(f"{_STORE}transition.py", "            raise BankCodeSeen(owner)\n", "            pass\n"),),
        "contract tests",
        "tests/store/test_claims_of_money.py::test_a_bank_code_pays_one_payment",
    ),
    Planted(
        "the paid order is not claimed",
        (Edit(f"{_STORE}transition.py", "            raise OrderPaidByAnother(owner)\n", "            pass\n"),),
        "state machine",
    ),
    Planted(
        "a create does not wait for the one that is under way",
        (
            Edit(
                f"{_SQL}common/payments.sql",
                "AND lease_until <= $3 AND reply_status IS NULL;",
                "AND $3 = $3 AND reply_status IS NULL;",
            ),
            Edit(_CHECKOUT, " and stored.intent.lease_until > now:\n", " and stored.intent.lease_until < 0:\n"),
        ),
        "contract tests",
        "tests/store/test_payments.py::test_only_a_lease_that_is_over_is_taken_over",
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
        "callers are answered before the COMMIT",
        (
            Edit(
                f"{_STORE}group_commit.py",
                '    try:\n        connection.execute("BEGIN IMMEDIATE")\n        outcomes = _unguarded',
                "    try:\n        if connection.in_transaction:\n"
                '            connection.execute("COMMIT")\n'
                '        connection.execute("BEGIN IMMEDIATE")\n        outcomes = _unguarded',
            ),
            Edit(
                f"{_STORE}group_commit.py",
                '        connection.execute("COMMIT")\n    except BaseException as error:\n',
                "    except BaseException as error:\n",
            ),
            # At an orderly end all is committed, so that only a death shows it.
            Edit(
                f"{_STORE}connection.py",
                'which copies the WAL back into the database."""\n',
                'which copies the WAL back into the database."""\n        await self.run(lambda raw: raw.commit())\n',
            ),
        ),
    ),
    Planted(
        "a COMMIT that fails is answered as done",
        (
            Edit(
                f"{_STORE}group_commit.py",
                '        connection.execute("COMMIT")\n    except BaseException as error:\n',
                "        try:\n"
                '            connection.execute("COMMIT")\n'
                "        except sqlite3.Error:\n"
                "            _rolled_back(connection)\n"
                "    except BaseException as error:\n",
            ),
        ),
        "disk faults",
    ),
    Planted(
        "a step that failed half-way is not undone",
        (
            Edit(
                f"{_STORE}group_commit.py",
                "            if connection.total_changes != before:\n                return None\n",
                "",
            ),
        ),
        "contract tests",
        "tests/store/test_group_commit.py::test_a_step_that_wrote_before_it_failed_is_undone_alone",
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
        "an event has a new id on every attempt",
        (Edit("outgoing.py", '        "webhook-id": message_id,\n', '        "webhook-id": f"{message_id}{now}",\n'),),
    ),
    Planted(
        "the body is serialised again between signing and sending",
        (
            Edit(
                "outgoing.py",
                "**signed_headers(keys, message_id, body, now)}, body)",
                "**signed_headers(keys, message_id, body, now)}, __import__('json').dumps("
                "__import__('json').loads(body)).encode())",
            ),
        ),
    ),
    Planted(
        "the claim's token is not compared",
        (
            Edit(
                f"{_SQL}common/deliveries.sql",
                "AND token = $3 AND attempts = $4;\n\n-- name: record_attempt\n",
                "AND $3 = $3 AND $4 = $4;\n\n-- name: record_attempt\n",
            ),
        ),
        "contract tests",
        "tests/store/test_deliveries.py::test_a_late_worker_does_not_overwrite_the_new_owner",
    ),
    Planted(
        "an attempt is not counted at its claim",
        (
            Edit(
                f"{_SQL}common/deliveries.sql",
                "SET attempts = attempts + 1, due_at = $3, token = $4",
                "SET due_at = $3, token = $4",
            ),
        ),
    ),
    Planted(
        "what happens while an endpoint is paused is dropped",
        (
            Edit(
                f"{_STORE}transition.py",
                "        if endpoint.id != but and endpoint.wants(",
                "        if endpoint.state is EndpointState.ENABLED and endpoint.id != but and endpoint.wants(",
            ),
        ),
        "state machine",
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
