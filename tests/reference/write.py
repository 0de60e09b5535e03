"""`make docs`: openapi.yaml and what the tests were really answered, as the reference reads them."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from web.openapi_check import document

from reference.recorder import operations
from reference.story import recorded

PACKAGE = Path(__file__).parents[2] / "proxy" / "reference"
OPENAPI, EXAMPLES = PACKAGE / "openapi.json", PACKAGE / "examples.json"
# The page is one of the operations, and needs an example of each to be shown.
_NOT_YET = {
    "request": {"method": "GET", "target": "/", "headers": {}, "json": None, "form": None},
    "answer": {"status": 200, "headers": {}, "content_type": None, "body": None},
}


def openapi_text() -> str:
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")) + "\n"


def examples_text(examples: dict[str, Any]) -> str:
    return json.dumps(dict(sorted(examples.items())), ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    OPENAPI.write_text(openapi_text(), "utf-8")
    known = json.loads(EXAMPLES.read_text("utf-8")) if EXAMPLES.exists() else {}
    EXAMPLES.write_text(examples_text(dict.fromkeys([*operations(), "onPaymentEvent"], _NOT_YET) | known), "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        examples = asyncio.run(recorded(Path(folder)))
    EXAMPLES.write_text(examples_text(examples), "utf-8")


if __name__ == "__main__":
    main()
