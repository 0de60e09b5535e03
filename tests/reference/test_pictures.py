"""The pictures of the README: there, of today, and with nothing from outside."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from reference.demo_svg import PICTURE, render, run, titles

REPOSITORY = Path(__file__).parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
SAID = " 1. Begin  (3 ms)\n      GET http://127.0.0.1/<a>\n      ← 303 there & back\n 2. End  (4 ms)\n      سفارش 17\n"


def test_every_picture_that_a_page_shows_is_there() -> None:
    shown = {
        (page.parent / name).resolve()
        for page in PAGES
        for name in re.findall(r"""(?:!\[[^\]]*\]\(|src="|srcset=")([^)"]+)""", page.read_text("utf-8"))
    }
    assert len(shown) >= 6
    assert {path for path in shown if not path.is_file()} == set()


def test_the_recorded_demo_has_the_steps_of_todays() -> None:
    picture = ET.parse(PICTURE).getroot()  # noqa: S314  a file of ours
    recorded = "\n".join("".join(text.itertext()) for text in picture.iter("{http://www.w3.org/2000/svg}text"))
    assert titles(recorded) == titles(run()), "run `make demo-svg`"


def test_a_run_is_drawn_line_by_line_with_its_widths_said() -> None:
    picture = ET.fromstring(render(SAID))  # noqa: S314  a text of ours
    texts = list(picture.iter("{http://www.w3.org/2000/svg}text"))
    assert ["".join(each.itertext()) for each in texts][1:3] == ["1. Begin  (3 ms)", "GET http://127.0.0.1/<a>"]
    assert [each.get("textLength") is None for each in texts] == [False] * 5 + [True]
    assert render(SAID) == render(SAID)


def test_no_picture_brings_in_anything_from_outside() -> None:
    for path in (REPOSITORY / "docs" / "images").glob("*.svg"):
        text = path.read_text("utf-8")
        assert not re.search(r"<script|href=|url\((?!#)|@import|onload", text), path
        ET.parse(path)  # noqa: S314  a file of ours
