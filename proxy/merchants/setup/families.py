"""The rules that a terminal's family of gateways has for its credentials, its options and its gateway's address.

A secret is named as the vault names it, and its field as the API does.
"""

import re
from collections.abc import Mapping

from proxy.gateways.family import Credential, Family
from proxy.gateways.registry import FAMILIES
from proxy.kernel.errors import invalid
from proxy.merchants.merchant import Mode
from proxy.merchants.setup.fields import MAX_SECRET_CHARS, Inspection
from proxy.merchants.vault import API_KEY, credential_of, credential_secret


def family_of(gateway: str) -> Family:
    """The family of this name. Raises InvalidInput, which lists those that there are."""
    family = FAMILIES.get(gateway)
    if family is None:
        known = ", ".join(FAMILIES)
        raise invalid("gateway", "not_one_of", f"must be one of: {known}", f"باید یکی از این‌ها باشد: {known}")
    return family


def secret_field(secret: str) -> str:
    """The field of a secret that leaves for a destination: `credentials.<name>` where it is no api_key, nor headers."""
    credential = credential_of(secret)
    return secret if credential == secret else f"credentials.{credential}"


def credential_field(credential: str) -> str:
    """The field of a credential."""
    return secret_field(credential_secret(credential))


def given_credentials(credentials: Mapping[str, str] | None, api_key: str | None) -> dict[str, str]:
    """The credentials with the api_key, which has a field of its own. Raises InvalidInput where it is given twice."""
    given = dict(credentials or {})
    if api_key is not None:
        if API_KEY in given:
            raise invalid(API_KEY, "repeated", "stands in credentials too", "در credentials هم آمده است")
        given[API_KEY] = api_key
    return given


def inspect_credentials(look: Inspection, family: Family, given: Mapping[str, str], *, whole: bool) -> dict[str, str]:
    """The secrets of these credentials. With `whole` each that the family has must be there."""
    known = {credential.name: credential for credential in family.credentials}
    for name in sorted(given.keys() - known.keys()):
        names = ", ".join(known)
        look.refuse(
            credential_field(name),
            "unknown_field",
            f"{family.title[0]} has no such credential; it has: {names}",
            f"{family.title[1]} چنین کلیدی ندارد؛ این‌ها را دارد: {names}",
        )
    secrets: dict[str, str] = {}
    for name, credential in known.items():
        if name in given:
            secrets[credential_secret(name)] = given[name]
            if not _is_well_formed(credential, given[name]):
                _refuse(look, credential, "secret_invalid", "is not well formed", "درست نوشته نشده است")
        elif whole:
            _refuse(look, credential, "missing", "is missing", "لازم است")
    return secrets


def inspect_options(look: Inspection, family: Family, given: Mapping[str, str]) -> dict[str, str]:
    """The options as they are, each refused unless it is one of the family's choices."""
    known = {option.name: option for option in family.options}
    for name, value in given.items():
        if name not in known:
            detail, detail_fa = f"{family.title[0]} has no such option", f"{family.title[1]} چنین گزینه‌ای ندارد"
            look.refuse(f"options.{name}", "unknown_field", detail, detail_fa)
        elif value not in known[name].choices:
            choices = ", ".join(known[name].choices)
            look.refuse(
                f"options.{name}", "not_one_of", f"must be one of: {choices}", f"باید یکی از این‌ها باشد: {choices}"
            )
    return dict(given)


def inspect_gateway_url(look: Inspection, family: Family, mode: Mode, given: str | None) -> str:
    """The base of the gateway: what is given, else the family's own for the mode.

    Without a sandbox a test terminal has none: the live gateway would move money.
    """
    if given is not None:
        return look.base_url("gateway_url", given)
    own = default_url(family, mode)
    if not own:
        look.refuse(
            "gateway_url",
            "missing",
            f"is required: {family.title[0]} has no address of its own for {mode} terminals",
            f"لازم است: {family.title[1]} برای این نوع ترمینال نشانی ثابتی ندارد",
        )
    return own


def default_url(family: Family, mode: Mode) -> str:
    """The base of the family's own gateway or sandbox; empty where there is none."""
    if mode is Mode.TEST:
        return family.sandbox_url or (family.gateway_url if family.traits.sandbox else "")
    return family.gateway_url


def _is_well_formed(credential: Credential, value: str) -> bool:
    # Also for a family's loosest pattern: what cannot be seen was pasted by mistake, and would break a request's head.
    visible = value.isprintable() and value == value.strip() and 1 <= len(value) <= MAX_SECRET_CHARS
    return visible and re.fullmatch(credential.pattern, value) is not None


def _refuse(look: Inspection, credential: Credential, code: str, english: str, persian: str) -> None:
    """Says which credential it is and what it looks like, and never what came."""
    (title, title_fa), (hint, hint_fa) = credential.title, credential.hint
    field = credential_field(credential.name)
    look.refuse(field, code, f"{english}: {title} ({hint})", f"{persian}: {title_fa} ({hint_fa})")
