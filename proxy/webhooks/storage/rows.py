"""Webhook endpoints as rows of `sql/common/endpoints.sql`."""

from functools import lru_cache

import orjson

from proxy.database.repository import json_text
from proxy.database.transaction import Row
from proxy.merchants.merchant import Mode
from proxy.webhooks.endpoint import Endpoint, EndpointState


def endpoint_row(endpoint: Endpoint) -> Row:
    return (
        endpoint.merchant_id,
        endpoint.id,
        endpoint.mode.value,
        endpoint.url,
        endpoint.storefront,
        json_text(sorted(endpoint.event_types)),
        endpoint.description,
        json_text(endpoint.header_names),
        endpoint.state.value,
        endpoint.state_reason,
        endpoint.state_since,
        " ".join(endpoint.signatures),
        endpoint.key_number,
        endpoint.previous_until,
        json_text(endpoint.older_keys),
        endpoint.max_in_flight,
        endpoint.created_at,
        endpoint.updated_at,
    )


@lru_cache(maxsize=4096)
def endpoint_of(row: Row) -> Endpoint:
    """Cached, because each event and each claim reads the same rows again."""
    return Endpoint(
        row[1],
        row[0],
        Mode(row[2]),
        row[3],
        row[4],
        frozenset(orjson.loads(row[5])),
        row[6],
        tuple(orjson.loads(row[7])),
        EndpointState(row[8]),
        row[9],
        row[10],
        row[16],
        row[17],
        tuple(row[11].split()),
        row[12],
        row[13],
        tuple((number, until) for number, until in orjson.loads(row[14])),
        row[15],
    )
