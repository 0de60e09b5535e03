"""docs/webhooks.md shows payloads as the code makes them, and says the schedule that the code keeps."""

import json
import re
from pathlib import Path

import pytest
from web.openapi_check import check_schema

from core.webhook_examples import examples, text_of
from proxy.webhook import RETRY_DELAYS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")
EXAMPLES = examples()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_event_type_has_its_payload(kind: str) -> None:
    section = DOCUMENT.partition(f"\n### {kind}\n")[2].partition("\n### ")[0]
    shown = re.findall(r"```json\n(.*?)\n```", section, re.DOTALL)
    assert shown == [text_of(EXAMPLES[kind])]
    check_schema("WebhookMessage", json.loads(shown[0]))


def test_the_schedule_is_the_codes() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    [told] = re.findall(r"At once, then after (.*?): 75\.6 hours", DOCUMENT, re.DOTALL)
    delays = [int(number) * units[unit] * 1000 for number, unit in re.findall(r"(\d+) (s|min|h)\b", told)]
    assert delays == list(RETRY_DELAYS)
    assert round(sum(RETRY_DELAYS) / 3_600_000, 1) == 75.6
