"""What browsers are told and believed: origins in policies, and links to the portal."""

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

from web.clients import Browser, portal
from web.lab import API_KEY, Lab

from proxy.audit.log import AuditEntry
from proxy.kernel.ids import Ids
from proxy.merchants.merchant import Mode
from proxy.operators.records import SessionKind
from proxy.operators.sessions import Sessions

POLICY = "Content-Security-Policy"
NAMELESS = (
    *("https://a.ir;script-src *", "https://*", "https://*.ir", "https://a.ir,b.ir", "https://'self'", 'https://a".ir'),
    *("https://a.ir\u00a0*", "https://a.ir%20*", "https://a.ir%3b", "https://a.ir\uff1b", "https://[::1]", "myapp://"),
)
UNICODE, ASCII = "https://faß.müller.de", "https://xn--fa-hia.xn--mller-kva.de"


async def register(lab: Lab, *origins: str) -> None:
    await lab.dargah.services.setup.change_merchant(lab.merchant_id, actor="test", return_origins=origins)


async def test_a_unicode_origin_stands_in_the_policy_in_ascii(lab: Lab) -> None:
    for registered, named in ((UNICODE, ASCII), (ASCII, UNICODE), ("https://FAß.MÜLLER.de:443/", UNICODE)):
        await register(lab, registered)
        framed = await portal(lab, embed_origin=named)
        page = await framed.get("/portal/payments")
        assert page.headers[POLICY].endswith(f"frame-ancestors {ASCII}")
        assert (await lab.create(return_url=f"{named}/danke")).status == 201


async def test_what_no_policy_can_name_frames_nothing(lab: Lab) -> None:
    for origin in NAMELESS:
        refused = await lab.call("POST", "/v1/portal-links", json={"embed_origin": origin})
        assert (refused.status, refused.field_codes()) == (422, {"embed_origin": "origin_invalid"}), origin


async def test_a_session_from_before_opens_no_policy(lab: Lab) -> None:
    services = lab.dargah.services
    token = await services.merchant_cache.authenticate(lab.token)
    sessions = Sessions(services.store.operators, Ids(services.random_bytes), services.now)
    for stored in (UNICODE, "https://a.ir; script-src *", "*"):
        secret, _ = await sessions.open(SessionKind.LINK, token.merchant_id, token.id, stored)
        entered = await Browser(lab.session, lab.dargah.url).get(f"/portal/enter/{secret}")
        assert entered.status == 200
        assert entered.headers[POLICY].endswith("frame-ancestors 'none'")
        assert "script-src *" not in entered.headers[POLICY]


async def test_rows_from_before_match_and_go_out_in_ascii(lab: Lab) -> None:
    store, now = lab.dargah.services.store, lab.clock.now
    audit = AuditEntry("aud_" + "0" * 26, lab.merchant_id, now, "test", "test", "test", {})
    merchant = replace(await store.merchants.merchant(lab.merchant_id), return_origins=(UNICODE, "https://a_b.ir"))
    await store.merchants.save_merchant(merchant, replace(audit, id=f"aud_{lab.merchant_id[4:]}{'0' * 18}"))
    terminal = replace(
        await store.merchants.terminal(lab.merchant_id, lab.terminal_id), return_base_url="https://پرداخت.example/پایه"
    )
    await store.merchants.save_terminal(terminal, [], replace(audit, id=f"aud_{lab.merchant_id[4:]}{'1' * 18}"))
    lab.clock.forward(3000)
    base = "https://xn--mgbglcj57b.example/%D9%BE%D8%A7%DB%8C%D9%87/return/"
    for origin in (UNICODE, ASCII):
        payment = await lab.created(return_url=f"{origin}/danke?a=ü")
        told = await lab.act(payment, "cancel")
        assert told.startswith(base)
        answer = await lab.call("GET", f"/return/{told.removeprefix(base)}", token="")
        assert answer.location.startswith(f"{ASCII}/danke?a=%C3%BC&payment_id=")


async def test_a_terminals_addresses_are_stored_in_ascii(lab: Lab) -> None:
    terminal = await lab.dargah.services.setup.add_terminal(
        lab.merchant_id,
        "t",
        "https://درگاه.example/پایه/",
        API_KEY,
        Mode.LIVE,
        return_base_url="https://Müller.de:8443",
        actor="test",
    )
    assert urlsplit(terminal.gateway_url).netloc == "xn--mgbpg3g9x.example"
    assert terminal.gateway_url.endswith(".example/%D9%BE%D8%A7%DB%8C%D9%87")
    assert terminal.return_base_url == "https://xn--mller-kva.de:8443"


async def entered(lab: Lab, url: str) -> int:
    return (await Browser(lab.session, lab.dargah.url).get(urlsplit(url).path)).status


async def test_a_link_works_once(lab: Lab) -> None:
    url = (await lab.call("POST", "/v1/portal-links", json={})).json["url"]
    assert (await Browser(lab.session, lab.dargah.url).head(urlsplit(url).path)).status == 200
    assert [await entered(lab, url) for _ in range(3)] == [200, 401, 401]


async def test_of_many_who_open_a_link_at_once_one_gets_in(lab: Lab) -> None:
    url = (await lab.call("POST", "/v1/portal-links", json={})).json["url"]
    statuses = await asyncio.gather(*(entered(lab, url) for _ in range(8)))
    assert sorted(statuses) == [200, *[401] * 7]
