"""No secret is shown: in no log, metric, trace, page, error, command's output or byte of the database."""

import base64
import os
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from databases.places import Databases

from e2e.canary import Canaries, Leak, forms
from e2e.canary_story import API_KEY, DATABASE_PASSWORD, OPERATOR_TOKEN, begun, everything, pay, set_up
from proxy.config.settings import Settings

# Where each secret setting has its canary; a new setting that holds a secret fails here until it has one.
SETTINGS = {
    "admin_token": "operator's token",
    "egress_proxy_credentials": "egress proxy's password",
    "keys": "master key",
    "traces_url": "collector's password",
}


def test_every_secret_setting_has_a_canary() -> None:
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert secret == SETTINGS.keys()


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_secret_is_shown_anywhere_by_anything(tmp_path: Path, form: str) -> None:
    async with begun(tmp_path, DARGAH_LOG_FORMAT=form) as run:
        await everything(run)
    seen = run.seen
    assert {*SETTINGS.values()} < seen.secrets.keys()
    surfaces = [surface for surface, _, _ in seen.surfaces]
    for kind in ("log", "stdout", "webhook", "file dargah.db", "GET /metrics", "span", "dargah doctor", "raw answer"):
        assert kind in surfaces, kind
    sizes = {surface: len(raw) for surface, raw, _ in seen.surfaces}
    assert sizes["file dargah.db"] > 100_000
    assert sizes["log"] > 10_000
    assert seen.leaks() == []


async def test_no_secret_is_shown_with_a_database_server_either(tmp_path: Path, databases: Databases) -> None:
    async with databases.lent() as url:
        with_password = urlsplit(url)._replace(netloc=_with_password(urlsplit(url).netloc)).geturl()
        async with begun(tmp_path, DARGAH_DATABASE=with_password) as run:
            await everything(run)
        rows = await _every_row(url)
    assert len(rows) > 10_000
    run.seen.shown("rows", rows)
    assert {*SETTINGS.values(), "database's password"} < run.seen.secrets.keys()
    assert run.seen.leaks() == []


def _with_password(netloc: str) -> str:
    user, _, host = netloc.rpartition("@")
    return f"{user.partition(':')[0] or 'postgres'}:{DATABASE_PASSWORD}@{host}"


async def _every_row(url: str) -> str:
    """All that is in the database, as text; bytes are hexadecimal there."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        queries = [f"SELECT t::text FROM {table} t" for (table,) in tables]  # noqa: S608  the schema's own names
        return "\n".join([row for query in queries for (row,) in await connection.fetch(query)])
    finally:
        await connection.close()


PLANTS = {
    # Somebody prints what they look at.
    "log": """
from proxy.merchants import vault
opened = vault.Vault.open
def open(self, sealed, origin=None):
    secret = opened(self, sealed, origin)
    print("opened", secret, file=__import__("sys").stderr)
    return secret
vault.Vault.open = open
""",
    # Somebody forgets to seal.
    "file dargah.db": """
from dataclasses import replace
from proxy.merchants import vault
sealed = vault.Vault.seal
def seal(self, merchant_id, owner_id, name, secret, origin=None):
    whole = sealed(self, merchant_id, owner_id, name, secret, origin)
    return replace(whole, blob=whole.blob + secret.encode())
unsealed = vault.Vault.open
vault.Vault.seal = seal
canary = "canary-api-key-7f3a91c05d"
vault.Vault.open = lambda self, whole, origin=None: canary if whole.name == "api_key" else "x" * 40
""",
    # Somebody shows the row as it is.
    "POST /v1/payments": """
from proxy.api.v1 import payments
shown = payments.payment_object
payments.payment_object = lambda services, payment: shown(services, payment) | {
    "debug": {**__import__("os").environ}["DARGAH_ADMIN_TOKEN"].encode().hex()
}
""",
}


@pytest.mark.parametrize("surface", PLANTS)
async def test_a_planted_leak_is_found(tmp_path: Path, surface: str) -> None:
    plant = tmp_path / "plant"
    plant.mkdir()
    (plant / "sitecustomize.py").write_text(PLANTS[surface])
    path = os.pathsep.join(filter(None, (str(plant), os.environ.get("PYTHONPATH"))))
    async with begun(tmp_path, PYTHONPATH=path) as run:
        await set_up(run)
        await run.create("order-planted")
    leaked = {leak.surface for leak in run.seen.leaks()}
    assert any(each.startswith(surface) for each in leaked), leaked


def test_a_secret_is_known_in_every_form_in_which_bytes_are_written_down() -> None:
    for before in range(4):
        around = b"x" * before + API_KEY.encode() + b"yz"
        for written in (around, around.hex().encode(), base64.b64encode(around)):
            assert any(form in written for form in forms(API_KEY)), (before, written)
    assert not any(form in b"canary-api-key" * 50 for form in forms(API_KEY))


def test_what_is_shown_once_is_no_leak_where_it_is_made_and_one_everywhere_else() -> None:
    seen = Canaries()
    seen.hide("token", OPERATOR_TOKEN)
    seen.shown("the making", f"token: {OPERATOR_TOKEN}", "token")
    assert seen.leaks() == []
    seen.shown("a page", f"<p>{OPERATOR_TOKEN[-20:]}</p>")
    assert seen.leaks() == [Leak("token", "a page")]


async def test_the_story_ends_as_it_should(tmp_path: Path) -> None:
    """What is looked at is a run that works: the payment is paid, and the shop was told."""
    async with begun(tmp_path) as run:
        await set_up(run)
        payment = await pay(run)
        assert await run.status_of(payment["id"]) == "paid"
