"""How a payment's history is shown, to its storefront and to the operator alike."""

from typing import Any

from proxy.clock import rfc3339
from proxy.history import History
from proxy.records import Entry


def timeline_object(history: History) -> dict[str, Any]:
    return {"data": [_entry_object(entry) for entry in history.entries], "truncated": history.truncated}


def _entry_object(entry: Entry) -> dict[str, Any]:
    return {"at": rfc3339(entry.at), "kind": entry.kind, "duration_ms": entry.duration_ms, "data": dict(entry.data)}
