"""Samples with the clients of one file each (docs/clients.md), for the calls that those have."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.reference.samples import PUBLIC, Sample

# The clients' method for an operation, and the member of its answer that tells most.
_CALLS: Final[Mapping[str, tuple[str, str]]] = {
    "createPayment": ("create", "pay_url"),
    "getPayment": ("get", "status"),
    "checkPayment": ("check", "status"),
    "cancelPayment": ("cancel", "status"),
}


def client_samples(operation_id: str, request: Mapping[str, Any]) -> dict[str, Sample]:
    """By language; empty where the clients have no such call. `request` is the example's."""
    if operation_id == "onPaymentEvent":
        return {sample.language: sample for sample in _WEBHOOK}
    if operation_id not in _CALLS:
        return {}
    call, told = _CALLS[operation_id]
    # A create's one argument is its body, another call's the payment's id.
    given = request["json"] or request["target"].removeprefix("/v1/payments/").partition("/")[0]
    return {language: Sample(language, write(call, given, told)) for language, write in _LANGUAGES.items()}


def _python(call: str, given: Any, told: str) -> str:
    return "\n".join(
        (
            "from dargah_client import Dargah  # dargah client python > dargah_client.py",
            "",
            f'payment = Dargah("{PUBLIC}").{call}({_argument(given, "Python")})',
            f'print(payment["{told}"])',
        )
    )


def _php(call: str, given: Any, told: str) -> str:
    return "\n".join(
        (
            "require 'Dargah.php'; // dargah client php > Dargah.php",
            "",
            f"$payment = (new Dargah('{PUBLIC}'))->{call}({_argument(given, 'PHP')});",
            f"echo $payment['{told}'];",
        )
    )


def _node(call: str, given: Any, told: str) -> str:
    return "\n".join(
        (
            'import { Dargah } from "./dargah.mjs"; // dargah client node > dargah.mjs',
            "",
            f'const payment = await new Dargah({{ url: "{PUBLIC}" }}).{call}({_argument(given, "Node")});',
            f"console.log(payment.{told});",
        )
    )


_LANGUAGES: Final[Mapping[str, Callable[[str, Any, str], str]]] = {"Python": _python, "PHP": _php, "Node": _node}


def _argument(given: Any, language: str) -> str:
    """A create's body with a line for each member; a text as it is."""
    if not isinstance(given, dict):
        return _literal(given, language)
    (begin, end), indent = _BRACES[language], "  " if language == "Node" else "    "
    lines = "".join(f"{indent}{_member(name, each, language)},\n" for name, each in given.items())
    return f"{begin}\n{lines}{end}"


_BRACES: Final = {"Python": ("{", "}"), "PHP": ("[", "]"), "Node": ("{", "}")}


def _literal(value: Any, language: str) -> str:
    """Texts, whole numbers and objects of them as a language writes them."""
    if isinstance(value, dict):
        begin, end = _BRACES[language]
        return begin + ", ".join(_member(name, each, language) for name, each in value.items()) + end
    if isinstance(value, str) and language == "PHP":
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return json.dumps(value, ensure_ascii=False)


def _member(name: str, value: Any, language: str) -> str:
    mark = " =>" if language == "PHP" else ":"
    written = name if language == "Node" and name.isidentifier() else _literal(name, language)
    return f"{written}{mark} {_literal(value, language)}"


# `amount_of` is the shop's own: what the open order of an id costs, in rials; nothing where there is none.
_WEBHOOK: Final = (
    Sample(
        "Python",
        """from dargah_client import Dargah, Refused  # dargah client python > dargah_client.py

dargah = Dargah()  # with DARGAH_WEBHOOK_SECRET


def webhook(body, headers, amount_of):
    \"\"\"The status to answer. `amount_of` gives what an open order costs, in rials; None where there is none.\"\"\"
    try:
        event = dargah.webhook(body, headers, amount_of)
    except Refused:
        return 400
    if event.paid_order is not None:
        print("paid:", event.paid_order)  # mark it; a second time changes nothing
    return 204""",
    ),
    Sample(
        "PHP",
        """require 'Dargah.php'; // dargah client php > Dargah.php

// `$amountOf` gives what an open order costs, in rials; null where there is none.
$amountOf = fn (string $order): ?int => null;
try {
    // With DARGAH_WEBHOOK_SECRET.
    $event = (new Dargah())->webhook(file_get_contents('php://input'), $_SERVER, $amountOf);
    if ($event->paidOrder !== null) {
        error_log("paid: $event->paidOrder"); // mark it; a second time changes nothing
    }
    http_response_code(204);
} catch (DargahRefused) {
    http_response_code(400);
}""",
    ),
    Sample(
        "Node",
        """import { Dargah, Refused } from "./dargah.mjs"; // dargah client node > dargah.mjs

const dargah = new Dargah(); // with DARGAH_WEBHOOK_SECRET

/** The status to answer. `amountOf` gives what an open order costs, in rials; null where there is none. */
async function webhook(body, headers, amountOf) {
  try {
    const event = await dargah.webhook(body, headers, amountOf);
    if (event.paidOrder !== null) console.log("paid:", event.paidOrder); // mark it; a second time changes nothing
    return 204;
  } catch (error) {
    if (error instanceof Refused) return 400;
    throw error;
  }
}""",
    ),
)
