"""A browser without a screen for the console and the portal: it keeps cookies, follows nothing, and says who it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import urlsplit

import aiohttp
from support.eventually import eventually

from web.lab import Answer, Lab

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
