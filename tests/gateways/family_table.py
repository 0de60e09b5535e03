"""`python -m gateways.family_table` from tests/: the tables of families and of their forms in docs/gateways.md, and the
tables of codes in the families' own pages.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from gateways.bank_answers import code_rows
from proxy.gateways.family import Family, Traits
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import MINUTE

PAGE = Path(__file__).parents[2] / "docs" / "gateways.md"
TABLE = re.compile(r"(?<=<!-- table of families -->\n).*?(?=\n<!-- end -->)", re.DOTALL)
HEAD = (
    "| family | name | money is taken by | rescue without a return | unconfirmed money goes back after "
    "| can be reversed within | tells the card | locks | amounts in rials | sandbox | doctor tells the credentials |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
)

FORMS = re.compile(r"(?<=<!-- table of forms -->\n).*?(?=\n<!-- end -->)", re.DOTALL)
FORMS_HEAD = "| family | form | ways, the simulator's own first |\n| --- | --- | --- |\n"

CODES = re.compile(r"(?<=<!-- table of codes -->\n).*?(?=\n<!-- end -->)", re.DOTALL)
CODES_HEAD = ("| code | it says | معنا | what to do | چه باید کرد |", "| --- | --- | --- | --- | --- |")


def minutes(milliseconds: int | None, without: str) -> str:
    return without if milliseconds is None else f"{milliseconds // MINUTE} min"


def taken_by(traits: Traits) -> str:
    if not traits.confirms:
        return "the customer's payment"
    return "confirm, then settle" if traits.settles else "confirm"


def goes_back(traits: Traits) -> str:
    return minutes(traits.gives_back_after, "never" if traits.confirms else "–")


def row(family: Family) -> str:
    traits = family.traits
    all_locks = (("IP", traits.locks_ip), ("domain", traits.locks_domain), ("Referer", traits.wants_referrer))
    locks = [name for name, holds in all_locks if holds]
    step = "" if traits.step_rials == 1 else f", by {traits.step_rials}"
    cells = (
        f"[{family.title[0]}](gateways/{family.name}.md)",
        f"`{family.name}`",
        taken_by(traits),
        "no" if traits.needs_return else "yes",
        goes_back(traits),
        minutes(traits.reverse_within, "–" if not traits.reverses else "?"),
        "yes" if traits.tells_card else "no",
        ", ".join(locks) or "–",
        f"{traits.min_rials:,} to {traits.max_rials:,}{step}",
        "yes" if family.sandbox_url or traits.sandbox else "no",
        "yes" if family.probe is not None and family.probe.tells_credentials else "after a payment",
    )
    return f"| {' | '.join(cells)} |"


def table() -> str:
    return HEAD + "\n".join(map(row, FAMILIES.values()))


def form_table() -> str:
    rows = (
        f"| {family.title[0]} | {form.title[0]} (`{form.name}`) "
        f"| {'; '.join(f'`{way.name}`: {way.said[0]}' for way in form.ways)} |"
        for family in FAMILIES.values()
        for form in family.forms
    )
    return FORMS_HEAD + "\n".join(rows)


def pages() -> Iterator[tuple[Family, Path]]:
    """The families whose page marks where its table of codes stands, and their pages."""
    for family in FAMILIES.values():
        path = PAGE.parent / "gateways" / f"{family.name}.md"
        if path.exists() and CODES.search(path.read_text("utf-8")):
            yield family, path


def page_with_codes(family: Family, text: str) -> str:
    codes = "\n".join((*CODES_HEAD, *code_rows(family.codes)))
    return CODES.sub(lambda _: codes, text)


if __name__ == "__main__":
    families = TABLE.sub(lambda _: table(), PAGE.read_text("utf-8"))
    PAGE.write_text(FORMS.sub(lambda _: form_table(), families), "utf-8")
    for each, page in pages():
        page.write_text(page_with_codes(each, page.read_text("utf-8")), "utf-8")
