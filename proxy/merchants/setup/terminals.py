"""Terminals: accounts at gateways. Their credentials go in and never come out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypedDict, Unpack

from proxy.gateways.port import INVOICE_SCRIPT
from proxy.kernel.ids import TERMINAL
from proxy.kernel.urls import origin_of
from proxy.merchants.merchant import Mode, Terminal
from proxy.merchants.setup.binding import Destination, Destinations
from proxy.merchants.setup.families import (
    family_of,
    given_credentials,
    inspect_credentials,
    inspect_gateway_url,
    inspect_options,
    secret_field,
)
from proxy.merchants.setup.fields import MAX_NAME_CHARS, Inspection, require_room
from proxy.merchants.vault import SealedSecret

MAX_TERMINALS: Final = 1000
_OF_THE_FAMILY: Final = frozenset({"api_key", "credentials", "options"})
_SECRET: Final = frozenset({"api_key", "credentials"})


class TerminalChanges(TypedDict, total=False):
    """Absent fields stay as they are, and so do absent credentials and options; `return_base_url` None removes it.

    `api_key` is the credential of that name.
    """

    name: str
    gateway_url: str
    api_key: str
    credentials: Mapping[str, str]
    options: Mapping[str, str]
    return_base_url: str | None
    enabled: bool


class Terminals(Destinations):
    async def add_terminal(
        self,
        merchant_id: str,
        name: str,
        gateway_url: str | None,
        api_key: str | None,
        mode: Mode,
        return_base_url: str | None = None,
        *,
        gateway: str = INVOICE_SCRIPT,
        credentials: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        actor: str,
    ) -> Terminal:
        """The terminal; its credentials can be replaced and never read.

        `api_key` is the credential of that name. Without a gateway_url it is the family's own one.
        """
        look, now = self._inspect(), self._now()
        family, given = family_of(gateway), given_credentials(credentials, api_key)
        defaults = {option.name: option.default for option in family.options}
        terminal = Terminal(
            id=self._ids.record(TERMINAL, merchant_id, now),
            merchant_id=merchant_id,
            name=look.text("name", name, MAX_NAME_CHARS),
            mode=mode,
            gateway_url=inspect_gateway_url(look, family, mode, gateway_url),
            return_base_url=_optional_base(look, return_base_url),
            enabled=True,
            created_at=now,
            updated_at=now,
            gateway=family.name,
            options=defaults | inspect_options(look, family, options or {}),
        )
        secrets = inspect_credentials(look, family, given, whole=True)
        look.raise_for_errors()
        require_room(len(await self._merchants.list_terminals(merchant_id)), MAX_TERMINALS, "terminals", "ترمینال")
        names = ("name", "mode", "gateway", "gateway_url", "return_base_url", "options")
        data = _audit_values(terminal, names, secrets)
        audit = self._audit(merchant_id, actor, "terminal.create", terminal.id, data)
        await self._merchants.add_terminal(terminal, self._seal(terminal, secrets), audit)
        self._changed()
        return terminal

    async def change_terminal(
        self, merchant_id: str, terminal_id: str, *, actor: str, **changes: Unpack[TerminalChanges]
    ) -> Terminal:
        """The terminal with `changes` applied; a new credential is used from the next call on.

        Credentials belong to the origin of the gateway_url: a new origin needs all of them again.
        """
        look, secrets = self._inspect(), dict[str, str]()
        before = await self._merchants.terminal(merchant_id, terminal_id)
        terminal = _apply_changes(look, replace(before, updated_at=self._now()), changes)
        if _OF_THE_FAMILY & changes.keys():
            # Only then: a terminal of a family that is not known here can still be switched off.
            family = family_of(terminal.gateway)
            given = given_credentials(changes.get("credentials"), changes.get("api_key"))
            secrets = inspect_credentials(look, family, given, whole=False)
            options = inspect_options(look, family, changes.get("options", {}))
            terminal = replace(terminal, options={**terminal.options, **options})
        after = terminal.gateway_url if "gateway_url" in changes else None
        where = Destination("gateway_url", before.gateway_url, after)
        await self._check_destination(look, (merchant_id, terminal_id), where, secrets)
        look.raise_for_errors()
        data = _audit_values(terminal, tuple(name for name in changes if name not in _SECRET), secrets)
        audit = self._audit(merchant_id, actor, "terminal.update", terminal_id, data)
        await self._merchants.save_terminal(terminal, self._seal(terminal, secrets), audit)
        self._changed()
        return terminal

    def _seal(self, terminal: Terminal, secrets: Mapping[str, str]) -> list[SealedSecret]:
        origin = origin_of(terminal.gateway_url)
        owner = (terminal.merchant_id, terminal.id)
        return [self._vault.seal(*owner, name, secret, origin) for name, secret in secrets.items()]


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


def _audit_values(terminal: Terminal, names: tuple[str, ...], secrets: Mapping[str, str]) -> dict[str, object]:
    """The values of these fields; of secrets that they were set."""
    values = {name: getattr(terminal, name) for name in names}
    return values | dict.fromkeys(map(secret_field, secrets), "set")
