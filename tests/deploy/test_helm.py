"""The Helm chart, rendered by Helm's own library, gives what kustomize gives and refuses values that mean nothing."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import tools
from deploy.test_manifests import PAGE, VERSIONS, YAML_RULES, Manifest, documented_images, objects
from deploy.tools import REPOSITORY
from proxy import __version__
from proxy.config.settings import Settings, load

CHART = REPOSITORY / "deploy" / "helm" / "dargah"
MODES = ("single", "replicas")


def rendered(release: str = "dargah", **values: Any) -> dict[str, str]:
    """What `helm template` gives, by the template's file. Raises the library's HelmError."""
    with tools.imported("helm_python").Chart.load(CHART) as chart:
        chart.validate_schema(values)
        given: dict[str, str] = chart.render(values, name=release, namespace="dargah")
    return {name: text for name, text in given.items() if name.endswith(".yaml") and text.strip()}


@cache
def text_of(mode: str) -> str:
    return "\n---\n".join(rendered(mode=mode).values())


def made(release: str = "dargah", **values: Any) -> list[Manifest]:
    return [each for text in rendered(release, **values).values() for each in yaml.safe_load_all(text)]


def pod(found: list[Manifest]) -> Manifest:
    [workload] = [each for each in found if each["kind"] in {"Deployment", "StatefulSet"}]
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def by_name(found: list[Manifest]) -> dict[tuple[str, str], Any]:
    """Each object by kind and name, without what the two tools name in ways of their own."""
    plain = {(each["kind"], each["metadata"]["name"]): _plain(each) for each in found if each["kind"] != "Namespace"}
    for each in plain.values():
        each["metadata"].pop("labels", None)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        own = {"app.kubernetes.io/instance", "app.kubernetes.io/version", "checksum/settings"}
        return {key: _plain(each) for key, each in value.items() if key not in own}
    return [_plain(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("mode", MODES)
def test_the_chart_makes_the_objects_of_the_overlay_of_its_mode(mode: str) -> None:
    [settings] = [each for each in objects(mode) if each["kind"] == "ConfigMap"]
    hashed = settings["metadata"]["name"]  # kustomize's way of replacing pods when a setting changes
    text = yaml.safe_dump_all(objects(mode)).replace(hashed, "dargah-settings")
    assert by_name(made(mode=mode)) == by_name(list(yaml.safe_load_all(text)))


def test_kubernetes_schemas_take_what_it_makes(tmp_path: Path) -> None:
    """Those of the oldest version; the overlays, which it equals, are held to the others."""
    files = [tmp_path / f"{mode}.yaml" for mode in MODES]
    for file in files:
        file.write_text(text_of(file.stem))
    tools.run("kubernetes-validate", "--strict", "-k", VERSIONS[0], *files)


def test_helm_s_own_lint_finds_nothing_but_that_it_has_no_icon() -> None:
    report = tools.imported("helm_python").lint(CHART, strict=True)
    assert report["errors"] == []
    assert {message["error"] for message in report["messages"]} <= {"icon is recommended"}


def test_the_versions_are_dargahs_and_the_image_is_one_that_a_documented_command_builds() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert (described["version"], described["appVersion"]) == (__version__, __version__)
    assert described["kubeVersion"] == f">={VERSIONS[0]}.0-0"
    [container] = pod(made())["containers"]
    assert container["image"] in documented_images()


def test_the_documented_command_sets_what_the_chart_takes() -> None:
    [command] = re.findall(r"helm upgrade --install (.*?)(?:\n(?! )|```)", PAGE, re.DOTALL)
    release, chart, *_ = command.split()
    assert (release, REPOSITORY / chart) == ("dargah", CHART)
    helm = tools.imported("helm_python")
    values = helm.parse_set_string(",".join(re.findall(r"--set (\S+)", command)))
    found = made(release, **values)
    assert pod(found)["containers"][0]["image"].startswith(f"{values['image']['repository']}:")
    [told] = [each["data"] for each in found if each["kind"] == "ConfigMap"]
    assert told["DARGAH_PUBLIC_URL"] == values["settings"]["DARGAH_PUBLIC_URL"]


def test_a_digest_goes_before_the_tag() -> None:
    digest = f"sha256:{'1' * 64}"
    image = {"repository": "example.org/dargah", "tag": "2", "digest": digest}
    assert pod(made(image=image))["containers"][0]["image"] == f"example.org/dargah@{digest}"
    assert pod(made(image=image | {"digest": ""}))["containers"][0]["image"] == "example.org/dargah:2"


def test_settings_are_texts_as_they_were_given_and_another_one_replaces_the_pods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = {
        "DARGAH_PUBLIC_URL": "https://pay.example.com",
        "DARGAH_TOKEN_CREATES_PER_MINUTE": 1_000_000,
        "DARGAH_API_DOCS": False,
        "DARGAH_DRAIN_SECONDS": 30.5,
        "DARGAH_WEBHOOK_RETRY_SCHEDULE": "5s, 'x': {{ y }}",
    }
    found = made(settings=wanted)
    [told] = [each["data"] for each in found if each["kind"] == "ConfigMap"]
    assert {name: told[name] for name in wanted} == {
        **{name: str(value) for name, value in wanted.items()},
        "DARGAH_API_DOCS": "false",
    }
    assert {name.removeprefix("DARGAH_").lower() for name in told} <= set(Settings.model_fields)
    for name, value in told.items():
        if name != "DARGAH_WEBHOOK_RETRY_SCHEDULE":
            monkeypatch.setenv(name, value)
    assert pod(found)["terminationGracePeriodSeconds"] > load().drain_seconds
    assert _checksum(found) != _checksum(made())


def _checksum(found: list[Manifest]) -> str:
    [workload] = [each for each in found if each["kind"] == "StatefulSet"]
    checksum: str = workload["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
    return checksum


def test_two_releases_in_one_namespace_do_not_share_pods() -> None:
    selectors = [
        each["spec"]["selector"] for release in ("a", "b") for each in made(release) if each["kind"] == "Service"
    ]
    assert selectors[0] != selectors[1]
    names = [{(each["kind"], each["metadata"]["name"]) for each in made(release)} for release in ("a", "b")]
    assert names[0].isdisjoint(names[1])


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "sidecar"},
        {"replica": 3},
        {"replicas": 0},
        {"image": {"repository": "Registry.example.ir/Dargah:latest "}},
        {"image": {"repository": "a/b", "digest": "sha256:short"}},
        {"settings": {"DARGAH_PUBLIC_URL": "https://a.example", "PUBLIC_URL": "x"}},
        {"networkPolicy": {"enable": False}},
        {"storage": {"size": "much"}},
    ],
)
def test_a_value_that_means_nothing_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(tools.imported("helm_python").HelmError):
        rendered(**values)


# The URL of a database has its password in it.
SECRETS = {"DARGAH_DATABASE", "DARGAH_MIGRATION_DATABASE"} | {
    f"DARGAH_{name}".upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
}


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_among_the_settings_is_refused_since_helm_would_keep_it_readable(name: str) -> None:
    with pytest.raises(tools.imported("helm_python").HelmError):
        rendered(settings={"DARGAH_PUBLIC_URL": "https://a.example", name: "secret"})


def test_what_is_made_is_tidy_yaml(tmp_path: Path) -> None:
    for mode in MODES:
        (tmp_path / f"{mode}.yaml").write_text(text_of(mode))
    rules = YAML_RULES.replace("document-start: disable", "document-start: disable, empty-lines: disable")
    tools.run("yamllint", "--strict", "-d", rules, *tmp_path.glob("*.yaml"))
