"""Every operation as a request of an `.http` file, which the editors of JetBrains and VS Code's REST Client send."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from proxy.reference.document import Operation, groups
from proxy.reference.samples import ADMIN, PUBLIC, SHOWN_TOKEN, TOKEN, VARIABLES

_IN_PATH = re.compile(r"\{(\w+)\}")


def requests_file() -> str:
    """The text. What is in a path is a variable, with the value of an example."""
    operations = [(group.name, each) for group in groups() for each in group.operations]
    values: dict[str, str] = {}
    for _, operation in operations:
        values = _values(operation) | values
    head = [
        "# Dargah's API. Write your token behind DARGAH_TOKEN and send a request with the mark beside it.",
        f"@DARGAH_URL = {PUBLIC}",
        f"@DARGAH_ADMIN_URL = {ADMIN}",
        *(f"@{name} = write-your-token-here" for name in VARIABLES.values()),
        "# What the paths name; put your own here.",
        *(f"@{name} = {value}" for name, value in sorted(values.items())),
    ]
    requests = ["\n".join(_request(group, operation)) for group, operation in operations]
    return "\n".join(head) + "\n\n" + "\n\n".join(requests) + "\n"


def _values(operation: Operation) -> dict[str, str]:
    """The values that the example has in the operation's path."""
    asked = operation.example["request"]["target"].partition("?")[0]
    names = _IN_PATH.findall(operation.path)
    pattern = _IN_PATH.sub("([^/]+)", operation.path.replace(".", r"\."))
    found = re.fullmatch(pattern, asked)
    return {} if found is None else dict(zip(names, found.groups(), strict=True))


def _request(group: str, operation: Operation) -> Iterator[str]:
    asked: Mapping[str, Any] = operation.example["request"]
    _, mark, query = asked["target"].partition("?")
    path = _IN_PATH.sub(r"{{\1}}", operation.path)
    yield f"### {group}: {operation.summary}"
    yield f"# @name {operation.id}"
    yield f"{operation.method} {{{{{'DARGAH_ADMIN_URL' if operation.admin else 'DARGAH_URL'}}}}}{path}{mark}{query}"
    if operation.variable is not None:
        yield f"Authorization: Bearer {{{{{operation.variable}}}}}"
    yield from (f"{name}: {value}" for name, value in asked["headers"].items())
    if asked["json"] is not None:
        yield ""
        yield json.dumps(asked["json"], ensure_ascii=False, indent=2)
    elif asked["form"] is not None:
        yield ""
        yield SHOWN_TOKEN.sub(f"{{{{{TOKEN}}}}}", urlencode(asked["form"]))
