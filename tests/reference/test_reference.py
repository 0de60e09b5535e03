"""The API reference: each operation with the answer that a Dargah of today gives, and samples that ask for it.

And the README's pictures: there, of today, and with nothing from outside.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree as ET

import orjson
import pytest
from browser.stage import staged
from web.openapi_check import check_answer, check_schema, document

from proxy.gateways.registry import FAMILIES
from proxy.http.problems import problem_kinds
from proxy.reference.document import examples, groups, webhook
from proxy.reference.samples import Sample
from reference.demo_svg import PICTURE, render, run, titles
from reference.story import EXAMPLES, OPENAPI, openapi_text, operations, recorded, shape

EXAMPLES_NOW = json.loads(EXAMPLES.read_text("utf-8"))
HINT = "run `make docs`"
# Their rows are all of a process's work, which differs from run to run.
COUNTED = {"listAudit", "verifyAudit", "getOperatorTimeline", "getTimeline", "listDeliveries"}


def test_the_package_has_the_document_as_it_is() -> None:
    assert OPENAPI.read_text("utf-8") == openapi_text(), HINT


def test_every_operation_has_an_example_that_is_of_its_schema() -> None:
    assert set(EXAMPLES_NOW) == {*operations(), "onPaymentEvent"}, (
        f"{HINT}; an operation that is new needs its place in story.py"
    )
    for name, (method, _, _) in operations().items():
        asked, given = EXAMPLES_NOW[name]["request"], EXAMPLES_NOW[name]["answer"]
        assert asked["method"] == method
        if given["body"] is None:
            continue
        headers = given["headers"] | {"Content-Type": given["content_type"]}
        body = given["body"].encode() if isinstance(given["body"], str) else orjson.dumps(given["body"])
        check_answer(method, asked["target"].partition("?")[0], given["status"], headers, body)
    check_schema("WebhookMessage", EXAMPLES_NOW["onPaymentEvent"]["request"]["json"])


async def test_the_examples_are_what_a_dargah_of_today_answers(tmp_path: Path) -> None:
    fresh = await recorded(tmp_path)
    for name, example in EXAMPLES_NOW.items():
        now = fresh[name]
        if name in COUNTED:
            example, now = ({"request": each["request"], "status": each["answer"]["status"]} for each in (example, now))
        assert shape(now) == shape(example), f"{name}: {HINT}"


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def test_no_example_tells_a_secret_or_where_it_was_made() -> None:
    text = EXAMPLES.read_text("utf-8")
    assert "canary" not in text
    assert not re.search(r"operator-token|/tmp/|/home/|/work/", text)
    assert set(re.findall(r"https?://[^/\"\\ ?%]+", text)) <= {
        "https://pay.example.ir",
        "http://127.0.0.1:8081",
        "https://gateway.example.ir",
        "https://shop.example.ir",
    } | {_origin(url) for family in FAMILIES.values() for url in (family.gateway_url, family.sandbox_url) if url}
    for token in re.findall(r"dg_(?:live|test|op)_[0-9A-Za-z]{20,}|whsec_[0-9A-Za-z+/=]{20,}", text):
        assert "EXAMPLEEXAMPLE" in token


ALL = [operation for group in groups() for operation in group.operations]


def sample(samples: tuple[Sample, ...], language: str) -> str:
    [text] = [each.text for each in samples if each.language == language]
    return text


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.id)
def test_the_samples_ask_what_the_example_asked(operation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = operation.example["request"]
    by_curl = curl(sample(operation.samples, "curl"))
    by_python = python(sample(operation.samples, "Python"), monkeypatch)
    for method, url, headers, body in (by_curl, by_python):
        assert method == asked["method"]
        assert url.endswith(asked["target"])
        assert {name.lower() for name in asked["headers"]} <= {name.lower() for name in headers}
        if asked["json"] is not None:
            assert body is not None
            assert json.loads(body) == asked["json"]
        elif asked["form"] is None:
            assert body is None
    assert by_curl[3] == by_python[3]
    for language in ("PHP", "Node"):
        assert asked["target"] in sample(operation.samples, language)


Request = tuple[str, str, Mapping[str, str], str | None]


def curl(text: str) -> Request:
    words = shlex.split(text.replace("\\\n", ""))
    method, url, headers, body = None, "", {}, None
    rest = iter(words[1:])
    for word in rest:
        match word:
            case "-X":
                method = next(rest)
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                body = next(rest)
            case _:
                url = word
    return method or ("GET" if body is None else "POST"), url, headers, body


def python(text: str, monkeypatch: pytest.MonkeyPatch) -> Request:
    """What the sample would send, taken at the door."""
    sent: list[Any] = []

    class Answered:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...
        def read(self) -> bytes:
            return b""

    def urlopen(request: Any, timeout: float) -> Answered:
        sent.append(request)
        return Answered()

    monkeypatch.setenv("DARGAH_TOKEN", "t")
    monkeypatch.setenv("DARGAH_ADMIN_TOKEN", "t")
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    exec(compile(text, "sample", "exec"), {})  # noqa: S102  a sample of ours, whose request goes nowhere
    [request] = sent
    data = None if request.data is None else request.data.decode()
    return request.get_method(), request.full_url, dict(request.header_items()), data


@pytest.mark.parametrize("language", ["PHP", "Node"])
def test_the_other_languages_can_parse_their_samples(language: str, tmp_path: Path) -> None:
    tool = shutil.which({"PHP": "php", "Node": "node"}[language])
    if tool is None:
        pytest.skip(f"NOT RUN: {language} is not installed")
    texts = [sample(operation.samples, language) for operation in ALL]
    if language == "PHP":
        (tmp_path / "all.php").write_text("<?php\n" + "\n".join(texts))
        command = [tool, "-l", str(tmp_path / "all.php")]
    else:
        (tmp_path / "all.mjs").write_text("\n".join(f"{{ {text} }}" for text in texts))
        command = [tool, "--check", str(tmp_path / "all.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name == "href" and value:
                self.links.append(value)


async def test_the_page_has_everything_and_each_of_its_links_leads_somewhere(tmp_path: Path) -> None:
    async with staged(tmp_path, log_level="error") as stage:
        answer = await stage.lab.call("GET", "/docs", token="")
        assert answer.status == 200
        page = Anchors()
        page.feed(answer.text)
        assert len(page.ids) == len(set(page.ids))
        assert {*operations(), webhook().id, *(f"problem-{kind.code}" for kind in problem_kinds())} <= set(page.ids)
        inner = {link.removeprefix("#") for link in page.links if link.startswith("#")}
        assert inner <= set(page.ids), inner - set(page.ids)
        assert {link for link in page.links if not link.startswith("#")} <= {"docs/openapi.json"} | {
            link for link in page.links if link.startswith("assets/")
        }
        assert "script" not in page.tags
        as_json = await stage.lab.call("GET", "/docs/openapi.json", token="")
        assert as_json.json == document()


async def test_the_reference_can_be_turned_off(tmp_path: Path) -> None:
    async with staged(tmp_path, log_level="error", api_docs=False) as stage:
        for path in ("/docs", "/docs/openapi.json"):
            assert (await stage.lab.call("GET", path, token="")).status == 404


def test_every_code_that_a_problem_may_have_is_in_the_table() -> None:
    codes = {kind.code: kind.status for kind in problem_kinds()}
    assert (codes["invalid_request"], codes["internal_error"], codes["order_already_paid"]) == (422, 500, 409)
    told = set(
        re.findall(
            r"`([a-z_]+)`", " ".join(each["description"] for each in document()["components"]["responses"].values())
        )
    )
    assert {word for word in told if word in codes} >= {"rate_limited", "not_found", "gateway_refused"}
    assert examples()["createPayment"]["answer"]["status"] == 201


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
