"""What the use-cases need of the outside, as Protocols. The adapters implement them; the tests' fakes keep them too.

Every method of the Store is one whole step in one transaction, durable when it returns; none is open across HTTP.
Its methods raise StoreUnavailable when the disk or the database cannot, and a StoreConflict where one is named.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.delivery_ports import Deliveries, Redelivery, Retention
from proxy.figures import Figures
from proxy.lookups import Lookups
from proxy.merchant import AuditEntry, Endpoint, Merchant, Mode, Terminal, Token
from proxy.operators.ports import AuditChains, OperatorRows, TokenUses
from proxy.operators.session_records import SessionRows
from proxy.payment import Payment
from proxy.records import (
    Account,
    Answer,
    Begun,
    Change,
    Checked,
    Entry,
    Intent,
    Lease,
    Outgoing,
    PaymentFilter,
    Requested,
    Sealed,
    Seen,
    Stored,
    Unsettled,
)
from proxy.recovery.records import Rechecks
from proxy.telemetry.tracing import Traces
from proxy.watch import Watch

Now = Callable[[], int]
Jitter = Callable[[], float]
"""Uniform in [-1, 1]."""
Decide = Callable[[Payment, Watch | None], Change | None]
"""What is to be written of a payment and its watch, if anything. It may be asked twice, and has no effects."""


class Vault(Protocol):
    """Seals and opens secrets with keys that the store never sees."""

    @property
    def kek_id(self) -> str:
        """The id of the key that seals now."""

    def seal(self, merchant_id: str, owner_id: str, name: str, secret: str) -> Sealed: ...

    def open(self, sealed: Sealed) -> str:
        """The secret; raises VaultError when the key is not in the ring or the row is not the one that was sealed."""

    def rewrap(self, sealed: Sealed) -> Sealed:
        """The same secret under the key that seals now, without the plaintext leaving the vault."""


class Gateway(Protocol):
    """Speaks the gateway's protocol. Never raises for what a gateway does: that is a fact, if an unclear one."""

    async def request(self, account: Account, amount_rials: int, return_url: str) -> Requested: ...

    async def check(self, account: Account, invoice_key: str) -> Checked: ...


class Sender(Protocol):
    """Posts a webhook. Never raises for what the receiver or the network does."""

    async def send(self, outgoing: Outgoing) -> Answer: ...


class Prober(Protocol):
    """Looks at a URL for the doctor. Never raises for what is or is not there."""

    async def look(self, url: str, request_id: str) -> Seen: ...


class Payments(Protocol):
    async def create_payment(self, payment: Payment, intent: Intent, watch: Watch) -> Stored:
        """Stores the payment with its intent and watch; or gives what the storefront stored under this key before.

        Raises OrderAlreadyPaid when another payment of (merchant, storefront, mode, order_id) is paid. The key is
        looked at first, so a replay of the paid one is still a replay.
        """

    async def stored(self, merchant_id: str, storefront: str, mode: Mode, key: str) -> Stored | None:
        """What the storefront stored in this mode under this Idempotency-Key, if anything."""

    async def lease_request(self, payment: Payment, now: int, lease_until: int) -> Stored:
        """Takes over a create whose lease is over (or was released) and that has no reply; gives it as stored now.

        Raises LeaseLost when somebody else has it.
        """

    async def transition(self, change: Change, lease: Lease | None = None) -> Begun:
        """Writes the change with its events, and a delivery per endpoint that wants each event; with `lease` it claims
        those of them that may start at once, as `claim_deliveries` would.

        Where `before` and `after` are the same version, the stored version is not compared.

        Raises StaleVersion when `before` is not the stored version any more; InvoiceKeySeen, BankCodeSeen or
        OrderPaidByAnother when `after` claims what another payment of the merchant has. A payment that becomes paid
        claims its bank_code and its order; one that needs review claims nothing that is another's.
        """

    async def payment(self, merchant_id: str, payment_id: str) -> Payment:
        """Raises NotFound."""

    async def payment_by_link(self, merchant_id: str, link: str) -> Payment:
        """Raises NotFound."""

    async def note(self, merchant_id: str, link: str, decide: Decide) -> tuple[Payment, Watch | None]:
        """Writes what `decide` makes of a link's payment and its watch as both are now: nothing, or a change of the
        timeline and the watch alone. Gives the payment, and the watch of that change. Raises NotFound.
        """

    async def list_payments(self, merchant_id: str, wanted: PaymentFilter) -> list[Payment]: ...

    async def watch(self, merchant_id: str, payment_id: str) -> Watch | None: ...

    async def claim_watches(self, now: int, lease_until: int, limit: int) -> list[tuple[Payment, Watch]]:
        """Up to `limit` watches that are due, oldest first, each moved to `lease_until` with its version raised."""

    async def next_watch_at(self) -> int | None:
        """When the earliest watch is due."""

    async def timeline(self, merchant_id: str, payment_id: str, limit: int = 1000) -> list[Entry]:
        """The newest `limit` entries, oldest first."""

    async def unsettled_since(self, since: int, after: str | None, limit: int) -> Unsettled:
        """Up to `limit` payments of all merchants that were created at or after `since` and are pending, canceled,
        expired or failed: merchants in id order, and each one's payments in the order of their creation.

        `after` is what the stretch before `reached`. One call looks at a bounded number of merchants.
        """


class Registry(Protocol):
    """What the operator and the merchant set up. Every write of the operator's carries its audit entry."""

    async def add_merchant(
        self, merchant: Merchant, secrets: Sequence[Sealed], audit: AuditEntry, logo: bytes | None = None
    ) -> None: ...
    async def save_merchant(
        self, merchant: Merchant, audit: AuditEntry, secrets: Sequence[Sealed] = (), logo: bytes | None = None
    ) -> None:
        """Also replaces the secrets given, and the logo: by a new one, or by none where its digest is gone. Raises
        NotFound.
        """

    async def logo(self, merchant_id: str, digest: str) -> bytes:
        """The picture of this digest. Raises NotFound when it is not the merchant's present one."""

    async def merchant(self, merchant_id: str) -> Merchant:
        """Raises NotFound."""

    async def list_merchants(self, after: str | None, limit: int) -> list[Merchant]:
        """In id order, after the id given."""

    async def add_terminal(self, terminal: Terminal, secret: Sealed, audit: AuditEntry) -> None:
        """Raises NotFound when the merchant does not exist."""

    async def save_terminal(self, terminal: Terminal, secret: Sealed | None, audit: AuditEntry) -> None: ...
    async def terminal(self, merchant_id: str, terminal_id: str) -> Terminal: ...
    async def list_terminals(self, merchant_id: str) -> list[Terminal]:
        """In id order, which is the order of creation; at most 1000."""

    async def add_token(self, token: Token, audit: AuditEntry) -> None: ...
    async def save_token(self, token: Token, audit: AuditEntry) -> None: ...
    async def token(self, merchant_id: str, token_id: str) -> Token: ...
    async def token_by_digest(self, merchant_id: str, digest: bytes) -> Token | None: ...
    async def list_tokens(self, merchant_id: str) -> list[Token]:
        """At most 1000."""

    async def add_endpoint(self, endpoint: Endpoint, secrets: Sequence[Sealed], audit: AuditEntry) -> None: ...
    async def save_endpoint(
        self, before: Endpoint, after: Endpoint, audit: AuditEntry, secrets: Sequence[Sealed] = ()
    ) -> None:
        """Also adds the secrets given. Raises StaleVersion when it changed, or went, since `before` was read."""

    async def delete_endpoint(self, merchant_id: str, endpoint_id: str, audit: AuditEntry | None = None) -> None:
        """Removes it with its secrets; what was still to be delivered there becomes `dropped`. Raises NotFound."""

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> Endpoint: ...
    async def list_endpoints(self, merchant_id: str) -> list[Endpoint]:
        """At most 1000."""

    async def secrets(self, merchant_id: str, owner_id: str) -> list[Sealed]:
        """All secrets of one owner (a terminal, an endpoint, a merchant)."""

    async def sealed_otherwise(self, kek_id: str, limit: int) -> list[Sealed]:
        """Secrets that are not sealed under `kek_id`."""

    async def kek_ids(self) -> set[str]:
        """The ids of all keys under which something is sealed."""

    async def rewrap(self, before: Sealed, after: Sealed, audit: AuditEntry | None) -> None:
        """Replaces the blob when it still is `before`'s; otherwise leaves it (somebody set a new secret)."""


class Store(
    Payments,
    Deliveries,
    Redelivery,
    Retention,
    Registry,
    Figures,
    Traces,
    AuditChains,
    OperatorRows,
    TokenUses,
    SessionRows,
    Lookups,
    Rechecks,
    Protocol,
):
    async def ping(self) -> None:
        """Writes and commits something small. Raises StoreUnavailable when that cannot be done."""

    async def close(self) -> None:
        """Finishes the steps that wait, then closes. No step is taken after it."""
