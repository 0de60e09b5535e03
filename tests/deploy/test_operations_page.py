"""docs/operations.md says what is: its settings are the code's, its commands exist, its files are there."""

import re

import click
import pytest

from deploy.dockerfile import REPOSITORY
from deploy.settings_table import PAGE, page_with_the_table
from proxy.cli.root import dargah

TEXT = PAGE.read_text("utf-8")


def test_the_settings_are_the_code_s() -> None:
    assert page_with_the_table(TEXT) == TEXT, "`make docs` writes the table again"


def _commands() -> set[str]:
    return set(re.findall(r"\bdargah ((?:[a-z][a-z-]+ ?)+)", TEXT))


@pytest.mark.parametrize("line", sorted(_commands()))
def test_a_command_that_is_named_exists(line: str) -> None:
    here: click.Command = dargah
    for word in line.split():
        if not isinstance(here, click.Group):
            return
        found = here.get_command(click.Context(here), word)
        if found is None and here is dargah:
            assert f"`dargah {line}" not in TEXT, "prose, such as 'dargah runs', stands in no code"
            return
        assert found is not None, f"dargah {line}: there is no {word}"
        here = found


def test_the_files_that_are_named_are_there() -> None:
    named = set(re.findall(r"\bdeploy/[\w./-]+\w", TEXT))
    assert named
    assert not [name for name in named if not (REPOSITORY / name).exists()]
    for target in re.findall(r"\]\((\.\./[\w.]+|[\w-]+\.md)\)", TEXT):
        assert (PAGE.parent / target).exists(), target


def test_its_links_lead_to_its_headings() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([\w-]+)\)", TEXT))
    assert links
    assert links <= anchors


def test_no_make_target_is_named_that_does_not_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", TEXT)) <= targets
