"""The settings of the wire: each reaches the limit that it is named for, and the page says what they are."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config.http import WireSettings
from proxy.config.settings import Settings
from proxy.http import connections, parsing, server
from proxy.http.headers import SECURITY_HEADERS

PAGE = (Path(__file__).parents[2] / "docs/limits.md").read_text("utf-8")
QUOTAS = {
    "token_creates_per_minute": "token_creates",
    "address_creates_per_minute": "address_creates",
    "token_calls_per_minute": "token_calls",
    "address_calls_per_minute": "address_calls",
    "address_auth_failures_per_minute": "auth_failures",
    "link_visits_per_minute": "link_visits",
    "address_unknown_links_per_minute": "unknown_links",
}


def settings(**given: Any) -> Settings:
    return Settings(**given)


@pytest.mark.parametrize(("setting", "quota"), QUOTAS.items())
def test_each_limit_has_its_setting_and_0_turns_it_off(setting: str, quota: str) -> None:
    assert asdict(settings(**{setting: 7}).quotas)[quota] == 7
    assert asdict(settings(**{setting: 0}).quotas)[quota] == 0
    assert sum(value == 7 for value in asdict(settings(**{setting: 7}).quotas).values()) == 1


def test_every_limit_is_on_unless_it_is_turned_off() -> None:
    assert all(asdict(settings().quotas).values())
    assert len(asdict(settings().quotas)) == len(QUOTAS)


def test_the_page_has_every_setting_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `DARGAH_([A-Z_]+)`[^|]*\| (\d+) \|", PAGE, re.MULTILINE))
    shown = {name.lower(): int(default) for name, default in rows.items()}
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert shown == {name: defaults[name] for name in shown}
    numbers = {name for name, field in WireSettings.model_fields.items() if isinstance(field.default, int)}
    assert numbers - {"hsts_seconds"} <= set(shown)
    for name in WireSettings.model_fields:
        assert f"DARGAH_{name.upper()}" in PAGE, name


def test_the_page_has_the_bounds_that_are_no_settings() -> None:
    for row in (
        f"| a body's time | {parsing.BODY_TIMEOUT_SECONDS} s |",
        f"| an unread body | {server.LINGER_SECONDS} s |",
        f"| an unread answer | {connections.WRITE_SECONDS} s |",
        f"| a body | {parsing.MAX_BODY_BYTES // 1024} KiB |",
        f"| request line, or one header | {server.MAX_LINE_BYTES // 1024} KiB |",
        f"| the whole head | {connections.MAX_HEAD_BYTES // 1024} KiB |",
        f"| headers | {server.MAX_HEADERS} |",
    ):
        assert row in PAGE, row


def test_the_settings_that_everybody_sets_are_listed_before_those() -> None:
    names = list(Settings.by_weight())
    assert sorted(names) == sorted(Settings.model_fields)
    assert set(names[-len(WireSettings.model_fields) :]) == set(WireSettings.model_fields)


def test_hsts_is_for_https() -> None:
    assert settings(public_url="https://pay.example.ir", hsts_seconds=60).hsts == "max-age=60"
    assert settings(public_url="https://pay.example.ir").hsts is None
    for url in (None, "http://127.0.0.1:8080"):
        with pytest.raises(ValidationError, match="DARGAH_HSTS_SECONDS needs"):
            settings(public_url=url, hsts_seconds=60)
    assert "Strict-Transport-Security" not in SECURITY_HEADERS


def test_what_is_no_proxys_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="write addresses or networks"):
        settings(trusted_proxies="caddy")
    with pytest.raises(ValidationError):
        settings(forwarded_header="x-real-ip")
