"""A provider of OpenID Connect as a process: panva's oidc-provider, certified by the OpenID Foundation."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import aiohttp
import pytest
from aiohttp import web
from joserfc.jwk import RSAKey

from support.ports import free_port

PROGRAM: Final = Path(__file__).parents[1] / "clients" / "families" / "provider.mjs"
MODULES: Final = Path(sys.prefix) / "clients" / "node" / "node_modules"
CLIENT_ID, CLIENT_SECRET = "dargah", "canary-oidc-secret-5e0c"
_PATIENCE_SECONDS: Final = 60
_MOST_STEPS: Final = 12
_ACTION: Final = re.compile(r'action="([^"]+)"')


def signing_key(kid: str) -> dict[str, Any]:
    return {**RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}, auto_kid=False).as_dict(private=True)}


@dataclass(frozen=True)
class Provider:
    issuer: str
    process: asyncio.subprocess.Process

    async def use(self, *keys: Mapping[str, Any]) -> None:
        """Begins anew with these keys, the first of which signs."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(keys).encode() + b"\n")
        async with asyncio.timeout(_PATIENCE_SECONDS):
            said = await self.process.stdout.readline()
            while said and said != b"ready\n":
                said = await self.process.stdout.readline()
        assert said == b"ready\n"

    async def answers(self, url: str, redirect_uri: str, login: str = "owners-sara") -> str:
        """Where the provider sends the browser of somebody who logs in there by this name, and agrees; without a name,
        who turns back.
        """
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            at: str = url
            form: dict[str, str] | None = None
            for _ in range(_MOST_STEPS):
                async with session.request(
                    "GET" if form is None else "POST", at, data=form, allow_redirects=False
                ) as answer:
                    text, location = await answer.text(), answer.headers.get("Location")
                if location is not None:
                    at, form = urljoin(at, location), None
                    if at.startswith(redirect_uri):
                        return at
                    continue
                assert answer.status == 200, text
                found = _ACTION.search(text)
                if not login:
                    at = re.search(r'href="([^"]*/abort)"', text)[1]  # type: ignore[index]
                    at = urljoin(str(answer.url), at)
                    continue
                assert found is not None, text
                prompt = "login" if "login" in text and 'name="login"' in text else "consent"
                at, form = urljoin(str(answer.url), found[1]), {"prompt": prompt, "login": login, "password": "any"}
        raise AssertionError("the provider leads in a circle")


def echoing_provider() -> web.Application:
    """One that refuses every code, and repeats whatever it was told."""
    key = RSAKey.generate_key(2048, {"kid": "first"}, auto_kid=False).as_dict(private=False)

    async def discovery(request: web.Request) -> web.Response:
        issuer = str(request.url.origin())
        named = {"authorization_endpoint": "/auth", "token_endpoint": "/token", "jwks_uri": "/keys"}
        return web.json_response({"issuer": issuer} | {name: issuer + path for name, path in named.items()})

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response({"keys": [key]})

    async def token(request: web.Request) -> web.Response:
        said = f"{request.headers.get('Authorization')} {await request.text()}"
        return web.json_response({"error": "invalid_client", "error_description": said}, status=401)

    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", discovery)
    app.router.add_get("/keys", keys)
    app.router.add_post("/token", token)
    return app


@asynccontextmanager
async def provider(redirect_uri: str, keys: Sequence[Mapping[str, Any]]) -> AsyncIterator[Provider]:
    node = shutil.which("node")
    if node is None or not (MODULES / "oidc-provider").is_dir():
        if os.environ.get("DARGAH_TEST_CLIENTS") == "required":
            pytest.fail("node or oidc-provider is missing")
        pytest.skip("NOT RUN: the sign-in by a provider, as node or oidc-provider is not at hand")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(node, str(PROGRAM), str(MODULES), str(port), redirect_uri),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    made = Provider(f"http://127.0.0.1:{port}", process)
    try:
        await made.use(*keys)
        yield made
    finally:
        process.kill()
        await process.wait()
