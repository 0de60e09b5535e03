"""A return is noted: payment and watch are read and what is made of them is written, for all the returns that wait."""

from collections.abc import Sequence

from proxy.adapters.store.payment_rows import PAYMENT_COLUMNS, entry_row, payment_of
from proxy.adapters.store.steps import Outcome
from proxy.adapters.store.transaction import Row, Transaction
from proxy.adapters.store.transition import write_watches
from proxy.errors import NotFound
from proxy.payment import Payment
from proxy.ports import Decide
from proxy.records import Change
from proxy.watch import Watch

Note = tuple[str, str, Decide]


async def note_all(transaction: Transaction, notes: Sequence[Note]) -> list[Outcome]:
    """The step behind Store.note. Of two for one payment the second finds the watch moved on, and leaves it."""
    outcomes, changes = [], list[Change]()
    for merchant_id, link, decide in notes:
        row = await transaction.row("watched_by_link", (merchant_id, link))
        if row is None:
            outcomes.append(Outcome(error=NotFound("payment")))
            continue
        payment = payment_of(row)
        change = decide(payment, _watch_of(payment, row[PAYMENT_COLUMNS:]))
        outcomes.append(Outcome((payment, None if change is None else change.watch)))
        if change is not None:
            changes.append(change)
    entries = [entry_row(change.after, entry) for change in changes for entry in change.entries]
    await transaction.run_all("add_entry", entries)
    await write_watches(transaction, changes)
    return outcomes


def _watch_of(payment: Payment, row: Row) -> Watch | None:
    due_at, soon, version = row
    if version is None:
        return None
    return Watch(payment.merchant_id, payment.id, payment.terminal_id, due_at, soon, version)
