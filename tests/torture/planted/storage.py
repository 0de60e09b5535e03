"""Planted bugs about what is stored and sent: commits, claims, leases, events and their delivery."""

from typing import Final

from . import Edit, bug

_CREATION = "payments/creation.py"

STORAGE: Final = (
    bug(
        "the webhook goes out before the state is committed",
        Edit(
            "payments/storage/repository.py",
            "        return await self._write.do(\n            lambda transaction: write_change(",
            "        from dataclasses import replace\n"
            "        from proxy.payments.storage.transition import write_event\n"
            "        for event in change.events:\n"
            "            version = change.after.version\n"
            "            await self._write.do(lambda transaction: write_event(transaction, event, version))\n"
            "        change = replace(change, events=())\n"
            "        return await self._write.do(\n            lambda transaction: write_change(",
        ),
    ),
    bug(
        "synchronous is NORMAL",
        Edit("database/sqlite/connection.py", '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = NORMAL"'),
        by="tests/store/test_sqlite_file.py::test_a_commit_is_synced_and_written_ahead",
    ),
    bug(
        "the idempotency key is read, then inserted",
        Edit(
            "database/sqlite/migrations/0001_first.sql",
            "    UNIQUE (merchant_id, storefront, mode, idempotency_key),\n",
            "",
        ),
        Edit(
            "payments/storage/sql/common/payments.sql",
            "ON CONFLICT (merchant_id, storefront, mode, idempotency_key) DO NOTHING",
            "ON CONFLICT DO NOTHING",
        ),
        Edit(
            "payments/storage/repository.py",
            "stored: StoredCreation = await self._write.do(SharedStep(create_all, (payment, intent, schedule)))",
            "known = await self.stored(payment.merchant_id, payment.storefront, payment.mode, intent.key)\n"
            "        if known is not None:\n"
            "            return known\n"
            "        "
            "stored: StoredCreation = await self._write.do(SharedStep(create_all, (payment, intent, schedule)))",
        ),
        by="tests/store/test_payments.py::test_racing_creates_with_one_key_make_one_payment",
    ),
    bug(
        "a state is written without compare-and-set",
        Edit(
            "payments/storage/sql/common/payments.sql",
            "WHERE merchant_id = $1 AND id = $2 AND version = $3;",
            "WHERE merchant_id = $1 AND id = $2 AND $3 = $3;",
        ),
    ),
    bug(
        "the bank's tracking number is not claimed",
        Edit("payments/storage/transition.py", "            raise BankCodeTaken(owner)\n", "            pass\n"),
        by="tests/store/test_claims_of_money.py::test_a_bank_code_pays_one_payment",
    ),
    bug(
        "the paid order is not claimed",
        Edit("payments/storage/transition.py", "            raise OrderPaidByAnother(owner)\n", "            pass\n"),
        by="state machine",
    ),
    bug(
        "a create does not wait for the one that is under way",
        Edit(
            "payments/storage/sql/common/payments.sql",
            "AND lease_until <= $3 AND reply_status IS NULL;",
            "AND $3 = $3 AND reply_status IS NULL;",
        ),
        Edit(_CREATION, " and stored.intent.lease_until > now:\n", " and stored.intent.lease_until < 0:\n"),
        by="tests/store/test_payments.py::test_only_a_lease_that_is_over_is_taken_over",
    ),
    bug(
        "callers are answered before the COMMIT",
        Edit(
            "database/sqlite/lane.py",
            '    try:\n        connection.execute("BEGIN IMMEDIATE")\n        outcomes = _run_without_savepoints',
            "    try:\n        if connection.in_transaction:\n"
            '            connection.execute("COMMIT")\n'
            '        connection.execute("BEGIN IMMEDIATE")\n        outcomes = _run_without_savepoints',
        ),
        Edit(
            "database/sqlite/lane.py",
            '        connection.execute("COMMIT")\n    except BaseException as error:\n',
            "    except BaseException as error:\n",
        ),
        Edit(
            "database/sqlite/connection.py",
            'which copies the WAL back into the database."""\n',
            'which copies the WAL back into the database."""\n        await self.run(lambda raw: raw.commit())\n',
        ),
    ),
    bug(
        "a COMMIT that fails is answered as done",
        Edit(
            "database/sqlite/lane.py",
            '        connection.execute("COMMIT")\n    except BaseException as error:\n',
            "        try:\n"
            '            connection.execute("COMMIT")\n'
            "        except sqlite3.Error:\n"
            "            _roll_back(connection)\n"
            "    except BaseException as error:\n",
        ),
        by="disk faults",
    ),
    bug(
        "a step that failed half-way is not undone",
        Edit(
            "database/sqlite/lane.py",
            "            if connection.total_changes != before:\n                return None\n",
            "",
        ),
        by="tests/store/test_group_commit.py::test_a_step_that_wrote_before_it_failed_is_undone_alone",
    ),
    bug(
        "an event has a new id on every attempt",
        Edit(
            "webhooks/request.py",
            '        "webhook-id": message_id,\n',
            '        "webhook-id": f"{message_id}{now}",\n',
        ),
    ),
    bug(
        "the body is serialised again between signing and sending",
        Edit(
            "webhooks/request.py",
            "return WebhookRequest(endpoint.url, headers, body)",
            "return WebhookRequest(endpoint.url, headers, __import__('json').dumps("
            "__import__('json').loads(body)).encode())",
        ),
    ),
    bug(
        "the claim's token is not compared",
        Edit(
            "webhooks/storage/queue.py",
            "if claimed is None or claimed[1] != claim.token or claimed[0] != claim.attempt:",
            "if claimed is None:",
        ),
        by="tests/store/test_deliveries.py::test_a_late_worker_does_not_overwrite_the_new_owner",
    ),
    bug(
        "an attempt of which nothing was heard again is not counted",
        Edit(
            "webhooks/storage/queue.py",
            'await transaction.run_all("count_attempt", [delivery_key(merchant_id, each) for each, _, _ in lost])',
            "pass",
        ),
        by="tests/store/test_deliveries_at_once.py",
    ),
    bug(
        "what is claimed with its event is not kept as on its way",
        Edit("webhooks/storage/claims.py", "            queue.in_flight.add((claimed,), lease.until)\n", ""),
        by="tests/store/test_deliveries_at_once.py",
    ),
    bug(
        "what is claimed with its event needs no room at its endpoint",
        Edit("webhooks/storage/claims.py", "        if queue.room(now) > 0:\n", "        if True:\n"),
        by="tests/store/test_deliveries_at_once.py",
    ),
    bug(
        "what happens while an endpoint is paused is dropped",
        Edit(
            "webhooks/storage/events.py",
            "        if endpoint.id != but and endpoint.wants(",
            "        if endpoint.state is EndpointState.ENABLED and endpoint.id != but and endpoint.wants(",
        ),
        by="state machine",
    ),
    bug(
        "a store that wrote once is ready for good",
        Edit(
            "observability/readiness.py",
            "self._tick() - self._written_at < KEEP_SECONDS:",
            "self._tick() >= self._written_at:",
        ),
        by="machines",
        part="disk read-only",
    ),
    bug(
        "a file has as many locks as names",
        Edit(
            "database/sqlite/files.py", "        self.path = path.resolve()\n", "        self.path = path.absolute()\n"
        ),
        Edit(
            "database/sqlite/files.py",
            "            self._file = _lock(self.path, self.path) if make or self.path.exists() else None\n",
            "            self._file = None\n",
        ),
        by="machines",
        part="two processes on one file",
    ),
)
