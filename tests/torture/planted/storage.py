"""Planted bugs about what is stored and sent: commits, claims, leases, events and their delivery.

And about what that stands on: locks, disks, servers, name servers and receivers.
"""

from typing import Final

from . import Edit, bug

_CREATION = "payments/creation.py"

_EXCHANGE: Final = "http/outbound/exchange.py"
_ANSWERS: Final = "tests/adapters/test_answers.py"
_CONNECTION: Final = "database/sqlite/connection.py"
_LOCK, _FILE = "database/sqlite/files.py", "tests/store/test_sqlite_file.py"
_LINES, _LOG = "observability/logs.py", "tests/e2e/test_process.py"
_RESENDS: Final = "tests/store/test_resends.py"
_MANNERS: Final = "tests/e2e/test_process.py"
_FAILOVER, _SETUP = "tests/store/test_postgresql_failover.py", "tests/store/test_postgresql_server.py"

STORAGE: Final = (
    bug(
        "a paused endpoint ignores a person's retry",
        Edit(
            "webhooks/storage/claims.py",
            "due = [row for row in rows[:room_if_asked] if row[0] == AT_ONCE]",
            "due = [row for row in rows[:room_if_asked] if row[0] == AT_ONCE and not queue.health.paused_until > now]",
        ),
        by="tests/store/test_endpoints.py::test_a_persons_retry_that_fails_leaves_the_pause_as_it_was",
    ),
    bug(
        "a new event waits for all that is sent again",
        Edit(
            "webhooks/storage/resend_pace.py",
            "room, room_in_queue = max(WINDOW - len(look.waiting), least), max(WINDOW - due, least)",
            "room, room_in_queue = _LOOKED_AT, _LOOKED_AT",
        ),
        by=f"{_RESENDS}::test_a_new_event_waits_for_a_window_and_not_for_all_that_is_sent_again",
    ),
    bug(
        "two resends of what was delivered send it twice",
        Edit("webhooks/storage/resend_pace.py", "return not since_then and look", "return since_then or look"),
        by=f"{_RESENDS}::test_what_was_delivered_is_sent_again_where_it_is_asked_for_and_once_for_two_who_ask",
    ),
    bug(
        "the webhook goes out before the state is committed",
        Edit(
            "payments/storage/repository.py",
            "        return await self._write.do(\n            lambda transaction: write_change(",
            "        from dataclasses import replace\n"
            "        from proxy.webhooks.storage.events import write_event\n"
            "        for event in change.events:\n"
            "            version = change.after.version\n"
            "            await self._write.do(lambda transaction: write_event(transaction, event, version))\n"
            "        change = replace(change, events=())\n"
            "        return await self._write.do(\n            lambda transaction: write_change(",
        ),
    ),
    bug(
        "an invoice is a payment's although it is another's",
        Edit("payments/storage/sql/postgresql/creates.sql", "        AND EXISTS (SELECT 1 FROM claimed)\n", ""),
        by="tests/store/test_postgresql_lanes.py::test_invoices_that_come_together_are_told_each_its_own",
    ),
    bug(
        "a checkpoint begins on a WAL that is copied already",
        Edit("database/sqlite/checkpoints.py", "if self._version() == self._seen:", "if self._version() < 0:"),
        by="tests/store/test_checkpoints.py::test_no_checkpoint_begins_when_nothing_was_committed_since_the_last",
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
            "stored: StoredCreation = await self._write.do(",
            "known = await self.stored(payment.merchant_id, payment.storefront, payment.mode, intent.key)\n"
            "        if known is not None:\n"
            "            return known\n"
            "        "
            "stored: StoredCreation = await self._write.do(",
        ),
        by="tests/store/test_payments.py::test_racing_creates_with_one_key_make_one_payment",
    ),
    bug(
        "a state is written without compare-and-set",
        *(
            Edit(
                "payments/storage/sql/common/payments.sql",
                f"WHERE merchant_id = $1 AND id = $2 AND version = $3;\n\n-- name: {following}",
                f"WHERE merchant_id = $1 AND id = $2 AND $3 = $3;\n\n-- name: {following}",
            )
            for following in ("issue_payment", "answer_request")
        ),
    ),
    bug(
        "the bank's tracking number is not claimed",
        Edit("payments/storage/writes.py", "            raise BankCodeTaken(owner)\n", "            pass\n"),
        by="tests/store/test_payments.py::test_a_bank_code_pays_one_payment",
    ),
    bug(
        "the paid order is not claimed",
        Edit("payments/storage/writes.py", "            raise OrderPaidByAnother(owner)\n", "            pass\n"),
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
        by="tests/store/test_deliveries.py",
    ),
    bug(
        "what is claimed with its event is not kept as on its way",
        Edit("webhooks/storage/claims.py", "            queue.in_flight.add((claimed,), lease.until)\n", ""),
        by="tests/store/test_deliveries.py",
    ),
    bug(
        "what is claimed with its event needs no room at its endpoint",
        Edit("webhooks/storage/claims.py", "        if queue.room(now) > 0:\n", "        if True:\n"),
        by="tests/store/test_deliveries.py",
    ),
    bug(
        "every endpoint gets as many webhooks at once as the strongest",
        Edit("webhooks/storage/queue.py", "        most = self.endpoint.max_in_flight\n", "        most = 64\n"),
        by="tests/store/test_in_flight.py",
    ),
    bug(
        "an endpoint is due with what is on its way there",
        Edit("webhooks/storage/queue.py", " if delivery_id not in queue.in_flight), None)", "), None)"),
        by="tests/store/test_in_flight.py",
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
    bug(
        "bytes behind a head take its status away",
        Edit(
            _EXCHANGE,
            "        self._feed(data[:end])\n        return data[end:]\n",
            '        self._feed(data)\n        return b""\n',
        ),
        by=_ANSWERS,
    ),
    bug(
        "a gateway's answer that is longer than it says is read",
        Edit(_EXCHANGE, "        if self._protocol.overran:\n", "        if False:\n"),
        by=_ANSWERS,
    ),
    bug(
        "a name server that was quick may never be slow",
        Edit(
            "http/outbound/connector.py",
            "        if quick.done():\n            return quick.result()\n",
            "        return await quick\n",
        ),
        by="tests/adapters/test_guard.py::test_a_name_server_may_take_two_and_a_half_seconds_after_many_quick_answers",
    ),
    bug(
        "a person's retry waits for the pause that its endpoint asked for",
        Edit("webhooks/storage/redelivery.py", "(*key, AT_ONCE, int(", "(*key, self._now(), int("),
        by="tests/store/test_endpoints.py",
    ),
    bug(
        "a second rotation of a signing secret ends the overlap that runs",
        Edit("webhooks/endpoint.py", "self.overlaps(now) if until > now else ()", "()"),
        by="tests/web/test_endpoints.py",
    ),
    bug(
        "the egress proxy is asked for an address that no guard judged",
        Edit("http/outbound/egress_proxy.py", "                self._check_address(address)\n", ""),
        by="tests/adapters/test_egress_proxy.py",
    ),
    bug(
        "the escapes of a registered URL are written anew",
        Edit("webhooks/sender.py", 'f"POST {origin.target} HTTP', 'f"POST {url.raw_path_qs} HTTP'),
        by="tests/adapters/test_sender.py",
    ),
    bug(
        "the lock goes by the path's name",
        Edit(
            _LOCK,
            "            self._file = _lock(self.path, self.path) if make or self.path.exists() else None\n",
            "            self._file = None\n",
        ),
        by=_FILE,
    ),
    bug(
        "commits go on into a file that was deleted",
        Edit(
            "database/sqlite/store.py",
            "    database.require_in_place()\n    return outcomes\n",
            "    return outcomes\n",
        ),
        by=_FILE,
    ),
    bug(
        "the event loop writes the log itself",
        Edit(
            _LINES,
            "        if not line:\n            return 0\n",
            "        if line:\n            return os.write(self._descriptor, line)\n",
        ),
        by=f"{_LOG}::test_payments_go_on_while_nobody_reads_the_log_and_what_was_lost_is_told",
    ),
    bug(
        "what waits for the log's reader has no limit",
        Edit(_LINES, "            if full and threading", "            if False and threading"),
        by=f"{_LOG}::test_what_nobody_reads_is_dropped_beyond_its_room_and_told_when_it_flows",
    ),
    bug(
        "the numbers of events are taken in blocks, which a crash loses",
        Edit(
            "database/sqlite/store.py",
            "    finished(take_over(SqliteTransaction(connection), now))\n",
            "    finished(take_over(SqliteTransaction(connection), now))\n"
            '    connection.execute("UPDATE event_sequences SET last = last + 10")\n',
        ),
        by="history",
    ),
    bug(
        "a key that comes again is answered as of now",
        Edit(
            "payments/creation.py",
            "(stored.intent.lease_until - now) // SECOND)))\n    return stored.reply\n",
            "(stored.intent.lease_until - now) // SECOND)))\n"
            "    if stored.reply is None:\n        return None\n"
            "    body = stored.reply.body.replace(b'\"pending\"', b'\"%s\"' % stored.payment.status.encode())\n"
            "    return Reply(stored.reply.status, body)\n",
        ),
        by="history",
    ),
    bug(
        "commits are synced when they are copied back, and not before",
        Edit(_CONNECTION, '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = NORMAL"'),
        by="power cut",
    ),
    bug(
        "what a commit replaces is kept in memory alone",
        Edit(_CONNECTION, '"PRAGMA journal_mode = WAL"', '"PRAGMA journal_mode = MEMORY"'),
        by="power cut",
    ),
    bug(
        "connections take all the addresses that a process may have",
        Edit("http/connection_limits.py", "    return max(1, min(wanted, ", "    return max(wanted, min(wanted, "),
        by="tests/e2e/test_overload.py",
    ),
    bug(
        "a statement without memory fails its own step alone",
        Edit("database/sqlite/lane.py", "isinstance(error, MemoryError) or (", "("),
        by="tests/store/test_group_commit.py",
    ),
    bug(
        "a full disk at the start is a traceback",
        Edit(
            "database/sqlite/files.py", "except (OSError, sqlite3.Error) as error:", "except FileExistsError as error:"
        ),
        by="tests/e2e/test_refusals.py",
    ),
    bug(
        "a process that ends keeps the clients that are busy",
        Edit("http/server.py", "        if probing or ending():\n", "        if probing:\n"),
        by=f"{_MANNERS}::test_every_answer_of_a_process_that_ends_closes_its_connection",
    ),
    bug(
        "a socket file is taken from whoever listens there",
        Edit(
            "http/listeners.py", "            asking.connect(str(path))\n", "            raise ConnectionRefusedError\n"
        ),
        by=f"{_MANNERS}::test_a_socket_files_name_is_taken_from_the_dead_and_from_nobody_else",
    ),
    bug(
        "probes have no place of their own",
        Edit(
            "http/connections.py", "self.probing = self._connection_limits.enter_as_probe(self)", "self.probing = False"
        ),
        by="tests/e2e/test_overload.py::test_probes_are_answered_while_every_connection_is_taken",
    ),
    bug(
        "strangers may write as many lost payments as they like",
        Edit("operations/restores.py", "    if count >= most:\n", "    if count < 0:\n"),
        by="tests/operators/test_payments.py::test_what_strangers_have_written_is_limited_by_the_minute_and_by_the_merchant",
    ),
    bug(
        "a host that hangs takes all of the time to connect",
        Edit(
            "database/postgresql/primary.py",
            "                some = STAGGER_SECONDS if waiting else None\n",
            "                some = None\n",
        ),
        by=f"{_FAILOVER}::test_a_host_that_hangs_takes_half_a_second_and_once",
    ),
    bug(
        "a server that takes no writes any more is read from",
        Edit(
            "database/postgresql/driver.py", "        if self.pooled:\n", "        if self.pooled or self.transport:\n"
        ),
        by=f"{_FAILOVER}::test_nothing_is_read_from_a_server_that_takes_no_writes",
    ),
    bug(
        "nobody asks whether the server still answers",
        Edit("database/postgresql/notifications.py", "                    await self._ask(connection)\n", ""),
        by=f"{_FAILOVER}::test_a_server_that_is_frozen_is_left_for_the_one_that_is_promoted",
    ),
    bug(
        "a create without a connection of its own is refused",
        Edit(
            "database/postgresql/connections.py",
            "                if not self._is_scarce(error):\n",
            "                if error:\n",
        ),
        by=f"{_SETUP}::test_with_fewer_connections_than_wanted_those_that_there_are_go_round",
    ),
    bug(
        "a connection that came back while another was refused is waited for",
        Edit(
            "database/postgresql/connections.py",
            "                    raise  # otherwise one may have come back meanwhile\n",
            "                    raise\n                await self._room_by(deadline)\n",
        ),
        by="tests/store/test_postgresql_server.py",
    ),
    bug(
        "a database that cannot hold Persian is taken",
        Edit("database/postgresql/schema.py", "    if encoding != ENCODING:\n", "    if not encoding:\n"),
        by=f"{_SETUP}::test_a_database_that_cannot_hold_persian_is_refused_with_what_makes_one_that_can",
    ),
    bug(
        "a demand for security that cannot be kept is passed over",
        Edit("database/libpq_parameters.py", "    if name in _REFUSED:\n", "    if name in {}:\n"),
        by="tests/operators/test_config.py",
    ),
)
