"""The two listeners: their sockets, who may connect, and the servers on them."""

import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from proxy.config.settings import Settings
from proxy.config.values import Address
from proxy.drain import CUT_SECONDS, Drain
from proxy.roles import Role
from proxy.web.door import Door
from proxy.web.proxies import Proxies
from proxy.web.server import Runner, room_for

ADMIN_CONNECTIONS: Final = 256
BACKLOG: Final = 1024


def bind(address: Address, stack: AsyncExitStack) -> socket.socket:
    """A socket that listens until the stack's end. Raises OSError when the port is taken."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    stack.callback(listener.close)
    return listener


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where a process listens. There is no public one where it has not the role `api`."""

    admin: socket.socket
    public: socket.socket | None

    def urls(self, settings: Settings) -> tuple[str, str]:
        """The public and the admin one's; the public one's is where others of its kind listen, where it has none."""
        return settings.listen.url if self.public is None else url_of(self.public), url_of(self.admin)


def open_sockets(settings: Settings, stack: AsyncExitStack) -> Sockets:
    """Raises OSError when a port is taken."""
    public = bind(settings.listen, stack) if Role.API in settings.roles else None
    return Sockets(bind(settings.admin_listen, stack), public)


def doors(settings: Settings, proxies: Proxies) -> tuple[Door, Door]:
    """The operator's and the public one's."""
    most = room_for(settings.max_connections)
    return Door(ADMIN_CONNECTIONS), Door(most, settings.max_address_connections, proxies.trusts)


def url_of(listener: socket.socket) -> str:
    """Where it listens."""
    host, port = listener.getsockname()[:2]
    return Address(host, port).url


async def listen(
    admin_app: web.Application,
    public_app: web.Application,
    sockets: Sockets,
    settings: Settings,
    proxies: Proxies,
    drain: Drain,
    stack: AsyncExitStack,
) -> dict[str, web.Server]:
    """Serves both until the stack's end, by their names; the public one where it has a socket."""
    admin_door, door = doors(settings, proxies)
    served = {"admin": await serve(admin_app, sockets.admin, admin_door, settings, drain, stack)}
    if sockets.public is not None:
        served["public"] = await serve(public_app, sockets.public, door, settings, drain, stack)
    return served


async def serve(
    app: web.Application, listener: socket.socket, door: Door, settings: Settings, drain: Drain, stack: AsyncExitStack
) -> web.Server:
    """Serves `app` there, behind `door`, until the stack's end, which waits as `drain` has it."""
    runner = Runner(
        app,
        door,
        head_seconds=settings.head_timeout_seconds,
        idle_seconds=settings.idle_timeout_seconds,
        shutdown_timeout=CUT_SECONDS,  # the drain has waited before it
    )
    await runner.setup()
    stack.push_async_callback(drain.close, runner)
    await web.SockSite(runner, listener, backlog=BACKLOG).start()
    assert runner.server is not None, "it is set up"
    return runner.server
