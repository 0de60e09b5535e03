"""schemathesis against a live port: `python -m tests.torture.conformance --examples 60 [--seed N]`.

Every operation of openapi.yaml, of both listeners, is called with what fits its schema and with what does not. No
answer may be a 5xx but the documented ones of a gateway that fails, and none may be outside the document.
"""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

import requests
import schemathesis
from hypothesis import given, seed
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from web.openapi_check import document

from .. import scratch
from ..state_machine import profile
from .live import OPERATOR_TOKEN, THANKS, Live, live

TIMEOUT_SECONDS: Final = 30
CHECK_NAMES: Final = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
# These frame the message itself: a wrong one is no request of this API, and no handler of ours sees it.
FRAMING: Final = frozenset(
    {"content-length", "transfer-encoding", "content-encoding", "connection", "expect", "upgrade", "host"}
)
# What a gateway that fails may bring about; everything else at 5xx is ours.
GATEWAY_FAILED: Final = frozenset({502, 503, 504})
ASKS_THE_GATEWAY: Final = frozenset({"createPayment", "checkPayment", "pay", "returnByGet", "returnByPost"})


@dataclass(slots=True)
class Told:
    """Which statuses came of which operation, and what was wrong."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return sum(counts.total() for counts in self.statuses.values())

    def lines(self) -> list[str]:
        rows = [f"  {name}: {dict(sorted(counts.items()))}" for name, counts in sorted(self.statuses.items())]
        return rows + [f"  VIOLATION {violation}" for violation in self.violations]


@dataclass(frozen=True, slots=True)
class Luck:
    """How much of a generated call is replaced by what is really there, so that not everything is a 404 or a 401."""

    number: int
    real: bool
    good: bool
    let_in: bool


LUCK: Final = st.builds(
    Luck,
    number=st.integers(0, 10_000),
    real=st.sampled_from((True, True, True, True, False)),
    good=st.sampled_from((True, True, False)),
    let_in=st.sampled_from((True,) * 12 + (False,)),
)


def ask(made: Live, chosen_seed: int, examples: int) -> Told:
    """Calls every operation that many times in each mode."""
    load_all_checks()
    told = Told()
    # Of its own: it writes into what it is given, and the document is everybody's.
    schema = schemathesis.openapi.from_dict(deepcopy(document()))
    with requests.Session() as session:
        session.trust_env = False
        for result in schema.get_all_operations():
            operation: Any = result.ok()  # type: ignore[union-attr]  # the document is valid: another test says so
            for mode in GenerationMode:
                try:
                    _ask_one(operation, mode, made, session, told, chosen_seed, examples)
                except Unsatisfiable:
                    continue  # a call without parameters and body can be made in one way only
                except Exception as error:  # noqa: BLE001  each operation has its say
                    told.violations.append(f"{operation.label}, {mode.value}: {error}")
    return told


def _ask_one(
    operation: Any,
    mode: GenerationMode,
    made: Live,
    session: requests.Session,
    told: Told,
    chosen_seed: int,
    examples: int,
) -> None:
    name: str = operation.definition.raw["operationId"]
    counts = told.statuses.setdefault(name, Counter())

    # A seed of its own: the same luck everywhere would ask about what was just deleted.
    @seed(chosen_seed + crc32(name.encode()))
    @profile(examples)
    @given(case=operation.as_strategy(generation_mode=mode), luck=LUCK)
    def call(case: Any, luck: Luck) -> None:
        _make_real(case, name, luck, made)
        admin = case.operation.path.startswith(("/admin/", "/metrics"))
        base = made.admin_url if admin else made.url
        if luck.let_in:
            case.headers["Authorization"] = f"Bearer {OPERATOR_TOKEN if admin else made.token}"
        response = case.call(base_url=base, session=session, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        counts[response.status_code] += 1
        allowed = response.status_code in GATEWAY_FAILED and name in ASKS_THE_GATEWAY
        assert response.status_code < 500 or allowed, f"{response.status_code}: {response.text}"
        case.validate_response(response, checks=[CHECKS.get_one(check) for check in CHECK_NAMES])
        _remember(made, name, response)

    call()


def _make_real(case: Any, name: str, luck: Luck, made: Live) -> None:
    admin = case.operation.path.startswith("/admin/")
    for header in [header for header in case.headers or {} if header.lower() in FRAMING]:
        del case.headers[header]
    if luck.real:
        for parameter in list(case.path_parameters or {}):
            kinds = (f"{name}:{parameter}", f"admin:{parameter}" if admin else parameter)
            found = next((it for kind in kinds if (it := made.pick(kind, luck.number))), None)
            if found is not None:
                case.path_parameters[parameter] = found
    if luck.good and isinstance(case.query, dict) and "merchant_id" in case.query:
        case.query = {"merchant_id": made.pick("query:merchant_id", luck.number)}
    if isinstance(case.query, dict) and isinstance(case.query.get("wait"), int):
        case.query["wait"] = min(case.query["wait"], 0)  # half a minute each time is the campaign's whole time
    cursors = made.cursors.get(name)
    if luck.good and cursors and isinstance(case.query, dict) and "cursor" in case.query:
        case.query = {"limit": 1, "cursor": cursors[luck.number % len(cursors)]}
    if luck.good and isinstance(case.body, dict):
        _make_good(case.body, name, luck.number)
        if name == "createPayment":
            case.headers["Idempotency-Key"] = f"key-{luck.number}"
        if name.startswith("dropIn"):
            case.body["api_key"] = made.token


def _make_good(body: dict[str, Any], name: str, number: int) -> None:
    """What only this installation can say is right: a registered origin, a URL that may be called, a zone of time."""
    if name == "createPayment":
        body |= {"return_url": (None, THANKS)[number % 2], "terminal_id": None, "order_id": f"order {number}"}
        if number % 3:
            body |= {"amount": 1000 + number, "metadata": {}, "description": None}
    elif "decision" in body:
        body |= {"decision": "accepted", "note": "seen"}
    elif name == "dropInRequest":
        body |= {"amount": "150000", "return_url": THANKS}
    elif "url" in body:
        body["url"] = "http://127.0.0.1:9/hook"
        body.pop("headers", None)
    elif "gateway_url" in body:
        body |= {"gateway_url": "http://127.0.0.1:9", "return_base_url": None, "api_key": "generated-key"}
    elif "return_origins" in body:
        body["return_origins"] = ["https://shop.example"]
    elif name == "addOperator":
        body |= {"name": f"operator-{number}", "expires_at": None}
    elif name == "createToken":
        body |= {"terminal_id": None, "expires_at": None}


def _remember(made: Live, name: str, response: Any) -> None:
    if response.status_code == 200 and "json" in response.headers.get("Content-Type", [""])[0]:
        following = response.json().get("next_cursor")
        if following:
            made.cursors.setdefault(name, []).append(following)


def unanswered(told: Told) -> list[str]:
    """The operations that never succeeded: about those nothing was shown."""
    return [name for name, counts in told.statuses.items() if not any(status < 400 for status in counts)]


def campaign(chosen_seed: int, examples: int) -> Told:
    """The whole of it, on a live Dargah whose files go away with it."""
    with scratch() as folder, live(folder) as made:
        return ask(made, chosen_seed, examples)
