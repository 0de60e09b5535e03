"""deploy/compose.yaml: what Compose says of it, and that each profile is whole, closed and sandboxed."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.playground import OPERATOR_TOKEN, Shop, playground, server

from deploy import tools
from deploy.dockerfile import REPOSITORY
from proxy.adapters.vault import KeyRing
from proxy.config.settings import Settings
from proxy.config.values import parse_admin_tokens
from proxy.simulator.app import create_app
from proxy.simulator.ledger import Terminal

FILE = REPOSITORY / "deploy" / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MEANT = {
    "demo": {"demo", "demo-gateway", "demo-secrets", "demo-shop"},
    "sqlite": {"dargah", "secrets"},
    "postgresql": {"dargah-postgresql", "postgres", "secrets"},
    "replicas": {"balancer", "replica-1", "replica-2", "postgres", "secrets"},
    "monitoring": {"prometheus", "grafana"},
}
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("dargah:")]


@pytest.mark.parametrize("profile", MEANT)
def test_compose_itself_takes_it(profile: str) -> None:
    tools.run("docker-compose", "-f", FILE, "--profile", profile, "config", "--quiet")


def test_each_profile_is_what_is_meant_and_needs_nothing_of_another() -> None:
    profiles = {profile for service in SERVICES.values() for profile in service["profiles"]}
    started = {each: {name for name, service in SERVICES.items() if each in service["profiles"]} for each in profiles}
    assert started == MEANT
    for profile, names in started.items():
        for name in names:
            assert set(SERVICES[name].get("depends_on", {})) <= names, (profile, name)


def test_only_what_a_person_or_a_proxy_calls_is_published_and_on_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not [port for port in published if port.endswith((":8081", ":5432"))]


@pytest.mark.parametrize("name", OURS)
def test_dargah_is_sandboxed(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"], service["user"]) == (True, ["ALL"], "10001:10001")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]


def test_every_image_of_others_is_pinned_by_its_version() -> None:
    images = {service["image"] for name, service in SERVICES.items() if name not in OURS}
    assert images
    assert all(re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)?$", image) for image in images), images


def test_every_setting_is_one() -> None:
    known = {f"DARGAH_{name}".upper() for name in Settings.model_fields}
    named = {
        each for service in SERVICES.values() for each in service.get("environment", {}) if each.startswith("DARGAH")
    }
    example = re.findall(r"^(DARGAH_\w+)=", (FILE.parent / ".env.example").read_text("utf-8"), re.MULTILINE)
    assert named | set(example) <= known


def test_the_example_names_every_variable() -> None:
    names = set(re.findall(r"\$\{(\w+)", FILE.read_text("utf-8")))
    example = set(re.findall(r"^(\w+)=", (FILE.parent / ".env.example").read_text("utf-8"), re.MULTILINE))
    assert example - names == {"COMPOSE_PROJECT_NAME"}
    assert names <= example


def test_the_secrets_are_made_once_for_one_user_alone(tmp_path: Path) -> None:
    maker = COMPOSE["x-key-maker"]
    [script] = maker["command"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def make() -> dict[str, str]:
        command = [*maker["entrypoint"], script.replace("/etc/dargah", str(tmp_path))]
        subprocess.run(command, check=True, env={"PATH": path}, timeout=60)
        return {file.name: file.read_text() for file in tmp_path.iterdir()}

    made = make()
    assert set(made) == {"dargah_keys", "dargah_admin_token"}
    KeyRing.parse(made["dargah_keys"]).check([])
    assert parse_admin_tokens(made["dargah_admin_token"])
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    assert make() == made


async def test_the_playground_s_script_leads_to_a_payment_that_can_be_paid(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "dargah_admin_token").write_text(OPERATOR_TOKEN)
    async with (
        server(create_app(terminals=[Terminal("playground")])) as gateway_url,
        playground(tmp_path) as (shop, dargah),
    ):
        said = await _demo(secrets, gateway_url, dargah.url, dargah.admin_url)
        [link] = re.findall(rf"{dargah.url}/pay/\S+", said)
        async with shop.session.get(link, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"].startswith(gateway_url)) == (303, True)
        await _the_printed_curl(said, shop)


async def _demo(secrets: Path, gateway_url: str, url: str, admin_url: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DARGAH_SECRETS_DIR": str(secrets),
        "DARGAH_URL": url,
        "DARGAH_ADMIN_URL": admin_url,
        "GATEWAY_URL": gateway_url,
    }
    process = await asyncio.create_subprocess_exec(
        "sh",
        REPOSITORY / "deploy" / "demo.sh",
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def _the_printed_curl(said: str, shop: Shop) -> None:
    """The second call is made as it stands there, by hand."""
    [(url, token, key, body)] = re.findall(
        r'curl (\S+/v1/payments) -H "Authorization: Bearer (\S+)" -H "Idempotency-Key: (\S+)".*?-d \'(.*?)\'',
        said,
        re.DOTALL,
    )
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key, "Content-Type": "application/json"}
    async with shop.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
