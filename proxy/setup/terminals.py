"""Terminals: an account at a gateway, whose api_key goes in and never comes out."""

from dataclasses import replace
from typing import Final, TypedDict, Unpack

from proxy.ids import TERMINAL
from proxy.merchant import Mode, Terminal
from proxy.setup.base import Base, require_room
from proxy.setup.fields import MAX_NAME_CHARS, Inspection

API_KEY: Final = "api_key"
MAX_TERMINALS: Final = 1000


class TerminalChanges(TypedDict, total=False):
    """What is absent stays as it is; `return_base_url` None takes it away."""

    name: str
    gateway_url: str
    api_key: str
    return_base_url: str | None
    enabled: bool


class Terminals(Base):
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
        sealed = self._vault.seal(merchant_id, terminal.id, API_KEY, look.secret(API_KEY, api_key))
        look.raise_for_errors()
        require_room(len(await self._store.list_terminals(merchant_id)), MAX_TERMINALS, "terminals", "ترمینال")
        names = ("name", "mode", "gateway_url", "return_base_url", API_KEY)
        audit = self._audit(merchant_id, actor, "terminal.create", terminal.id, _shown(terminal, names))
        await self._store.add_terminal(terminal, sealed, audit)
        self._changed()
        return terminal

    async def change_terminal(
        self, merchant_id: str, terminal_id: str, *, actor: str, **changes: Unpack[TerminalChanges]
    ) -> Terminal:
        """The terminal with what is in `changes`; a new api_key is used from the next call on."""
        look = self._inspect()
        terminal = replace(await self._store.terminal(merchant_id, terminal_id), updated_at=self._now())
        terminal = _changed(look, terminal, changes)
        api_key = look.secret(API_KEY, changes["api_key"]) if "api_key" in changes else None
        look.raise_for_errors()
        sealed = None if api_key is None else self._vault.seal(merchant_id, terminal_id, API_KEY, api_key)
        audit = self._audit(merchant_id, actor, "terminal.update", terminal_id, _shown(terminal, tuple(changes)))
        await self._store.save_terminal(terminal, sealed, audit)
        self._changed()
        return terminal


def _changed(look: Inspection, terminal: Terminal, changes: TerminalChanges) -> Terminal:
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


def _shown(terminal: Terminal, names: tuple[str, ...]) -> dict[str, object]:
    return {name: "set" if name == API_KEY else getattr(terminal, name) for name in names}
