"""deploy/systemd: how exposed systemd finds the service, and that its options are options."""

import re

from deploy import tools
from deploy.dockerfile import REPOSITORY
from proxy.config.settings import Settings

UNIT = REPOSITORY / "deploy" / "systemd" / "dargah.service"
MAX_EXPOSURE = 2.0


def test_the_exposure_is_low() -> None:
    said = tools.run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    [level] = re.findall(r"Overall exposure level for dargah\.service: ([\d.]+)", said)
    assert float(level) <= MAX_EXPOSURE, said


def test_systemd_knows_every_option() -> None:
    done = tools.call("systemd-analyze", "verify", UNIT)
    complaints = [line for line in done.stderr.splitlines() if line.strip()]
    # The program is installed on the server, not here; a machine without systemd running says the rest.
    expected = ("not executable", "Failed to", "man page", "System has not been booted")
    assert [line for line in complaints if not any(text in line for text in expected)] == []


def test_it_waits_longer_than_the_drain_and_every_setting_is_one() -> None:
    text = UNIT.read_text("utf-8")
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(seconds) > Settings.model_fields["drain_seconds"].default
    known = {f"DARGAH_{name}".upper() for name in Settings.model_fields} | {"DARGAH_SECRETS_DIR"}
    assert set(re.findall(r"\b(DARGAH_[A-Z_]+)=", text)) <= known
    credentials = re.findall(r"^LoadCredential=(\w+):", text, re.MULTILINE)
    assert {name.upper() for name in credentials} <= known
