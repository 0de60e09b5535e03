"""One request in four languages, ready to paste; secrets come from the environment."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

PUBLIC: Final = "https://pay.example.ir"
ADMIN: Final = "http://127.0.0.1:8081"
_VARIABLES: Final = {"token": "DARGAH_TOKEN", "operator": "DARGAH_ADMIN_TOKEN"}


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


def samples_of(request: Mapping[str, Any], scheme: str | None, *, admin: bool) -> tuple[Sample, ...]:
    """The request of an example; `scheme` names the kind of token."""
    body = None
    if request["json"] is not None:
        body = json.dumps(request["json"], ensure_ascii=False)
    elif request["form"] is not None:
        body = urlencode(request["form"])
    url = (ADMIN if admin else PUBLIC) + request["target"]
    call = _Call(request["method"], url, request["headers"], body, None if scheme is None else _VARIABLES[scheme])
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
        words.append(f"-d {_shell(call.body)}")
    return " \\\n  ".join(words)


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
        lines.append(f"    data={call.body!r}.encode(),")
    lines += [")", "with urlopen(request, timeout=30) as answer:", "    print(answer.read().decode())"]
    return "\n".join(lines if call.variable else lines[1:])


def _php(call: _Call) -> str:
    headers = [_quote(f"{name}: {value}") for name, value in call.headers.items()]
    if call.variable is not None:
        headers.insert(0, f"'Authorization: Bearer ' . getenv('{call.variable}')")
    lines = [f"$call = curl_init({_quote(call.url)});", "curl_setopt_array($call, ["]
    lines.append(f"    CURLOPT_CUSTOMREQUEST => '{call.method}',")
    lines.append(f"    CURLOPT_HTTPHEADER => [{', '.join(headers)}],")
    if call.body is not None:
        lines.append(f"    CURLOPT_POSTFIELDS => {_quote(call.body)},")
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
        lines.append(f"  body: {json.dumps(call.body, ensure_ascii=False)},")
    lines += ['  redirect: "manual",', "});", "console.log(answer.status, await answer.text());"]
    return "\n".join(lines)
