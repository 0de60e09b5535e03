"""The part of a form that is about a terminal's gateway: its family, and the fields that this family names.

A field of the form has the name that the set-up's errors give it.
"""

from collections.abc import Mapping
from typing import Final

from proxy.console.page_context import PageContext
from proxy.gateways.family import Family
from proxy.gateways.port import INVOICE_SCRIPT
from proxy.gateways.registry import FAMILIES
from proxy.kernel.errors import invalid
from proxy.merchants.merchant import Mode
from proxy.merchants.setup.families import credential_field

GATEWAY: Final = "gateway"


def chosen_gateway(context: PageContext) -> str:
    """The name that the form or the page's address has; the first family's where neither has one."""
    return context.form.get(GATEWAY) or context.request.query.get(GATEWAY) or INVOICE_SCRIPT


def chosen_family(context: PageContext) -> Family:
    """The family whose fields a page shows: also one for a name that is none, which the set-up refuses."""
    return FAMILIES.get(chosen_gateway(context)) or FAMILIES[INVOICE_SCRIPT]


def credentials_of(form: Mapping[str, str], family: Family) -> dict[str, str]:
    """The credentials that the form has; an empty field is none."""
    written = {each.name: form.get(credential_field(each.name), "").strip() for each in family.credentials}
    return {name: value for name, value in written.items() if value}


def options_of(form: Mapping[str, str], family: Family) -> dict[str, str]:
    """The options that the form has."""
    fields = {option.name: f"options.{option.name}" for option in family.options}
    return {name: form[field] for name, field in fields.items() if form.get(field)}


def without_secrets(form: Mapping[str, str], family: Family) -> dict[str, str]:
    """The form as a page may show it again: secrets are written anew."""
    secrets = {credential_field(credential.name) for credential in family.credentials}
    return {name: value for name, value in form.items() if name not in secrets}


def mode_of(text: str) -> Mode:
    """Raises InvalidInput."""
    if text not in set(Mode):
        raise invalid("mode", "not_a_choice", "must be live or test", "باید واقعی یا آزمایشی باشد")
    return Mode(text)
