"""The clients that tests play: one that sends bytes, a browser at the console and the portal, a shop at the drop-in."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import orjson
from support.eventually import eventually
from yarl import URL

from proxy.gateways.port import INVOICE_SCRIPT
from proxy.merchants.merchant import AmountUnit, Mode, ReturnMethod, Scope
from proxy.payments.payment import Payment
from proxy.payments.search import PaymentFilter
from web.lab import Answer, Lab
from web.openapi_check import check_answer


def posted(path: str, body: bytes, *types: str, **headers: str) -> bytes:
    """A request that says all of `types` of its body."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"Content-Type: {each}" for each in types]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


MAX_ANSWER_BYTES = 10_000_000


async def answers_to(url: str, data: bytes) -> bytes:
    """All that is answered before the server closes, or until we do, having said all."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    answered = b""
    try:
        writer.write(data)
        async with asyncio.timeout(60):
            while len(answered) < MAX_ANSWER_BYTES and (more := await reader.read(65536)):
                answered += more
    except ConnectionError:
        pass  # what came before the reset counts
    finally:
        writer.close()
    return answered


def statuses(answered: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answered)]


OPERATOR_TOKEN = "operator-token-of-the-tests"
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
_COOKIE = re.compile(r"^([^=;]+)=([^;]*)")


@dataclass
class Browser:
    """`origin` is the listener that it looks at."""

    session: aiohttp.ClientSession
    origin: str
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._send("GET", path, None, headers)

    async def head(self, path: str) -> Answer:
        return await self._send("HEAD", path, None, {})

    async def post(
        self,
        path: str,
        form: Mapping[str, str] | None = None,
        *,
        csrf: str | None = None,
        files: Mapping[str, bytes] | None = None,
        **headers: str,
    ) -> Answer:
        """A form of one of our own pages, unless `csrf` or the headers say otherwise; with `files` a multipart one."""
        token = self.csrf if csrf is None else csrf
        fields = {**(form or {}), **({"csrf": token} if token else {})}
        sent = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"} | headers
        if files is None:
            return await self._send("POST", path, fields, sent)
        upload = aiohttp.FormData(fields, default_to_multipart=True)
        for name, content in files.items():
            upload.add_field(name, content, filename="logo.png" if content else "", content_type="image/png")
        return await self._send("POST", path, upload, sent)

    async def confirmed(self, path: str, form: Mapping[str, str] | None = None) -> Answer:
        """The answer to a form of an act that asks on a page of its own, after it was asked and answered with yes."""
        asked = await self.post(path, form)
        if asked.status != 200 or 'name="asked"' not in asked.text:
            return asked
        return await self.post(path, answered(asked))

    async def followed(self, answer: Answer) -> Answer:
        """The page that an answer ends in, over redirects and jobs that are under way."""

        async def look() -> Answer | None:
            nonlocal answer
            if answer.status == 303:
                answer = await self.get(answer.headers["Location"])
                return None
            if "/jobs/" in self._at and 'http-equiv="refresh"' in answer.text:
                answer = await self.get(self._at)
                return None
            return answer

        return await eventually(look)

    async def log_in(self, token: str = OPERATOR_TOKEN) -> Answer:
        answer = await self.post("/console/login", {"token": token}, csrf="")
        if answer.status == 303:
            await self.get(answer.headers["Location"])
        return answer

    _at: str = ""

    async def _send(
        self, method: str, path: str, form: Mapping[str, str] | aiohttp.FormData | None, headers: Mapping[str, str]
    ) -> Answer:
        self._at = path
        sent = dict(headers)
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        url = path if path.startswith("http") else self.origin + path
        async with self.session.request(method, url, data=form, headers=sent, allow_redirects=False) as response:
            answer = Answer(response.status, response.headers, await response.read())
            for cookie in response.headers.getall("Set-Cookie", []):
                self._keep(cookie)
        found = _CSRF.search(answer.body.decode("utf-8", "replace"))
        self.csrf = found[1] if found else self.csrf
        return answer

    def _keep(self, cookie: str) -> None:
        found = _COOKIE.match(cookie)
        assert found is not None, cookie
        if "Max-Age=0" in cookie:
            self.cookies.pop(found[1], None)
        else:
            self.cookies[found[1]] = found[2]


_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
_TO_TYPE = re.compile(r'<label for="typed">.*<span class="code">([^<]+)</span>')


def answered(asked: Answer) -> dict[str, str]:
    """The fields that say yes on a page that asks."""
    main = asked.text.partition("<main")[2]
    fields = {name: unescape(value) for name, value in _HIDDEN.findall(main)}
    to_type = _TO_TYPE.search(main)
    return fields | ({"typed": unescape(to_type[1])} if to_type else {})


def console(lab: Lab) -> Browser:
    """Nobody's browser before the operator's listener."""
    return Browser(lab.session, lab.dargah.admin_url)


async def operator(lab: Lab, role: str | None = None) -> Browser:
    """A browser that is logged in: as an owner of the settings, or as a new operator of this role."""
    browser, token = console(lab), OPERATOR_TOKEN
    if role is not None:
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        url = f"{lab.dargah.admin_url}/admin/v1/operators"
        body = {"name": f"{role}-{len(lab.rows()['operators'])}", "role": role}
        async with lab.session.post(url, json=body, headers=headers) as answer:
            token = (await answer.json())["token"]
    assert (await browser.log_in(token)).status == 303
    return browser


async def portal(lab: Lab, token: str | None = None, **body: str) -> Browser:
    """A merchant's browser that came in by the link of a token."""
    link = await lab.call("POST", "/v1/portal-links", json=body, token=token)
    assert link.status == 201, link.body
    browser = Browser(lab.session, lab.dargah.url)
    entered = await browser.get(urlsplit(link.json["url"]).path)
    assert entered.status == 200, entered.text
    await browser.get("/portal/payments")
    return browser


def words(answer: Answer) -> str:
    """What a page says, without its tags."""
    return unescape(re.sub(r"<[^>]+>", " ", answer.text))


FACADE = frozenset({Scope.FACADE})
FORM = "application/x-www-form-urlencoded"
RETURN_URL = "https://shop.example.ir/cb?order=17&_token=a%20b"


@dataclass(frozen=True)
class DropIn:
    lab: Lab
    token: str

    async def send(
        self, path: str, body: bytes = b"", content_type: str | None = FORM, method: str = "POST", **headers: str
    ) -> Answer:
        """Exactly these bytes; the answer, as it came."""
        sent = headers if content_type is None else {"Content-Type": content_type, **headers}
        # aiohttp would add a type of its own.
        skipped = ["Content-Type"] if content_type is None else []
        url = URL(self.lab.dargah.url + path, encoded=True)
        async with self.lab.session.request(
            method, url, data=body, headers=sent, skip_auto_headers=skipped, allow_redirects=False
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        plain = urlsplit(path).path
        if plain == "/invoice/request" or re.fullmatch("/invoice/check/[^/]+", plain):
            documented = method if method in {"GET", "POST"} else "GET"
            if method != "HEAD":
                check_answer(documented, plain, answer.status, answer.headers, answer.body)
        return answer

    async def request(self, path: str = "/invoice/request", **fields: Any) -> dict[str, Any]:
        form = {"api_key": self.token, "amount": 150_000, "return_url": RETURN_URL} | fields
        answer = await self.send(path, orjson.dumps(form), "application/json")
        assert answer.status == 200
        said: dict[str, Any] = answer.json
        return said

    async def invoice(self, **fields: Any) -> str:
        said = await self.request(**fields)
        assert said["status"] == 1, said
        return str(said["invoice_key"])

    async def check(self, invoice_key: str, token: str | None = None) -> dict[str, Any]:
        body = f"api_key={self.token if token is None else token}".encode()
        answer = await self.send(f"/invoice/check/{invoice_key}", body)
        assert answer.status == 200
        said: dict[str, Any] = answer.json
        return said

    async def payment(self, invoice_key: str) -> Payment:
        return await self.lab.dargah.services.store.payments.payment_by_link(self.lab.merchant_id, invoice_key)

    async def payments(self) -> list[Payment]:
        wanted = PaymentFilter(limit=100)
        return list(
            (await self.lab.dargah.services.store.payments.list_payments(self.lab.merchant_id, wanted)).payments
        )

    async def act(self, invoice_key: str, act: str) -> str:
        """The customer at the gateway; gives where they are sent, which is Dargah's return."""
        payment = await self.payment(invoice_key)
        return await self.lab.act({"invoice_key": payment.invoice_key}, act)

    async def come_back(self, invoice_key: str, act: str = "pay") -> Answer:
        return await self.lab.call("GET", await self.act(invoice_key, act))


async def drop_in(lab: Lab, **choices: Any) -> DropIn:
    return DropIn(lab, await facade_token(lab, **choices))


async def facade_token(
    lab: Lab,
    *,
    merchant_id: str | None = None,
    storefront: str = "main",
    mode: Mode = Mode.LIVE,
    unit: AmountUnit = AmountUnit.RIAL,
    method: ReturnMethod = ReturnMethod.GET,
    any_https_return: bool = False,
    protocol: str = INVOICE_SCRIPT,
) -> str:
    _, text = await lab.dargah.services.setup.issue_token(
        merchant_id or lab.merchant_id,
        storefront,
        mode,
        FACADE,
        amount_unit=unit,
        return_method=method,
        any_https_return=any_https_return,
        protocol=protocol,
        actor="test",
    )
    return text


def added(url: str, return_url: str) -> Mapping[str, str]:
    """The parameters of `url` that `return_url` has not."""
    before, after = (parse_qsl(urlsplit(each).query, keep_blank_values=True) for each in (return_url, url))
    assert after[: len(before)] == before
    return dict(after[len(before) :])
