"""A history of what storefronts, customers, receivers and the gateway saw, and a judge of it.

Nothing of the product is imported here, and nothing of its database is looked at: what counts is what was told to
somebody. `python -m tests.torture.history FILE` judges a history that a campaign left.

It is JSON lines, each with `what` it is, in the order in which they ended.

- `terminal`: merchant, mode, api_key, and the token of its storefront.
- `endpoint`: its name, id, merchant, mode, secret.
- `call`: of a storefront: merchant, mode, method, path, key, sent, status (0: no answer), answer, began, ended.
  An endpoint or a call may name its `storefront`, where a merchant has several.
- `page`: that a customer opened: payment, page (`pay` or `return`), status, location.
- `webhook`: that came: endpoint, headers, body, the status of its answer (0: it was cut off), and `kept` where its
  connection had carried another one before.
- `said`: what a check was answered of an invoice, where the campaign sees it: invoice_key, outcome (captured, open or
  canceled), when it was asked (`at`, by the true time), and of a captured one amount_rials and bank_code.
- `refused`: that a request for an invoice was refused, where the campaign sees it: api_key, amount_rials, code.
- `clock`: that a machine's time of day is wrong from here on, where the campaign makes it so: since when (`at`, by the
  true time, as in `said`), and by how many milliseconds (`wrong`, 0 when it is right again). A process tells all its
  times by it, and follows it within a second or two.
- `invoice`: as the gateway has it at the end. `rest`: from here on nothing is under way; calls are the last readings.
"""

import time
from pathlib import Path
from typing import Any, BinaryIO

import orjson


class Notes:
    """Lines into a file that is open, or into memory for a campaign of thousands of short histories."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def note(self, what: str, **fields: Any) -> None:
        self._file.write(orjson.dumps({"what": what, **fields}) + b"\n")

    def close(self) -> None:
        self._file.close()


class Recorder(Notes):
    """Into a file at `path`, behind what is there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("ab"))
        self.path = path

    @staticmethod
    def now() -> float:
        """Seconds by the steady clock: two calls are ordered by it, whatever the wall clock does."""
        return time.monotonic()
