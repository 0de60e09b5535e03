"""GitHub's workflows: CI runs what a developer runs; a release is off until its variable is set."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import tools
from proxy import __version__
from supply.licences import REPOSITORY

FOLDER = REPOSITORY / ".github" / "workflows"
FILES = sorted(FOLDER.iterdir())
CI: dict[str, Any] = yaml.safe_load((FOLDER / "ci.yml").read_text("utf-8"))
RELEASE: dict[str | bool, Any] = yaml.safe_load((FOLDER / "release.yml").read_text("utf-8"))
JOBS: dict[str, dict[str, Any]] = RELEASE["jobs"]


def audited(*files: Path) -> set[str]:
    """The names of what zizmor finds in its strictest mode."""
    said = tools.call("zizmor", "--offline", "--no-exit-codes", "--persona", "auditor", "--format", "json", *files)
    assert said.returncode == 0, said.stderr
    return {finding["ident"] for finding in json.loads(said.stdout)}


def test_an_audit_of_the_workflows_finds_nothing(tmp_path: Path) -> None:
    # `$/` for a workflow of this repository is too new for what else reads workflows.
    assert audited(*FILES) <= {"self-repository"}
    text = (FOLDER / "release.yml").read_text("utf-8")
    injected = tmp_path / "release.yml"
    injected.write_text(text.replace("$GITHUB_REF_NAME", "${{ github.ref_name }}"))
    assert "template-injection" in audited(injected)


def test_actions_are_taken_by_commit_with_the_version_beside_it() -> None:
    used = [line for file in FILES for line in re.findall(r"uses: *(\S.*)", file.read_text("utf-8"))]
    others = [each for each in used if not each.startswith("./")]
    assert others
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} {2}# v\d+\.\d+\.\d+", each) for each in others), others


def test_ci_runs_what_a_developer_runs_and_may_only_read() -> None:
    assert CI["permissions"] == {"contents": "read"}
    [job] = CI["jobs"].values()
    assert "permissions" not in job
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_a_release_begins_only_where_the_variable_is_set() -> None:
    # YAML 1.1 reads `on` as true.
    assert RELEASE[True] == {"push": {"tags": ["v*"]}}
    begins = [name for name, job in JOBS.items() if "needs" not in job]
    assert [JOBS[name]["if"] for name in begins] == ["vars.RELEASE_IMAGE != ''"]
    # A job is skipped with the one that it needs, unless it has a condition of its own.
    assert not [name for name, job in JOBS.items() if name not in begins and "if" in job]
    assert JOBS["image"]["needs"] == "ci"
    assert JOBS["files"]["needs"] == "image"


def test_each_job_may_do_what_it_needs_and_no_more() -> None:
    signs = {"id-token": "write", "attestations": "write"}
    assert RELEASE["permissions"] == {}
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "ci": {"contents": "read"},
        "image": {"contents": "read", "packages": "write", **signs},
        "files": {"contents": "write", **signs},
    }


def scripts() -> Iterator[tuple[str, str]]:
    for name, job in JOBS.items():
        for number, step in enumerate(job.get("steps", [])):
            if "run" in step:
                yield step.get("name", f"{name} {number}"), step["run"]


@pytest.mark.parametrize(("name", "script"), list(scripts()))
def test_each_script_is_bash_and_takes_values_from_its_environment_alone(name: str, script: str) -> None:
    assert "${{" not in script, name
    subprocess.run(["/bin/bash", "-n", "-c", script], check=True, timeout=30)


@pytest.mark.parametrize(("tag", "code"), [(f"v{__version__}", 0), ("v9.9.9", 1), (__version__, 1)])
def test_a_tag_that_is_not_the_version_ends_it(tag: str, code: int, tmp_path: Path) -> None:
    output = tmp_path / "output"
    script = dict(scripts())["The tag is the version"]
    done = subprocess.run(
        ["/bin/bash", "-e", "-o", "pipefail", "-c", script],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "GITHUB_REF_NAME": tag, "GITHUB_OUTPUT": str(output)},
        timeout=30,
        check=False,
    )
    assert done.returncode == code
    assert code or output.read_text() == f"version={__version__}\n"


def test_the_image_is_for_both_architectures_and_told_by_its_digest() -> None:
    [build] = [script for _, script in scripts() if "buildx build" in script]
    assert "--platform linux/amd64,linux/arm64" in build
    assert "--provenance mode=max,version=v1" in build
    assert "--sbom" in build
    assert "$IMAGE@$DIGEST" in dict(scripts())["Publish"]
    named = re.findall(r"docker\.io/\S+|docker/\S+", (FOLDER / "release.yml").read_text("utf-8"))
    assert named
    assert all(re.fullmatch(r"\S+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", each) for each in named), named
