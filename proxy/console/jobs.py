"""What takes longer than a page should: it goes on by itself, and a page tells how far it is.

Jobs are this process's. Whoever comes by another replica is told so; what the job did is in the lists in any case.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from proxy.errors import DargahError, NotFound, Overloaded
from proxy.ids import RandomBytes
from proxy.loops import Tasks

log = structlog.get_logger()

MAX_JOBS: Final = 50
# Most gateways and receivers answer within it, and then nobody sees that there was a job.
PATIENCE_SECONDS: Final = 1.0
_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Goes:
    """A job ended, and its page is elsewhere: a path below the side's base."""

    path: str


@dataclass(frozen=True, slots=True)
class Shows:
    """A job ended with a page of its own."""

    template: str
    values: Mapping[str, Any]


Ended = Goes | Shows


@dataclass(slots=True)
class Job:
    """`owner` is whose session started it, and who alone may look. `count` is how far it is, where that is counted."""

    id: str
    owner: bytes
    title: tuple[str, str]
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

    async def start(self, owner: bytes, title: tuple[str, str], work: Work) -> Job:
        """The job, ended or not after a moment. Raises Overloaded when too many are under way."""
        self._make_room()
        name = self._random_bytes(_ID_BYTES).hex()
        job = self._jobs[name] = Job(name, owner, title)
        try:
            self._tasks.start(_run(job, work))
        except Overloaded:
            del self._jobs[name]
            raise
        await asyncio.wait([waiting := asyncio.ensure_future(job.done.wait())], timeout=PATIENCE_SECONDS)
        waiting.cancel()
        return job

    def job(self, owner: bytes, name: str) -> Job:
        """Raises NotFound, also for somebody else's."""
        job = self._jobs.get(name)
        if job is None or job.owner != owner:
            raise NotFound("job")
        return job

    def _make_room(self) -> None:
        if len(self._jobs) < MAX_JOBS:
            return
        over = next((name for name, job in self._jobs.items() if job.done.is_set()), None)
        if over is None:
            raise Overloaded
        del self._jobs[over]


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
