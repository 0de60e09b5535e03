"""The two listeners: their sockets, their limits, and the servers on them."""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from aiohttp import web

from proxy.http.connection_limits import ConnectionLimits, connections_within_limit, operator_connections
from proxy.http.server import CUT_SECONDS, GracefulShutdown, Runner
from proxy.kernel.errors import StartRefused
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import is_loopback

UNIX: Final = "unix:"
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  listened on, not called


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        return f"http://{self}"


@dataclass(frozen=True, slots=True)
class SocketFile:
    """A Unix socket. Every user with write permission for the file, by its `mode`, may connect."""

    path: Path
    mode: int = 0o660

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"

    @property
    def loopback(self) -> bool:
        return True

    @property
    def url(self) -> str:
        return str(self)


Place = Address | SocketFile


@dataclass(frozen=True, slots=True)
class Listen:
    """At least one address; the first is the one shown, and probed for health."""

    places: tuple[Place, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.places))

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches all of it."""
        return all(place.loopback for place in self.places)

    @property
    def url(self) -> str:
        """Of its first TCP address; of a socket file where it has none."""
        return next((place for place in self.places if isinstance(place, Address)), self.places[0]).url

    def of_worker(self, number: int) -> "Listen":
        """For the listener that each worker has for itself: the next port for each next one, or the next file."""
        return Listen(tuple(_of_worker(place, number) for place in self.places))

    @property
    def called(self) -> Place:
        """Where a process on this machine calls it: loopback for a wildcard."""
        place = self.places[0]
        if isinstance(place, Address):
            return Address(_WILDCARDS.get(place.host, place.host), place.port)
        return place


def _of_worker(place: Place, number: int) -> Place:
    if isinstance(place, Address):
        return Address(place.host, place.port + number - 1 if place.port else 0)
    return place if number == 1 else SocketFile(place.path.with_name(f"{place.path.name}.{number}"), place.mode)


BACKLOG: Final = 1024
_REFUSALS: Final = {
    errno.EADDRINUSE: "something listens there already: stop it (`ss -lntxp` names it), or set another",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 is all of them, [::] all of both families",
    errno.EACCES: "this process may not: ports below 1024 need CAP_NET_BIND_SERVICE, a socket file a folder of its own",
    errno.EEXIST: "a file that is no socket has this name: remove it, or set another",
    errno.ENOENT: "the folder is not there: make it, for the user that runs Dargah",
    errno.ENOTDIR: "a part of its path is no folder: set another",
    errno.EROFS: "the folder's file system is read-only: set another folder",
    errno.EAFNOSUPPORT: "this machine has no IPv6: set an address such as 127.0.0.1 or 0.0.0.0",
}
_UNKNOWN: Final = (
    "no address is known for this name: set an address of this machine, or mend /etc/hosts or its resolver"
)


class ListenRefused(StartRefused):
    """Nothing can listen at an address; the message names the setting."""


def bind(listen: Listen, setting: str, stack: AsyncExitStack, *, shared: bool = False) -> tuple[socket.socket, ...]:
    """Sockets that listen until the stack's end; where ports are `shared`, beside others of this user that share them,
    among which the kernel spreads the connections. Raises ListenRefused, which names the setting.
    """
    return tuple(_bind(place, listen.places, setting, stack, shared=shared) for place in listen.places)


def place_of(listener: socket.socket) -> Place:
    """Where it listens."""
    name = listener.getsockname()
    return SocketFile(Path(name)) if listener.family == socket.AF_UNIX else Address(name[0], name[1])


def _bind(place: Place, beside: Sequence[Place], setting: str, stack: AsyncExitStack, *, shared: bool) -> socket.socket:
    try:
        listener = _file(place, stack) if isinstance(place, SocketFile) else _tcp(place, beside, shared=shared)
    except OSError as error:
        # The resolver's own errors are below zero.
        why = _UNKNOWN if (error.errno or 0) < 0 else _REFUSALS.get(error.errno or 0, error.strerror or str(error))
        raise ListenRefused(f"cannot listen at {place} ({setting}): {why}") from error
    stack.callback(listener.close)
    return listener


def _tcp(address: Address, beside: Sequence[Place], *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # [::] is all addresses of both families, as most servers have it; unless the other one's are named as well.
    both = address.host == "::" and Address("0.0.0.0", address.port) not in beside and socket.has_dualstack_ipv6()  # noqa: S104
    return socket.create_server(
        (address.host, address.port), family=family, backlog=BACKLOG, dualstack_ipv6=both, reuse_port=shared
    )


def _file(place: SocketFile, stack: AsyncExitStack) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone_in(place.path.parent):
            _remove_stale(place.path)
            listener.bind(str(place.path))
            place.path.chmod(place.mode)  # nobody connects before it listens
            listener.listen(BACKLOG)
            made = place.path.stat()
    except BaseException:
        listener.close()
        raise
    stack.callback(_remove, place.path, made)
    return listener


def _remove_stale(path: Path) -> None:
    """Removes the file of a dead process. Raises OSError where another process listens there, or it is no socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:  # its backlog is full
            pass
    raise OSError(errno.EADDRINUSE, "in use")


def _remove(path: Path, made: os.stat_result) -> None:
    with suppress(OSError):
        if os.path.samestat(path.lstat(), made):
            path.unlink()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No other Dargah looks for stale files in the folder meanwhile, nor takes this one's for one: it does not wait."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where a process listens; without the public ones where it does not serve the API."""

    admin: tuple[socket.socket, ...]
    public: tuple[socket.socket, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """`most` public connections in all, and `most_per_address` from one that is not `exempt`. Times are in seconds."""

    most: int
    most_per_address: int
    exempt: Callable[[str], bool]
    head_seconds: float
    idle_seconds: float


def open_sockets(admin: Listen, public: Listen | None, stack: AsyncExitStack) -> Sockets:
    """They listen until the stack's end. Raises ListenRefused."""
    public_sockets = () if public is None else bind(public, "DARGAH_LISTEN", stack)
    return Sockets(bind(admin, "DARGAH_ADMIN_LISTEN", stack), public_sockets)


def url_of(sockets: tuple[socket.socket, ...]) -> str:
    """Where they listen: as of `Listen`."""
    return Listen(tuple(map(place_of, sockets))).url


async def listen(
    admin: web.Application,
    public: web.Application,
    sockets: Sockets,
    limits: Limits,
    drain: GracefulShutdown,
    stack: AsyncExitStack,
) -> dict[str, web.Server]:
    """Serves both until the stack's end, by their names; the public one where it has a socket."""
    most = connections_within_limit(limits.most)
    admin_limits, connection_limits = (
        ConnectionLimits(operator_connections(most)),
        ConnectionLimits(most, limits.most_per_address, limits.exempt),
    )
    servers = {"admin": await _serve(admin, sockets.admin, admin_limits, limits, drain, stack)}
    if sockets.public:
        servers["public"] = await _serve(public, sockets.public, connection_limits, limits, drain, stack)
    return servers


async def _serve(
    app: web.Application,
    sockets: tuple[socket.socket, ...],
    connection_limits: ConnectionLimits,
    limits: Limits,
    drain: GracefulShutdown,
    stack: AsyncExitStack,
) -> web.Server:
    """Serves `app` there, behind `connection_limits`, until the stack's end, which waits as `drain` has it."""
    runner = Runner(
        app,
        connection_limits,
        head_seconds=limits.head_seconds,
        idle_seconds=limits.idle_seconds,
        shutdown_timeout=CUT_SECONDS,  # the drain has waited before it
        ending=lambda: drain.begun,
    )
    await runner.setup()
    stack.push_async_callback(drain.close, runner)
    for listener in sockets:
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
    assert runner.server is not None, "it is set up"
    return runner.server
