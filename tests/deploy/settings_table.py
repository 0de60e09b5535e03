"""The table of settings in docs/operations.md, from what `dargah config` says of them. `make docs` writes it."""

import json
import re
from collections.abc import Iterator

from click.testing import CliRunner

from proxy.cli.settings import config

from .tools import REPOSITORY

PAGE = REPOSITORY / "docs" / "operations.md"
_TABLE = re.compile(r"(<!-- settings: .*? -->\n).*?(<!-- end of settings -->)", re.DOTALL)


def rows() -> Iterator[str]:
    yield "| setting | default | meaning |"
    yield "| --- | --- | --- |"
    said = CliRunner().invoke(config, ["--json"], env={"DARGAH_SECRETS_DIR": None}).stdout
    for each in json.loads(said):
        default = "" if each["default"] == "(none)" else f"`{each['default']}`"
        meaning = each["description"].replace("|", "\\|")
        yield f"| `{each['name']}` | {default} | {meaning} |"


def page_with_the_table(text: str) -> str:
    table = "\n".join(rows()) + "\n"
    return _TABLE.sub(lambda match: match[1] + table + match[2], text, count=1)


if __name__ == "__main__":
    PAGE.write_text(page_with_the_table(PAGE.read_text("utf-8")), "utf-8")
