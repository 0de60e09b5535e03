"""Planted bugs about what is stored and sent: commits, claims, leases, events and their delivery."""

from typing import Final

from .planted_edits import Edit, Planted

_STEPS = "adapters/store/"
_STORE = "adapters/sqlite/"
_SQL = "adapters/sql/"
_CHECKOUT = "checkout.py"

STORAGE: Final = (
    Planted(
        "the webhook goes out before the state is committed",
        (
            Edit(
                f"{_STEPS}payments.py",
                "        return await self._write.do(\n",
                "        from dataclasses import replace\n"
                "        from proxy.adapters.store.transition import write_event\n"
                "        for event in change.events:\n"
                "            version = change.after.version\n"
                "            await self._write.do(lambda transaction: write_event(transaction, event, version))\n"
                "        change = replace(change, events=())\n"
                "        return await self._write.do(\n",
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
                f"{_STEPS}payments.py",
                "        stored: Stored = await self._write.do(Shared(create_all, (payment, intent, watch)))\n",
                "        known = await self.stored(payment.merchant_id, payment.storefront, payment.mode, intent.key)\n"
                "        if known is not None:\n"
                "            return known\n"
                "        stored: Stored = await self._write.do(Shared(create_all, (payment, intent, watch)))\n",
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
        "the bank's tracking number is not claimed",
        (Edit(f"{_STEPS}transition.py", "            raise BankCodeSeen(owner)\n", "            pass\n"),),
        "contract tests",
        "tests/store/test_claims_of_money.py::test_a_bank_code_pays_one_payment",
    ),
    Planted(
        "the paid order is not claimed",
        (Edit(f"{_STEPS}transition.py", "            raise OrderPaidByAnother(owner)\n", "            pass\n"),),
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
        "an event has a new id on every attempt",
        (Edit("outgoing.py", '        "webhook-id": message_id,\n', '        "webhook-id": f"{message_id}{now}",\n'),),
    ),
    Planted(
        "the body is serialised again between signing and sending",
        (
            Edit(
                "outgoing.py",
                "return Outgoing(endpoint.url, headers, body)",
                "return Outgoing(endpoint.url, headers, __import__('json').dumps("
                "__import__('json').loads(body)).encode())",
            ),
        ),
    ),
    Planted(
        "the claim's token is not compared",
        (
            Edit(
                f"{_STEPS}flights.py",
                "if flight is None or flight[1] != claim.token or flight[0] != claim.attempt:",
                "if flight is None:",
            ),
        ),
        "contract tests",
        "tests/store/test_deliveries.py::test_a_late_worker_does_not_overwrite_the_new_owner",
    ),
    Planted(
        "an attempt of which nothing was heard again is not counted",
        (
            Edit(
                f"{_STEPS}turns.py",
                'await transaction.run_all("count_attempt", [_place(merchant_id, each) for each, _, _ in lost])\n',
                "pass\n",
            ),
        ),
        "contract tests",
        "tests/store/test_deliveries_at_once.py",
    ),
    Planted(
        "what is claimed with its event is not kept as on its way",
        (
            Edit(
                f"{_STEPS}turns.py",
                "            turn.flights.take_off((claimed,), lease.until)\n",
                "",
            ),
        ),
        "contract tests",
        "tests/store/test_deliveries_at_once.py",
    ),
    Planted(
        "what is claimed with its event needs no room at its endpoint",
        (Edit(f"{_STEPS}turns.py", "        if turn.room(now) > 0:\n", "        if True:\n"),),
        "contract tests",
        "tests/store/test_deliveries_at_once.py",
    ),
    Planted(
        "what happens while an endpoint is paused is dropped",
        (
            Edit(
                f"{_STEPS}transition.py",
                "        if endpoint.id != but and endpoint.wants(",
                "        if endpoint.state is EndpointState.ENABLED and endpoint.id != but and endpoint.wants(",
            ),
        ),
        "state machine",
    ),
)
