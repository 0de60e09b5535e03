"""What a start loads: time and memory of every process, so that what only some need comes when they need it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from proxy.adapters.vault import generate_line

# Tells what is loaded when `dargah serve` is ready, and ends it.
SCRIPT = """
import json, os, signal, sys
import click

def ready(text):
    sys.stdout.write(json.dumps([text, *(name for name, module in sys.modules.items() if module is not None)]))
    os.kill(os.getpid(), signal.SIGINT)

click.echo = ready
from proxy.cli.root import dargah
dargah(["serve"])
"""
NEEDED_BY_SOME = {
    "asyncpg": "a server of PostgreSQL",
    "proxy.adapters.postgresql": "the same",
    "proxy.adapters.moving": "dargah migrate-store",
    "proxy.adapters.spans": "traces",
    "opentelemetry": "the same",
    "proxy.demo": "dargah demo",
    "proxy.simulator": "dargah simulator",
    "proxy.reference.document": "who reads /docs",
    "jinja2": "who sees a page",
    "prometheus_client": "who scrapes",
    "segno": "who asks for a QR code",
    "rich": "structlog, where it is installed, for tracebacks that are not ours",
    "greenlet": "structlog, where it is installed, for threads that are not ours",
}


def loaded(folder: Path) -> list[str]:
    """The names of all modules of a `dargah serve` that is ready, on an empty SQLite file."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")} | {
        "DARGAH_DATABASE": str(folder / "dargah.db"),
        "DARGAH_LISTEN": "127.0.0.1:0",
        "DARGAH_ADMIN_LISTEN": "127.0.0.1:0",
        "DARGAH_ADMIN_TOKEN": "an-operator-of-the-tests-0123456789",
        "DARGAH_KEYS": generate_line("start"),
        "DARGAH_LOG_LEVEL": "error",
    }
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    text, *modules = map(str, json.loads(done.stdout))
    assert text.startswith("dargah ready on http://127.0.0.1:")
    return modules


def test_a_start_loads_nothing_that_only_some_need(tmp_path: Path) -> None:
    modules = loaded(tmp_path)
    assert {"proxy.app", "proxy.adapters.sqlite.store", "proxy.console.routes"} <= set(modules)
    assert [name for name in modules if name in NEEDED_BY_SOME] == []
