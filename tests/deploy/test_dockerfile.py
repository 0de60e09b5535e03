"""What can be said of the Dockerfile without following it."""

import re
import tomllib
from pathlib import PurePosixPath

import yaml

from deploy import tools
from deploy.image import DOCKERFILE, DOCKERIGNORE, files, ignored, patterns, stages
from deploy.tools import REPOSITORY
from proxy import __version__

STAGES = stages(DOCKERFILE.read_text("utf-8"))
LAST = STAGES[-1]
RULES = patterns(DOCKERIGNORE.read_text("utf-8"))


def test_hadolint_finds_nothing() -> None:
    tools.run("hadolint", DOCKERFILE)


def test_the_base_is_pinned_by_version_and_digest_and_the_same_in_all_stages() -> None:
    [base] = {stage.base for stage in STAGES}
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)


def test_only_hash_locked_wheels_are_installed() -> None:
    steps = [step.text for stage in STAGES for step in stage.all("RUN")]
    installs = [
        line for step in steps for line in step.split("&&") if re.search(r"\binstall\b", line) and "pip" in line
    ]
    for line in installs:
        assert "--require-hashes" in line or "--no-index" in line, line
    assert any("-r requirements.txt" in line for line in installs)


def test_it_runs_as_a_numeric_user_under_an_init_with_a_healthcheck() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", LAST.last("USER").text)
    assert LAST.last("ENTRYPOINT").words == ["tini", "--", "dargah"]
    assert LAST.healthcheck == ["dargah", "health", "--ready"]
    assert LAST.last("STOPSIGNAL").text == "SIGTERM"


def test_the_labels_tell_the_package_s_version_and_licence() -> None:
    labels = LAST.last("LABEL").pairs
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_builder_gets_what_is_copied_and_nothing_that_is_private() -> None:
    sent = files(REPOSITORY, RULES)
    copied = [
        word for stage in STAGES for step in stage.all("COPY") for word in step.words[:-1] if "--from" not in step.text
    ]
    assert {path.parts[0] for path in sent} == set(copied)
    for private in (
        ".git/config",
        ".venv/bin/python",
        "dargah.db",
        "proxy/dargah.db",
        "deploy/.env",
        "proxy/__pycache__/x.pyc",
    ):
        assert ignored(PurePosixPath(private), RULES), private


def test_the_wheel_takes_every_file_of_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    patterns_of_wheel = project["tool"]["setuptools"]["package-data"]["proxy"]
    package = REPOSITORY / "proxy"
    files_of_it = [
        path.relative_to(package) for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    left = [
        path
        for path in files_of_it
        if path.suffix not in {".py", ".sh"}
        and not any(path.match(each.removeprefix("**/")) for each in patterns_of_wheel)
    ]
    assert not left


def test_compose_and_kubernetes_run_the_image_s_user() -> None:
    uid, gid = LAST.last("USER").text.split(":")
    for path in (REPOSITORY / "deploy" / "kubernetes").rglob("*.yaml"):
        for line in path.read_text("utf-8").splitlines():
            name, _, value = line.strip().partition(": ")
            if name in {"runAsUser", "runAsGroup", "fsGroup"} and "postgres" not in str(path):
                assert value in {uid, gid}, path
    compose = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text("utf-8"))
    assert compose["x-dargah"]["user"] == f"{uid}:{gid}"
