"""What the pages work with, from the parts that the two APIs have already."""

from aiohttp import web

from proxy.config.settings import Settings
from proxy.config.shown import setting_lines
from proxy.console.day import Day
from proxy.console.jobs import Jobs
from proxy.console.routes import hang
from proxy.console.services import ConsoleServices
from proxy.console.visit import Side
from proxy.gate import Gate
from proxy.ids import Ids
from proxy.operators.sessions import Sessions
from proxy.web.admin_services import AdminServices
from proxy.web.callers import Callers
from proxy.web.services import Services


def console_of(settings: Settings, services: Services, operators: AdminServices, gate: Gate) -> ConsoleServices:
    """The services of the console and the portal. Stop their `day` before the store is closed."""
    ids = Ids(services.random_bytes)
    return ConsoleServices(
        store=services.store,
        setup=services.setup,
        directory=services.directory,
        checkout=services.checkout,
        reviews=operators.reviews,
        redelivery=services.redelivery,
        trial=services.trial,
        doctor=operators.doctor,
        operators=operators.operators,
        sessions=Sessions(services.store, ids, services.now),
        gate=gate,
        day=Day(services.store, services.now),
        jobs=Jobs(services.tasks, services.random_bytes),
        tasks=services.tasks,
        ids=ids,
        now=services.now,
        public_url=services.public_url().rstrip("/"),
        default_expires_in=services.default_expires_in,
        http=settings.http_policy,
        settings=tuple(setting_lines(settings)),
    )


def with_pages(
    console: ConsoleServices, admin: web.Application, public: web.Application, callers: Callers
) -> tuple[web.Application, web.Application]:
    """The operator's listener with the console, and the public one with the portal."""
    hang(admin, console, Side.CONSOLE, callers)
    hang(public, console, Side.PORTAL, callers)
    return admin, public
