"""The endpoints' turns: when each one is served next."""

from proxy.adapters.store.registry_rows import endpoint_of
from proxy.adapters.store.transaction import Transaction
from proxy.merchant import Endpoint
from proxy.verdict import Health

Key = tuple[str, str]


async def settle(transaction: Transaction, key: Key, now: int) -> None:
    """Finds the endpoint's next turn, which is none while it is not served."""
    served = await _served(transaction, key)
    if served is not None:
        await _settle(transaction, *served, now, await _in_flight(transaction, key, now))


async def _served(transaction: Transaction, key: Key) -> tuple[Endpoint, Health] | None:
    """The endpoint as it is now, and how it has been answering; None while it is not served."""
    row = await transaction.row("served_endpoint", key)
    return None if row is None else (endpoint_of(row[3:]), Health(*row[:3]))


async def _in_flight(transaction: Transaction, key: Key, now: int) -> int:
    row = await transaction.row("in_flight", (*key, now))
    return 0 if row is None else row[0]


async def _settle(
    transaction: Transaction,
    endpoint: Endpoint,
    health: Health,
    now: int,
    in_flight: int,
    served_at: int | None = None,
) -> None:
    key = (endpoint.merchant_id, endpoint.id)
    after = (health.failures, health.failing_since, health.paused_until)
    await transaction.run("settle_turn", (*key, now, *after, served_at, int(in_flight >= health.limit)))
