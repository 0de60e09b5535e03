"""Operators with an authenticator app, for tests: hired, enrolled through the console's page, and logged in again."""

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from support.authenticator import Authenticator

from proxy.audit.log import INSTALLATION
from proxy.kernel.ids import Ids, digest
from proxy.operators.records import Opener, SessionKind
from proxy.operators.sessions import Sessions
from web.clients import OPERATOR_TOKEN, Browser, answered, console
from web.lab import Answer, Lab

CODE_PATH = "/console/login/code"
STEP = 30_000
_URI = re.compile(r'href="(otpauth:[^"]+)"')
_OFFERED = re.compile(r'name="offered" value="([^"]+)"')
_RECOVERY = re.compile(r"\b(?:[A-Z2-7]{4}-){3}[A-Z2-7]{4}\b")


@dataclass
class Enrolled:
    """An operator with a second factor; `browser` is the one that enrolled it."""

    lab: Lab
    name: str
    id: str
    token: str = field(repr=False)
    app: Authenticator = field(repr=False)
    codes: list[str] = field(repr=False)
    browser: Browser

    def code(self) -> str:
        return self.app.code(self.lab.clock.now)

    async def begins(self, browser: Browser | None = None) -> Browser:
        """A browser that gave the token and is asked for the code."""
        browser = browser or console(self.lab)
        asked = await browser.post("/console/login", {"token": self.token, "next": "/console/reviews"}, csrf="")
        assert (asked.status, asked.location) == (303, f"{CODE_PATH}?next=%2Fconsole%2Freviews"), asked.text
        return browser

    async def gives(self, browser: Browser, code: str | None = None) -> Answer:
        """The answer to a code, which is that of now unless another is given."""
        return await browser.post(CODE_PATH, {"code": self.code() if code is None else code}, csrf="")

    async def logs_in(self, browser: Browser | None = None, code: str | None = None) -> Browser:
        """With the next code, as none works twice."""
        browser = await self.begins(browser)
        if code is None:
            self.lab.clock.forward(STEP)
        entered = await self.gives(browser, code)
        assert entered.status == 303, entered.text
        assert (await browser.get("/console/second-factor")).status == 200
        return browser


async def hired(lab: Lab, name: str, role: str = "read") -> tuple[str, str]:
    """The id and the token of a new operator."""
    row = await admin(lab, "POST", "", {"name": name, "role": role})
    return row.json["id"], row.json["token"]


async def admin(lab: Lab, method: str, path: str, body: Any = None) -> Answer:
    url = f"{lab.dargah.admin_url}/admin/v1/operators{path}"
    return await lab.call(method, url, json=body, token=OPERATOR_TOKEN)


async def enrolled(lab: Lab, name: str = "sara", role: str = "read") -> Enrolled:
    operator_id, token = await hired(lab, name, role)
    browser = console(lab)
    assert (await browser.log_in(token)).status == 303
    app, codes = await enrols(lab, browser)
    return Enrolled(lab, name, operator_id, token, app, codes, browser)


async def enrols(lab: Lab, browser: Browser, **more: str) -> tuple[Authenticator, list[str]]:
    """The app that scanned the page's QR code, and the recovery codes."""
    page = await browser.get("/console/second-factor")
    app = scanned(page)
    form = {"offered": offered(page), "code": app.code(lab.clock.now), **more}
    done = await browser.post("/console/second-factor", form)
    assert done.status == 200, done.text
    return app, recovery_codes(done)


def scanned(page: Answer) -> Authenticator:
    found = _URI.search(page.text)
    assert found is not None, page.text
    return Authenticator.scanned(unescape(found[1]))


def offered(page: Answer) -> str:
    found = _OFFERED.search(page.text)
    assert found is not None, page.text
    return found[1]


def recovery_codes(page: Answer) -> list[str]:
    return _RECOVERY.findall(page.text)


async def opened_before(lab: Lab, token: str, name: str) -> Browser:
    """A session that the token alone has opened, whatever is asked for now."""
    store = lab.dargah.services.store
    sessions = Sessions(store.operators, Ids(lab.dargah.services.random_bytes), lab.clock)
    secret, _ = await sessions.open(SessionKind.OPERATOR, INSTALLATION, digest(token).hex(), opener=Opener(name))
    return Browser(lab.session, lab.dargah.admin_url, {"dargah-session": secret})


async def confirmed(browser: Browser, path: str, code: str) -> Answer:
    """An act that asks for a code on its page."""
    asked = await browser.get(path)
    assert (asked.status, 'autocomplete="one-time-code"' in asked.text) == (200, True), asked.text
    return await browser.post(path, {**answered(asked), "code": code})
