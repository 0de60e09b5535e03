"""One request in four languages, ready to paste; secrets come from the environment."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from proxy.kernel.frozen import dataclass

PUBLIC: Final = "https://pay.example.ir"
"""The public URL in the recorded examples. Whoever serves them puts its own there."""
ADMIN: Final = "http://127.0.0.1:8081"
TOKEN: Final = "DARGAH_TOKEN"  # noqa: S105  the name of a variable
SHOWN_TOKEN: Final = re.compile(r"dg_(?:live|test)_(?:EXAMPLE){5}0")
"""What stands for a token in the recorded examples."""
VARIABLES: Final = {"token": TOKEN, "operator": "DARGAH_ADMIN_TOKEN"}


@dataclass(frozen=True, slots=True)
class Sample:
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: str
    headers: Mapping[str, str]
    body: str | None
    variable: str | None


def samples_of(request: Mapping[str, Any], variable: str | None, base_url: str) -> tuple[Sample, ...]:
    """The request of an example; `variable` is the environment variable with the token."""
    body = None
    if request["json"] is not None:
        body = json.dumps(request["json"], ensure_ascii=False)
    elif request["form"] is not None:
        body = urlencode(request["form"])
    call = _Call(request["method"], base_url + request["target"], request["headers"], body, variable)
    return (
        Sample("curl", _curl(call)),
        Sample("Python", _python(call)),
        Sample("PHP", _php(call)),
        Sample("Node", _node(call)),
    )


def _curl(call: _Call) -> str:
    words = ["curl", _shell(call.url)]
    words = [f"curl -X {call.method} {_shell(call.url)}" if _needs_method(call) else " ".join(words)]
    if call.variable is not None:
        words.append(f'-H "Authorization: Bearer ${call.variable}"')
    words += [f"-H {_shell(f'{name}: {value}')}" for name, value in call.headers.items()]
    if call.body is not None:
        words.append("-d " + "".join(_with_token(call.body, _shell, f'"${TOKEN}"')))
    return " \\\n  ".join(words)


def _with_token(body: str, literal: Callable[[str], str], token: str) -> Iterator[str]:
    """The body's text as literals, and `token` where the example had one of its own."""
    for number, text in enumerate(SHOWN_TOKEN.split(body)):
        if number:
            yield token
        if text or not number:
            yield literal(text)


def _needs_method(call: _Call) -> bool:
    return call.method != ("GET" if call.body is None else "POST")


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _python(call: _Call) -> str:
    headers = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in call.headers.items()]
    if call.variable is not None:
        headers.insert(0, f'"Authorization": f"Bearer {{os.environ[\'{call.variable}\']}}"')
    lines = ["import os", "from urllib.request import Request, urlopen", ""]
    lines += ["request = Request(", f"    {json.dumps(call.url)},", f"    method={json.dumps(call.method)},"]
    lines.append(f"    headers={{{', '.join(headers)}}},")
    if call.body is not None:
        data = " + ".join(_with_token(call.body, repr, f'os.environ["{TOKEN}"]'))
        lines.append(f"    data=({data}).encode()," if " + " in data else f"    data={data}.encode(),")
    lines += [")", "with urlopen(request, timeout=30) as answer:", "    print(answer.read().decode())"]
    return "\n".join(lines if "os.environ" in "\n".join(lines) else lines[1:])


def _php(call: _Call) -> str:
    headers = [_quote(f"{name}: {value}") for name, value in call.headers.items()]
    if call.variable is not None:
        headers.insert(0, f"'Authorization: Bearer ' . getenv('{call.variable}')")
    lines = [f"$call = curl_init({_quote(call.url)});", "curl_setopt_array($call, ["]
    lines.append(f"    CURLOPT_CUSTOMREQUEST => '{call.method}',")
    lines.append(f"    CURLOPT_HTTPHEADER => [{', '.join(headers)}],")
    if call.body is not None:
        data = " . ".join(_with_token(call.body, _quote, f"getenv('{TOKEN}')"))
        lines.append(f"    CURLOPT_POSTFIELDS => {data},")
    lines += ["    CURLOPT_RETURNTRANSFER => true,", "    CURLOPT_TIMEOUT => 30,", "]);", "echo curl_exec($call);"]
    return "\n".join(lines)


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _node(call: _Call) -> str:
    headers = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in call.headers.items()]
    if call.variable is not None:
        headers.insert(0, f"Authorization: `Bearer ${{process.env.{call.variable}}}`")
    lines = [f"const answer = await fetch({json.dumps(call.url)}, {{", f'  method: "{call.method}",']
    lines.append(f"  headers: {{{', '.join(headers)}}},")
    if call.body is not None:
        data = " + ".join(_with_token(call.body, partial(json.dumps, ensure_ascii=False), f"process.env.{TOKEN}"))
        lines.append(f"  body: {data},")
    lines += ['  redirect: "manual",', "});", "console.log(answer.status, await answer.text());"]
    return "\n".join(lines)
