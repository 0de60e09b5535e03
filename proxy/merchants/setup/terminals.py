"""Terminals: accounts at gateways. An api_key goes in and never comes out."""

from dataclasses import replace
from typing import Final, TypedDict, Unpack

from proxy.kernel.ids import TERMINAL
from proxy.kernel.urls import origin_of
from proxy.merchants.merchant import Mode, Terminal
from proxy.merchants.setup.binding import Destination, Destinations
from proxy.merchants.setup.fields import MAX_NAME_CHARS, Inspection, require_room
from proxy.merchants.vault import API_KEY, SealedSecret

MAX_TERMINALS: Final = 1000


class TerminalChanges(TypedDict, total=False):
    """Absent fields stay as they are; `return_base_url` None removes it."""

    name: str
    gateway_url: str
    api_key: str
    return_base_url: str | None
    enabled: bool


class Terminals(Destinations):
    async def add_terminal(
        self,
        merchant_id: str,
        name: str,
        gateway_url: str,
        api_key: str,
        mode: Mode,
        return_base_url: str | None = None,
        *,
        actor: str,
    ) -> Terminal:
        """The terminal; its api_key can be replaced and never read."""
        look, now = self._inspect(), self._now()
        terminal = Terminal(
            id=self._ids.record(TERMINAL, merchant_id, now),
            merchant_id=merchant_id,
            name=look.text("name", name, MAX_NAME_CHARS),
            mode=mode,
            gateway_url=look.base_url("gateway_url", gateway_url),
            return_base_url=_optional_base(look, return_base_url),
            enabled=True,
            created_at=now,
            updated_at=now,
        )
        api_key = look.secret(API_KEY, api_key)
        look.raise_for_errors()
        sealed = self._seal(terminal, api_key)
        require_room(len(await self._merchants.list_terminals(merchant_id)), MAX_TERMINALS, "terminals", "ترمینال")
        names = ("name", "mode", "gateway_url", "return_base_url", API_KEY)
        audit = self._audit(merchant_id, actor, "terminal.create", terminal.id, _audit_values(terminal, names))
        await self._merchants.add_terminal(terminal, sealed, audit)
        self._changed()
        return terminal

    async def change_terminal(
        self, merchant_id: str, terminal_id: str, *, actor: str, **changes: Unpack[TerminalChanges]
    ) -> Terminal:
        """The terminal with `changes` applied; a new api_key is used from the next call on.

        The api_key belongs to the origin of the gateway_url: a new origin needs the api_key again.
        """
        look = self._inspect()
        before = await self._merchants.terminal(merchant_id, terminal_id)
        terminal = _apply_changes(look, replace(before, updated_at=self._now()), changes)
        api_key = look.secret(API_KEY, changes["api_key"]) if "api_key" in changes else None
        where = Destination(API_KEY, "gateway_url", before.gateway_url, terminal.gateway_url)
        await self._check_destination(look, (merchant_id, terminal_id), where, changes)
        look.raise_for_errors()
        sealed = None if api_key is None else self._seal(terminal, api_key)
        audit = self._audit(merchant_id, actor, "terminal.update", terminal_id, _audit_values(terminal, tuple(changes)))
        await self._merchants.save_terminal(terminal, sealed, audit)
        self._changed()
        return terminal

    def _seal(self, terminal: Terminal, api_key: str) -> SealedSecret:
        origin = origin_of(terminal.gateway_url)
        return self._vault.seal(terminal.merchant_id, terminal.id, API_KEY, api_key, origin)


def _apply_changes(look: Inspection, terminal: Terminal, changes: TerminalChanges) -> Terminal:
    if "name" in changes:
        terminal = replace(terminal, name=look.text("name", changes["name"], MAX_NAME_CHARS))
    if "gateway_url" in changes:
        terminal = replace(terminal, gateway_url=look.base_url("gateway_url", changes["gateway_url"]))
    if "return_base_url" in changes:
        terminal = replace(terminal, return_base_url=_optional_base(look, changes["return_base_url"]))
    if "enabled" in changes:
        terminal = replace(terminal, enabled=changes["enabled"])
    return terminal


def _optional_base(look: Inspection, url: str | None) -> str | None:
    return None if url is None else look.base_url("return_base_url", url)


def _audit_values(terminal: Terminal, names: tuple[str, ...]) -> dict[str, object]:
    return {name: "set" if name == API_KEY else getattr(terminal, name) for name in names}
