"""The payload of each event type as docs/webhooks.md shows it: made by the code that makes real ones."""

import json
import random
from typing import Any

from proxy.clock import rfc3339
from proxy.ids import ENDPOINT, Ids
from proxy.merchant import Mode
from proxy.samples import sample_data
from proxy.setup import EVENT_TYPES

NOW = 1_795_514_400_000  # 2026-11-24T10:00:00Z
MERCHANT_ID = "mer_8Hk2Lm0Q"
SHOWN = {"order_id": "17", "description": "یک بسته چای", "metadata": {"cart": 81}}


def examples() -> dict[str, dict[str, Any]]:
    """The message of each type, in the order of the document."""
    ordered = sorted(EVENT_TYPES, key=lambda kind: (not kind.startswith("payment."), kind))
    return {kind: _message(kind, number) for number, kind in enumerate(ordered, start=41)}


def text_of(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, indent=2)


def _message(kind: str, sequence: int) -> dict[str, Any]:
    ids = Ids(random.Random(17).randbytes)
    if kind == "ping":
        pinged = {"test": True, "endpoint_id": ids.record(ENDPOINT, MERCHANT_ID, NOW), "sequence": 0}
        return {"type": kind, "timestamp": rfc3339(NOW), "data": pinged}
    data = sample_data(kind, MERCHANT_ID, "main", Mode.LIVE, NOW, ids)
    del data["test"]
    if "order_id" in data:
        data |= SHOWN
    if "url" in data:
        data["description"] = "the shop's old server"
    return {"type": kind, "timestamp": rfc3339(NOW), "data": data | {"sequence": sequence}}
