"""The reference as it is served: with the server's own URL, once for everybody, by a search that takes anything."""

import gzip
import re
from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import aiohttp
import orjson
import pytest
import pytest_asyncio
from browser.stage import staged
from web.lab import Lab
from web.openapi_check import document

from proxy.reference.document import groups
from proxy.webhooks.event import EVENT_TYPES
from reference.test_reference import Anchors

ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
# A path with what a careless page, script or shell would take for its own.
PUBLIC = "https://pay.example.com/it's/$HOME&<b>\"`id`"
SHOWN = "https://pay.example.com/it%27s/%24HOME%26%3Cb%3E%22%60id%60"
DOCUMENTS = {
    "/docs": "text/html",
    "/docs/payments": "text/html",
    "/docs/payments.md": "text/markdown",
    "/docs/event-types": "text/html",
    "/docs/event-types.md": "text/markdown",
    "/docs/problems.md": "text/markdown",
    "/docs/dargah.http": "text/plain",
    "/openapi.json": "application/json",
    "/llms.txt": "text/plain",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    folder = tmp_path_factory.mktemp("documents")
    async with staged(folder, log_level="error", public_url=PUBLIC) as stage:
        yield stage.lab


async def text_of(lab: Lab, path: str) -> str:
    answer = await lab.call("GET", path, token="")
    assert answer.status == 200, (path, answer.status)
    return answer.text


@ONE_LOOP
@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_document_names_this_server_and_no_host_that_a_caller_says(lab: Lab, path: str) -> None:
    lies = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    answer = await lab.call("GET", path, token="", headers=lies)
    assert answer.headers["Content-Type"].startswith(DOCUMENTS[path])
    assert "evil.example" not in answer.text + repr(dict(answer.headers))
    assert "pay.example.ir" not in answer.text
    assert "pay.example.com/it's" not in answer.text
    if path not in {"/docs/event-types", "/docs/event-types.md", "/docs/problems.md"}:  # they ask nobody anything
        assert SHOWN in answer.text


@ONE_LOOP
@pytest.mark.parametrize("path", DOCUMENTS)
async def test_whoever_has_a_document_is_not_sent_it_again(lab: Lab, path: str) -> None:
    first = await lab.call("GET", path, token="")
    etag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    assert first.headers["Vary"] == "Accept-Encoding"
    for known in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
        again = await lab.call("GET", path, token="", headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag), known
    for unknown in ('"other"', "", etag[:-2] + '"', "W/", ","):
        assert (await lab.call("GET", path, token="", headers={"If-None-Match": unknown})).status == 200, unknown
    head = await lab.call("HEAD", path, token="")
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", etag)
    assert int(head.headers["Content-Length"]) > 100


@ONE_LOOP
@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip, deflate, br", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.0", False), ("br", False)],
)
async def test_a_document_is_packed_for_who_takes_it(lab: Lab, accepted: str, packed: bool) -> None:
    url = f"{lab.dargah.url}/openapi.json"
    plain = await lab.call("GET", url, token="", headers={"Accept-Encoding": "identity"})
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(url, headers={"Accept-Encoding": accepted}) as answer,
    ):
        body = await answer.read()
    assert (answer.headers.get("Content-Encoding") == "gzip") is packed
    assert (gzip.decompress(body) if packed else body) == plain.body
    assert answer.headers["ETag"] == plain.headers["ETag"]
    assert len(body) < len(plain.body) / 3 or not packed


@ONE_LOOP
async def test_openapi_is_the_documents_with_the_two_listeners_of_this_server(lab: Lab) -> None:
    served = orjson.loads(await text_of(lab, "/openapi.json"))
    assert [server["url"] for server in served["servers"]] == [SHOWN]
    assert served["paths"]["/admin/v1/me"]["servers"][0]["url"] == "http://127.0.0.1:8081"
    assert "servers" not in served["paths"]["/v1/payments"]
    for item in served["paths"].values():
        item.pop("servers", None)
    text = orjson.dumps(served | {"servers": document()["servers"]}).decode()
    assert orjson.loads(text.replace(SHOWN, "https://pay.example.ir")) == document()


@ONE_LOOP
async def test_the_requests_of_an_editor_are_all_operations_with_what_they_name(lab: Lab) -> None:
    text = await text_of(lab, "/docs/dargah.http")
    defined = dict(re.findall(r"^@(\w+) = (.+)$", text, re.MULTILINE))
    assert defined["DARGAH_URL"] == SHOWN
    assert set(re.findall(r"\{\{(\w+)\}\}", text)) == defined.keys()
    operations = [operation for group in groups() for operation in group.operations]
    assert re.findall(r"^# @name (\w+)$", text, re.MULTILINE) == [operation.id for operation in operations]
    requests = text.split("\n### ")[1:]
    assert len(requests) == len(operations)
    for operation, request in zip(operations, requests, strict=True):
        head, _, body = request.partition("\n\n")
        listener = "DARGAH_ADMIN_URL" if operation.admin else "DARGAH_URL"
        path = operation.path.replace("{", "{{").replace("}", "}}")
        assert f"\n{operation.method} {{{{{listener}}}}}{path}" in head
        assert ("Authorization: Bearer {{DARGAH" in head) is (operation.variable is not None)
        if operation.example["request"]["json"] is not None:
            assert orjson.loads(body) == operation.example["request"]["json"]


@ONE_LOOP
async def test_the_text_for_models_leads_to_every_group_and_tells_every_event(lab: Lab) -> None:
    text = await text_of(lab, "/llms.txt")
    assert text.startswith("# Dargah API ")
    assert len(text) < 12_000
    assert all(kind in text for kind in EVENT_TYPES)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert {f"{SHOWN}/docs/{group.slug}.md" for group in groups()} <= set(links)
    for link in links:
        assert len(await text_of(lab, link.removeprefix(SHOWN))) > 200, link


@ONE_LOOP
async def test_a_markdown_page_has_the_operations_of_its_group_and_their_schemas(lab: Lab) -> None:
    text = await text_of(lab, "/docs/payments.md")
    assert re.findall(r"^## (GET|POST) (\S+)$", text, re.MULTILINE)[:2] == [
        ("POST", "/v1/payments"),
        ("GET", "/v1/payments"),
    ]
    assert "## Schema CreatePayment" in text
    assert "$DARGAH_TOKEN" in text
    for line in text.split("```")[::2]:
        rows = [row for row in line.splitlines() if row.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {4}


def hits(page: str) -> list[str]:
    return re.findall(r'<li><a href="(docs/[^"]+)"><code>', page.partition("<ol")[2])


@ONE_LOOP
@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("qr.svg", "docs/payments#getQr"),
        ("  QR   svg ", "docs/payments#getQr"),
        ("payment.given_back", "docs/event-types#event-payment.given_back"),
        ("order_already_paid", "docs/problems#problem-order_already_paid"),
        ("CreatePayment", "docs/payments#createPayment"),
        ("idempotency key", "docs/payments#createPayment"),
    ],
)
async def test_a_search_finds_what_has_all_words(lab: Lab, words: str, first: str) -> None:
    page = await text_of(lab, "/docs?" + urlencode({"q": words}))
    found = hits(page)
    assert first in found[:3], found
    place, _, anchor = found[0].partition("#")
    assert anchor in Anchors(await text_of(lab, f"/{place}")).ids
    both = await text_of(lab, "/docs?" + urlencode({"q": f"{words} nothinghasthis"}))
    assert hits(both) == []


@ONE_LOOP
@pytest.mark.parametrize(
    "words",
    [
        "x" * 5_000,
        "پرداخت " * 300,
        "(a+)+$",
        "[",
        "%",
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "'; DROP TABLE payments; --",
        "\0\r\nSet-Cookie: a=b",
        "\u202eevil\u2066",
        "{{ 7*7 }}{% raw %}",
        "https://pay.example.ir",
    ],
)
async def test_a_search_takes_anything_for_words(lab: Lab, words: str) -> None:
    answer = await lab.call("GET", "/docs?" + urlencode({"q": words}), token="")
    assert answer.status == 200
    page = Anchors(answer.text)
    assert not page.tags & {"script", "img"}
    assert "Set-Cookie" not in answer.headers
    assert "\0" not in answer.text
    assert "49" not in answer.text.partition("<main")[2].partition("</h1>")[2].partition("<ol")[0]
    assert len(answer.text) < 60_000
    assert "script" not in answer.headers["Content-Security-Policy"]


@ONE_LOOP
async def test_a_search_of_bytes_that_are_no_text_or_of_nothing_is_answered(lab: Lab) -> None:
    index = await text_of(lab, "/docs")
    for query in ("q=", "q=%20%09", "q", "q=%00", "p=1", "q=&q=payment"):
        assert (await lab.call("GET", f"/docs?{query}", token="")).status == 200, query
    assert await text_of(lab, "/docs?q=%20") == index
    for query in ("q=%FF%FE", "q=%ED%A0%80", "q=" + quote("پرداخت", encoding="utf-8")):
        assert hits(await text_of(lab, f"/docs?{query}")) == [], query


@ONE_LOOP
async def test_a_page_may_load_and_send_nothing_but_its_own(lab: Lab) -> None:
    for path in ("/docs", "/docs/payments", "/docs?q=payment"):
        policy = (await lab.call("GET", path, token="")).headers["Content-Security-Policy"]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["form-action"] == "'self'"
        assert rules["frame-ancestors"] == "'none'"
        assert "unsafe" not in policy
        assert "script-src" not in rules


@ONE_LOOP
@pytest.mark.parametrize(
    "path", ["/docs/nothing", "/docs/", "/docs/payments/", "/docs/..%2fopenapi.json", "/docs/Payments"]
)
async def test_what_is_no_page_is_not_found(lab: Lab, path: str) -> None:
    assert (await lab.call("GET", path, token="")).status == 404
