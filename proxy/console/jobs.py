"""Jobs that take longer than a page should: each runs in the background, and a page shows its progress.

Jobs are this process's. A viewer of another replica is told so; the lists show the job's effects in any case.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any, Final

import structlog

from proxy.kernel.background import FairShares, Tasks
from proxy.kernel.errors import DargahError, NotFound, Overloaded
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import RandomBytes

log = structlog.get_logger()

MAX_JOBS: Final = 50
# Most gateways and receivers answer within it, and then nobody sees that there was a job.
PATIENCE_SECONDS: Final = 1.0
COUNTING_SECONDS: Final = 0.1
"""Of what counts payments: it takes a moment or many seconds."""
_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class JobRedirect:
    """A job ended, and its page is elsewhere: a path below the side's base."""

    path: str


@dataclass(frozen=True, slots=True)
class JobPage:
    """A job ended with a page of its own."""

    template: str
    values: Mapping[str, Any]


Ended = JobRedirect | JobPage


@dataclass(slots=True)
class Job:
    """`owner` is the session that started the job, and the only one that may see it; `merchant_id` is the merchant
    whose quota it uses, empty for an operator. `count` is the progress, where it is counted.
    """

    id: str
    owner: bytes
    title: tuple[str, str]
    merchant_id: str = ""
    count: int = 0
    ended: Ended | None = None
    error: DargahError | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


Work = Callable[[Job], Awaitable[Ended]]


class Jobs:
    def __init__(self, tasks: Tasks, random_bytes: RandomBytes) -> None:
        self._tasks = tasks
        self._random_bytes = random_bytes
        self._jobs: dict[str, Job] = {}
        self._places = FairShares(MAX_JOBS)

    async def start(
        self,
        owner: bytes,
        title: tuple[str, str],
        work: Work,
        merchant_id: str = "",
        patience_seconds: float | None = None,
    ) -> Job:
        """The job, ended or not after so long; after a moment where nothing is said.

        Raises Overloaded when too many are under way, or of this merchant.
        """
        self._make_room(merchant_id)
        job = Job(self._random_bytes(_ID_BYTES).hex(), owner, title, merchant_id)
        self._tasks.start(_run(job, work), merchant_id)
        self._jobs[job.id] = job
        self._places.take(merchant_id)
        patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
        await asyncio.wait([waiting := asyncio.ensure_future(job.done.wait())], timeout=patience)
        waiting.cancel()
        return job

    def job(self, owner: bytes, name: str) -> Job:
        """Raises NotFound, also for another owner's."""
        job = self._jobs.get(name)
        if job is None or job.owner != owner:
            raise NotFound("job")
        return job

    def _make_room(self, merchant_id: str) -> None:
        """Forgets the jobs that ended first: the merchant's own, and others' only where they hold all places."""
        over = [job for job in self._jobs.values() if job.done.is_set()]
        while not self._places.has_room(merchant_id):
            mine = [job for job in over if job.merchant_id == merchant_id]
            if not mine and (self._places.free or not over):
                raise Overloaded
            oldest = (mine or over)[0]
            over.remove(oldest)
            del self._jobs[oldest.id]
            self._places.give_back(oldest.merchant_id)


async def _run(job: Job, work: Work) -> None:
    try:
        job.ended = await work(job)
    except DargahError as error:
        job.error = error
    except Exception:
        log.exception("job_failed")
        job.error = NotFound("result")
    finally:
        job.done.set()
