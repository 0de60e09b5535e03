"""Log lines for people, and the fields that any line may have."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from proxy.adapters.vault import generate_line
from proxy.telemetry import logs
from proxy.telemetry.console import ConsoleRenderer

PROXY = Path(logs.__file__).parents[1]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
FIELDS = {"timestamp": "2026-11-24T10:00:00.123456Z", "level": "info", "event": "request"}


def line(*, colours: bool = False, **fields: object) -> str:
    return ConsoleRenderer(colours=colours)(None, "info", FIELDS | fields)


def test_a_line_says_when_what_and_its_fields_in_their_order() -> None:
    shown = line(method="POST", route="/v1/payments/{payment_id}", status=201, ms=4.5)
    assert shown.split() == [
        *("10:00:00.123", "info", "request"),
        *("method=POST", "route=/v1/payments/{payment_id}", "status=201", "ms=4.5"),
    ]


def test_nobodys_text_begins_a_line_of_its_own_or_moves_the_cursor() -> None:
    shown = line(operator="sara\n10:00:00 info paid\x1b[2J")
    assert shown.count("\n") == 0
    assert "\x1b" not in shown
    assert r'operator="sara\n10:00:00 info paid\u001b[2J"' in shown


def test_a_failures_trace_stands_below() -> None:
    shown = line(exception="Traceback\n  ValueError", code="x")
    assert shown.endswith("code=x\nTraceback\n  ValueError")


def test_colours_are_for_a_terminal_only() -> None:
    assert "\x1b[32minfo" in line(colours=True)
    assert "\x1b" not in line()


def test_every_field_that_the_code_logs_is_allowed() -> None:
    logged = set[str]()
    for path in PROXY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and _is_log(node.func):
                logged |= {keyword.arg for keyword in node.keywords if keyword.arg is not None}
    assert {"payment_id", "exc_info"} <= logged
    assert logged - {"exc_info"} <= logs.ALLOWED


def _is_log(called: ast.expr) -> bool:
    return (
        isinstance(called, ast.Attribute)
        and called.attr in LEVELS
        and isinstance(called.value, ast.Name)
        and called.value.id == "log"
    )


SERVE = """
import sys, uvloop
from proxy.cli.serve import serve

uvloop.run = lambda serving: (serving.close(), print("proxy.app" in sys.modules, "rich.console" in sys.modules))
serve.main([], standalone_mode=False)
"""


def test_a_process_that_serves_imports_no_rich() -> None:
    assert importlib.util.find_spec("rich") is not None, "else this shows nothing"
    env = {name: text for name, text in os.environ.items() if not name.startswith("DARGAH_")}
    env |= {"DARGAH_ADMIN_TOKEN": "operator-token-0123456789abcdef", "DARGAH_KEYS": generate_line("k1")}
    ran = subprocess.run([sys.executable, "-c", SERVE], capture_output=True, text=True, check=True, timeout=60, env=env)
    assert ran.stdout == "True False\n"
