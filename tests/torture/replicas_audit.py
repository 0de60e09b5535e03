"""What the database itself must show at the end, beside what every campaign compares."""

import asyncpg

from .replicas_stage import Replicas
from .sigkill_audit import Findings

_GAPS = """
SELECT e.merchant_id, count(*), min(e.sequence), max(e.sequence), s.last
FROM events AS e JOIN event_sequences AS s ON s.merchant_id = e.merchant_id
GROUP BY e.merchant_id, s.last
"""
_PAID_WITHOUT_CHECK = """
SELECT id FROM payments AS p WHERE status = 'paid' AND NOT EXISTS (
    SELECT 1 FROM timeline AS t WHERE t.merchant_id = p.merchant_id AND t.payment_id = p.id AND t.kind = 'gateway.check'
)
"""
_MANY_ATTEMPTS = """
SELECT d.id, d.attempts, count(a.number) FROM deliveries AS d
LEFT JOIN attempts AS a ON a.merchant_id = d.merchant_id AND a.delivery_id = d.id
GROUP BY d.merchant_id, d.id, d.attempts HAVING d.attempts <> count(a.number)
"""


async def audit_database(made: Replicas, findings: Findings) -> None:
    """Sequences without gaps, each paid payment with its check, each attempt that was counted with its row."""
    connection = await asyncpg.connect(made.server.url)
    try:
        for merchant_id, count, first, last, given in await connection.fetch(_GAPS):
            if (first, last, given) != (1, count, count):
                findings.violations.append(f"{merchant_id}: {count} events are numbered {first} to {last} of {given}")
        for (payment_id,) in await connection.fetch(_PAID_WITHOUT_CHECK):
            findings.broken("wrongly paid", f"{payment_id} is paid and no check says so")
        for delivery_id, counted, rows in await connection.fetch(_MANY_ATTEMPTS):
            findings.violations.append(f"{delivery_id} counts {counted} attempts and has {rows}")
        findings.counts["attempts of which nothing was heard"] = await connection.fetchval(
            "SELECT count(*) FROM attempts WHERE outcome = 'unknown'"
        )
    finally:
        await connection.close()
    findings.counts["most at once at an endpoint"] = max(door.most for door in made.slow.doors.values())
    findings.counts["probes, one at a time"] = sum(door.probes for door in made.slow.doors.values())
