"""The whole Store, on whatever database its lanes run the steps."""

from proxy.adapters.store.audit import StoreAudit
from proxy.adapters.store.deliveries import StoreDeliveries
from proxy.adapters.store.figures import StoreFigures
from proxy.adapters.store.lookups import StoreLookups
from proxy.adapters.store.operators import StoreOperators
from proxy.adapters.store.payments import StorePayments
from proxy.adapters.store.rechecks import StoreRechecks
from proxy.adapters.store.redelivery import StoreRedelivery
from proxy.adapters.store.registry import StoreRegistry
from proxy.adapters.store.retention import StoreRetention
from proxy.adapters.store.secrets import StoreSecrets
from proxy.adapters.store.sessions import StoreSessions
from proxy.adapters.store.traces import StoreTraces


class WholeStore(
    StorePayments,
    StoreDeliveries,
    StoreRedelivery,
    StoreRetention,
    StoreRegistry,
    StoreSecrets,
    StoreFigures,
    StoreTraces,
    StoreAudit,
    StoreOperators,
    StoreSessions,
    StoreLookups,
    StoreRechecks,
):
    """Implements proxy.ports.Store but for `close`, which each database does in its own way."""

    async def ping(self) -> None:
        at = self._now()
        await self._write.do(lambda transaction: transaction.run("ping", (at,)))
