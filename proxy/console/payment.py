"""One payment: its facts, its story, and what can be done about it."""

from typing import Final

from aiohttp import web

from proxy.console.jobs import Ended, Goes, Job
from proxy.console.visit import Visit
from proxy.errors import NotFound
from proxy.facts import Decision
from proxy.history import read_history
from proxy.payment import Status
from proxy.records import Entry
from proxy.web.admin_schemas import Resolve
from proxy.web.parsing import validated

# What may still change by itself is looked at again, some times; then a page that was left open is quiet.
REFRESH_SECONDS: Final = 3
MAX_LOOKS: Final = 40
_LOOKS: Final = "looks"


async def show_payment(visit: Visit) -> web.StreamResponse:
    payment = await visit.payment()
    history = await read_history(visit.services.store, payment)
    deliveries = [entry for entry in history.entries if entry.kind == "delivery"]
    on_its_way = payment.status in {Status.CREATED, Status.PENDING}
    looks = looks_of(visit)
    return visit.page(
        "payment.html",
        refresh=REFRESH_SECONDS if on_its_way and 0 < looks <= MAX_LOOKS else None,
        looks=looks,
        payment=payment,
        merchant=await visit.services.directory.merchant(payment.merchant_id),
        terminal=await visit.services.directory.terminal(payment.merchant_id, payment.terminal_id),
        entries=history.entries,
        truncated=history.truncated,
        deliveries=deliveries,
        attempts=_last_attempts(history.entries),
        urls=await _urls(visit, payment.merchant_id),
        now=visit.services.now(),
        pay_url=f"{visit.services.public_url}/pay/{payment.link}",
    )


async def check_payment(visit: Visit) -> web.StreamResponse:
    """Asks the gateway now."""
    payment = await visit.payment()

    async def work(_job: Job) -> Ended:
        checkup = await visit.services.checkout.check(payment)
        asked = "asked" if checkup.fact is not None else "not_asked"
        return Goes(f"/payments/{payment.id}?said={asked}")

    await visit.note("payment.check", {"payment_id": payment.id})
    return await visit.work("پرسیدن از درگاه", "Asking the gateway", work)


async def resolve_payment(visit: Visit) -> web.StreamResponse:
    """The operator's word on money that moved otherwise than asked, with a note."""
    payment = await visit.payment()
    if visit.token is not None:
        raise NotFound("payment")
    given = {"decision": visit.form.get("decision", ""), "note": visit.form.get("note", "").replace("\r\n", "\n")}
    body = validated(Resolve, given)
    decision = Decision(body.decision)
    resolving = visit.services.reviews.resolve(payment.id, decision, body.note, actor=visit.viewer.name)
    await visit.services.tasks.run(resolving)
    return visit.go(f"/payments/{payment.id}?said=resolved")


def looks_of(visit: Visit) -> int:
    """How often this page has been looked at again by itself."""
    text = visit.request.query.get(_LOOKS, "")
    return int(text) if len(text) <= 2 and text.isascii() and text.isdigit() else 0  # noqa: PLR2004  a bound on int()


def _last_attempts(entries: object) -> dict[str, Entry]:
    """The newest attempt of each delivery: why it is where it is."""
    assert isinstance(entries, list)
    return {entry.data["delivery_id"]: entry for entry in entries if entry.kind == "attempt"}


async def _urls(visit: Visit, merchant_id: str) -> dict[str, str]:
    """Where each endpoint is; what was deleted is not among them."""
    return {endpoint.id: endpoint.url for endpoint in await visit.services.store.list_endpoints(merchant_id)}
