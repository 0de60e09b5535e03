"""Every YAML file of deploy/ and of the workflow is well written, by yamllint."""

from deploy import tools
from deploy.dockerfile import REPOSITORY

RULES = "{extends: default, rules: {document-start: disable, line-length: {max: 140}, truthy: {check-keys: false}}}"
FILES = sorted([*(REPOSITORY / "deploy").rglob("*.y*ml"), *(REPOSITORY / ".github").rglob("*.y*ml")])


def test_yamllint_finds_nothing() -> None:
    assert FILES
    tools.run("yamllint", "--strict", "-d", RULES, *FILES)
