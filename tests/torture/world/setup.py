"""Who is there when a story begins: two merchants, three storefronts, three endpoints, set up by real code.

Each merchant has a terminal of every family; a world says which of them its storefronts use.

The database that this gives is made once per process and copied for each story.
"""

import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Final

from proxy.gateways.port import INVOICE_SCRIPT
from proxy.kernel.clock import DAY
from proxy.merchants.merchant import Mode
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.vault import KeyRing, Vault, generate_line
from proxy.webhooks.endpoint_setup import EndpointSetup

from .. import MEMORY
from .families import CONFIRMING, GATEWAY_URL, credentials_of
from .loop import Clock, run_virtually
from .process import OpenFile, copy_files, inline_sqlite

EPOCH: Final = 1_800_000_000_000
_OPERATOR: Final = "torture"


@dataclass(frozen=True, slots=True)
class Shop:
    """A storefront with its token and the terminal that its payments go to. `api_key` is the terminal's main id."""

    merchant_id: str
    storefront: str
    token: str
    terminal_id: str
    api_key: str
    family: str = INVOICE_SCRIPT
    credentials: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hook:
    """An endpoint, and the secret that its receiver verifies with."""

    merchant_id: str
    endpoint_id: str
    url: str
    secret: str
    storefront: str | None


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody, and the database in which they are set up."""

    path: Path
    ring_text: str
    shops: tuple[Shop, ...]
    hooks: tuple[Hook, ...]
    others: tuple[Shop, ...] = ()
    """The main storefronts at their merchants' terminals of other families."""

    def shops_at(self, families: Sequence[str]) -> tuple[Shop, ...]:
        """The storefronts, the main ones at terminals of these families."""
        places = dict(enumerate(families))
        return tuple(self._at(shop, places.get(number, INVOICE_SCRIPT)) for number, shop in enumerate(self.shops))

    def _at(self, shop: Shop, family: str) -> Shop:
        found = (each for each in self.others if (each.token, each.family) == (shop.token, family))
        return next(found, shop)

    @property
    def secrets(self) -> list[str]:
        """What must be in no byte of the database."""
        keys = [line.partition(":")[2] for line in self.ring_text.splitlines()]
        return [
            *(hook.secret for hook in self.hooks),
            *(word for shop in self.shops for word in (shop.token, shop.api_key)),
            # The number of a bank's terminal is short enough to stand there by chance.
            *(word for shop in self.others for word in shop.credentials.values() if len(word) > 11),
            *keys,
        ]


@lru_cache(maxsize=1)
def cast() -> Cast:
    """The cast of every story."""
    folder = Path(tempfile.mkdtemp(prefix="dargah-torture-", dir=MEMORY))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    clock = Clock(EPOCH - DAY)
    with inline_sqlite():
        return run_virtually(clock, _set_up(folder / "cast.db", clock))


async def _set_up(path: Path, clock: Clock) -> Cast:
    random_bytes = Random("cast").randbytes
    ring_text = "\n".join(generate_line(name, random_bytes) for name in ("new", "old"))
    file = await OpenFile.open(path, clock)
    vault = Vault(KeyRing.parse(ring_text), random_bytes)
    setup = MerchantSetup(file.store.merchants, vault, clock, random_bytes)
    endpoints = EndpointSetup(file.store.merchants, file.store.webhooks, vault, clock, random_bytes)
    first, _ = await setup.create_merchant("First", ["https://first.example"], actor=_OPERATOR)
    second, _ = await setup.create_merchant("Second", ["https://second.example"], actor=_OPERATOR)
    shops = [
        await _shop(setup, first.id, "main", "first-gateway-api-key"),
        await _shop(setup, second.id, "main", "second-gateway-api-key"),
    ]
    others = tuple(
        [await _at_another(setup, shop, family, number) for number, shop in enumerate(shops) for family in CONFIRMING]
    )
    _, token = await setup.issue_token(first.id, "books", terminal_id=shops[0].terminal_id, actor=_OPERATOR)
    shops.append(Shop(first.id, "books", token, shops[0].terminal_id, shops[0].api_key))
    hooks = (
        await _hook(endpoints, first.id, "https://first.example/hooks", None),
        await _hook(endpoints, first.id, "https://books.example/hooks", "books"),
        await _hook(endpoints, second.id, "https://second.example/hooks", None),
    )
    await file.store.close()
    home = path.with_name("ready.db")
    copy_files(path, home)
    return Cast(home, ring_text, tuple(shops), hooks, others)


async def _shop(setup: MerchantSetup, merchant_id: str, storefront: str, api_key: str) -> Shop:
    terminal = await setup.add_terminal(merchant_id, "Main", GATEWAY_URL, api_key, Mode.LIVE, actor=_OPERATOR)
    _, token = await setup.issue_token(merchant_id, storefront, actor=_OPERATOR)
    return Shop(merchant_id, storefront, token, terminal.id, api_key)


async def _at_another(setup: MerchantSetup, shop: Shop, family: str, number: int) -> Shop:
    made = credentials_of(family, number)
    terminal = await setup.add_terminal(
        shop.merchant_id, family, GATEWAY_URL, None, Mode.LIVE, gateway=family, credentials=made, actor=_OPERATOR
    )
    return replace(shop, terminal_id=terminal.id, api_key=next(iter(made.values())), family=family, credentials=made)


async def _hook(endpoints: EndpointSetup, merchant_id: str, url: str, storefront: str | None) -> Hook:
    endpoint, secret, *_ = await endpoints.add_endpoint(merchant_id, url, storefront=storefront, actor=_OPERATOR)
    return Hook(merchant_id, endpoint.id, url, secret, storefront)
