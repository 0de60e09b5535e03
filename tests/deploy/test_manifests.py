"""deploy/'s manifests: Compose, Kubernetes and systemd take them, and each is whole, closed and sandboxed."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.dargah import OPERATOR_TOKEN, server
from support.shop import Shop, playground

from deploy import tools
from deploy.tools import REPOSITORY
from proxy import __version__
from proxy.config.settings import Settings, load
from proxy.config.values import parse_admin_tokens
from proxy.gateways.simulation.ledger import SimulatedTerminal
from proxy.merchants.vault import KeyRing
from proxy.simulator.command import create_app

COMPOSE_FILE = REPOSITORY / "deploy" / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MEANT = {
    "demo": {"demo", "demo-gateway", "demo-secrets", "demo-shop"},
    "sqlite": {"dargah", "secrets", "console"},
    "postgresql": {"dargah-postgresql", "postgres", "secrets", "console"},
    "replicas": {"balancer", "replica-1", "replica-2", "postgres", "secrets", "console"},
    "monitoring": {"prometheus", "grafana"},
}
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("dargah:")]


@pytest.mark.parametrize("profile", MEANT)
def test_compose_itself_takes_each_profile(profile: str) -> None:
    tools.run("docker-compose", "-f", COMPOSE_FILE, "--profile", profile, "config", "--quiet")


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
    assert not [port for port in published if port.endswith(":5432")]
    admin = {name for name, each in SERVICES.items() if any(":8081" in port for port in each.get("ports", []))}
    assert admin == {"console"}, "the operator's listener is reached through the console's container alone"


@pytest.mark.parametrize("name", OURS)
def test_compose_sandboxes_every_dargah(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"], service["user"]) == (True, ["ALL"], "10001:10001")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["ulimits"]["core"] == 0


def test_every_image_of_others_is_pinned_by_version_and_digest() -> None:
    images = {service["image"] for name, service in SERVICES.items() if name not in OURS}
    assert images
    assert all(re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)?@sha256:[0-9a-f]{64}$", image) for image in images), images


def test_every_variable_of_compose_is_a_setting() -> None:
    known = {f"DARGAH_{name}".upper() for name in Settings.model_fields}
    named = {
        each for service in SERVICES.values() for each in service.get("environment", {}) if each.startswith("DARGAH")
    }
    example = re.findall(r"^(DARGAH_\w+)=", (COMPOSE_FILE.parent / ".env.example").read_text("utf-8"), re.MULTILINE)
    assert named | set(example) <= known


def test_the_env_example_names_every_variable_of_compose() -> None:
    names = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE_FILE.read_text("utf-8")))
    example = set(re.findall(r"^(\w+)=", (COMPOSE_FILE.parent / ".env.example").read_text("utf-8"), re.MULTILINE))
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
        server(create_app(terminals=[SimulatedTerminal("playground")])) as gateway_url,
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


def networks(name: str) -> set[str]:
    return set(SERVICES[name].get("networks", {}))


def test_the_admin_listener_is_on_a_network_with_prometheus_and_the_console_alone() -> None:
    served = {name for name in OURS if "DARGAH_ADMIN_LISTEN" in SERVICES[name].get("environment", {})}
    assert served == {"dargah", "dargah-postgresql", "replica-1", "replica-2"}
    assert {name for name in SERVICES if "monitoring" in networks(name)} - served == {"prometheus", "console"}
    for name in served:
        host, _, port = SERVICES[name]["environment"]["DARGAH_ADMIN_LISTEN"].rpartition(":")
        aliases = {each: (at or {}).get("aliases", []) for each, at in SERVICES[name]["networks"].items()}
        # The name is the container's own on that network, and another container's on none.
        own, *shared = aliases.pop("monitoring")
        assert (own, port) == (host, "8081")
        assert {own, *shared} >= {"admin"}, "the console's container asks there, whichever profile is up"
        assert not any(aliases.values())
    assert COMPOSE["networks"]["monitoring"] == COMPOSE["networks"]["database"] == {"internal": True}


@pytest.mark.parametrize(
    ("name", "variable"), [("postgres", "POSTGRES_PASSWORD"), ("grafana", "GF_SECURITY_ADMIN_PASSWORD")]
)
def test_nothing_starts_with_an_empty_password(name: str, variable: str) -> None:
    program, *arguments = [word.replace("$$", "$") for word in SERVICES[name]["entrypoint"]]
    asked = arguments[1].replace("docker-entrypoint.sh", "echo started").replace("/run.sh", "echo started")
    for password, code, out in ((None, 2, ""), ("", 2, ""), ("set", 0, "started")):
        env = {"PATH": os.environ["PATH"]} | ({} if password is None else {variable: password})
        ran = subprocess.run(
            [program, arguments[0], asked, "--"], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert (ran.returncode, ran.stdout.strip()) == (code, out)
        assert code == 0 or ".env" in ran.stderr


KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
OVERLAYS = ("single", "replicas", "sidecar")
# The oldest that the sidecar needs, and a new one.
VERSIONS = ("1.29", "1.36")

Manifest = dict[str, Any]


@cache
def built(overlay: str) -> str:
    return tools.run("kubectl", "kustomize", KUBERNETES / "overlays" / overlay)


def objects(overlay: str) -> list[Manifest]:
    return list(yaml.safe_load_all(built(overlay)))


def one(overlay: str, *kinds: str) -> Manifest:
    [found] = [each for each in objects(overlay) if each["kind"] in kinds]
    return found


def pod(overlay: str) -> Manifest:
    spec: Manifest = one(overlay, "Deployment", "StatefulSet")["spec"]["template"]["spec"]
    return spec


def containers(overlay: str) -> list[Manifest]:
    spec = pod(overlay)
    return [*spec.get("initContainers", []), *spec["containers"]]


def dargah(overlay: str) -> Manifest:
    [found] = [each for each in containers(overlay) if each["name"] == "dargah"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_schemas_take_every_overlay(version: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{overlay}.yaml" for overlay in OVERLAYS]
    for file in files:
        file.write_text(built(file.stem))
    # All at once: the tool takes four seconds to start, and its message names the file.
    tools.run("kubernetes-validate", "--strict", "-k", version, *files)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_within_the_restricted_standard_on_a_read_only_root(overlay: str) -> None:
    spec = pod(overlay)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert {next(key for key in volume if key != "name") for volume in spec["volumes"]} <= {
        *("secret", "emptyDir", "persistentVolumeClaim")
    }
    for each in containers(overlay):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert each["resources"]["limits"]["memory"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_dargah_is_the_same_container_everywhere(overlay: str) -> None:
    assert _same(dargah(overlay)) == _same(dargah("single"))


def _same(container: Manifest) -> Manifest:
    """Without what may differ."""
    return {key: value for key, value in container.items() if key not in {"env", "restartPolicy"}}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_admin_port_has_no_service_and_lets_in_prometheus_alone(overlay: str) -> None:
    services = [each for each in objects(overlay) if each["kind"] == "Service"]
    assert services
    assert {port["targetPort"] for service in services for port in service["spec"]["ports"]} <= {"http", "shop"}
    rules = [
        rule
        for policy in objects(overlay)
        if policy["kind"] == "NetworkPolicy"
        for rule in policy["spec"].get("ingress", [])
        if any(port["port"] == "admin" for port in rule["ports"])
    ]
    [rule] = rules
    [source] = rule["from"]
    assert source["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}


def test_sqlite_never_has_two_processes() -> None:
    single, sidecar = one("single", "StatefulSet"), one("sidecar", "Deployment")
    assert single["spec"]["replicas"] == sidecar["spec"]["replicas"] == 1
    assert sidecar["spec"]["strategy"] == {"type": "Recreate"}
    assert single["spec"]["volumeClaimTemplates"][0]["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_the_sidecar_is_a_native_one_and_may_call_its_shop() -> None:
    [beside] = pod("sidecar")["initContainers"]
    assert beside["restartPolicy"] == "Always"
    assert beside["env"] == [{"name": "DARGAH_WEBHOOK_ALLOW", "value": "127.0.0.1:3000"}]


def test_replicas_take_their_database_from_the_secret_and_survive_a_drained_node() -> None:
    assert one("replicas", "Deployment")["spec"]["replicas"] >= 2
    assert one("replicas", "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    [database] = dargah("replicas")["env"]
    assert database["name"] == "DARGAH_DATABASE"
    assert "secretKeyRef" in database["valueFrom"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_settings_are_dargahs_and_the_grace_period_is_over_the_drain(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in one(overlay, "ConfigMap")["data"].items():
        assert name.removeprefix("DARGAH_").lower() in Settings.model_fields
        monkeypatch.setenv(name, value)
    assert pod(overlay)["terminationGracePeriodSeconds"] > load().drain_seconds


PAGE = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")


def documented_images() -> set[str]:
    """What the commands in docs/operations.md build."""
    return set(re.findall(r"docker (?:buildx )?build [^\n`]*--tag (\S+)", PAGE))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_image_is_one_that_a_documented_command_builds(overlay: str) -> None:
    image = dargah(overlay)["image"]
    assert image in documented_images()
    # A cluster pulls only what was pushed.
    assert re.search(rf"buildx build [^\n]*--tag {re.escape(image)} --push \.$", PAGE, re.MULTILINE)


def test_compose_and_kubernetes_run_this_version() -> None:
    images = {SERVICES[name]["image"] for name in OURS} | {dargah(overlay)["image"] for overlay in OVERLAYS}
    assert images == documented_images()
    assert {image.rpartition(":")[2] for image in images} == {__version__}


def test_an_overlay_names_its_own_registry_as_the_page_says(tmp_path: Path) -> None:
    [name] = re.findall(r"`name: (\S+)` with your `newName`", PAGE)
    digest = f"sha256:{'0' * 64}"
    own = {"resources": ["../single"], "images": [{"name": name, "newName": "example.org/mine", "digest": digest}]}
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / "overlays" / "own"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(own))
    rendered = tools.run("kubectl", "kustomize", overlay)
    assert re.findall(r"image: (\S+)", rendered) == [f"example.org/mine@{digest}"]


UNIT = REPOSITORY / "deploy" / "systemd" / "dargah.service"
MAX_EXPOSURE = 2.0


def test_systemd_finds_the_exposure_low() -> None:
    said = tools.run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    [level] = re.findall(r"Overall exposure level for dargah\.service: ([\d.]+)", said)
    assert float(level) <= MAX_EXPOSURE, said


def test_systemd_knows_every_option() -> None:
    done = tools.call("systemd-analyze", "verify", UNIT)
    complaints = [line for line in done.stderr.splitlines() if line.strip()]
    # The program is installed on the server, not here; a machine without systemd running says the rest.
    expected = ("not executable", "Failed to", "man page", "System has not been booted")
    assert [line for line in complaints if not any(text in line for text in expected)] == []


def test_the_unit_waits_longer_than_the_drain_and_every_variable_is_a_setting() -> None:
    text = UNIT.read_text("utf-8")
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(seconds) > Settings.model_fields["drain_seconds"].default
    known = {f"DARGAH_{name}".upper() for name in Settings.model_fields} | {"DARGAH_SECRETS_DIR"}
    assert set(re.findall(r"\b(DARGAH_[A-Z_]+)=", text)) <= known
    credentials = re.findall(r"^LoadCredential=(\w+):", text, re.MULTILINE)
    assert {name.upper() for name in credentials} <= known


YAML_RULES = (
    "{extends: default, rules: {document-start: disable, line-length: {max: 140}, truthy: {check-keys: false}}}"
)
# A chart's templates are no YAML before they are rendered.
YAML_FILES = sorted(
    path
    for folder in ("deploy", ".github")
    for path in (REPOSITORY / folder).rglob("*.y*ml")
    if path.parent.name != "templates"
)


def test_yamllint_finds_nothing() -> None:
    assert YAML_FILES
    tools.run("yamllint", "--strict", "-d", YAML_RULES, *YAML_FILES)
