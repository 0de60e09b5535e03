"""A gateway whose certificate comes from an authority that DARGAH_GATEWAY_CA_FILES names."""

from pathlib import Path
from typing import Any

import pytest
from adapters.certificates import HERE, Authority
from adapters.raw_server import RawServer, answer

from proxy.merchants.merchant import Mode
from web.lab import Lab


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "bank")


@pytest.fixture
def more_settings(authority: Authority) -> dict[str, Any]:
    return {"gateway_ca_files": f"{HERE}={authority.file}"}


async def test_a_payment_goes_through_it(lab: Lab, authority: Authority) -> None:
    issued = answer(b'{"status":1,"invoice_key":"inv_1"}')
    async with RawServer((issued,), tls=authority.server()) as gateway:
        terminal = await lab.dargah.services.setup.add_terminal(
            lab.merchant_id, "bank", gateway.url, "its-key", Mode.LIVE, actor="test"
        )
        created = await lab.create(terminal_id=terminal.id)
    assert (created.status, created.json["invoice_key"]) == (201, "inv_1")
