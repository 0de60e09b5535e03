"""Planted bugs about what a stranger or a weak token may do."""

from typing import Final

from . import Edit, bug

_EXCHANGE: Final = "http/outbound/exchange.py"
_ENDLESS: Final = "tests/adapters/test_answers.py"
_MODES: Final = "tests/security/test_modes.py"

_PRINCIPALS: Final = "tests/security/test_principals.py"
_PAGES: Final = "tests/security/test_principals_pages.py"
_ORIGINS: Final = "tests/security/test_browsers.py"

_DESTINATIONS: Final = "tests/security/test_destinations.py"

SECURITY: Final = (
    bug(
        "informational answers have no end",
        Edit(_EXCHANGE, "        self._heads_left = MAX_INFORMATIONAL + 1\n", "        self._heads_left = 10**9\n"),
        by=_ENDLESS,
    ),
    bug(
        "the heads of an answer may be of any length",
        Edit(_EXCHANGE, "        self._head_bytes_left = MAX_HEAD_BYTES\n", "        self._head_bytes_left = 10**9\n"),
        by=_ENDLESS,
    ),
    bug(
        "a gateway that echoes the api_key has it kept",
        Edit(
            "gateways/invoice_script/client.py",
            "            text = text.replace(form, _HIDDEN)\n",
            "            pass\n",
        ),
        by="tests/adapters/test_gateway_answers.py",
    ),
    bug(
        "a test token sees the live endpoint",
        Edit(
            "payments/access.py",
            "self._sees(endpoint.merchant_id, endpoint.storefront, endpoint.mode, None)",
            "self.token is None or self._sees(\n"
            "            endpoint.merchant_id, endpoint.storefront, self.token.mode, None\n"
            "        )",
        ),
        by=_PRINCIPALS,
    ),
    bug(
        "a storefront's token reads another's delivery",
        Edit(
            "payments/access.py",
            "self._sees(delivery.merchant_id, delivery.storefront, delivery.mode, None)",
            "self.token is None or delivery.merchant_id == self.token.merchant_id",
        ),
        by="tests/security/test_confinement.py",
    ),
    bug(
        "the owner's endpoint is every storefront's",
        Edit(
            "merchants/merchant.py",
            "        return storefront == self.storefront and mode is self.mode",
            "        return storefront in {None, self.storefront} and mode is self.mode",
        ),
        by=_PRINCIPALS,
    ),
    bug(
        "a token of one terminal keeps its webhooks",
        Edit(
            "merchants/merchant.py",
            "        return scope in self.scopes and (scope is not Scope.WEBHOOKS or self.terminal_id is None)\n",
            "        return scope in self.scopes\n",
        ),
        by=_PRINCIPALS,
    ),
    bug(
        "a payment's history shows deliveries to the operator's endpoints",
        Edit(
            "payments/access.py",
            "        if self.token is None:\n            return await",
            "        if True:\n            return await",
        ),
        by=_PAGES,
    ),
    bug(
        "a portal session outlives its token",
        Edit("console/guard.py", "    if not token.alive(services.now()):\n        return None\n", ""),
        by=_PAGES,
    ),
    bug(
        "a new operation that no table of principals has",
        Edit(
            "api/public.py",
            '    ("POST", "/v1/portal-links", portal_links.create_portal_link),\n',
            '    ("POST", "/v1/portal-links", portal_links.create_portal_link),\n'
            '    ("GET", "/v1/portal-links", endpoints.list_endpoints),\n',
        ),
        by=_PRINCIPALS,
    ),
    bug(
        "an event goes to endpoints of the other mode",
        Edit(
            "webhooks/endpoint.py",
            "return self.mode == (mode or Mode.LIVE) and self.storefront",
            "return self.storefront",
        ),
        by=_MODES,
    ),
    bug(
        "an event goes to endpoints of another storefront",
        Edit("webhooks/endpoint.py", " and self.storefront in {None, storefront}\n", "\n"),
        by=_MODES,
    ),
    bug(
        "a replay does not compare the mode",
        Edit(
            "webhooks/storage/redelivery.py",
            "endpoint.wants(event_type, mode, storefront)",
            "endpoint.wants(event_type, endpoint.mode, storefront)",
        ),
        by=_MODES,
    ),
    bug(
        "what older code left for an endpoint of the other mode is sent",
        Edit(
            "webhooks/storage/claims.py",
            "    foreign = [row for row in rows if not queue.endpoint.may_get(row[8], row[7])]\n",
            "    foreign: list[Row] = []\n",
        ),
        by="tests/security/test_modes_upgrade.py",
    ),
    bug(
        "an endpoint that a test token makes is live",
        Edit("api/v1/webhooks.py", "        mode=token.mode,\n", "        mode=Mode.LIVE,\n"),
        by=_MODES,
    ),
    bug(
        "a test payment's return URL is signed by the live secret",
        Edit(
            "payments/next_step.py",
            "payment.merchant_id, payment.mode)",
            "payment.merchant_id, type(payment.mode).LIVE)",
        ),
        by=_MODES,
    ),
    bug(
        "the return URL's signature leaves out the mode",
        Edit("payments/return_url.py", 'f"{status}&payment_mode={mode}"', "status"),
        by="tests/web/test_pay_links.py",
    ),
    bug(
        "the origin is not in the seal",
        Edit(
            "merchants/vault.py", 'return row if origin is None else b"\\0".join((row, origin.encode()))', "return row"
        ),
        by=_DESTINATIONS,
    ),
    bug(
        "every start binds what was sealed for no origin",
        Edit("merchants/setup/binding.py", "if await self._merchants.secrets_bound_at() is not None:", "if False:"),
        by="tests/security/test_secrets.py",
    ),
    bug(
        "another origin needs no credential",
        Edit("merchants/setup/binding.py", "if not self._opens(sealed, where.after):", "if False:"),
        by=_DESTINATIONS,
    ),
    bug(
        "a new credential is sealed for a URL that somebody else wrote",
        Edit(
            "merchants/setup/binding.py",
            "elif where.url not in changes and not self._opens(sealed, where.before):",
            "elif False:",
        ),
        by=_DESTINATIONS,
    ),
    bug(
        "an endpoint's headers are kept with their values",
        Edit(
            "webhooks/endpoint_setup.py",
            'tuple(sorted(name.lower() for name in changes["headers"]))',
            'tuple(f"{name.lower()}: {value}" for name, value in changes["headers"].items())',
        ),
        by=_DESTINATIONS,
    ),
    bug(
        "a portal link opens twice",
        Edit("console/entry.py", "    if not await services.sessions.close(secret):\n        raise LinkUnknown\n", ""),
        by="tests/security/test_browsers.py",
    ),
    bug(
        "a key ring that anybody can write is taken",
        Edit("config/secret_files.py", "if mode & (stat.S_IWGRP | stat.S_IWOTH):", "if False:"),
        by="tests/security/test_secrets.py",
    ),
    bug(
        "an origin stands in a policy as it was stored",
        Edit(
            "kernel/urls.py",
            "    return origin if origin is not None and _FRAMING.fullmatch(origin) else \"'none'\"\n",
            "    return origin or \"'none'\"\n",
        ),
        by=_ORIGINS,
    ),
    bug(
        "whatever origin is named may frame the portal",
        Edit("kernel/urls.py", "    if not _FRAMING.fullmatch(origin):\n", "    if False:\n"),
        by=_ORIGINS,
    ),
    bug(
        "any scheme may be registered as an app's",
        Edit("kernel/urls.py", "    if _NO_APP.fullmatch(scheme):\n", "    if False:\n"),
        by="tests/core/test_urls.py",
    ),
)
