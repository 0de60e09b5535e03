# ruff: noqa: T201  a program, which prints its answers
"""Calls the Python client as each line of standard input says, and prints a line of JSON for each."""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "proxy" / "reference" / "clients" / "python"))
from dargah_client import Dargah, DargahError, Refused

NAMES = {"verifyReturn": "verify_return", "paidFor": "paid_for"}
SETTINGS = {"webhookSecrets": "webhook_secrets", "returnSecrets": "return_secrets"}


def call(ask: dict[str, Any]) -> Any:
    dargah = Dargah(**{SETTINGS.get(name, name): value for name, value in ask.get("settings", {}).items()})
    if ask["call"] == "webhook":
        body, headers, costs, now = ask["args"]
        event = dargah.webhook(body.encode(), headers, costs.get, now)
        return {"id": event.id, "type": event.type, "paidOrder": event.paid_order, "differs": event.differs}
    return getattr(dargah, NAMES.get(ask["call"], ask["call"]))(*ask["args"])


for line in sys.stdin:
    try:
        said: Any = {"gave": call(json.loads(line))}
    except Refused as refused:
        said = {"refused": str(refused)}
    except DargahError as error:
        failed = {"status": error.status, "code": error.code, "errors": error.errors, "problem": dict(error.problem)}
        said = {"failed": {**failed, "text": str(error)}}
    except (TypeError, ValueError) as error:
        said = {"misused": str(error)}
    print(json.dumps(said), flush=True)
