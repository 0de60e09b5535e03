"""A family of gateways as data: its credentials, its rules about amounts and time, and what its calls can do."""

from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Final

from proxy.gateways.forms import HostForm
from proxy.gateways.port import Account, Evidence, Inquiry
from proxy.gateways.shop_side import ShopSide
from proxy.kernel.clock import MINUTE
from proxy.kernel.errors import invalid
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import host_of
from proxy.locale.persian import persian_digits

Text = tuple[str, str]
"""English and Persian."""

LOOK: Final = (
    "See whether the gateway_url is right, and whether this server can reach it.",
    "ببینید gateway_url درست است و این سرور به آن می‌رسد.",
)
"""Advice where a family's table has none."""


MAX_EVIDENCE_CHARS: Final = 200
SHOWN_CARD_DIGITS: Final = 10


@dataclass(frozen=True, slots=True)
class Meaning:
    """A row of a family's one table of codes: what the code says to people on our side, and what to do about it.

    `words` are the gateway's own. `refuses` codes of `request` are final: no invoice was made. `alerts` codes tell of
    our call or the terminal's account, not of the payment. `passed_on` codes a drop-in tells its shops.
    """

    words: str
    explanation: Text
    for_developer: Text | None = None
    for_operator: Text | None = None
    refuses: bool = False
    alerts: bool = False
    passed_on: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential of a terminal, by the name that API and command line use. `pattern` is what the whole must match,
    and `sandbox` the value that means the family's sandbox, where one does.
    """

    name: str
    title: Text
    pattern: str = r"[\x21-\x7e]{1,200}"
    hint: Text = ("printable ASCII without spaces", "نویسه‌های ASCII بدون فاصله")
    sandbox: str | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of a terminal that is no secret: one of `choices`, and `default` where none was given."""

    name: str
    title: Text
    choices: tuple[str, ...]
    default: str


class ReturnClaim(StrEnum):
    """What a return says. It decides whether it is worth asking, and nothing else."""

    NOTHING = "nothing"
    PAID = "paid"
    UNPAID = "unpaid"
    FOREIGN = "foreign"
    """It names another invoice than the payment's own."""


@dataclass(frozen=True, slots=True)
class WayThere:
    """The customer's way to the gateway: a GET of `url`, or with `fields` a form that is posted to it."""

    url: str
    fields: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a family can do and wants. Times are milliseconds.

    `checks`: it can be asked without capturing. `confirms`, `settles`, `reverses`: it has those calls. `needs_return`:
    the calls about an invoice need evidence of the customer's return. `confirms_unasked`: without `checks`, `confirm`
    may be called though no return says that the customer paid.
    """

    min_rials: int = 1_000
    max_rials: int = 10**12
    step_rials: int = 1
    """10 where the family counts in toman."""
    link_lasts: int = 20 * MINUTE
    """How long a customer can still pay after `request`."""
    checks: bool = True
    confirms: bool = False
    settles: bool = False
    reverses: bool = False
    needs_return: bool = False
    confirms_unasked: bool = False
    gives_back_after: int | None = None
    """When unconfirmed money goes back by itself, counted from the payment; None where the gateway keeps it."""
    reverse_within: int | None = None
    evidence: tuple[str, ...] = ()
    """The parameters of a return that are kept, by their names there."""
    card_evidence: str | None = None
    """The one among them that is a card's number: it is masked before it is kept."""
    tells_card: bool = False
    """Whether it tells the masked number of the customer's card."""
    locks_ip: bool = False
    locks_domain: bool = False
    wants_referrer: bool = False
    """Whether its page turns a customer away that comes without a Referer of the registered domain."""
    sandbox: bool = False
    needs_clock: bool = False
    """Whether a signature or field has the time in it."""

    @property
    def reverses_paid(self) -> bool:
        """Whether a paid payment can be reversed: not where paid means settled."""
        return self.reverses and not self.settles


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How the doctor asks a family's host about an invoice that cannot be: by `check` where the family has it, else by
    `confirm`, which finds nothing to keep.

    `inquiry` makes the question from a text of 20 random letters and digits. That the gateway took the credentials and
    knows no such invoice it says by one of `unknown_codes`, by this HTTP status, or with `unknown_is_unpaid` by what
    reads as NotPaid. Without `tells_credentials` that may be its answer to wrong credentials, too.
    """

    inquiry: Callable[[str], Inquiry]
    unknown_codes: frozenset[int] = frozenset()
    unknown_status: int | None = None
    unknown_is_unpaid: bool = False
    tells_credentials: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family: its folder's `__init__` makes one, and `proxy.gateways.registry` lists it.

    `make` gives its client for the options of outbound calls; `way_there` the customer's way from gateway_url and
    invoice_key; `claim` what a return says of an invoice. `codes` explains the numbers of its refusals; where two calls
    use one number, the more useful meaning stands. `probe` is the doctor's question, None where every question moves
    money. `forms` is what its sources leave open, for the doctor to tell. `simulator` is the Dialect of its simulator,
    as `module:Class`: only those who simulate load it. `shop_side` is there for a protocol that shops may speak here.
    """

    name: str
    title: Text
    gateway_url: str
    sandbox_url: str | None = None
    credentials: tuple[Credential, ...]
    options: tuple[Option, ...] = ()
    traits: Traits
    codes: Mapping[int, Meaning]
    make: Callable[..., Any] = field(repr=False)
    way_there: Callable[[str, str], WayThere] = field(repr=False)
    claim: Callable[[str, Evidence], ReturnClaim] = field(
        repr=False, default=lambda _invoice_key, _evidence: ReturnClaim.NOTHING
    )
    probe: Probe | None = field(repr=False, default=None)
    forms: tuple[HostForm, ...] = field(repr=False, default=())
    simulator: str | None = None
    shop_side: ShopSide | None = field(repr=False, default=None)

    def kept_evidence(self, parameters: Mapping[str, str]) -> Evidence:
        """The parameters of a return that are kept. One of more than 200 characters is none of the gateway's."""
        names = [name for name in self.traits.evidence if 0 < len(parameters.get(name, "")) <= MAX_EVIDENCE_CHARS]
        kept = {name: parameters[name] for name in names}
        card = self.traits.card_evidence
        return kept if card not in kept else {**kept, card: _masked(kept[card])}

    def is_sandbox(self, account: Account) -> bool:
        """Whether no money moves at this account's gateway: by a credential that means so, else by its host."""
        meant = [each for each in self.credentials if each.sandbox is not None]
        if meant:
            return any(account.credentials.get(each.name) == each.sandbox for each in meant)
        return self.sandbox_url is not None and host_of(account.gateway_url) == host_of(self.sandbox_url)

    def explanation(self, code: int) -> Text | None:
        """What a code says, with its number; None for one that the table does not have."""
        meaning = self.codes.get(code)
        if meaning is None:
            return None
        english, persian = meaning.explanation
        return f"{english} ({code:d})", f"{persian} ({persian_digits(str(int(code)))})"

    def developer_explanation(self, code: int) -> Text | None:
        """The same, with advice for a storefront's developer."""
        said = self.explanation(code)
        if said is None or (advice := self.codes[code].for_developer) is None:
            return said
        return f"{said[0]}; {advice[0]}", f"{said[1]}؛ {advice[1]}"

    def advice(self, code: int | None) -> Text:
        """Advice for an operator."""
        meaning = None if code is None else self.codes.get(code)
        return LOOK if meaning is None or meaning.for_operator is None else meaning.for_operator


def _masked(card: str) -> str:
    """A card's number with no more than its first six and last four digits, as PCI DSS 3.4 allows."""
    digits = "".join(str(int(char)) for char in card if char.isdecimal())
    return card if len(digits) <= SHOWN_CARD_DIGITS else f"{digits[:6]}******{digits[-4:]}"


def check_amount(family: Family, amount_rials: int) -> None:
    """Raises InvalidInput about `amount` for one that the family does not take."""
    traits = family.traits
    if not traits.min_rials <= amount_rials <= traits.max_rials:
        raise invalid(
            "amount",
            "amount_out_of_range",
            f"{family.title[0]} takes {traits.min_rials} to {traits.max_rials} rials",
            f"{family.title[1]} از {traits.min_rials} تا {traits.max_rials} ریال می‌پذیرد",
        )
    if amount_rials % traits.step_rials:
        raise invalid(
            "amount",
            "amount_not_divisible",
            f"{family.title[0]} takes multiples of {traits.step_rials} rials only",
            f"{family.title[1]} تنها مضرب {traits.step_rials} ریال را می‌پذیرد",
        )
