"""deploy/kubernetes: built by kustomize, valid by the cluster's own schemas, and within the `restricted` standard."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import tools
from deploy.dockerfile import REPOSITORY
from proxy.config.settings import Settings, load

FOLDER = REPOSITORY / "deploy" / "kubernetes"
OVERLAYS = ("single", "replicas", "sidecar")
# The oldest that the sidecar needs, and a new one.
VERSIONS = ("1.29", "1.36")

Object = dict[str, Any]


@cache
def built(overlay: str) -> str:
    return tools.run("kubectl", "kustomize", FOLDER / "overlays" / overlay)


def objects(overlay: str) -> list[Object]:
    return list(yaml.safe_load_all(built(overlay)))


def one(overlay: str, *kinds: str) -> Object:
    [found] = [each for each in objects(overlay) if each["kind"] in kinds]
    return found


def pod(overlay: str) -> Object:
    spec: Object = one(overlay, "Deployment", "StatefulSet")["spec"]["template"]["spec"]
    return spec


def containers(overlay: str) -> list[Object]:
    spec = pod(overlay)
    return [*spec.get("initContainers", []), *spec["containers"]]


def dargah(overlay: str) -> Object:
    [found] = [each for each in containers(overlay) if each["name"] == "dargah"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_schemas_take_it(version: str, tmp_path: Path) -> None:
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


def _same(container: Object) -> Object:
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
