"""What a shop's answers and its orders' states say about each story: passed, failed, or not to be told, and why."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from proxy.kernel.frozen import dataclass
from proxy.kernel.money import RIALS_PER_TOMAN
from proxy.operations.certification.message import Way
from proxy.operations.certification.orders import Credit
from proxy.operations.certification.player import Played
from proxy.operations.certification.story import Expected, ShopStory
from proxy.operations.certification.wire import ShopAnswer


class StoryOutcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNCLEAR = "could not tell"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is said of a story. `played` is None when it was not played."""

    story: ShopStory
    outcome: StoryOutcome
    why: str
    played: Played | None = None


Ruled = tuple[StoryOutcome, str]
NOT_IMPLEMENTED: Final = 501  # what some servers answer to a method that nobody handles
NO_STATE: Final = "whether an order was credited is not known: --new-order (or --order) and --order-state tell"
NO_TOTAL: Final = "paid, and how often it was credited is not known: --credited names the number that tells"
_NO_ORDER: Final = "no open order was left for it: name more of them with --order, or give --new-order"
_AS_THE_FIRST: Final = "the right event fails already: begin with that"
_UNANSWERED: Final = "not played, because nobody answered the first one"
_ADVICE: Final = {
    "refused": "nothing listens there",
    "dns": "the host's name is not known here",
    "timeout": "no answer in the time that Dargah waits",
    "connect_timeout": "no connection in the time that Dargah waits",
    "reset": "the connection was ended without an answer",
    "bad_response": "what came is no HTTP answer",
    "tls_unknown_authority": "its certificate is of no authority that is known here",
    "tls_expired": "its certificate has expired",
    "tls_not_yet_valid": "its certificate is not valid yet: compare the clocks",
    "tls_self_signed": "its certificate is signed by itself",
    "tls_wrong_host": "its certificate is of another host",
}
# By which a shop may refuse an order that it does not have.
_ABOUT_THE_ORDER: Final = frozenset({404, 409, 410, 422})
# What a right event's refusal often means.
_HINTS: Final[Mapping[int | None, str]] = {
    400: "look at the secret, at the raw body and at the server's clock",
    401: "look at the secret, at the raw body and at the server's clock",
    403: "is the route exempt from log-in and CSRF checks?",
    404: "is there a route of this path?",
    405: "does the route take POST?",
    419: "is the route exempt from CSRF checks?",
    429: "is the route exempt from limits of how often it is called?",
}


def rule(stories: Sequence[ShopStory], played: Sequence[Played]) -> list[Ruling]:
    """A ruling for each story. The first one is the right event: what refuses or ignores it proves nothing by refusing
    or ignoring the others.
    """
    control, by_name = played[0], {each.story.name: each for each in played}
    rulings: list[Ruling] = []
    for story in stories:
        each = by_name.get(story.name)
        if each is None:
            rulings.append(Ruling(story, StoryOutcome.UNCLEAR, _UNANSWERED))
        elif each.order is None and story.messages:
            rulings.append(Ruling(story, StoryOutcome.UNCLEAR, each.trouble or _NO_ORDER))
        else:
            outcome, why = _RULES[story.expected](each, control)
            if outcome is StoryOutcome.FAILED and story.expected is Expected.CREDITED and _failed_first(rulings):
                outcome, why = StoryOutcome.UNCLEAR, _AS_THE_FIRST
            rulings.append(Ruling(story, outcome, why, each))
    return rulings


def _failed_first(rulings: Sequence[Ruling]) -> bool:
    return bool(rulings) and rulings[0].outcome is StoryOutcome.FAILED


def _credited(played: Played, _control: Played) -> Ruled:
    together = all(message.way is Way.TOGETHER for message in played.story.messages)
    answers = played.answers
    if together and any(answer.taken for answer in answers):
        answers = [answer for answer in answers if answer.taken]
    if refused := [answer for answer in answers if not answer.taken]:
        made_up = played.order is not None and not played.order.known
        if made_up and all(answer.status in _ABOUT_THE_ORDER for answer in refused):
            return StoryOutcome.UNCLEAR, f"{_told(refused)}; the order was made up: --new-order or --order gives one"
        hints = dict.fromkeys(_HINTS[answer.status] for answer in refused if answer.status in _HINTS)
        return StoryOutcome.FAILED, "; ".join([_told(refused), *hints])
    if played.after is None:
        return StoryOutcome.UNCLEAR, f"{_told(answers)}; {played.trouble or NO_STATE}"
    return _credited_once(played, f"{_told(answers)}; the order is")


def _credited_once(played: Played, told: str) -> Ruled:
    state = played.at_end or played.after
    assert state is not None
    assert played.before is not None
    assert played.order is not None
    if not state.paid:
        return StoryOutcome.FAILED, f"{told} not paid"
    if state.total is None or played.before.total is None:
        return (StoryOutcome.UNCLEAR, NO_TOTAL) if played.story.repeats else (StoryOutcome.PASSED, f"{told} paid")
    growth, rials = state.total - played.before.total, played.order.amount_rials
    units = {1, rials, rials // RIALS_PER_TOMAN}
    if growth in units:
        return StoryOutcome.PASSED, f"{told} {state}"
    times = [count for unit in units for count in range(2, 10) if growth == unit * count]
    if times:
        return StoryOutcome.FAILED, f"{told} credited {growth}, which is {min(times)} times"
    return (
        StoryOutcome.FAILED,
        f"{told} credited {growth}, which is neither 1 nor what it costs",
    )


def _refused(played: Played, control: Played) -> Ruled:
    told = _told(played.answers)
    if _changed(played):
        return StoryOutcome.FAILED, f"{told}; the order is {_changed(played)}"
    if any(answer.taken for answer in played.answers):
        return StoryOutcome.FAILED, f"{told}, which says that the message was taken"
    if any(answer.status is None for answer in played.answers):
        return StoryOutcome.FAILED, told
    if not all(answer.taken for answer in control.answers):
        return StoryOutcome.UNCLEAR, f"{told}; the right event is not taken either"
    if any(answer.broken for answer in played.answers):
        return StoryOutcome.PASSED, f"{told}: refused, by an error of the server where 401 says it"
    return StoryOutcome.PASSED, told


def _not_credited(played: Played, control: Played) -> Ruled:
    told = _told(played.answers)
    if _changed(played):
        return StoryOutcome.FAILED, f"{told}; the order is {_changed(played)}"
    if any(answer.broken for answer in played.answers):
        return StoryOutcome.FAILED, told
    if played.after is None or control.after is None:
        return StoryOutcome.UNCLEAR, f"{told}; {played.trouble or NO_STATE}"
    if not (control.at_end or control.after).paid:
        return StoryOutcome.UNCLEAR, f"{told}, not credited; the right event is not credited either"
    if not all(answer.taken for answer in played.answers):
        return StoryOutcome.PASSED, f"{told}, not credited. Dargah repeats what is not answered 2xx for three days"
    return StoryOutcome.PASSED, f"{told}, not credited"


def _ignored(played: Played, control: Played) -> Ruled:
    refused = [answer for answer in played.answers if not answer.taken]
    if not refused or _changed(played):
        return _not_credited(played, control)
    if not any(answer.broken for answer in refused) and not all(answer.taken for answer in control.answers):
        return StoryOutcome.UNCLEAR, f"{_told(refused)}; the right event is not taken either"
    return StoryOutcome.FAILED, _told(refused)


def _answered(played: Played, _control: Played) -> Ruled:
    told = _told(played.answers)
    if _changed(played):
        return StoryOutcome.FAILED, f"{told}; the order is {_changed(played)}"
    broken = any(answer.broken and answer.status != NOT_IMPLEMENTED for answer in played.answers)
    return (StoryOutcome.FAILED if broken else StoryOutcome.PASSED), told


def _in_time(played: Played, _control: Played) -> Ruled:
    slowest = max((answer.duration_ms for answer in played.answers), default=0)
    late = any(answer.error in {"timeout", "connect_timeout"} for answer in played.answers)
    told = f"the slowest answer took {slowest} ms"
    return (StoryOutcome.FAILED, f"{told}, which is more than Dargah waits") if late else (StoryOutcome.PASSED, told)


_RULES: Final[Mapping[Expected, Callable[[Played, Played], Ruled]]] = {
    Expected.CREDITED: _credited,
    Expected.REFUSED: _refused,
    Expected.NOT_CREDITED: _not_credited,
    Expected.IGNORED: _ignored,
    Expected.ANSWERED: _answered,
    Expected.IN_TIME: _in_time,
}


def _changed(played: Played) -> Credit | None:
    """The state of an order that should have been left as it was."""
    return next((state for state in (played.after, played.at_end) if state and state != played.before), None)


def _told(answers: Sequence[ShopAnswer]) -> str:
    """The answers, each kind of them once, with what it means to Dargah."""
    kinds = dict.fromkeys(map(str, answers))
    told = ", ".join(kinds)
    notes = [_note(answer) for answer in answers if not answer.taken]
    return "; ".join(dict.fromkeys([told, *filter(None, notes)]))


def _note(answer: ShopAnswer) -> str:
    if answer.location is not None:
        return "Dargah follows no redirect: register the address where it ends"
    return _ADVICE.get(answer.error or "", "")
