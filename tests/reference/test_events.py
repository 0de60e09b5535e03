"""The event catalogue: every type, with a schema that stands by itself, and what it takes and refuses."""

import copy
from pathlib import Path
from typing import Any

import pytest
from browser.stage import staged
from jsonschema_rs import Draft202012Validator, ValidationError, meta
from web.openapi_check import check_event, check_schema

from proxy.merchants.merchant import Scope
from proxy.reference.events import EventKind, event_kinds
from proxy.webhooks.event import EVENT_TYPES
from reference.story import WEBHOOKS, with_event_types

KINDS = {kind.type: kind for kind in event_kinds()}


def test_every_type_that_is_sent_is_told_and_no_other() -> None:
    assert KINDS.keys() == EVENT_TYPES


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.type)
def test_a_schema_stands_by_itself_and_takes_its_example(kind: EventKind) -> None:
    meta.validate(dict(kind.schema))
    validator = Draft202012Validator(dict(kind.schema), validate_formats=True)
    validator.validate(kind.example)
    check_event(kind.example)
    check_schema("EventKind", kind.shown())
    assert "x-" not in repr(sorted(members(kind.schema)))


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.type)
def test_a_member_of_a_later_version_fits_and_what_is_missing_or_otherwise_does_not(kind: EventKind) -> None:
    validator = Draft202012Validator(dict(kind.schema), validate_formats=True)
    later = copy.deepcopy(dict(kind.example)) | {"new": 1}
    later["data"]["new"] = {"of": "a later version"}
    validator.validate(later)
    with pytest.raises(ValidationError):
        check_event(later)  # of this version: the tests would notice a member that nobody told
    for wrong in wrongs(kind.example):
        with pytest.raises(ValidationError):
            validator.validate(wrong)


def wrongs(example: Any) -> list[Any]:
    """The example of another type, without its data, with another time, and without each of its members."""
    other = "ping" if example["type"] != "ping" else "payment.paid"
    lacking = [
        example | {"data": {name: value for name, value in example["data"].items() if name != left_out}}
        for left_out in example["data"]
        if left_out != "endpoint_id"  # of a ping that is sent at once
    ]
    no_data = {"type": example["type"], "timestamp": example["timestamp"]}
    return [example | {"type": other}, no_data, example | {"timestamp": "2026-11-24 10:00"}, *lacking]


def members(value: Any) -> set[str]:
    """The names of all members."""
    if isinstance(value, list):
        return {name for each in value for name in members(each)}
    if not isinstance(value, dict):
        return set()
    return {*value, *(name for each in value.values() for name in members(each))}


async def test_any_token_gets_the_list_and_nobody_else(tmp_path: Path) -> None:
    async with staged(tmp_path, log_level="error") as stage:
        lab = stage.lab
        assert (await lab.call("GET", "/v1/event-types", token="")).status == 401
        answer = await lab.call("GET", "/v1/event-types", token=await lab.issue(scopes=frozenset({Scope.WEBHOOKS})))
        assert {each["type"]: each["schema"] for each in answer.json["data"]} == {
            kind.type: kind.schema for kind in event_kinds()
        }
        assert answer.headers["Cache-Control"] == "private, no-cache"
        known = {"If-None-Match": answer.headers["ETag"]}
        assert (await lab.call("GET", "/v1/event-types", headers=known)).status == 304
        assert (await lab.call("GET", "/v1/event-types", headers=known, token="")).status == 401


def test_the_document_has_each_event_type_as_it_is() -> None:
    text = WEBHOOKS.read_text("utf-8")
    assert text == with_event_types(text), "run `make docs`"
    assert all(f"\n### {kind}\n" in text for kind in EVENT_TYPES)
