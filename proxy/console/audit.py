"""The audit log: who did what, and whether it is still the log that was written."""

from typing import Final

from aiohttp import web

from proxy.audit.log import AuditLog, Verified
from proxy.console.jobs import Ended, Job, Shows
from proxy.console.visit import Visit

PAGE: Final = 50
CHAINS_AT_ONCE: Final = 100


async def list_audit(visit: Visit) -> web.StreamResponse:
    query = visit.request.query
    merchant_id, after = query.get("merchant") or None, query.get("after") or None
    found = await visit.services.store.list_audit(merchant_id, after, PAGE + 1)
    following = found[PAGE - 1].id if len(found) > PAGE else None
    return visit.page("audit.html", entries=found[:PAGE], merchant_id=merchant_id, following=following)


async def verify_audit(visit: Visit) -> web.StreamResponse:
    """Walks every chain."""

    async def work(job: Job) -> Ended:
        log, after = AuditLog(visit.services.store), ""
        broken: list[Verified] = []
        entries = chains = 0
        while names := await log.chains(after, CHAINS_AT_ONCE):
            for name in names:
                verified = await log.verify(name)
                chains, entries = chains + 1, entries + verified.reached.number
                job.count = entries
                if verified.broken is not None:
                    broken.append(verified)
            after = names[-1]
        return Shows("verified.html", {"broken": broken, "chains": chains, "entries": entries})

    return await visit.work("وارسی دفتر کارها", "Verifying the audit log", work)
