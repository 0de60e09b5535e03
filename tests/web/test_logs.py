"""What a failure leaves in the log: where it happened, and no value of anything."""

import subprocess
import sys

import pytest

SCRIPT = """
import structlog
from structlog.contextvars import bind_contextvars
from proxy.telemetry import logs

def call(api_key):
    raise RuntimeError("inside")

logs.configure("info", FORM)
bind_contextvars(request_id="r-17", trace_id="t-17")
try:
    call("canary" + "-5511")
except RuntimeError:
    structlog.get_logger().exception("request_failed", route="/v1/payments", stranger="canary" + "-5511")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values(form: str) -> None:
    script = SCRIPT.replace("FORM", repr(form))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "canary-5511" not in ran.stderr + ran.stdout
    for shown in ("request_failed", "RuntimeError", "inside", "r-17", "t-17", "/v1/payments"):
        assert shown in ran.stderr


LIBRARY = """
import logging
from proxy.telemetry import logs

logs.configure("info", FORM)
try:
    raise ValueError("Authorization: Bearer canary" + "-5511")
except ValueError:
    logging.getLogger("aiohttp.server").exception("canary" + "-5511")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_a_library_logs_shows_no_values(form: str) -> None:
    script = LIBRARY.replace("FORM", repr(form))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "canary-5511" not in ran.stderr + ran.stdout
    for shown in ("ERROR aiohttp.server", "ValueError", "line "):
        assert shown in ran.stderr
