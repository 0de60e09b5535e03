"""Browsers' sessions: the SessionRows port."""

from proxy.adapters.store.parts import StoreParts
from proxy.adapters.store.transaction import Row, Transaction
from proxy.errors import Conflict
from proxy.operators.session_records import Session, SessionKind


class StoreSessions(StoreParts):
    async def add_session(self, session: Session, limit: int) -> None:
        async def step(transaction: Transaction) -> None:
            await transaction.run("forget_sessions", (session.merchant_id, session.created_at))
            counted = await transaction.row("count_sessions", (session.merchant_id, limit))
            if counted is not None and counted[0] >= limit:
                raise Conflict(
                    f"there are {limit} sessions and links already; wait for one to end",
                    f"{limit} نشست و پیوند باز هست؛ صبر کنید تا یکی پایان یابد",
                )
            await transaction.run("insert_session", _row(session))

        await self._write.do(step, session.merchant_id)

    async def session(self, merchant_id: str, digest: bytes) -> Session | None:
        row = await self._row("session", (merchant_id, digest))
        return None if row is None else _session(row)

    async def touch_session(self, merchant_id: str, digest: bytes, now: int) -> None:
        await self._write.do(
            lambda transaction: transaction.run("touch_session", (merchant_id, digest, now)), merchant_id
        )

    async def end_session(self, merchant_id: str, digest: bytes) -> None:
        await self._write.do(lambda transaction: transaction.run("end_session", (merchant_id, digest)), merchant_id)


def _row(session: Session) -> Row:
    return (
        session.merchant_id,
        session.digest,
        session.kind.value,
        session.subject,
        session.embed_origin,
        session.created_at,
        session.seen_at,
        session.expires_at,
    )


def _session(row: Row) -> Session:
    merchant_id, digest, kind, subject, embed_origin, created_at, seen_at, expires_at = row
    return Session(
        merchant_id, bytes(digest), SessionKind(kind), subject, embed_origin, created_at, seen_at, expires_at
    )
