"""`dargah serve --workers N`: N equal processes on PostgreSQL that share the public ports, and their supervisor.

The supervisor opens each worker's sockets and keeps them: connections that nobody has accepted yet outlive a worker
that dies or drains, and the next one takes them. The kernel spreads connections over the sockets (SO_REUSEPORT).
Between supervisor and worker there is a pair of sockets, on which the worker says that it is ready, that it runs, and
that it ends. Each of the two ends when the other one is gone.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final

import orjson
import structlog

from proxy.config.settings import Settings
from proxy.config.values import ProcessRole
from proxy.http.listeners import Listen, ListenRefused, SocketFile, Sockets, bind, place_of
from proxy.kernel.frozen import dataclass

log = structlog.get_logger()

BEAT_SECONDS: Final = 5.0
# A worker whose loop stands still serves nobody and cannot end itself; the kernel would go on to send it connections.
SILENT_SECONDS: Final = 60.0
# One that lives for less, and again when it is begun at once, does not serve: the others get its connections until it
# is tried again.
STEADY_SECONDS: Final = 10.0
AT_ONCE: Final = 1
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
# Over what a worker takes to end by itself.
SPARE_SECONDS: Final = 10.0
_READY, _RUNS, _ENDS = b"r", b".", b"e"


@dataclass(frozen=True, slots=True)
class Handed:
    """What a worker gets from its supervisor: its number from 1 on, and descriptors of its sockets."""

    number: int
    admin: Sequence[int]
    public: Sequence[int]
    channel: int

    @classmethod
    def parse(cls, text: str) -> "Handed":
        """From what `str` gives."""
        return cls(**orjson.loads(text))

    def __str__(self) -> str:
        return orjson.dumps(self).decode()

    @property
    def descriptors(self) -> Sequence[int]:
        return (*self.admin, *self.public, self.channel)

    def sockets(self) -> Sockets:
        """They listen already."""
        return Sockets(tuple(map(_socket_of, self.admin)), tuple(map(_socket_of, self.public)))


class SupervisorLink:
    """A worker's end of the pair. `on_alone` is called once the supervisor is gone."""

    def __init__(self, handed: Handed, on_alone: Callable[[], None]) -> None:
        self._socket = _socket_of(handed.channel)
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._on_alone = on_alone
        self._loop.add_reader(self._socket, self._read)

    def ready(self) -> None:
        self._say(_READY)
        self._beat()

    def ends(self) -> None:
        self._say(_ENDS)

    def _beat(self) -> None:
        self._say(_RUNS)
        self._loop.call_later(BEAT_SECONDS, self._beat)

    def _say(self, word: bytes) -> None:
        with suppress(OSError):  # the supervisor is gone or stands still: the first is found by the reader
            self._socket.send(word)

    def _read(self) -> None:
        with suppress(OSError):
            if self._socket.recv(1):
                return
        self._loop.remove_reader(self._socket)
        self._on_alone()


def _socket_of(descriptor: int) -> socket.socket:
    found = socket.socket(fileno=descriptor)
    found.set_inheritable(False)
    return found


class Places:
    """Where the workers listen: at the public ports, which they share; each at an admin port of its own, the next one
    for the next worker; and at socket files, each of which is one socket for all.
    """

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        """Raises ListenRefused."""
        public = settings.listen.places if ProcessRole.API in settings.roles else ()
        files = tuple(place for place in public if isinstance(place, SocketFile))
        self._files = bind(Listen(files), "DARGAH_LISTEN", stack)
        self._admin = settings.admin_listen
        self._ports = Listen(tuple(place for place in public if not isinstance(place, SocketFile)))
        # Who shares a port does not find others there that share it too, so it is taken alone for a moment.
        alone = bind(self._ports, "DARGAH_LISTEN", stack)
        self._ports = Listen(tuple(map(place_of, alone)))
        for each in alone:
            each.close()
        self.url = Listen((*self._ports.places, *files) or self._admin.places).url

    def open(self, number: int, stack: AsyncExitStack) -> Sockets:
        """Of a worker, until the stack's end. Raises ListenRefused."""
        public = bind(self._ports, "DARGAH_LISTEN", stack, shared=True)
        admin = bind(self._admin.of_worker(number), f"DARGAH_ADMIN_LISTEN of worker {number}", stack)
        return Sockets(admin, (*public, *self._files))


class _Worker:
    """One number of the workers: its sockets, and its process of the moment. `first` gets None once the first process
    is ready, the exit code of one that does not come so far, or ListenRefused.
    """

    def __init__(self, number: int, places: Places, command: Sequence[str], end_seconds: float) -> None:
        self.number = number
        self.first: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._places = places
        self._command = command
        self._end_seconds = end_seconds
        self._sockets: Sockets | None = None
        self._stack = AsyncExitStack()
        self._process: asyncio.subprocess.Process | None = None
        self._leaving: set[asyncio.Task[int]] = set()
        self._told: signal.Signals | None = None

    async def run(self) -> int | None:
        """The exit code of a process that begins now, after its end; None while one still drains that somebody else
        told to end, beside which the next one may begin. Raises ListenRefused.
        """
        if self._sockets is None:
            self._sockets = self._places.open(self.number, self._stack)
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                process = self._process = await self._begin(self._sockets, theirs.fileno())
            if self._told is not None:
                self.tell(self._told)
            leaves = await self._hear(ours)
        if self._told is not None:
            await self.close()
        ending = asyncio.create_task(self._end_of(process))
        if not leaves or self._told is not None:
            return await ending
        self._leaving.add(ending)
        ending.add_done_callback(self._leaving.discard)
        return None

    async def _begin(self, sockets: Sockets, channel: int) -> asyncio.subprocess.Process:
        admin, public = ([each.fileno() for each in some] for some in (sockets.admin, sockets.public))
        handed = Handed(self.number, admin, public, channel)
        return await asyncio.create_subprocess_exec(*self._command, str(handed), pass_fds=handed.descriptors)

    async def _hear(self, channel: socket.socket) -> bool:
        """Until the worker ends, is gone, or stands still: whether it said so."""
        loop, ready = asyncio.get_running_loop(), False
        words = _RUNS
        while words and _ENDS not in words:
            try:
                async with asyncio.timeout(SILENT_SECONDS if ready else None):
                    words = await loop.sock_recv(channel, 64)
            except TimeoutError:
                log.error("worker_silent", worker=str(self.number), seconds=SILENT_SECONDS)  # noqa: TRY400  it has no trace
                self.kill()
                return False
            except OSError:  # it died with something of ours unread
                return False
            ready = ready or _READY in words
            if ready and not self.first.done():
                self.first.set_result(None)
        return _ENDS in words

    async def _end_of(self, process: asyncio.subprocess.Process) -> int:
        """Its exit code; it is killed where it takes longer than a drain does."""
        try:
            async with asyncio.timeout(self._end_seconds):
                return await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            return await process.wait()

    def tell(self, number: signal.Signals) -> None:
        """Its process of the moment, or the one that begins."""
        self._told = number
        self._send(number)

    def kill(self) -> None:
        """Its process of the moment."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def close(self) -> None:
        """The sockets: what is left of them are the worker's own copies, which go with it."""
        self._sockets = None
        await self._stack.aclose()

    async def gone(self) -> None:
        """Returns once no process of it is left that drains."""
        if self._leaving:
            await asyncio.wait(self._leaving)


class Supervisor:
    """Runs the workers, each again where it ends, until `end`. `options` are those of `dargah serve`."""

    def __init__(self, settings: Settings, options: Sequence[str]) -> None:
        self._settings = settings
        self._end_seconds = settings.drain_seconds + SPARE_SECONDS
        self._command = (sys.executable, "-m", "proxy", "serve", *options, "--worker")
        self._ending = asyncio.Event()
        self._workers: list[_Worker] = []

    async def run(self, on_ready: Callable[[str], None]) -> int:
        """The exit code, at the end: of a worker that does not start at the first try, else 0. `on_ready` gets the
        public URL. Raises ListenRefused.

        The others wait for the first one, which migrates the database, and says alone what is wrong.
        """
        keeping: list[asyncio.Task[None]] = []
        async with AsyncExitStack() as stack:
            places = Places(self._settings, stack)
            numbers = range(1, self._settings.workers + 1)
            self._workers = [_Worker(number, places, self._command, self._end_seconds) for number in numbers]
            try:
                for some in (self._workers[:1], self._workers[1:]):
                    keeping += [asyncio.create_task(self._keep(worker)) for worker in some]
                    for worker in some:
                        if (code := await worker.first) is not None:
                            return 0 if self._ending.is_set() else code
                on_ready(places.url)
                await self._ending.wait()
            finally:
                self.end(signal.SIGTERM)
                await asyncio.gather(*keeping)
        return 0

    def end(self, number: signal.Signals) -> None:
        """Has each worker end, as the signal would have it; those that do not are killed."""
        if self._ending.is_set():
            return
        self._ending.set()
        for worker in self._workers:
            worker.tell(number)
            asyncio.get_running_loop().call_later(self._end_seconds, worker.kill)

    async def _keep(self, worker: _Worker) -> None:
        time, failures = asyncio.get_running_loop().time, 0
        while not self._ending.is_set():
            began = time()
            try:
                code = await worker.run()
            except ListenRefused as error:
                if not worker.first.done():
                    worker.first.set_exception(error)
                    break
                log.error("worker_not_begun", worker=str(worker.number), why=str(error))  # noqa: TRY400  it says it all
            else:
                if not worker.first.done():
                    worker.first.set_result(code)
                if worker.first.result() is not None or self._ending.is_set():
                    break
                if code is None:
                    log.info("worker_leaves", worker=str(worker.number))
                    continue
                log.error("worker_ended", worker=str(worker.number), code=code)
            failures = 0 if time() - began >= STEADY_SECONDS else failures + 1
            if failures > AT_ONCE:
                await worker.close()
                with suppress(TimeoutError):
                    pause = FIRST_PAUSE_SECONDS * 2.0 ** min(failures - AT_ONCE - 1, 10)
                    await asyncio.wait_for(self._ending.wait(), min(pause, LONGEST_PAUSE_SECONDS))
        await worker.close()
        await worker.gone()
        if not worker.first.done():  # told to end before it began
            worker.first.set_result(0)
